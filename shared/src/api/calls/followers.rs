//! Followers (用户列表): their openids, in pages.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{
    Call, Unexpected,
    call::{count, decoded},
};

/// A page of followers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followers {
    /// At most 10,000.
    pub openids: Vec<String>,
    /// The openid after which the next page begins. `None` after the last page.
    pub next: Option<String>,
}

/// Returns the followers after `after`, which is empty for the first page. 500 calls a day.
/// See [WeChat Docs/获取用户列表](https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_getfans).
#[derive(Clone, Copy, Debug)]
pub struct GetFollowers<'a> {
    /// The last openid of the page before.
    pub after: &'a str,
}

impl Call for GetFollowers<'_> {
    type Answer = Followers;
    const PATH: &'static str = "/cgi-bin/user/get";

    fn query(&self) -> Vec<(&'static str, &str)> {
        vec![("next_openid", self.after)]
    }

    fn read(answer: Value) -> Result<Followers, Unexpected> {
        read(answer)
    }
}

/// Returns the followers with a tag after `after`, which is empty for the first page.
/// See [WeChat Docs/获取标签下粉丝列表](https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_gettagfans).
#[derive(Clone, Copy, Debug)]
pub struct GetTagged<'a> {
    /// The tag's id.
    pub tag: u32,
    /// The last openid of the page before.
    pub after: &'a str,
}

impl Call for GetTagged<'_> {
    type Answer = Followers;
    const PATH: &'static str = "/cgi-bin/user/tag/get";

    fn body(&self) -> Option<Value> {
        Some(json!({"tagid": self.tag, "next_openid": self.after}))
    }

    fn read(answer: Value) -> Result<Followers, Unexpected> {
        read(answer)
    }
}

/// Reads a page. WeChat ends a list by a page without `data`, by a `count` of 0 or by an empty `next_openid`. SDKs have met
/// all three.
fn read(answer: Value) -> Result<Followers, Unexpected> {
    #[derive(Deserialize)]
    struct Page {
        #[serde(deserialize_with = "count")]
        count: u64,
        #[serde(default)]
        data: Option<List>,
        #[serde(default)]
        next_openid: Option<String>,
    }
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        openid: Vec<String>,
    }
    let Page {
        count,
        data,
        next_openid,
    } = decoded(answer)?;
    let openids = data.map(|list| list.openid).unwrap_or_default();
    let next = next_openid.filter(|next| !next.is_empty() && count > 0 && !openids.is_empty());
    Ok(Followers { openids, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_the_last_page_ends_the_list() {
        let page = |answer: Value| read(answer).unwrap();
        let middle = page(json!({"total": 3, "count": 2, "data": {"openid": ["a", "b"]}, "next_openid": "b"}));
        assert_eq!((middle.openids.len(), middle.next.as_deref()), (2, Some("b")));
        for (last, openids) in [
            (
                json!({"total": 3, "count": 1, "data": {"openid": ["c"]}, "next_openid": ""}),
                1,
            ),
            (json!({"total": 3, "count": 1, "data": {"openid": ["c"]}}), 1),
            (json!({"total": 3, "count": 0, "next_openid": "c"}), 0),
            (
                json!({"total": 0, "count": 0, "data": {"openid": []}, "next_openid": ""}),
                0,
            ),
        ] {
            let page = page(last.clone());
            assert_eq!((page.openids.len(), page.next), (openids, None), "{last}");
        }
        assert!(read(json!({"tags": []})).is_err());
    }
}
