//! The custom menu (自定义菜单): what all users see, unless a conditional menu matches them.

use serde_json::Value;

use crate::api::{
    Call, Unexpected,
    call::{confirmed, holding},
};

/// Replaces the default menu. 1,000 a day.
#[derive(Clone, Copy, Debug)]
pub struct CreateMenu<'a> {
    /// WeChat's own JSON.
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

/// The menus that were made through the API, in WeChat's own JSON. 10,000 a day; errcode 46003 when there is none.
#[derive(Clone, Copy, Debug)]
pub struct GetMenu;

impl Call for GetMenu {
    type Answer = Value;
    const PATH: &'static str = "/cgi-bin/menu/get";

    fn read(answer: Value) -> Result<Value, Unexpected> {
        holding("/menu/button", answer)
    }
}

/// Deletes the default menu and all conditional ones. 1,000 a day.
#[derive(Clone, Copy, Debug)]
pub struct DeleteMenu;

impl Call for DeleteMenu {
    type Answer = ();
    const PATH: &'static str = "/cgi-bin/menu/delete";

    fn read(answer: Value) -> Result<(), Unexpected> {
        confirmed(&answer)
    }
}

/// The menu that users see, also one that was made in the console, in WeChat's own JSON. Its shape is not that of
/// [`GetMenu`]: `is_menu_open`, `selfmenu_info`, and sub-buttons in `sub_button.list`.
#[derive(Clone, Copy, Debug)]
pub struct GetCurrentMenu;

impl Call for GetCurrentMenu {
    type Answer = Value;
    const PATH: &'static str = "/cgi-bin/get_current_selfmenu_info";

    fn read(answer: Value) -> Result<Value, Unexpected> {
        holding("/is_menu_open", answer)
    }
}
