//! Conditional menus (个性化菜单): menus for the users who match a rule. WeChat shows the newest menu that matches.
//!
//! A rule has `tag_id` and `client_platform_type`. All conditional menus of an account may link to 3 domains.
//! See [WeChat Docs/个性化菜单](https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Personalized_menu_interface.html).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{
    Call, Unexpected,
    call::{Id, confirmed, decoded, holding},
};

/// Adds a conditional menu and returns its menuid. 2,000 a day. Errcode 65303 without a default menu.
/// See [WeChat Docs/创建个性化菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_addconditionalmenu).
#[derive(Clone, Copy, Debug)]
pub struct AddConditionalMenu<'a> {
    /// WeChat's JSON, with `button` and `matchrule`.
    pub menu: &'a Value,
}

impl Call for AddConditionalMenu<'_> {
    type Answer = String;
    const PATH: &'static str = "/cgi-bin/menu/addconditional";
    /// A retry would add a second menu.
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

/// Deletes a conditional menu. 2,000 a day. Errcode 65301 when there is no such menu.
/// See [WeChat Docs/删除个性化菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_deleteconditionalmenu.md).
#[derive(Clone, Copy, Debug)]
pub struct DeleteConditionalMenu<'a> {
    /// The menuid that [`AddConditionalMenu`] returned.
    pub menuid: &'a str,
}

impl Call for DeleteConditionalMenu<'_> {
    type Answer = ();
    const PATH: &'static str = "/cgi-bin/menu/delconditional";
    /// A retry would fail on a menu that the first attempt deleted.
    const REPEATABLE: bool = false;

    fn body(&self) -> Option<Value> {
        Some(json!({"menuid": self.menuid}))
    }

    fn read(answer: Value) -> Result<(), Unexpected> {
        confirmed(&answer)
    }
}

/// Returns the menu that a user sees, as WeChat's JSON. 20,000 a day. Errcode 65302 when there is no such user.
/// See [WeChat Docs/测试个性化菜单匹配结果](https://developers.weixin.qq.com/doc/service/api/custommenu/api_trymatchmenu).
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
