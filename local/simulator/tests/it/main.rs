//! Tests of the simulator over HTTP, as a server and the console use it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod account_types;
mod api;
mod callbacks;
mod control;
mod events;
mod faults;
mod management;
mod menus;
mod observe;
mod rooms;
mod stage;
mod state;
mod template_messages;
mod templates;
mod tokens;
mod url_check;
mod users;
