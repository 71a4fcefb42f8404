//! Errors as WeChat answers them: `errcode`, `errmsg`, and a `rid` that names the request.
//!
//! See [WeChat Docs/通用错误码](https://developers.weixin.qq.com/doc/store/API/basics/commErrCode.html),
//! [WeChat Docs/IP 白名单](https://developers.weixin.qq.com/doc/oplatform/developers/basic_func/ip_whitelist) for 40164,
//! and the page of each API.

use std::net::IpAddr;

use serde_json::{Value, json};

/// An error answer. The rid is added when it is rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) errcode: i64,
    pub(crate) errmsg: String,
    /// `fail_openid_list` of 45171.
    pub(crate) failed_openids: Vec<String>,
}

impl ApiError {
    pub(crate) fn new(errcode: i64, errmsg: impl Into<String>) -> Self {
        Self {
            errcode,
            errmsg: errmsg.into(),
            failed_openids: Vec::new(),
        }
    }

    /// The errcode with the platform's own text.
    pub(crate) fn of(errcode: i64) -> Self {
        Self::new(errcode, text(errcode))
    }

    /// 40164, naming the address that the platform saw.
    pub(crate) fn not_whitelisted(peer: IpAddr) -> Self {
        let errmsg = match peer.to_canonical() {
            IpAddr::V4(v4) => format!("invalid ip {v4} ipv6 ::ffff:{v4}, not in whitelist"),
            IpAddr::V6(v6) => format!("invalid ip  ipv6 {v6}, not in whitelist"),
        };
        Self::new(40164, errmsg)
    }

    pub(crate) fn to_json(&self, rid: &str) -> Value {
        let mut json = json!({"errcode": self.errcode, "errmsg": format!("{} rid: {rid}", self.errmsg)});
        if !self.failed_openids.is_empty() {
            json["fail_openid_list"] = self.failed_openids.as_slice().into();
        }
        json
    }
}

fn text(errcode: i64) -> &'static str {
    match errcode {
        -1 => "system error",
        40001 => {
            "invalid credential, access_token is invalid or not latest, could get access_token by \
             getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
        }
        40002 => "invalid grant_type",
        40003 => "invalid openid",
        40004 => "invalid media type",
        40005 => "invalid file type",
        40007 => "invalid media_id",
        40008 => "invalid message type",
        40009 => "invalid image size",
        40010 => "invalid voice size",
        40012 => "invalid thumb size",
        40013 => "invalid appid",
        40014 => "invalid access_token",
        40016 => "invalid button size",
        40017 => "invalid button type",
        40018 => "invalid button name size",
        40019 => "invalid button key size",
        40020 => "invalid button url size",
        40022 => "invalid sub button level",
        40023 => "invalid sub button size",
        40024 => "invalid sub button type",
        40025 => "invalid sub button name size",
        40026 => "invalid sub button key size",
        40027 => "invalid sub button url size",
        40029 => "invalid code",
        40030 => "invalid refresh_token",
        40032 => "invalid openid list size",
        40033 => "invalid charset. please check your request, if include \\uxxxx will create fail!",
        40035 | 40097 => "invalid args",
        40037 => "invalid template_id",
        40052 => "invalid action name",
        40053 => "invalid action info",
        40054 => "invalid sub button url domain",
        40055 => "invalid button url domain",
        40066 => "invalid url",
        40073 => "invalid card id",
        40092 => "invalid remark name",
        40119 => "invalid use button type",
        40120 => "invalid use sub button type",
        40125 => "invalid appsecret",
        40163 => "code been used",
        40165 => "invalid weapp pagepath",
        40201 => "invalid check url",
        40202 => "invalid check action",
        40203 => "invalid check operator",
        40241 => "The message is duplicate in 60 seconds",
        40243 => "appsecret frozen",
        40246 => "invalid keyword_name_list",
        40247 => "need new category template",
        40249 => "this template msg has been blocked for illegal content",
        41001 => "access_token missing",
        41002 => "appid missing",
        41003 => "refresh_token missing",
        41004 => "appsecret missing",
        41005 => "media data missing",
        41008 => "missing code",
        42001 => "access_token expired",
        42002 => "refresh_token expired",
        42003 => "code expired",
        43001 => "require GET method",
        43002 => "require POST method",
        43004 => "require subscribe",
        43019 => "require remove blacklist",
        43100 => "change template too frequently",
        43101 => "user refuse to accept the msg",
        43106 => "not allow to add template, for punishment",
        43116 => "This template_id is banned",
        43117 => "Sending messages to this openid too frequently,please try later",
        44001 => "empty media data",
        44002 => "empty post data",
        44003 => "empty news data",
        44004 => "empty content",
        45001 => "media size out of limit",
        45002 => "content size out of limit",
        45003 => "title size out of limit",
        45004 => "description size out of limit",
        45005 => "url size out of limit",
        45008 => "article size out of limit",
        45009 => {
            "reach max api daily quota limit, could get access_token by \
             getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
        }
        45011 => "api minute-quota reach limit, must slower, retry next minute",
        45015 => "response out of time limit or subscription is canceled",
        45026 => "template num exceeds limit",
        45029 => "qrcode count out of limit",
        45047 => "out of response count limit",
        45056 => "too many tag",
        45058 => "can't modify sys tag",
        45059 => "can not tagging one user too much",
        45072 => "invalid command",
        45080 => "need sending or receiving message in last 30 seconds before typing",
        45081 => "already typing",
        45106 => {
            "This API has been unsupported. For more details, please view \
             https://mp.weixin.qq.com/cgi-bin/announce?action=getannouncement&announce_id=11644831863qFQSh&version=&lang=zh_CN"
        }
        45109 => "This API has been unsupported",
        45157 => "invalid tag name",
        45158 => "tag name too long",
        45159 => "invalid tag id",
        45171 => "some openid fail",
        46003 => "menu no exist",
        47001 => "data format error",
        47002 => "data format error, do NOT use json unicode encode (\\uxxxx), please use utf8 encoded text",
        47003 => "argument invalid! data.thing1.value invalid",
        48001 => "api unauthorized",
        48002 => "user block receive message",
        48006 => "forbid to clear quota because of reaching the limit",
        50002 => "user limited",
        50005 => "user is unsubscribed",
        53600 => "article id invalid",
        61452 => "invalid kf_account",
        65301 => "conditional menu not exist",
        65302 => "no such user",
        65303 => "no default menu",
        65304 => "matchrule empty",
        65307 => "conditional menu empty",
        65316 => "too many domains in menus",
        65320 => "matchrule violates privacy",
        76001 => "rid not found",
        76002 => "rid empty or malformed",
        76004 => "rid expired",
        76021 => "cgi_path not found",
        76022 => "no permission for this cgi_path",
        89503 => "this call needs admin confirmation",
        9_410_010 => "long_data size out of limit",
        9_410_011 => "expire_seconds out of limit",
        9_410_012 => "short_key not exist",
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whitelist_error_names_the_address() {
        let error = ApiError::not_whitelisted("::ffff:198.51.100.7".parse().unwrap());
        assert_eq!(
            error.errmsg,
            "invalid ip 198.51.100.7 ipv6 ::ffff:198.51.100.7, not in whitelist"
        );
    }
}
