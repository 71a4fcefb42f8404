//! The users and what their phones show.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{allowances::Allowances, random::Random};

/// The openid of a user who follows the account from the start.
pub const FOLLOWER: &str = "odhkK64I1uXqoUQjt7QYx4O0yUvs";

const OPENID_LENGTH: usize = 28;
/// The openids of one account share a beginning.
const OPENID_PREFIX: &str = "odhkK";

/// The number of things that a phone shows; older ones scroll out.
const ON_SCREEN: usize = 1_000;

/// The mini program that a template message opens.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct MiniProgram {
    #[serde(default)]
    pub(crate) appid: String,
    #[serde(default)]
    pub(crate) pagepath: String,
}

/// Something on the screen. Times are seconds since the epoch, by the simulator's clock.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Shown {
    /// A passive reply, under WeChat's element names.
    Reply { at: i64, reply: Value },
    /// A template message: `text` is the template with its values filled in.
    Template {
        at: i64,
        /// Decimal, as a string, because it exceeds 2^53.
        msgid: String,
        template_id: String,
        title: String,
        text: String,
        data: BTreeMap<String, String>,
        url: Option<String>,
        miniprogram: Option<MiniProgram>,
    },
    /// A customer-service message, as it was sent.
    Custom { at: i64, msgtype: String, message: Value },
    /// A message of WeChat itself.
    Notice { at: i64, text: String },
}

/// `client_platform_type` of a user: `1` iOS, `2` Android, `3` other.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) enum Client {
    #[default]
    #[serde(rename = "1")]
    Ios,
    #[serde(rename = "2")]
    Android,
    #[serde(rename = "3")]
    Other,
}

/// A user who follows the account, or did once.
#[derive(Default)]
pub(crate) struct User {
    pub(crate) follows: bool,
    /// The platform accepts template messages but does not deliver them.
    pub(crate) refuses_templates: bool,
    /// The status of those results; `None` means `failed:user block`.
    pub(crate) receipt: Option<String>,
    /// Messages to the user are refused with this errcode.
    pub(crate) refusal: Option<i64>,
    /// The account's tags on the user. Menus look at the last one.
    pub(crate) tags: Vec<String>,
    pub(crate) client: Client,
    pub(crate) allowances: Allowances,
    pub(crate) screen: VecDeque<Shown>,
}

impl User {
    pub(crate) fn show(&mut self, shown: Shown) {
        if self.screen.len() == ON_SCREEN {
            self.screen.pop_front();
        }
        self.screen.push_back(shown);
    }
}

/// All users by openid.
#[derive(Default)]
pub(crate) struct Users(BTreeMap<String, User>);

impl Users {
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &User)> {
        self.0.iter()
    }

    pub(crate) fn get(&self, openid: &str) -> Option<&User> {
        self.0.get(openid)
    }

    pub(crate) fn get_mut(&mut self, openid: &str) -> Option<&mut User> {
        self.0.get_mut(openid)
    }

    /// Makes the user a follower. False for one who follows already.
    pub(crate) fn follow(&mut self, openid: &str) -> bool {
        let user = self.0.entry(openid.to_owned()).or_default();
        !std::mem::replace(&mut user.follows, true)
    }

    pub(crate) fn show(&mut self, openid: &str, shown: Shown) {
        if let Some(user) = self.0.get_mut(openid) {
            user.show(shown);
        }
    }
}

pub(crate) fn make_openid(random: &mut Random) -> String {
    format!(
        "{OPENID_PREFIX}{}",
        random.url_safe(OPENID_LENGTH - OPENID_PREFIX.len())
    )
}

/// Whether the text has the form of an openid: 28 characters, the first an `o`.
pub(crate) fn is_openid(text: &str) -> bool {
    text.len() == OPENID_LENGTH
        && text.starts_with('o')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
