//! The one account of all stages: that of the sample events in `events/`, whose signatures therefore hold on every stage.

use serde_json::json;
use simulator::Account;

/// AppID.
pub const APP_ID: &str = "wx0123456789abcdef";
/// AppSecret.
pub const APP_SECRET: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e700";
/// The callback token.
pub const TOKEN: &str = "eventsToken01";
/// EncodingAESKey. Its last character carries stray bits, as on real accounts.
pub const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
/// 原始ID: the account's name inside messages.
pub const ORIGINAL_ID: &str = "gh_0a1b2c3d4e5f";
/// The API key of the stage's requests, long enough for the doctor.
pub const API_KEY: &str = "key-of-the-stage-0001";

/// The account, for the simulator.
#[must_use]
pub fn account() -> Account {
    let account = json!({
        "app_id": APP_ID,
        "app_secret": APP_SECRET,
        "token": TOKEN,
        "encoding_aes_key": AES_KEY,
        "original_id": ORIGINAL_ID,
    });
    serde_json::from_value(account).unwrap()
}
