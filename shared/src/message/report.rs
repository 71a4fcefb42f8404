//! Reports on what the account sent: template messages, mass messages, publications, subscription notifications.

use serde::Serialize;

use super::{inside, items, msg_id, optional, owned};
use crate::xml::Tree;

/// Whether a template message was delivered.
/// See [WeChat Docs/模板消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// `success`: the message reached the phone.
    Delivered,
    /// `failed:user block`: the user refuses the account's messages.
    Blocked,
    /// `failed:freq limit`: WeChat accepted the message, then dropped it because the user had received too many.
    FrequencyLimited,
    /// `failed: system failed`, or any other text: the message may not have arrived.
    Failed,
}

impl DeliveryStatus {
    /// Parses `Status`, in any case and with any spaces: WeChat sends `failed:user block` but `failed: system failed`. Compares
    /// only the beginning of a failure: WeChat also sends texts that its page does not list.
    #[must_use]
    pub fn parse(status: &str) -> Self {
        match without_spaces(status).as_str() {
            "success" => Self::Delivered,
            words if words.starts_with("failed:userblock") => Self::Blocked,
            words if words.starts_with("failed:freq") => Self::FrequencyLimited,
            _ => Self::Failed,
        }
    }

    /// The name as a metric's dimension, which the dashboard shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "Delivered",
            Self::Blocked => "Blocked",
            Self::FrequencyLimited => "FrequencyLimited",
            Self::Failed => "Failed",
        }
    }
}

/// The result of a mass message (群发).
/// See [WeChat Docs/群发接口和原创校验](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Batch_Sends_and_Originality_Checks.html).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MassSendResult {
    /// The `msg_id` in the answer to the send.
    pub msg_id: Option<String>,
    /// Whether the message was sent.
    pub status: MassSendStatus,
    /// `Status`, as sent.
    pub status_text: String,
    /// Followers in the group or list that the account chose.
    pub total_count: Option<i64>,
    /// Followers left after filters and refusals.
    pub filter_count: Option<i64>,
    /// Followers who received the message.
    pub sent_count: Option<i64>,
    /// Followers who could not receive the message.
    pub error_count: Option<i64>,
    /// The originality check, when WeChat made one.
    pub copyright_check: Option<CopyrightCheck>,
    /// The pages of the articles.
    pub article_urls: Vec<ArticleUrl>,
}

/// Whether a mass message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MassSendStatus {
    /// `send success`.
    Success,
    /// `send fail`, or any other text.
    Failed,
    /// `err(N)`: WeChat's review refused the message.
    Refused {
        /// WeChat's reason, not an errcode: 10001 is advertising, 20001 politics, 30003 a reprint.
        code: u32,
    },
}

impl MassSendStatus {
    fn parse(status: &str) -> Self {
        let status = without_spaces(status);
        if status == "sendsuccess" {
            return Self::Success;
        }
        let code = status
            .strip_prefix("err(")
            .and_then(|rest| rest.strip_suffix(')')?.parse().ok());
        code.map_or(Self::Failed, |code| Self::Refused { code })
    }
}

/// The originality check of a mass message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopyrightCheck {
    /// 1: no reprints; 2: reprints that may be sent; 3: reprints that may not be sent.
    pub check_state: Option<i64>,
    /// The result of each article.
    pub items: Vec<CopyrightItem>,
}

/// The originality check of one article. The states are WeChat's numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopyrightItem {
    /// The number of the article among several, from 1.
    pub article_index: Option<u32>,
    /// The originality that the account declared.
    pub user_declare_state: Option<i64>,
    /// The originality that the check found.
    pub audit_state: Option<i64>,
    /// The page of the original article.
    pub original_article_url: Option<String>,
    /// The type of the original article.
    pub original_article_type: Option<i64>,
    /// 1 when it may be reprinted.
    pub can_reprint: Option<i64>,
    /// 1 when the content must be replaced by the original's.
    pub need_replace_content: Option<i64>,
    /// 1 when the source must be shown.
    pub need_show_reprint_source: Option<i64>,
}

