//! Tests of the simulator over HTTP, as a server and the console use it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod account_types;
mod api;
mod articles;
mod callbacks;
mod control;
mod events;
mod faults;
mod followers;
mod js_sdk;
mod management;
mod materials;
mod menus;
mod oauth;
mod observe;
mod qr_codes;
mod rooms;
mod short_keys;
mod stage;
mod state;
mod template_messages;
mod templates;
mod tokens;
mod url_check;
mod users;
