//! The table of errcodes in ascending order. A row has class, retry, meaning and remedy, the last two in English and Chinese.
//!
//! When a code can have two causes, the row names the one that callers of the send and menu endpoints meet.
//!
//! See [WeChat Docs/全局返回码](https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html) for
//! all groups; a group that has a page of its own names it.

use std::time::Duration;

use super::{
    Class::{self, Caller, Content, Platform, Quota, Recipient, SetUp, Success, Token, Unknown},
    Errcode,
    Retry::{
        self, After, AfterConfirmation, AfterUserMessage, BackOff, Later, Never, NextDay, NextMonth, WithFreshToken,
    },
};

/// One code, or a range of codes with the same meaning.
pub(super) struct Row {
    /// The code, or the first code of the range.
    pub(super) errcode: Errcode,
    /// The last code of the range; for a single code, the same code.
    pub(super) last: i64,
}

impl Row {
    const fn through(self, last: i64) -> Self {
        Self { last, ..self }
    }
}

const fn row(code: i64, class: Class, retry: Retry, meaning: [&'static str; 2], remedy: [&'static str; 2]) -> Row {
    Row {
        errcode: errcode(code, class, retry, meaning, remedy),
        last: code,
    }
}

const fn errcode(
    code: i64,
    class: Class,
    retry: Retry,
    [english, chinese]: [&'static str; 2],
    [remedy_english, remedy_chinese]: [&'static str; 2],
) -> Errcode {
    Errcode {
        code,
        english,
        chinese,
        remedy_english,
        remedy_chinese,
        class,
        retry,
    }
}

/// The entry for every code that is not in the table.
pub(super) const UNKNOWN: Errcode = errcode(
    0,
    Unknown,
    Never,
    ["Unknown errcode", "未知错误码"],
    [
        "Read errmsg; with its rid, API 诊断 on developers.weixin.qq.com shows the call as WeChat saw it, for 7 days.",
        "请查看 errmsg；凭其中的 rid，可在微信开发者平台的“API 诊断”中查询该次调用（7 天内）。",
    ],
);

/// The meaning of 40001 at the token endpoints.
/// See [WeChat Docs/获取 access_token](https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html).
pub(super) const WRONG_APP_SECRET: Errcode =
    errcode(40001, SetUp, Never, ["Wrong AppSecret", "AppSecret 错误"], SECRET);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The page of the console with AppID, AppSecret and IP whitelist, in English or Chinese.
macro_rules! developer_settings {
    (en) => {
        "微信开发者平台 (developers.weixin.qq.com/platform) → 我的业务 → 公众号/服务号 → 基础信息 → 开发信息, \
         formerly 公众号后台 (mp.weixin.qq.com) → 设置与开发 → 基本配置"
    };
    (zh) => {
        "微信开发者平台（developers.weixin.qq.com/platform）→ 我的业务 → 公众号/服务号 → 基础信息 → 开发信息\
         （旧入口：公众号后台 mp.weixin.qq.com → 设置与开发 → 基本配置）"
    };
}

// Remedies that several codes share.

const SECRET: [&str; 2] = [
    concat!(
        "Compare WECHAT_APP_SECRET and WECHAT_APP_ID with ",
        developer_settings!(en),
        ". WeChat does not keep the AppSecret: a lost one must be reset there, which ends the old one.",
    ),
    concat!(
        "请核对 WECHAT_APP_SECRET 与 WECHAT_APP_ID：",
        developer_settings!(zh),
        "。微信不保存 AppSecret，遗失只能在该页重置，重置后旧的立即失效。",
    ),
];
const WHITELIST: [&str; 2] = [
    concat!(
        "Add the address that errmsg names to IP白名单 at ",
        developer_settings!(en),
        "; it takes some minutes to apply. Calls must leave from a fixed address (in AWS through a NAT with an Elastic \
         IP), or the address will change again.",
    ),
    concat!(
        "请把 errmsg 中的 IP 加入“IP白名单”：",
        developer_settings!(zh),
        "，保存后需几分钟生效。出口 IP 须固定（AWS 上经 NAT 出网并使用弹性 IP），否则 IP 还会变化。",
    ),
];
const CONFIRM: [&str; 2] = [
    "Ask the account's administrator to confirm the call in the message that WeChat sent to their phone, then repeat \
     it from the same address. WeChat does not ask again for an address on the IP whitelist.",
    "请公众号管理员在手机微信收到的通知里确认，再从同一 IP 重新调用；把该 IP 加入“IP白名单”可避免再次确认。",
];
const RAW_UTF8: [&str; 2] = [
    r"Send the JSON as raw UTF-8, with no \uXXXX escapes for non-ASCII characters.",
    r"请以 UTF-8 原文发送 JSON，不要把中文转义成 \uXXXX。",
];
const AUTHORISE_AGAIN: [&str; 2] = [
    "Send the user through web authorisation again. A code works once, for a few minutes.",
    "请让用户重新进行网页授权；每个 code 只能使用一次，几分钟后失效。",
];
const NOT_A_FOLLOWER: [&str; 2] = [
    "Leave this recipient out until they follow the account again; repeating the call does not help.",
    "请暂停向该用户发送，待其重新关注后再发；重试无用。",
];
const THIRD_PARTY: [&str; 2] = [
    "This concerns third-party platforms (第三方平台) only: call the API with the account's own token, or have the \
     account's administrator authorise the platform again.",
    "该错误只与第三方平台有关：请改用公众号自己的 access_token，或由公众号管理员重新授权给第三方平台。",
];
const BANNED: [&str; 2] = [
    "Log in at mp.weixin.qq.com and read 通知中心 for the reason; appeal there. No call succeeds until the \
     restriction is lifted.",
    "请登录公众号后台 mp.weixin.qq.com，在“通知中心”查看原因并申诉；解除限制前调用不会成功。",
];
const NO_PERMISSION: [&str; 2] = [
    "See 接口权限 in the console for what the account may call. Template messages need a verified service account \
     (已认证服务号), menus a service account or a verified one; a test account (测试号) has both.",
    "请在后台“接口权限”页查看该账号可用的接口：模板消息须为已认证的服务号，自定义菜单须为服务号或已认证账号；测试号两者皆可。",
];
const MENU_URL: [&str; 2] = [
    "Give the button a complete http:// or https:// url of at most 1024 bytes, on a domain that the account may use.",
    "请填写完整的 http:// 或 https:// 链接，不超过 1024 字节，且域名为该账号可用的域名。",
];
const BUTTON_TYPE: [&str; 2] = [
    "Use a type that WeChat knows (click, view, miniprogram, scancode_push, …) and give the members it requires, such \
     as key or url.",
    "请使用有效的 type（click、view、miniprogram、scancode_push 等），并填写该类型必需的字段，如 key 或 url。",
];
/// WeChat answers "invalid use button type" also to a correct type that the account may not use.
const BUTTON_RIGHT: [&str; 2] = [
    "If the type is one that WeChat knows (click, view, miniprogram, scancode_push, pic_weixin, …), the account lacks the \
     right to it: see 接口权限 → 自定义菜单 in the console; scan, photo and location buttons need a verified account.",
    "若 type 拼写无误（click、view、miniprogram、scancode_push、pic_weixin 等），说明该账号没有此类按钮的权限：请在后台\
     “接口权限 → 自定义菜单”中查看；扫码、发图、地理位置按钮须为已认证账号。",
];
const BUTTON_KEY: [&str; 2] = [
    "Give the button a key of 1 to 128 bytes.",
    "按钮的 key 须为 1 至 128 字节。",
];
const MATCHRULE: [&str; 2] = [
    "Remove sex, country, province, city and language from matchrule: WeChat no longer matches by them. Use tag_id or \
     client_platform_type.",
    "请从 matchrule 中删除 sex、country、province、city、language（微信已不再支持），改用 tag_id 或 \
     client_platform_type。",
];
const MEDIA_ID: [&str; 2] = [
    "Upload the material again and use the new media_id: temporary ones last 3 days and belong to one account.",
    "请重新上传素材并使用新的 media_id；临时素材只保留 3 天，且不能跨账号使用。",
];
const MEDIA_FORMAT: [&str; 2] = [
    "Upload a format that the API takes: jpg, png or gif for images, amr or mp3 for voice, mp4 for video, jpg for \
     thumbnails.",
    "请上传接口支持的格式：图片 jpg、png、gif，语音 amr、mp3，视频 mp4，缩略图 jpg。",
];
const DATE_RANGE: [&str; 2] = [
    "Give dates as yyyy-MM-dd, the begin not after the end, and no longer a span than that statistic allows.",
    "日期格式为 yyyy-MM-dd，起始不得晚于结束，跨度不得超过该统计接口的上限。",
];
const QR_ACTION: [&str; 2] = [
    "Use QR_SCENE or QR_STR_SCENE (temporary), QR_LIMIT_SCENE or QR_LIMIT_STR_SCENE (permanent), with scene_id or \
     scene_str in action_info.scene.",
    "action_name 须为 QR_SCENE、QR_STR_SCENE（临时）或 QR_LIMIT_SCENE、QR_LIMIT_STR_SCENE（永久），并在 \
     action_info.scene 中填写 scene_id 或 scene_str。",
];
const OPENID_LIST: [&str; 2] = [
    "Give an array of openids of this account, not empty and within the limit of that API.",
    "请传入本公众号的 openid 数组，不能为空，也不能超过该接口的上限。",
];
const SAME_AS_DOCUMENTED: [&str; 2] = [
    "Compare every parameter's name, type and length with WeChat's page on that API.",
    "请对照微信该接口的文档，逐项核对参数的名称、类型与长度。",
];
const TAG_RULES: [&str; 2] = [
    "Give the tag a name of at most 30 bytes that no other tag has.",
    "标签名不超过 30 字节，且不能与已有标签重名。",
];
const SYSTEM_GROUP: [&str; 2] = [
    "Leave the built-in groups and tags (ids 0, 1 and 2) alone; make one of your own.",
    "系统默认分组和标签（id 为 0、1、2）不能修改，请另建。",
];
const LEAVE_OUT: [&str; 2] = ["Leave this recipient out.", "请不要再向该用户发送。"];
const SMALLER_FILE: [&str; 2] = ["Upload a smaller file.", "请压缩文件后再上传。"];
const SLOW_DOWN: [&str; 2] = ["Wait a little and try again.", "请稍候再试。"];
const WAIT_SECONDS: [&str; 2] = [
    "Wait a few seconds and try again, a few times only.",
    "请等待数秒后重试，次数不宜多。",
];

#[rustfmt::skip] // One row reads best as one block: meaning, then remedy.
pub(super) static TABLE: &[Row] = &[
    row(-1, Platform, BackOff, ["WeChat is busy", "系统繁忙"],
        ["Wait half a second to a few seconds and try again, a few times only. A template send needs client_msg_id, \
          or it may arrive twice.",
         "请等待半秒至数秒后重试，次数不宜多；重发模板消息须带 client_msg_id，以免用户重复收到。"]),
    row(0, Success, Never, ["ok", "请求成功"], ["Nothing to do.", "无需处理。"]),

    // 40xxx: something in the request is invalid.
    row(40001, Token, WithFreshToken, ["The access_token is invalid or not the latest", "access_token 无效或不是最新"],
        ["Repeat the call once with a fresh token. If this comes back, another program with the same AppID replaces \
          the token: set WECHAT_TOKEN_API=stable, and let no other program force a refresh.",
         "请换用新的 access_token 重试一次。若反复出现，说明另有程序在刷新同一 AppID 的 token：请设置 \
          WECHAT_TOKEN_API=stable，并停止其他程序的强制刷新。"]),
    row(40002, Caller, Never, ["Invalid grant_type", "不合法的凭证类型"],
        ["Send grant_type client_credential.", "grant_type 请填 client_credential。"]),
    row(40003, Recipient, Never, ["Invalid openid", "不合法的 OpenID"],
        ["Take the openid from a message or event of this very account: openids of another account, unionids and \
          WeChat names do not work.",
         "请使用本公众号收到的消息或事件中的 openid；其他账号的 openid、unionid、微信号都不可用。"]),
    row(40004, Caller, Never, ["Invalid media type", "不合法的媒体文件类型"],
        ["Use image, voice, video or thumb as type.", "type 须为 image、voice、video 或 thumb。"]),
    row(40005, Caller, Never, ["Invalid file type", "不合法的文件类型"], MEDIA_FORMAT),
    row(40006, Caller, Never, ["The file is too large", "不合法的文件大小"], SMALLER_FILE),
    row(40007, Caller, Never, ["Invalid media_id", "不合法的媒体文件 id"], MEDIA_ID),
    row(40008, Caller, Never, ["Invalid message type", "不合法的消息类型"],
        ["Use a msgtype that this API knows, such as text, image or news.",
         "请使用该接口支持的 msgtype，如 text、image、news。"]),
    row(40009, Caller, Never, ["The image is too large", "图片大小或尺寸不合法"],
        ["Upload a smaller image.", "请缩小图片后再上传。"]),
    row(40010, Caller, Never, ["The voice file is too large", "不合法的语音文件大小"],
        ["Keep a voice file within 2 MB and 60 seconds.", "语音不得超过 2 MB 和 60 秒。"]),
    row(40011, Caller, Never, ["The video file is too large", "不合法的视频文件大小"],
        ["Keep a video within 10 MB.", "视频不得超过 10 MB。"]),
    row(40012, Caller, Never, ["The thumbnail is too large", "不合法的缩略图文件大小"],
        ["Keep a thumbnail within 64 KB.", "缩略图不得超过 64 KB。"]),
    row(40013, SetUp, Never, ["Invalid AppID", "不合法的 AppID"],
        [concat!(
             "Compare WECHAT_APP_ID, case included, with ",
             developer_settings!(en),
             ". In a message, leave miniprogram out unless its appid is that of a linked mini program.",
         ),
         concat!(
             "请核对 WECHAT_APP_ID（区分大小写）：",
             developer_settings!(zh),
             "。若消息带有 miniprogram，其 appid 须为已关联的小程序，不用时请整个省略。",
         )]),
    row(40014, Token, WithFreshToken, ["Invalid access_token", "不合法的 access_token"],
        ["Repeat the call once with a fresh token. If this comes back, check that the stored token is not cut (allow \
          512 characters) and that the AppID is the right one.",
         "请换用新的 access_token 重试一次。若反复出现，请检查存储的 token 是否被截断（至少留 512 个字符），以及 \
          AppID 是否正确。"]),
    row(40015, Caller, Never, ["Invalid menu type", "不合法的菜单类型"], BUTTON_TYPE),
    row(40016, Caller, Never, ["Wrong number of menu buttons", "不合法的按钮个数"],
        ["Give the menu 1 to 3 top-level buttons.", "一级菜单按钮须为 1 至 3 个。"]),
    row(40017, Caller, Never, ["Invalid button type", "不合法的按钮类型"], BUTTON_TYPE),
    row(40018, Caller, Never, ["A button's name is empty or too long", "按钮名字长度不合法"],
        ["Name a top-level button with 1 to 16 bytes of UTF-8: 5 Chinese characters, of which 4 are shown.",
         "一级按钮名须为 1 至 16 字节（UTF-8 约 5 个汉字，显示前 4 个）。"]),
    row(40019, Caller, Never, ["A button's key is empty or too long", "按钮 KEY 长度不合法"], BUTTON_KEY),
    row(40020, Caller, Never, ["A button's url is empty or too long", "按钮 URL 长度不合法"], MENU_URL),
    row(40021, Caller, Never, ["Invalid menu version", "不合法的菜单版本号"],
        ["Query the menu, and create it anew from what you get.", "请先查询菜单，再据此重新创建。"]),
    row(40022, Caller, Never, ["The menu has too many levels", "子菜单级数不合法"],
        ["Use two levels at most: a button inside sub_button cannot have a sub_button of its own.",
         "菜单最多两级：sub_button 中的按钮不能再含 sub_button。"]),
    row(40023, Caller, Never, ["Wrong number of sub-buttons", "子菜单按钮个数不合法"],
        ["Give a parent button 1 to 5 sub-buttons.", "每个一级菜单须有 1 至 5 个子按钮。"]),
    row(40024, Caller, Never, ["Invalid sub-button type", "子菜单按钮类型不合法"], BUTTON_TYPE),
    row(40025, Caller, Never, ["A sub-button's name is empty or too long", "子菜单按钮名字长度不合法"],
        ["Name a sub-button with 1 to 60 bytes of UTF-8: 20 Chinese characters, of which 8 are shown.",
         "子按钮名须为 1 至 60 字节（UTF-8 约 20 个汉字，显示前 8 个）。"]),
    row(40026, Caller, Never, ["A sub-button's key is empty or too long", "子菜单按钮 KEY 长度不合法"], BUTTON_KEY),
    row(40027, Caller, Never, ["A sub-button's url is empty or too long", "子菜单按钮 URL 长度不合法"], MENU_URL),
    row(40028, Caller, Never, ["Invalid menu user", "不合法的自定义菜单使用用户"],
        ["Give the openid of a follower of this account.", "请使用本公众号关注者的 openid。"]),
    row(40029, Caller, Never, ["Invalid authorisation code", "无效的 oauth_code"], AUTHORISE_AGAIN),
    row(40030, Caller, Never, ["Invalid refresh_token", "不合法的 refresh_token"], AUTHORISE_AGAIN),
    row(40031, Caller, Never, ["Invalid list of openids", "不合法的 openid 列表"], OPENID_LIST),
    row(40032, Caller, Never, ["The list of openids is too long or too short", "openid 列表长度不合法"], OPENID_LIST),
    row(40033, Caller, Never, [r"The request contains \uXXXX escapes", r"请求字符不能包含 \uxxxx"], RAW_UTF8),
    row(40035, Caller, Never, ["Invalid parameters", "不合法的参数"], SAME_AS_DOCUMENTED),
    row(40036, Caller, Never, ["template_id has a wrong length", "template_id 长度不合法"],
        ["Copy the whole template_id, as GET /api/templates lists it.",
         "请完整复制 template_id（可用 GET /api/templates 查询）。"]),
    row(40037, Caller, Never, ["Invalid template_id", "不合法的 template_id"],
        ["Use a template_id that GET /api/templates lists: templates belong to one account, and changing or deleting \
          its category deletes them.",
         "请使用 GET /api/templates 列出的 template_id；模板不能跨账号使用，修改或删除类目会删除其下的模板。"]),
    row(40038, Caller, Never, ["Invalid request format", "不合法的请求格式"], SAME_AS_DOCUMENTED),
    row(40039, Caller, Never, ["The url is too long", "不合法的 URL 长度"], ["Shorten the url.", "请缩短 url。"]),
    row(40048, Caller, Never, ["The url or its domain is invalid", "无效的 url"],
        ["Give a complete http:// or https:// url on a domain that the account may use.",
         "请填写完整的 http:// 或 https:// 链接，且域名为该账号可用的域名。"]),
    row(40050, Caller, Never, ["Invalid group id", "不合法的分组 id"],
        ["Query the groups and use an id from there.", "请先查询分组，使用其中的 id。"]),
    row(40052, Caller, Never, ["Invalid action_name of a QR code", "action_name 有误"], QR_ACTION),
    row(40053, Caller, Never, ["Invalid action_info of a QR code", "action_info 不合法"], QR_ACTION),
    row(40054, Caller, Never, ["The domain of a sub-button's url is invalid", "子菜单按钮 url 域名不合法"], MENU_URL),
    row(40055, Caller, Never, ["The domain of a button's url is invalid", "菜单按钮 url 域名不合法"], MENU_URL),
    row(40062, Caller, Never, ["The title has a wrong length", "标题长度不合法"],
        ["Keep the title of a one-time subscription message within 15 characters.",
         "一次性订阅消息的标题不得超过 15 个字。"]),
    row(40066, Caller, Never, ["Invalid url", "不合法的 url"],
        ["Give a complete http:// or https:// url.", "请填写完整的 http:// 或 https:// 链接。"]),
    row(40073, Caller, Never, ["Invalid card id", "不合法的卡券 id"],
        ["Use the id of a card of this account.", "请使用本公众号的卡券 id。"]),
    row(40082, Caller, Never, ["A card's banner picture has a wrong size", "卡券横幅图片大小不合法"],
        ["Upload a smaller picture. In 企业微信 this code is about a token; here it is not.",
         "请缩小图片。此码在企业微信中与 token 有关，在公众号中无关。"]),
    row(40092, Caller, Never, ["The remark is invalid", "备注名不合法"],
        ["Give a remark of fewer than 30 bytes.", "备注名须少于 30 字节。"]),
    row(40097, Caller, Never, ["Invalid parameters", "参数错误"], SAME_AS_DOCUMENTED),
    row(40117, Caller, Never, ["Invalid group name", "分组名字不合法"],
        ["Give the group a name that is not empty, of at most 30 characters.", "分组名不能为空，且不超过 30 个字符。"]),
    row(40118, Caller, Never, ["media_id has a wrong length", "media_id 大小不合法"],
        ["Copy the whole media_id.", "请完整复制 media_id。"]),
    row(40119, Caller, Never, ["A button's type is unknown or not for this account", "button 类型错误，或账号无此权限"],
        BUTTON_RIGHT),
    row(40120, Caller, Never,
        ["A sub-button's type is unknown or not for this account", "子 button 类型错误，或账号无此权限"], BUTTON_RIGHT),
    row(40121, Caller, Never, ["The media_id is of a wrong kind", "media_id 类型不合法"],
        ["A menu takes permanent material other than text, a message material of its own msgtype.",
         "菜单须使用非文本的永久素材；消息须使用与 msgtype 相符的素材。"]),
    row(40125, SetUp, Never, ["Invalid AppSecret", "无效的 appsecret"], SECRET),
    row(40132, Caller, Never, ["Invalid WeChat ID", "微信号不合法"],
        ["Give a WeChat ID (微信号) as its owner set it; it is neither an openid nor a nickname.",
         "请填写用户设置的微信号，不是 openid 或昵称。"]),
    row(40137, Caller, Never, ["Unsupported image format", "不支持的图片格式"], MEDIA_FORMAT),
    row(40155, Caller, Never, ["The content links to another account's home page", "请勿添加其他公众号的主页链接"],
        ["Remove links to the home pages of other accounts.", "请删除指向其他公众号主页的链接。"]),
    row(40163, Caller, Never, ["The authorisation code has been used", "oauth_code 已使用"], AUTHORISE_AGAIN),
    row(40164, SetUp, Never, ["The calling address is not on the account's IP whitelist", "调用 IP 不在白名单"],
        WHITELIST),
    row(40165, Caller, Never, ["Invalid path of the mini program's page", "小程序 pagepath 不合法"],
        ["Give a page that exists in the released mini program, such as pages/index/index?id=1, or leave miniprogram \
          out.",
         "pagepath 须是小程序线上版本中存在的页面，如 pages/index/index?id=1；不用时请省略 miniprogram。"]),
    row(40166, Caller, Never, ["The mini program's appid does not exist", "小程序 appid 不存在"],
        ["Give the appid of a mini program that is linked to this account, or leave miniprogram out.",
         "请填写已与本公众号关联的小程序的 appid；不用时请省略 miniprogram。"]),
    row(40200, SetUp, Never, ["The API is not for this kind of account", "账号类型不合法"], NO_PERMISSION),
    row(40201, SetUp, Never, ["The account has no callback URL", "未设置 callback url"],
        ["Set URL, Token and EncodingAESKey at 微信开发者平台 (developers.weixin.qq.com/platform) → 我的业务 → 公众号/\
          服务号 → 域名与消息推送配置.",
         "请在 微信开发者平台（developers.weixin.qq.com/platform）→ 我的业务 → 公众号/服务号 → 域名与消息推送配置 中填\
          写 URL、Token 和 EncodingAESKey。"]),
    row(40202, Caller, Never, ["Invalid action of the callback check", "action 不正确"],
        ["Use dns, ping or all as action.", "action 须为 dns、ping 或 all。"]),
    row(40203, Caller, Never, ["Invalid check_operator of the callback check", "check_operator 不正确"],
        ["Use CHINANET, UNICOM, CAP or DEFAULT as check_operator.",
         "check_operator 须为 CHINANET、UNICOM、CAP 或 DEFAULT。"]),
    row(40227, Caller, Never, ["The title is empty", "标题为空"], ["Give a title.", "请填写标题。"]),
    row(40241, Recipient, After(MINUTE),
        ["The same message went to this recipient within the last 60 seconds", "60 秒内向该用户发送过相同内容"],
        ["Take it as sent already, or as just refused: do not repeat it within a minute. A message that is really meant \
          twice needs another content or another minute.",
         "请视为已发送或刚被拒绝，一分钟内不要重试；确需再发时请间隔一分钟或修改内容。"]),
    row(40243, SetUp, Never, ["The AppSecret is frozen", "AppSecret 已被冻结"],
        [concat!("Unfreeze the AppSecret at ", developer_settings!(en), "; it takes about ten minutes to apply."),
         concat!("请解冻 AppSecret：", developer_settings!(zh), "，约 10 分钟后生效。")]),
    row(40246, Caller, Never, ["Invalid keyword_name_list", "关键词列表不合法"],
        ["Take the keywords, spelling included, from the template's page in the template library.",
         "请使用模板库中该模板列出的关键词，文字须完全一致。"]),
    row(40247, Caller, Never, ["The template must be one of the category library", "需使用类目模板库 ID"],
        ["Use the all-digit id of a category template (类目模板): TM and OPENTM ids belong to the old library.",
         "请改用类目模板的编号（纯数字）；TM、OPENTM 开头的旧编号已不可用。"]),
    row(40249, Content, Never, ["WeChat has blocked this message's content as marketing", "内容被判定为营销，已被拦截"],
        ["Stop sending this content to anybody, even in the middle of a series: every further call harms the account. \
          Write what the template is for and no more: notices of a service the user asked for, no advertising.",
         "请立即停止向所有用户发送该内容（可能在批量发送中途出现），继续调用会加重处罚；模板消息只能用于用户已触发的服务通\
          知，请删除营销、推广内容。"]),

    // 41xxx: something is missing.
    row(41001, SetUp, Never, ["No access_token arrived", "缺少 access_token 参数"],
        ["Look at the forwarding server behind WECHAT_API_BASE or the proxy of HTTPS_PROXY: the functions always send a token, and \
          something on the way drops the query of the URL.",
         "本服务总会携带 access_token，请检查 WECHAT_API_BASE 指向的中转或 HTTPS_PROXY 代理是否丢弃了 URL 查询参数。"]),
    row(41002, Caller, Never, ["appid is missing", "缺少 appid"], ["Send the appid.", "请填写 appid。"]),
    row(41003, Caller, Never, ["refresh_token is missing", "缺少 refresh_token"],
        ["Send the refresh_token.", "请填写 refresh_token。"]),
    row(41004, SetUp, Never, ["The AppSecret is missing", "缺少 secret"],
        [concat!("Set WECHAT_APP_SECRET for token-refresher. The secret is made at ", developer_settings!(en), "."),
         concat!("请为 token-refresher 设置 WECHAT_APP_SECRET；AppSecret 在此生成：", developer_settings!(zh), "。")]),
    row(41005, Caller, Never, ["The media file is missing", "缺少多媒体文件数据"],
        ["Upload the file as multipart/form-data in a part named media.",
         "请以 multipart/form-data 上传，文件字段名为 media。"]),
    row(41006, Caller, Never, ["media_id is missing", "缺少 media_id"], ["Send the media_id.", "请填写 media_id。"]),
    row(41007, Caller, Never, ["The sub-menu is missing", "缺少子菜单数据"],
        ["Give a button either a type or a sub_button with 1 to 5 buttons.",
         "按钮须有 type，或有含 1 至 5 个按钮的 sub_button。"]),
    row(41008, Caller, Never, ["The authorisation code is missing", "缺少 oauth code"], AUTHORISE_AGAIN),
    row(41009, Caller, Never, ["openid is missing", "缺少 openid"],
        ["Send the openid; in a message it is touser.", "请填写 openid（消息中为 touser）。"]),

    // 42xxx: something has expired.
    row(42001, Token, WithFreshToken, ["The access_token has expired", "access_token 超时"],
        ["Repeat the call once with a fresh token. If this comes back, check that token-refresher runs on its \
          schedule.",
         "请换用新的 access_token 重试一次；若反复出现，请检查 token-refresher 是否按时运行。"]),
    row(42002, Caller, Never, ["The refresh_token has expired", "refresh_token 超时"], AUTHORISE_AGAIN),
    row(42003, Caller, Never, ["The authorisation code has expired", "oauth_code 超时"], AUTHORISE_AGAIN),
    row(42007, Recipient, Never,
        ["The user changed the password, which ended the authorisation", "用户修改微信密码，授权失效"],
        AUTHORISE_AGAIN),
    row(42010, Quota, BackOff, ["Operations follow each other too fast", "操作太快"], SLOW_DOWN),

    // 43xxx: a condition of the call does not hold.
    row(43001, Caller, Never, ["The API needs GET", "需要 GET 请求"], ["Call the API with GET.", "请使用 GET 方法。"]),
    row(43002, Caller, Never, ["The API needs POST", "需要 POST 请求"],
        ["Call the API with POST.", "请使用 POST 方法。"]),
    row(43003, Caller, Never, ["The API needs HTTPS", "需要 HTTPS"],
        ["Begin WECHAT_API_BASE with https://.", "请使用 HTTPS，WECHAT_API_BASE 须以 https:// 开头。"]),
    row(43004, Recipient, Never, ["The recipient does not follow the account", "需要接收者关注"], NOT_A_FOLLOWER),
    row(43005, Recipient, Never, ["The recipient is not a friend", "需要好友关系"], LEAVE_OUT),
    row(43019, Recipient, Never, ["The recipient is on the account's blacklist", "需将接收者移出黑名单"],
        ["Take the user off the blacklist in the console's 用户管理 → 黑名单, or leave them out.",
         "请在后台“用户管理 → 黑名单”中移出该用户，或不再向其发送。"]),
    row(43100, Quota, NextMonth, ["Industry or templates are changed too often", "修改行业或模板太频繁"],
        ["Wait until next month: the industry can be changed once a month.", "行业每月只能修改一次，请下月再试。"]),
    row(43101, Recipient, Never,
        ["The recipient has not subscribed, or refuses the message", "用户未订阅或拒绝接受消息"],
        ["Leave this recipient out until they accept a subscription again: a one-time subscription is used up by one \
          message.",
         "请待用户再次订阅后再发；一次性订阅发送一条后即用完。"]),
    row(43106, SetUp, Never, ["The account may not add templates, as a punishment", "因违规，暂不能添加模板"], BANNED),
    row(43116, Content, Never, ["WeChat has banned this template", "该模板已被封禁"],
        ["Stop sending with this template: every further call harms the account. Read 通知中心 in the console \
          (mp.weixin.qq.com) and appeal there, or use another template. WeChat bans templates that carried marketing.",
         "请立即停止使用该模板发送，继续调用会加重处罚；请在后台 mp.weixin.qq.com 的“通知中心”查看原因并申诉，或更换模板。\
          模板用于营销会被封禁。"]),
    row(43117, Recipient, Later, ["This recipient has been sent too many messages", "向该用户发送过于频繁"],
        ["Leave this recipient out for hours and send less often to them; others are not concerned. WeChat publishes \
          neither the limit nor when it ends.",
         "数小时内不要再向该用户发送，并降低向其发送的频率；其他用户不受影响。微信未公布该限制的次数与时长。"]),

    // 44xxx: something is empty.
    row(44001, Caller, Never, ["The media file is empty", "多媒体文件为空"],
        ["Upload a file that is not empty.", "请上传非空的文件。"]),
    row(44002, Caller, Never, ["The request body is empty", "POST 的数据包为空"],
        ["Send a JSON body.", "请发送 JSON 请求体。"]),
    row(44003, Caller, Never, ["The article is empty", "图文消息内容为空"],
        ["Give at least one article.", "请至少填写一篇图文。"]),
    row(44004, Caller, Never, ["The text is empty", "文本消息内容为空"],
        ["Give a content that is not empty.", "content 不能为空。"]),

    // 45xxx: limits.
    // See [WeChat Docs/接口调用频次限制](https://developers.weixin.qq.com/doc/service/Message_Management/API_Call_Limits.html).
    row(44990, Quota, BackOff, ["The API is called more than 5 times a second", "接口调用超过每秒 5 次"], SLOW_DOWN),
    row(45001, Caller, Never, ["The media file is too large", "多媒体文件大小超限"], SMALLER_FILE),
    row(45002, Caller, Never, ["The content is too long", "消息内容超过限制"],
        ["Shorten the text or send it in parts.", "请缩短内容或分条发送。"]),
    row(45003, Caller, Never, ["The title is too long", "标题超限"], ["Shorten the title.", "请缩短标题。"]),
    row(45004, Caller, Never, ["The description is too long", "描述超限"],
        ["Shorten the description.", "请缩短描述。"]),
    row(45005, Caller, Never, ["The url is too long", "链接超限"], ["Shorten the url.", "请缩短链接。"]),
    row(45006, Caller, Never, ["The picture's url is too long", "图片链接超限"],
        ["Shorten picurl.", "请缩短图片链接。"]),
    row(45007, Caller, Never, ["The voice file plays too long", "语音播放时间超限"],
        ["Keep voice within 60 seconds.", "语音不得超过 60 秒。"]),
    row(45008, Caller, Never, ["Too many articles", "图文条数超限"], ["Send one article.", "只能发送 1 条图文。"]),
    row(45009, Quota, NextDay, ["The daily quota of this API is used up", "接口调用超过每日限制"],
        ["Wait for the daily reset (believed to be midnight in China, UTC+8), or clear the counters with 清零 in \
          WeChat's console, 10 times a month at most. If fetching tokens used it up, set \
          WECHAT_TOKEN_API=stable.",
         "请等待次日重置（一般认为是北京时间零点），或在公众号后台点“清零”（每月最多 10 次）。若因获\
          取 token 过多，请设置 WECHAT_TOKEN_API=stable。"]),
    row(45010, Caller, Never, ["The menu has too many buttons", "创建菜单个数超限"],
        ["Give the menu 1 to 3 top-level buttons with 1 to 5 sub-buttons each.",
         "一级按钮须为 1 至 3 个，每个下设 1 至 5 个子按钮。"]),
    row(45011, Quota, After(MINUTE), ["The API is called too often", "API 调用太频繁"],
        ["Wait for a minute and send more slowly: the limit is per minute.",
         "请等待一分钟并放慢调用，该限制按分钟计。"]),
    row(45012, Caller, Never, ["The template is too large", "模板大小超限"],
        ["Shorten the template or its values.", "请缩短模板或其内容。"]),
    row(45015, Recipient, Never, ["The time for answering this user is over", "回复时间超过限制"],
        ["The person has to act first: write to the account (opens 48 hours), or tap a menu button that sends an event, scan \
          a QR code of the account or follow it (opens 1 minute). A template message needs none of these. A person who has \
          unfollowed the account gets nothing.",
         "须由用户先操作：向公众号发消息（开放 48 小时），或点击会推送事件的菜单、扫描公众号的二维码、关注公众号（开放 1 分钟）。\
          模板消息不受此限。已取消关注的用户收不到任何消息。"]),
    row(45016, Caller, Never, ["System groups cannot be changed", "系统分组不允许修改"], SYSTEM_GROUP),
    row(45017, Caller, Never, ["The group's name is too long", "分组名字过长"],
        ["Shorten the group's name.", "请缩短分组名。"]),
    row(45018, Quota, Never, ["Too many groups", "分组数量超限"],
        ["Delete groups that are not needed.", "请删除不用的分组。"]),
    row(45026, Quota, Never, ["The account has too many templates", "模板数量超出限制"],
        ["Delete templates that are not needed: an account keeps 25.", "请删除不用的模板，每个账号最多 25 个。"]),
    row(45027, SetUp, Never, ["The template does not belong to the account's industry", "模板与行业冲突"],
        ["Set the industry or category of the template in the console under 模板消息, or choose another template.",
         "请在后台“模板消息”中设置对应的行业或类目，或更换模板。"]),
    row(45028, Quota, Later, ["The mass-send quota is used up", "没有群发次数"],
        ["Wait until the quota is renewed, the next day at the earliest.", "请等待群发次数重置，最早次日。"]),
    row(45029, Quota, Never, ["The account has too many QR codes", "二维码数量超限"],
        ["Reuse codes: an account has at most 100,000 permanent ones. Use temporary codes otherwise.",
         "永久二维码最多 10 万个，请复用，或改用临时二维码。"]),
    row(45035, SetUp, Never, ["The calling address is not registered", "IP 未登记"], WHITELIST),
    row(45047, Recipient, AfterUserMessage,
        ["Too many customer messages since the user's last action", "客服下行条数超限"],
        ["The person has to act again: a message to the account allows 5 customer messages, a tap on a menu button that sends \
          an event, a scan or a follow allows 3.",
         "须由用户再次操作：向公众号发消息后最多可回 5 条，点击会推送事件的菜单、扫码或关注后最多 3 条。"]),
    row(45048, Caller, Never, ["The menu uses a type that is not available", "菜单类型不可用"], BUTTON_TYPE),
    row(45056, Quota, Never, ["The account has too many tags", "标签数超过 100"],
        ["Delete tags that are not needed: an account keeps 100.", "请删除不用的标签，最多 100 个。"]),
    row(45058, Caller, Never, ["System tags cannot be changed", "不能修改系统标签"], SYSTEM_GROUP),
    row(45059, Quota, Never, ["The user has too many tags", "单用户标签超过 20"],
        ["Take tags off the user first: a user carries 20.", "请先取消该用户的部分标签，每人最多 20 个。"]),
    row(45061, Quota, BackOff, ["Updates follow each other too fast", "更新太频繁"], SLOW_DOWN),
    row(45064, SetUp, Never, ["The menu has a mini program that is not linked to the account", "菜单含未关联的小程序"],
        ["Link the mini program to the account in the console under 小程序管理, or remove the button.",
         "请在后台“小程序管理”中关联该小程序，或删除此按钮。"]),
    row(45065, Caller, Never, ["This clientmsgid has been sent already", "相同 clientmsgid 已群发"],
        ["Take it as sent: the answer carries the msg_id of the first send.",
         "视为已发送，返回中含首次群发的 msg_id。"]),
    row(45066, Quota, After(MINUTE), ["The same clientmsgid is repeated too soon", "相同 clientmsgid 重试太快"],
        ["Wait for a minute and try again.", "请等待一分钟再试。"]),
    row(45067, Caller, Never, ["The clientmsgid is too long", "clientmsgid 过长"],
        ["Keep clientmsgid within 32 bytes.", "clientmsgid 不得超过 32 字节。"]),
    row(45072, Caller, Never, ["Invalid command", "command 取值不对"],
        ["Use Typing or CancelTyping as command.", "command 须为 Typing 或 CancelTyping。"]),
    row(45080, Recipient, Never, ["No exchange with the user in the last 30 seconds", "30 秒内无交互"],
        ["Leave the typing sign out: it needs a message within the last 30 seconds.",
         "不必再发输入状态：须在 30 秒内有过消息往来。"]),
    row(45081, Caller, Never, ["The typing sign is on already", "已在输入状态"],
        ["Nothing to do: do not send it twice.", "无需处理，不要重复下发。"]),
    row(45086, Caller, Never, ["Invalid mini program link in the text", "文本中的小程序链接不合法"],
        ["Check data-miniprogram-appid and data-miniprogram-path: the mini program must be linked to the account.",
         "请检查 data-miniprogram-appid 与 data-miniprogram-path，小程序须已与公众号关联。"]),
    row(45087, SetUp, Never, ["WeChat has blocked the account's customer messages", "客服消息被封"], BANNED),
    row(45104, Quota, Later, ["The domain quota is used up", "域名配额超限"],
        ["Use a domain that is configured already, or wait until the quota is renewed.",
         "请使用已配置的域名，或等待配额重置。"]),
    row(45109, SetUp, Never, ["WeChat has withdrawn this API for this kind of account", "该接口已对此类账号下线"],
        ["Check that WECHAT_APP_ID is a service account's: WeChat refuses a mini program's template messages with this \
          code. uniform_send was withdrawn in 2023.",
         "请确认 WECHAT_APP_ID 是服务号：小程序调用模板消息接口会得到此码；统一服务消息（uniform_send）已于 2023 年下线。"]),
    // WeChat does not document this code; one unofficial list says that an author's name is too long.
    row(45110, Unknown, Never, ["Meaning not documented", "含义未见公开文档"],
        [UNKNOWN.remedy_english, UNKNOWN.remedy_chinese]),
    row(45113, Caller, Never, ["Cards can no longer be sent to many", "卡券已不支持群发"],
        ["Send articles instead of cards.", "请改为群发图文，不再群发卡券。"]),
    row(45157, Caller, Never, ["The tag's name is invalid or in use", "标签名非法或重名"], TAG_RULES),
    row(45158, Caller, Never, ["The tag's name is too long", "标签名超过 30 字节"], TAG_RULES),
    row(45159, Caller, Never, ["Invalid tag id", "非法标签"],
        ["Query the tags and use an id from there.", "请先查询标签，使用其中的 id。"]),
    row(45166, Caller, Never, ["Invalid content", "内容不合法"],
        ["Remove links and HTML that the API does not allow from content.", "请删除 content 中不允许的链接或 HTML。"]),

    row(45169, Quota, BackOff, ["The tags of one user are being changed by another call", "同一用户的标签正被其他请求修改"],
        ["Change the tags of one user by one call at a time.", "同一用户的标签不要并发修改，请稍候重试。"]),
    row(45171, Caller, Never, ["Some of the openids failed", "部分 openid 操作失败"],
        ["Repeat the call for those in fail_openid_list alone, once they follow the account.",
         "仅对 fail_openid_list 中的用户重试，并确认其已关注。"]),

    // 46xxx: something does not exist.
    row(46001, Caller, Never, ["The media does not exist", "不存在媒体数据"], MEDIA_ID),
    row(46002, Caller, Never, ["The menu version does not exist", "不存在的菜单版本"],
        ["Create the menu anew.", "请重新创建菜单。"]),
    row(46003, Caller, Never, ["The account has no menu", "不存在的菜单数据"],
        ["Nothing is wrong: create a menu first, with POST /api/menu.",
         "并非故障：尚未创建菜单，请先用 POST /api/menu 创建。"]),
    row(46004, Recipient, Never, ["The user does not exist", "不存在的用户"], LEAVE_OUT),

    // 47xxx: malformed data.
    row(47001, Caller, Never, ["The body is not valid JSON or XML", "解析 JSON/XML 内容错误"],
        ["Send valid JSON in UTF-8, and give every member the type that WeChat's page shows.",
         "请发送 UTF-8 编码的合法 JSON，各字段类型须与文档一致。"]),
    row(47002, Caller, Never, [r"The JSON uses \uXXXX escapes", r"JSON 使用了 \uXXXX 转义"], RAW_UTF8),
    row(47003, Caller, Never, ["A template value is empty or breaks its keyword's rule", "模板参数不准确"],
        ["Correct the value that errmsg names: never empty, thing at most 20 characters, const one of the approved values \
          or empty, character_string 32 without Chinese, phrase 5 Chinese characters, time like 15:01 or 2026年1月1日 15:01.",
         "请修改 errmsg 指出的字段：不能为空；thing 不超过 20 个字；const 只能为审核通过的值或空；character_string 不超过 32 位且不含中文；phrase 不\
          超过 5 个汉字；time 形如 15:01 或 2026年1月1日 15:01。"]),

    // 48xxx: permissions of the account.
    row(48001, SetUp, Never, ["The account may not use this API", "api 功能未授权"], NO_PERMISSION),
    row(48002, Recipient, Never, ["The recipient refuses messages from this account", "粉丝拒收消息"],
        ["Leave this recipient out: only they can allow messages again, in the account's settings in WeChat.",
         "请不要再向该用户发送；只有用户本人能在微信的公众号设置中重新允许接收消息。"]),
    row(48003, SetUp, Never, ["The account has not agreed to the mass-send terms", "未同意群发协议"],
        ["Agree to the terms in the console (mp.weixin.qq.com), where a mass send is made.",
         "请在公众号后台（mp.weixin.qq.com）的群发页面同意协议。"]),
    row(48004, SetUp, Never, ["WeChat has blocked this API for the account", "api 被封禁"], BANNED),
    row(48005, Caller, Never, ["The material is in use by an automatic reply or the menu", "素材被引用，禁止删除"],
        ["Take the material out of the menu and the automatic replies first.", "请先从菜单和自动回复中移除该素材。"]),
    row(48006, Quota, NextMonth, ["The monthly resets of quotas are used up", "清零次数达上限"],
        ["Wait for the daily reset instead: counters can be cleared 10 times a month, the console's button included.",
         "每月最多清零 10 次（含后台按钮），请等待每日自动重置。"]),
    row(48008, SetUp, Never, ["The account may not send this type of message", "没有该类型消息发送权限"],
        NO_PERMISSION),
    row(48011, SetUp, Never, ["The template is disabled", "模板已禁用"],
        ["Replace it by a template that GET /api/templates lists.", "请改用 GET /api/templates 列出的模板。"]),
    row(48012, Token, Never, ["Invalid token", "无效 token"],
        ["Read errmsg: WeChat lists this code for its management calls, without a cause. If the token is at fault, other \
          calls get 40001 and it is replaced.",
         "请查看 errmsg：该码仅见于管理类接口，微信未说明原因；若确为 token 失效，其他调用会返回 40001 并自动更换。"]),
    row(49003, Caller, Never, ["The openid does not belong to this AppID", "openid 与 appid 不匹配"],
        ["Use openids that this account received: every account has its own for the same user.",
         "请使用本公众号的 openid；同一用户在不同账号下的 openid 不同。"]),

    // 50xxx: account or user restricted.
    row(50001, SetUp, Never, ["The API is not authorised by the user", "用户未授权该 api"],
        ["Check the scope of the web authorisation and its domain: 网页授权域名 in the console must be that of \
          redirect_uri.",
         "请检查网页授权的 scope，并确认后台“网页授权域名”与 redirect_uri 的域名一致。"]),
    row(50002, SetUp, Never, ["Account or user is frozen, closed or restricted", "用户受限（冻结、注销或违规）"],
        ["If only one recipient meets it, leave that user out. Otherwise log in at mp.weixin.qq.com and read 通知中心 \
          for the reason.",
         "若仅个别用户出现，请不要再向其发送；否则请登录公众号后台 mp.weixin.qq.com，在“通知中心”查看原因。"]),
    row(50003, SetUp, Never, ["The user is not on a whitelist", "不在白名单"],
        ["Add the user to the whitelist of the feature in question in the console.",
         "请在后台把该用户加入相应功能的白名单。"]),
    row(50004, SetUp, Never, ["The account may not fetch tokens", "禁止使用 token 接口"], BANNED),
    row(50005, Recipient, Never, ["The user does not follow the account", "用户未关注"], NOT_A_FOLLOWER),
    row(50006, Recipient, Never, ["The user has switched the authorisation off", "用户关闭授权"], LEAVE_OUT),
    row(50007, SetUp, Never, ["The account is frozen", "账号已冻结"], BANNED),
    row(53600, Caller, Never, ["Invalid article_id", "图文 ID 无效"],
        ["Use the article_id of an article that this account has published.",
         "请使用本公众号已发布图文的 article_id。"]),

    // 61xxx: third-party platforms, customer service, statistics.
    row(61003, SetUp, Never, ["The account has not authorised the third-party platform", "账号未授权第三方平台"],
        THIRD_PARTY),
    row(61004, SetUp, Never, ["The calling address is not registered", "调用 IP 未登记"], WHITELIST),
    row(61005, SetUp, Never, ["The third-party platform's ticket has expired", "第三方平台 ticket 过期"], THIRD_PARTY),
    row(61007, SetUp, Never, ["The API is not authorised to the third-party platform", "接口未授权给第三方平台"],
        THIRD_PARTY),
    row(61023, SetUp, Never, ["The third-party platform's refresh_token is invalid", "第三方平台的 refresh_token 无效"],
        THIRD_PARTY),
    row(61450, Platform, BackOff, ["WeChat's customer service system is in trouble", "客服系统错误"], WAIT_SECONDS),
    row(61451, Caller, Never, ["Invalid customer service parameter", "客服接口参数错误"], SAME_AS_DOCUMENTED),
    row(61452, Caller, Never, ["Invalid kf_account", "无效客服账号"],
        ["Give kf_account in full, name@account, of an agent that exists.",
         "请填写已存在客服的完整账号，格式为 前缀@公众号微信号。"]),
    row(61500, Caller, Never, ["Invalid date", "日期格式错误"], DATE_RANGE),
    row(61501, Caller, Never, ["Invalid range of dates", "日期范围错误"], DATE_RANGE),
    row(61503, Platform, After(HOUR), ["The statistics are not ready", "数据未就绪"],
        ["Ask again in some hours.", "请数小时后再查询。"]),

    // 65xxx: conditional menus, customer service agents.
    // See [WeChat Docs/个性化菜单](https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Personalized_menu_interface.html) and
    // [WeChat Docs/客服管理](https://developers.weixin.qq.com/doc/offiaccount/Customer_Service/Customer_Service_Management.html).
    row(65301, Caller, Never, ["No conditional menu has this menuid", "无此 menuid 的个性化菜单"],
        ["Query the menu and use a menuid of conditionalmenu.", "请先查询菜单，使用 conditionalmenu 中的 menuid。"]),
    row(65302, Caller, Never, ["No such user", "没有相应的用户"],
        ["Give the openid or WeChat ID of a follower as user_id.", "user_id 须为关注者的 openid 或微信号。"]),
    row(65303, Caller, Never, ["There is no default menu", "没有默认菜单"],
        ["Create the default menu before conditional ones.", "请先创建默认菜单，再创建个性化菜单。"]),
    row(65304, Caller, Never, ["matchrule is empty", "matchrule 为空"],
        ["Give at least one member of matchrule: tag_id or client_platform_type.",
         "matchrule 至少须有一项：tag_id 或 client_platform_type。"]),
    row(65305, Quota, Never, ["Too many conditional menus", "个性化菜单数量受限"],
        ["Delete conditional menus that are not needed.", "请删除不用的个性化菜单。"]),
    row(65306, SetUp, Never, ["The account has no conditional menus", "账号不支持个性化菜单"], NO_PERMISSION),
    row(65307, Caller, Never, ["The conditional menu is empty", "个性化菜单信息为空"],
        ["Give both button and matchrule.", "请同时填写 button 与 matchrule。"]),
    row(65308, Caller, Never, ["A button has no response type", "有无响应类型的 button"], BUTTON_TYPE),
    row(65309, SetUp, Never, ["Conditional menus are switched off", "个性化菜单处于关闭状态"],
        ["Switch conditional menus on in the console under 自定义菜单.", "请在后台“自定义菜单”中开启个性化菜单。"]),
    row(65310, Caller, Never, ["Country, province or city is missing or invalid", "地区信息缺失或不合法"],
        MATCHRULE).through(65314),
    row(65316, Caller, Never, ["The menus lead to too many domains", "跳转域名过多（最多 3 个）"],
        ["Let all conditional menus together lead to at most 3 domains.", "所有个性化菜单合计最多跳转到 3 个域名。"]),
    row(65317, Caller, Never, ["Invalid url", "不合法的 URL"], MENU_URL),
    row(65318, Caller, Never, ["The body must be UTF-8", "必须使用 UTF-8"], RAW_UTF8),
    row(65320, Caller, Never, ["matchrule uses private data", "匹配规则含隐私字段"], MATCHRULE),
    row(65400, SetUp, Never, ["The new customer service is not enabled", "未开通新版客服"],
        ["Enable customer service in the console under 客服功能.", "请在后台“客服功能”中开通。"]),
    row(65413, Recipient, Never, ["The user has no session with an agent", "无有效会话"],
        ["Open a session first.", "请先创建会话。"]),
    row(65415, Recipient, Never, ["The agent is not online", "客服不在线"],
        ["Choose an agent who is online, or leave kf_account out.", "请选择在线的客服，或不指定 kf_account。"]),
    row(70000, Recipient, Never, ["Not sent, to protect a minor", "为保护未成年人，发送失败"], LEAVE_OUT),

    // 76xxx: API management.
    // See [WeChat Docs/查询API调用额度](https://developers.weixin.qq.com/doc/service/en/api/apimanage/api_getapiquota.html).
    row(76001, Caller, Never, ["The rid was not found", "rid 不存在"],
        ["Copy the rid from the errmsg of a call of the last 7 days.", "请使用近 7 天内调用返回的 errmsg 中的 rid。"]),
    row(76002, Caller, Never, ["The rid is empty or malformed", "rid 为空或格式错误"],
        ["Copy the rid whole: three groups of eight hexadecimal digits.", "请完整复制 rid：三组各 8 位的十六进制数。"]),
    row(76003, Caller, Never, ["The rid or cgi_path is not this account's", "无权查询该 rid 或接口"],
        ["Query with the token of the account that made the call.", "请使用发起该调用的账号的 access_token 查询。"]),
    row(76004, Caller, Never, ["The rid has expired", "rid 已过期"],
        ["Repeat the failing call and query its new rid: a rid lasts 7 days.",
         "rid 仅保留 7 天，请重现问题后查询新的 rid。"]),
    row(76021, Caller, Never, ["The cgi_path was not found", "cgi_path 填写错误"],
        ["Give the path with a leading slash and without the host, such as /cgi-bin/message/template/send.",
         "请以 / 开头且不带域名，如 /cgi-bin/message/template/send。"]),
    row(76022, Caller, Never, ["The cgi_path may not be queried", "无权查询该接口"],
        ["Query APIs of this account under /cgi-bin: /sns paths have no quota to query.",
         "只能查询本账号有权限的接口，/sns 下的接口不可查询。"]),
    row(88000, SetUp, Never, ["The account has no comments", "没有留言权限"],
        ["Use an account that has 留言 among its features.", "请使用已开通“留言”功能的账号。"]),

    // 895xx: confirmation by the administrator, at the token endpoints.
    // See [WeChat Docs/获取 access_token](https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html).
    row(89501, SetUp, AfterConfirmation, ["An earlier request still waits for confirmation", "有未处理的确认请求"],
        CONFIRM),
    row(89502, SetUp, AfterConfirmation, ["Waiting for the administrator's confirmation", "请等待管理员确认"], CONFIRM),
    row(89503, SetUp, AfterConfirmation, ["The call needs the administrator's confirmation", "此次调用需要管理员确认"],
        CONFIRM),
    row(89504, SetUp, AfterConfirmation, ["The administrator is confirming", "正在等管理员确认"], CONFIRM),
    row(89505, SetUp, AfterConfirmation, ["The administrator is confirming; try later", "正在等管理员确认，请稍候"],
        CONFIRM),
    row(89506, SetUp, After(DAY),
        ["The administrator refused this address; it is blocked for 24 hours", "该 IP 被管理员拒绝，24 小时后再试"],
        ["Agree with the administrator, and add the address to the IP whitelist; then wait for 24 hours.",
         "请与管理员沟通并把该 IP 加入“IP白名单”，24 小时后再试。"]),
    row(89507, SetUp, After(HOUR),
        ["The administrator refused this address; it is blocked for an hour", "该 IP 被管理员拒绝，1 小时后再试"],
        ["Agree with the administrator, and add the address to the IP whitelist; then wait for an hour.",
         "请与管理员沟通并把该 IP 加入“IP白名单”，1 小时后再试。"]),

    // 2000xx: the library of subscription templates (newtmpl).
    // See [WeChat Docs/订阅通知](https://developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html).
    row(200011, SetUp, Never, ["The account is banned from the template library", "账号被封禁"], BANNED),
    row(200012, Quota, Never, ["The account has too many templates of its own", "私有模板数达上限"],
        ["Delete templates that are not needed.", "请删除不用的模板。"]),
    row(200013, Content, Never, ["The template is banned", "模板被封禁"], ["Choose another template.", "请更换模板。"]),
    row(200014, Caller, Never, ["Invalid tid", "模板 tid 错误"],
        ["Use a tid that getpubtemplatetitles lists.", "请使用 getpubtemplatetitles 返回的 tid。"]),
    row(200015, Caller, Never, ["Invalid query of the template library", "模板库查询参数错误"],
        ["Check ids, start and limit: ids are categories of this account, limit is at most 30.",
         "请检查 ids、start、limit：ids 须为本账号的类目，limit 不超过 30。"]).through(200019),
    row(200020, Caller, Never, ["Invalid kidList", "关键词列表 kidList 错误"],
        ["Give 2 to 5 keyword ids that getpubtemplatekeywords lists.",
         "请填写 2 至 5 个 getpubtemplatekeywords 返回的关键词 id。"]),
    row(200021, Caller, Never, ["Invalid sceneDesc", "场景描述 sceneDesc 错误"],
        ["Give a sceneDesc of 1 to 15 characters.", "sceneDesc 须为 1 至 15 个字。"]),
    row(200022, Caller, Never,
        ["The account has a template with this title and these keywords", "相同标题和关键词的模板已存在"],
        ["Use the template that is there, or other keywords.", "请使用已有的模板，或更换关键词。"]),
    row(200100, SetUp, Never, ["The API is not for this kind of account", "账号类型不合法"], NO_PERMISSION),

    row(886000, Quota, NextMonth, ["The month's publications of QR code rules are used up", "二维码规则当月发布次数已用完"],
        ["Wait until next month: rules can be published 100 times a month.", "每月最多发布 100 次，请下月再试。"]),

    row(9001001, Caller, Never, ["Error of the shake-around APIs", "摇一摇周边接口错误"],
        ["Remove the call: WeChat has retired shake-around.", "摇一摇周边已下线，请移除该调用。"]).through(9001036),
    row(9410010, Caller, Never, ["The short key is invalid or has expired", "短 key 无效或已过期"],
        ["Make a new key with /cgi-bin/shorten/gen: it lasts at most 30 days, long_data has at most 4 KB.",
         "请用 /cgi-bin/shorten/gen 重新生成；有效期最长 30 天，long_data 不超过 4 KB。"]).through(9410012),
    row(268487001, Platform, BackOff, ["WeChat's user list is busy", "用户列表接口系统繁忙"],
        WAIT_SECONDS).through(268487002),
];