/// The page of one article.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArticleUrl {
    /// The number of the article among several, from 1.
    pub index: Option<u32>,
    /// The address of the page.
    pub url: String,
}

/// The result of a publication (发布).
/// See [WeChat Docs/事件推送发布结果](https://developers.weixin.qq.com/doc/offiaccount/Publish/Callback_on_finish.html).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublishResult {
    /// The `publish_id` in the answer to the call.
    pub publish_id: Option<String>,
    /// 0: published; 1: in progress; 2: originality check failed; 3: failed; 4: review refused it; 5: the account deleted
    /// all articles after success; 6: WeChat banned all articles after success.
    pub publish_status: Option<i64>,
    /// The id of the publication, once published.
    pub article_id: Option<String>,
    /// The pages of the articles.
    pub articles: Vec<ArticleUrl>,
    /// The numbers of the refused articles, from 1.
    pub failed_indexes: Vec<u32>,
}

/// The result of one subscription notification (订阅通知).
/// See [WeChat Docs/订阅通知](https://developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscribeMsgResult {
    /// The id of the template.
    pub template_id: String,
    /// WeChat's id of the notification. The answer to its send has none: the openid, the template and the order tell them apart.
    pub msg_id: Option<String>,
    /// 0: success; else WeChat's error code.
    pub error_code: Option<i64>,
    /// The result in words.
    pub error_status: String,
}

impl MassSendResult {
    pub(super) fn read(document: &Tree) -> Self {
        let status_text = owned(document, "Status");
        Self {
            msg_id: msg_id(document),
            status: MassSendStatus::parse(&status_text),
            status_text,
            total_count: document.number("TotalCount"),
            filter_count: document.number("FilterCount"),
            sent_count: document.number("SentCount"),
            error_count: document.number("ErrorCount"),
            copyright_check: document.child("CopyrightCheckResult").map(CopyrightCheck::read),
            article_urls: items(inside(document, "ArticleUrlResult"), "ResultList")
                .map(|item| ArticleUrl {
                    index: item.number("ArticleIdx"),
                    url: owned(item, "ArticleUrl"),
                })
                .collect(),
        }
    }
}

impl CopyrightCheck {
    fn read(result: &Tree) -> Self {
        Self {
            check_state: result.number("CheckState"),
            items: items(result, "ResultList").map(CopyrightItem::read).collect(),
        }
    }
}

impl CopyrightItem {
    fn read(item: &Tree) -> Self {
        Self {
            article_index: item.number("ArticleIdx"),
            user_declare_state: item.number("UserDeclareState"),
            audit_state: item.number("AuditState"),
            original_article_url: optional(item, "OriginalArticleUrl"),
            original_article_type: item.number("OriginalArticleType"),
            can_reprint: item.number("CanReprint"),
            need_replace_content: item.number("NeedReplaceContent"),
            need_show_reprint_source: item.number("NeedShowReprintSource"),
        }
    }
}

impl PublishResult {
    pub(super) fn read(info: &Tree) -> Self {
        Self {
            publish_id: info.word("publish_id").map(str::to_owned),
            publish_status: info.number("publish_status"),
            article_id: optional(info, "article_id"),
            articles: items(info, "article_detail")
                .map(|item| ArticleUrl {
                    index: item.number("idx"),
                    url: owned(item, "article_url"),
                })
                .collect(),
            failed_indexes: info
                .children("fail_idx")
                .filter_map(|index| index.value().trim().parse().ok())
                .collect(),
        }
    }
}

impl SubscribeMsgResult {
    pub(super) fn read(item: &Tree) -> Self {
        Self {
            template_id: owned(item, "TemplateId"),
            msg_id: msg_id(item),
            error_code: item.number("ErrorCode"),
            error_status: owned(item, "ErrorStatus"),
        }
    }
}

fn without_spaces(status: &str) -> String {
    status.split_whitespace().collect::<String>().to_ascii_lowercase()
}
