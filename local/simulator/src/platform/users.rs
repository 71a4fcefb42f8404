//! The users and what their phones show.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{allowances::Allowances, errcode::ApiError, notice::Scene, random::Random};

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

/// How a user became a follower, the last time. It stays when the user unfollows.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// Grows with every subscription to the account: the order of `user/get`.
    order: u64,
    /// Seconds since the epoch, by the simulator's clock.
    pub(crate) at: i64,
    /// The scene of the QR code that was scanned; `None` without one.
    pub(crate) scene: Option<Scene>,
}

/// A user who follows the account, did once, or has logged in to a page of it.
#[derive(Default)]
pub(crate) struct User {
    pub(crate) follows: bool,
    /// The platform accepts template messages but does not deliver them.
    pub(crate) refuses_templates: bool,
    /// The status of those results; `None` means `failed:user block`.
    pub(crate) receipt: Option<String>,
    /// Messages to the user are refused with this errcode.
    pub(crate) refusal: Option<i64>,
    /// `None` for one who never followed.
    pub(crate) subscription: Option<Subscription>,
    /// The ids of the account's tags on the user. Menus look at the last one.
    pub(crate) tags: Vec<u32>,
    pub(crate) client: Client,
    /// The account's own name for the user.
    pub(crate) remark: String,
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
pub(crate) struct Users {
    by_openid: BTreeMap<String, User>,
    /// Subscriptions so far.
    subscriptions: u64,
}

/// A page of a list of followers, in the order of their subscriptions.
#[derive(Debug)]
pub(crate) struct FollowersPage {
    /// The followers of the whole list.
    pub(crate) total: usize,
    pub(crate) openids: Vec<String>,
}

impl Users {
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &User)> {
        self.by_openid.iter()
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut User> {
        self.by_openid.values_mut()
    }

    pub(crate) fn get(&self, openid: &str) -> Option<&User> {
        self.by_openid.get(openid)
    }

    pub(crate) fn get_mut(&mut self, openid: &str) -> Option<&mut User> {
        self.by_openid.get_mut(openid)
    }

    /// Adds a user who does not follow.
    pub(crate) fn add_stranger(&mut self, random: &mut Random) -> String {
        let openid = make_openid(random);
        self.by_openid.entry(openid.clone()).or_default();
        openid
    }

    /// Makes the user a follower. False for one who follows already.
    pub(crate) fn follow(&mut self, openid: &str, at: i64, scene: Option<Scene>) -> bool {
        let user = self.by_openid.entry(openid.to_owned()).or_default();
        if user.follows {
            return false;
        }
        user.follows = true;
        self.subscriptions += 1;
        user.subscription = Some(Subscription {
            order: self.subscriptions,
            at,
            scene,
        });
        true
    }

    /// At most `size` followers that match, of those who subscribed after the user `next_openid`; from the first one when
    /// that is empty. A user who has unfollowed still marks the place, so a list that is read meanwhile misses nobody.
    /// 40003 for one who never followed.
    pub(crate) fn page(
        &self,
        next_openid: &str,
        size: usize,
        matches: impl Fn(&User) -> bool,
    ) -> Result<FollowersPage, ApiError> {
        let place = |user: &User| user.subscription.as_ref().map(|subscription| subscription.order);
        let after = match next_openid {
            "" => Some(0),
            openid => self.get(openid).and_then(place),
        };
        let after = after.ok_or_else(|| ApiError::of(40003))?;
        let followers = self.all().filter(|(_, user)| user.follows && matches(user));
        let mut followers: Vec<(u64, &String)> = followers
            .filter_map(|(openid, user)| Some((place(user)?, openid)))
            .collect();
        followers.sort_unstable();
        let total = followers.len();
        let rest = followers.into_iter().filter(|(order, _)| *order > after);
        let openids = rest.take(size).map(|(_, openid)| openid.clone()).collect();
        Ok(FollowersPage { total, openids })
    }

    pub(crate) fn show(&mut self, openid: &str, shown: Shown) {
        if let Some(user) = self.by_openid.get_mut(openid) {
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

/// The user's id on the open-platform account (微信开放平台) that the account may be bound to: the openid with another
/// beginning, so that a reader sees whose it is.
pub(crate) fn unionid(openid: &str) -> String {
    format!("oUnion{}", openid.get(OPENID_PREFIX.len() + 1..).unwrap_or_default())
}

/// Whether the text has the form of an openid: 28 characters, the first an `o`.
pub(crate) fn is_openid(text: &str) -> bool {
    text.len() == OPENID_LENGTH
        && text.starts_with('o')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
