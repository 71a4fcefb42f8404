//! What the platform keeps: the account, its users, tokens, quotas, menus, templates, files, articles and ordered
//! failures.
//!
//! Everything here is plain state and its rules. This room imports no other room: [`api`](crate::api) answers calls
//! with it, [`push`](crate::push) delivers its notices, [`control`](crate::control) changes it.

pub(crate) mod account;
pub(crate) mod account_type;
pub(crate) mod allowances;
pub(crate) mod articles;
pub(crate) mod authorize;
pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod clock;
pub(crate) mod errcode;
pub(crate) mod faults;
pub(crate) mod field_rules;
pub(crate) mod form;
pub(crate) mod format;
pub(crate) mod hosts;
pub(crate) mod industries;
pub(crate) mod js_tickets;
pub(crate) mod mark_fail;
pub(crate) mod media;
pub(crate) mod menu;
pub(crate) mod notice;
pub(crate) mod oauth;
pub(crate) mod qr_codes;
pub(crate) mod quota;
pub(crate) mod random;
pub(crate) mod receipts;
pub(crate) mod sends;
pub(crate) mod short_keys;
pub(crate) mod tags;
pub(crate) mod templates;
pub(crate) mod tokens;
pub(crate) mod users;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{
    account::Account,
    account_type::AccountType,
    articles::{Drafts, Publications},
    calls::Calls,
    clock::Clock,
    faults::Faults,
    format::Format,
    hosts::Domains,
    industries::Industries,
    js_tickets::JsTickets,
    mark_fail::MarkFail,
    media::Media,
    menu::Menu,
    notice::Notice,
    oauth::OAuth,
    qr_codes::QrCodes,
    quota::Quotas,
    random::Random,
    receipts::Receipts,
    sends::Sends,
    short_keys::ShortKeys,
    tags::Tags,
    templates::Templates,
    tokens::Tokens,
    users::{FOLLOWER, Users},
};

/// Followers on a page of their list.
pub(crate) const FOLLOWERS_A_PAGE: usize = 10_000;
/// The smallest id of a user's message: 17 digits, as on the platform.
const FIRST_MSG_ID: u64 = 24_000_000_000_000_000;
/// The id before the first menu's. All accounts share one sequence, so an account sees gaps of unknown size.
const FIRST_MENU_ID: u64 = 430_000_000;
const LARGEST_MENU_ID_GAP: u64 = 1000;

/// The platform behind the simulator's one lock.
#[derive(Clone)]
pub(crate) struct SharedPlatform(Arc<Mutex<Platform>>);

impl SharedPlatform {
    pub(crate) fn new(platform: Platform) -> Self {
        Self(Arc::new(Mutex::new(platform)))
    }

    /// Locks the platform. Never hold the guard over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Platform> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of the platform.
pub(crate) struct Platform {
    pub(crate) account: Account,
    pub(crate) account_type: AccountType,
    /// The address that callbacks go to; none without a callback URL.
    pub(crate) callback_ip: Option<IpAddr>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) tokens: Tokens,
    pub(crate) quotas: Quotas,
    /// Addresses that may fetch tokens; `None` allows all.
    pub(crate) whitelist: Option<Vec<IpAddr>>,
    pub(crate) users: Users,
    /// Followers on a page of `user/get` and `user/tag/get`.
    pub(crate) followers_a_page: usize,
    pub(crate) tags: Tags,
    /// Whether the account is bound to an open-platform account (微信开放平台), so that its users have a unionid.
    pub(crate) has_unionids: bool,
    pub(crate) qr_codes: QrCodes,
    pub(crate) oauth: OAuth,
    /// 网页授权域名.
    pub(crate) oauth_domains: Domains,
    pub(crate) js_tickets: JsTickets,
    /// JS接口安全域名.
    pub(crate) js_domains: Domains,
    pub(crate) menu: Option<Menu>,
    pub(crate) media: Media,
    pub(crate) drafts: Drafts,
    pub(crate) publications: Publications,
    pub(crate) short_keys: ShortKeys,
    pub(crate) templates: Templates,
    pub(crate) industries: Industries,
    pub(crate) sends: Sends,
    pub(crate) faults: Faults,
    /// The format of callbacks.
    pub(crate) format: Format,
    pub(crate) mark_fail: MarkFail,
    pub(crate) receipts: Receipts,
    pub(crate) calls: Calls,
    /// Notices to push once the call that caused them has been answered.
    pub(crate) outbox: Vec<Notice>,
    /// Calls answered so far.
    pub(crate) answered: u64,
    last_msg_id: u64,
    last_menu_id: u64,
}

impl Platform {
    pub(crate) fn new(mut random: Random, account: Option<Account>) -> Self {
        let account = account.unwrap_or_else(|| Account::make(&mut random));
        let mut users = Users::default();
        let clock = Clock::default();
        users.follow(FOLLOWER, clock.now(), None);
        let last_msg_id = FIRST_MSG_ID + random.below(FIRST_MSG_ID);
        Self {
            account,
            account_type: AccountType::default(),
            callback_ip: None,
            clock,
            random,
            tokens: Tokens::default(),
            quotas: Quotas::default(),
            whitelist: None,
            users,
            followers_a_page: FOLLOWERS_A_PAGE,
            tags: Tags::default(),
            has_unionids: false,
            qr_codes: QrCodes::default(),
            oauth: OAuth::default(),
            oauth_domains: Domains::default(),
            js_tickets: JsTickets::default(),
            js_domains: Domains::default(),
            menu: None,
            media: Media::default(),
            drafts: Drafts::default(),
            publications: Publications::default(),
            short_keys: ShortKeys::default(),
            templates: Templates::default(),
            industries: Industries::default(),
            sends: Sends::default(),
            faults: Faults::default(),
            format: Format::default(),
            mark_fail: MarkFail::default(),
            receipts: Receipts::default(),
            calls: Calls::default(),
            outbox: Vec::new(),
            answered: 0,
            last_msg_id,
            last_menu_id: FIRST_MENU_ID,
        }
    }

    pub(crate) fn next_msg_id(&mut self) -> u64 {
        self.last_msg_id += 1;
        self.last_msg_id
    }

    pub(crate) fn next_menu_id(&mut self) -> u64 {
        self.last_menu_id += 1 + self.random.below(LARGEST_MENU_ID_GAP);
        self.last_menu_id
    }
}
