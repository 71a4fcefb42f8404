//! All calls that the functions make, one file for each part of WeChat's API.

pub mod conditional_menu;
pub mod custom_message;
pub mod followers;
pub mod management;
pub mod menu;
pub mod oauth;
pub mod qr_code;
pub mod template;
pub mod token;
