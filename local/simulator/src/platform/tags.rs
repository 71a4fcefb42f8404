//! The account's tags, which group its users. Conditional menus match them.
//!
//! See [WeChat Docs/用户标签管理](https://developers.weixin.qq.com/doc/offiaccount/User_Management/User_Tag_Management.html).

use serde_json::{Value, json};

use super::{errcode::ApiError, users::Users};

/// Tags that an account may make.
const MOST: usize = 100;
/// Bytes.
const LONGEST_NAME: usize = 30;
/// The largest id of the tags that WeChat has made. Nobody may change those.
const LAST_SYSTEM_ID: u32 = 2;
/// The id of the first tag that an account makes.
const FIRST_ID: u32 = 100;

struct Tag {
    id: u32,
    name: String,
}

/// All tags, oldest first.
pub(crate) struct Tags {
    list: Vec<Tag>,
    next_id: u32,
}

impl Default for Tags {
    fn default() -> Self {
        let starred = Tag {
            id: LAST_SYSTEM_ID,
            name: "星标组".to_owned(),
        };
        Self {
            list: vec![starred],
            next_id: FIRST_ID,
        }
    }
}

impl Tags {
    /// A new tag's id: 45056 when the account has too many, 45157 and 45158 for a name that it may not have.
    pub(crate) fn create(&mut self, name: &str) -> Result<u32, ApiError> {
        self.check_name(name)?;
        if self.list.iter().filter(|tag| tag.id > LAST_SYSTEM_ID).count() >= MOST {
            return Err(ApiError::of(45056));
        }
        let id = self.next_id;
        self.ensure(id);
        self.rename(id, name)?;
        Ok(id)
    }

    pub(crate) fn rename(&mut self, id: u32, name: &str) -> Result<(), ApiError> {
        if id <= LAST_SYSTEM_ID {
            return Err(ApiError::of(45058));
        }
        let tag = self.list.iter().position(|tag| tag.id == id);
        let tag = tag.ok_or_else(|| ApiError::of(45159))?;
        if self.list[tag].name != name {
            self.check_name(name)?;
            name.clone_into(&mut self.list[tag].name);
        }
        Ok(())
    }

    /// Deletes the tag, and takes it off every user.
    pub(crate) fn delete(&mut self, id: u32, users: &mut Users) -> Result<(), ApiError> {
        if id <= LAST_SYSTEM_ID {
            return Err(ApiError::of(45058));
        }
        self.check(id)?;
        self.list.retain(|tag| tag.id != id);
        for user in users.all_mut() {
            user.tags.retain(|tag| *tag != id);
        }
        Ok(())
    }

    /// 45159 unless the account has the tag.
    pub(crate) fn check(&self, id: u32) -> Result<(), ApiError> {
        if self.list.iter().any(|tag| tag.id == id) {
            Ok(())
        } else {
            Err(ApiError::of(45159))
        }
    }

    /// Makes the tag of this id, under a made-up name, when there is none.
    pub(crate) fn ensure(&mut self, id: u32) {
        if self.check(id).is_err() {
            let name = format!("标签{id}");
            self.list.push(Tag { id, name });
            self.next_id = self.next_id.max(id.saturating_add(1));
        }
    }

    /// The answer of `tags/get`. Only followers count.
    pub(crate) fn shown(&self, users: &Users) -> Vec<Value> {
        let count = |id: u32| {
            let tagged = users.all().filter(|(_, user)| user.follows && user.tags.contains(&id));
            tagged.count()
        };
        let shown = |tag: &Tag| json!({"id": tag.id, "name": tag.name, "count": count(tag.id)});
        self.list.iter().map(shown).collect()
    }

    fn check_name(&self, name: &str) -> Result<(), ApiError> {
        if name.is_empty() || self.list.iter().any(|tag| tag.name == name) {
            return Err(ApiError::of(45157));
        }
        if name.len() > LONGEST_NAME {
            return Err(ApiError::of(45158));
        }
        Ok(())
    }
}
