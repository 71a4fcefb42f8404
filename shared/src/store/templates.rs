//! `templates#<appid>`: a cache of the account's templates and their fields, shared by all processes.

use super::{StoreError, Table, get_number, get_text, number, text, written};
use crate::{json, validate::template::Templates};

const KIND: &str = "templates";
/// Seconds. The lifetime of the cache: a day. A template's fields never change, but the account may add templates.
/// See [WeChat Docs/获取已选用模板列表](https://developers.weixin.qq.com/doc/service/en/api/notify/template/api_getalltemplates.html).
const KEPT_FOR: i64 = 24 * 3600;

/// A list of the templates and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTemplates {
    /// The templates by id.
    pub templates: Templates,
    /// When WeChat listed them, in epoch seconds.
    pub listed_at: i64,
}

impl Table {
    /// Returns the cached templates. `None` when WeChat listed them more than a day ago.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or the item is damaged.
    pub async fn templates(&self, now: i64) -> Result<Option<ListedTemplates>, StoreError> {
        let item = self.read(&self.pk(KIND), false).await?;
        let Some(item) = item.filter(|item| get_number::<i64>(item, "ttl").is_some_and(|ttl| ttl > now)) else {
            return Ok(None);
        };
        let templates = serde_json::from_str(get_text(&item, "templates").unwrap_or_default())
            .map_err(|error| StoreError::damaged("GetItem", error))?;
        let listed_at = get_number(&item, "listed_at").unwrap_or(0);
        Ok(Some(ListedTemplates { templates, listed_at }))
    }

    /// Caches the account's templates.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn save_templates(&self, listed: &ListedTemplates) -> Result<(), StoreError> {
        let attributes = [
            ("templates", text(json::write(&listed.templates))),
            ("listed_at", number(listed.listed_at)),
            ("ttl", number(listed.listed_at + KEPT_FOR)),
        ];
        let put = self.put(&self.pk(KIND), attributes);
        written("PutItem", put.send().await)
    }
}
