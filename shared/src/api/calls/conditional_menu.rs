//! Conditional menus (个性化菜单): what users see who match a rule. The newest menu that matches wins.
//!
//! Rules today know `tag_id` and `client_platform_type`. All conditional menus together may lead to 3 domains.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{
    Call, Unexpected,
    call::{Id, confirmed, decoded, holding},
};

/// Adds a conditional menu, and answers with its menuid. 2,000 a day; errcode 65303 while there is no default menu.
#[derive(Clone, Copy, Debug)]
pub struct AddConditionalMenu<'a> {
    /// WeChat's own JSON with `button` and `matchrule`.
    pub menu: &'a Value,
}

impl Call for AddConditionalMenu<'_> {
    type Answer = String;
    const PATH: &'static str = "/cgi-bin/menu/addconditional";
    /// A repeat would add a second menu.
    const REPEATABLE: bool = false;

    fn body(&self) -> Option<Value> {
        Some(self.menu.clone())
    }

    fn read(answer: Value) -> Result<String, Unexpected> {
        #[derive(Deserialize)]
        struct Added {
            menuid: Id,
        }
        decoded(answer).map(|added: Added| added.menuid.into_text())
    }
}

/// Deletes a conditional menu. 2,000 a day; errcode 65301 when there is no such menu.
#[derive(Clone, Copy, Debug)]
pub struct DeleteConditionalMenu<'a> {
    /// The menu, as [`AddConditionalMenu`] answered it.
    pub menuid: &'a str,
}

impl Call for DeleteConditionalMenu<'_> {
    type Answer = ();
    const PATH: &'static str = "/cgi-bin/menu/delconditional";
    /// A repeat would find the menu gone.
    const REPEATABLE: bool = false;

    fn body(&self) -> Option<Value> {
        Some(json!({"menuid": self.menuid}))
    }

    fn read(answer: Value) -> Result<(), Unexpected> {
        confirmed(&answer)
    }
}

/// The menu that a user sees, in WeChat's own JSON. 20,000 a day; errcode 65302 when there is no such user.
#[derive(Clone, Copy, Debug)]
pub struct TryMatchMenu<'a> {
    /// The user, by openid or WeChat ID.
    pub user_id: &'a str,
}

impl Call for TryMatchMenu<'_> {
    type Answer = Value;
    const PATH: &'static str = "/cgi-bin/menu/trymatch";

    fn body(&self) -> Option<Value> {
        Some(json!({"user_id": self.user_id}))
    }

    fn read(answer: Value) -> Result<Value, Unexpected> {
        holding("/button", answer)
    }
}
