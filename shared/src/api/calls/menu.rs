//! The default menu (自定义菜单), shown to users whom no conditional menu matches.

use serde_json::Value;

use crate::api::{
    Call, Unexpected,
    call::{confirmed, holding},
};

/// Replaces the default menu. 1,000 a day.
/// See [WeChat Docs/创建自定义菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu).
#[derive(Clone, Copy, Debug)]
pub struct CreateMenu<'a> {
    /// WeChat's JSON, with `button`.
    pub menu: &'a Value,
}

impl Call for CreateMenu<'_> {
    type Answer = ();
    const PATH: &'static str = "/cgi-bin/menu/create";

    fn body(&self) -> Option<Value> {
        Some(self.menu.clone())
    }

    fn read(answer: Value) -> Result<(), Unexpected> {
        confirmed(&answer)
    }
}

/// Returns the menus that the API created, conditional ones included, as WeChat's JSON. 10,000 a day. Errcode 46003 when
/// there is none. See [WeChat Docs/查询自定义菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_getmenu).
#[derive(Clone, Copy, Debug)]
pub struct GetMenu;

impl Call for GetMenu {
    type Answer = Value;
    const PATH: &'static str = "/cgi-bin/menu/get";

    fn read(answer: Value) -> Result<Value, Unexpected> {
        holding("/menu/button", answer)
    }
}

/// Deletes the default menu and all conditional menus. 1,000 a day.
/// See [WeChat Docs/删除自定义菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_deletemenu).
#[derive(Clone, Copy, Debug)]
pub struct DeleteMenu;

impl Call for DeleteMenu {
    type Answer = ();
    const PATH: &'static str = "/cgi-bin/menu/delete";

    fn read(answer: Value) -> Result<(), Unexpected> {
        confirmed(&answer)
    }
}

/// Returns the current default menu as WeChat's JSON, also one that was created in the console. Its shape differs from
/// [`GetMenu`]: `is_menu_open`, `selfmenu_info`, and sub-buttons in `sub_button.list`.
/// See [WeChat Docs/获取自定义菜单配置](https://developers.weixin.qq.com/doc/service/api/custommenu/api_getcurrentselfmenuinfo).
#[derive(Clone, Copy, Debug)]
pub struct GetCurrentMenu;

impl Call for GetCurrentMenu {
    type Answer = Value;
    const PATH: &'static str = "/cgi-bin/get_current_selfmenu_info";

    fn read(answer: Value) -> Result<Value, Unexpected> {
        holding("/is_menu_open", answer)
    }
}
