//! What became of what the account sent: template messages, mass messages, publications, subscription notifications.

use serde::Serialize;

use super::{inside, items, msg_id, optional, owned};
use crate::xml::Document;

/// What became of a template message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// `success`: it reached the phone.
    Delivered,
    /// `failed:user block`: the user refuses the account's messages.
    Blocked,
    /// `failed:freq limit`: WeChat accepted it, then dropped it because this user had been sent too many.
    FrequencyLimited,
    /// `failed: system failed`, or anything else: it is not known to have arrived.
    Failed,
}

impl DeliveryStatus {
    /// Reads `Status`, in any case and with any spaces: WeChat sends `failed:user block` but `failed: system failed`. Of a
    /// failure the beginning decides: WeChat's page names two kinds, in practice there are more.
    #[must_use]
    pub fn parse(status: &str) -> Self {
        match without_spaces(status).as_str() {
            "success" => Self::Delivered,
            words if words.starts_with("failed:userblock") => Self::Blocked,
            words if words.starts_with("failed:freq") => Self::FrequencyLimited,
            _ => Self::Failed,
        }
    }

    /// Its name as a dimension of metrics, which the dashboard shows.
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

/// What became of a mass message (群发).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MassSendResult {
    /// The `msg_id` that the send was answered with.
    pub msg_id: Option<String>,
    /// What became of it.
    pub status: MassSendStatus,
    /// `Status`, as sent.
    pub status_text: String,
    /// Followers that it was meant for.
    pub total_count: Option<i64>,
    /// Those left after filters and refusals.
    pub filter_count: Option<i64>,
    /// Followers that it reached.
    pub sent_count: Option<i64>,
    /// Followers that it did not reach.
    pub error_count: Option<i64>,
    /// The originality check, when there was one.
    pub copyright_check: Option<CopyrightCheck>,
    /// The pages of its articles.
    pub article_urls: Vec<ArticleUrl>,
}

/// What became of a mass message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MassSendStatus {
    /// `send success`.
    Success,
    /// `send fail`, or anything else.
    Failed,
    /// `err(N)`: refused on review.
    Refused {
        /// Why: 10001 is advertising, 20001 politics, 30003 a reprint. They are not errcodes.
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
    /// Of the whole: 1 no reprints, 2 reprints that may be sent, 3 reprints that may not.
    pub check_state: Option<i64>,
    /// Each article.
    pub items: Vec<CopyrightItem>,
}

/// The originality check of one article. The states are WeChat's numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopyrightItem {
    /// Which of several articles, from 1.
    pub article_index: Option<u32>,
    /// What the account declared.
    pub user_declare_state: Option<i64>,
    /// What the check found.
    pub audit_state: Option<i64>,
    /// The article that this one is like.
    pub original_article_url: Option<String>,
    /// The kind of that article.
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
    /// Which of several articles, from 1.
    pub index: Option<u32>,
    /// The page.
    pub url: String,
}

/// What became of a publication (发布).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublishResult {
    /// The `publish_id` that the publication was answered with.
    pub publish_id: Option<String>,
    /// 0 published, 1 in progress, 2 originality check failed, 3 failed, 4 refused on review, 5 all deleted by the
    /// account after success, 6 all banned by the platform after success.
    pub publish_status: Option<i64>,
    /// The publication's id, once published.
    pub article_id: Option<String>,
    /// The pages of its articles.
    pub articles: Vec<ArticleUrl>,
    /// Articles that were refused, from 1.
    pub failed_indexes: Vec<u32>,
}

/// What became of one subscription notification (订阅通知).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscribeMsgResult {
    /// The template.
    pub template_id: String,
    /// The `msgid` that the send was answered with.
    pub msg_id: Option<String>,
    /// 0 is success.
    pub error_code: Option<i64>,
    /// The same in words.
    pub error_status: String,
}

impl MassSendResult {
    pub(super) fn read(document: &Document) -> Self {
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
    fn read(result: &Document) -> Self {
        Self {
            check_state: result.number("CheckState"),
            items: items(result, "ResultList").map(CopyrightItem::read).collect(),
        }
    }
}

impl CopyrightItem {
    fn read(item: &Document) -> Self {
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
    pub(super) fn read(info: &Document) -> Self {
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
    pub(super) fn read(item: &Document) -> Self {
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
