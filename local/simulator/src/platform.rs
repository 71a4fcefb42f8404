//! Everything the platform keeps, and how it answers one call.

use std::{borrow::Cow, net::IpAddr};

use serde_json::Value;

use crate::{
    account::Account,
    account_type::AccountType,
    api::{self, ApiError, Call, Industries, Menu, Sends},
    calls::Calls,
    clock::Clock,
    faults::{Fault, Faults},
    format::Format,
    mark_fail::MarkFail,
    notice::Notice,
    phone::{FOLLOWER, Users},
    quota::Quotas,
    random::Random,
    receipts::Receipts,
    templates::Templates,
    tokens::Tokens,
};

/// Message ids of users' messages have 17 digits.
const FIRST_MSG_ID: u64 = 24_000_000_000_000_000;
/// Ids of menus are of all accounts together: a later one is larger, by how much cannot be known.
const FIRST_MENU_ID: u64 = 430_000_000;
const MENUS_MEANWHILE: u64 = 1000;

/// Of the answers without an error, this many-th is `text/plain`: a client must not judge by the content type.
const TEXT_EVERY: u64 = 4;

/// The state behind the simulator's one lock.
pub(crate) struct Platform {
    pub(crate) account: Account,
    pub(crate) account_type: AccountType,
    /// Where callbacks go; none without a callback URL.
    pub(crate) callback_ip: Option<IpAddr>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) tokens: Tokens,
    pub(crate) quotas: Quotas,
    /// Addresses that may fetch tokens; none means all.
    pub(crate) whitelist: Option<Vec<IpAddr>>,
    pub(crate) users: Users,
    pub(crate) menu: Option<Menu>,
    pub(crate) templates: Templates,
    pub(crate) industries: Option<Industries>,
    pub(crate) sends: Sends,
    pub(crate) faults: Faults,
    /// How callbacks are written.
    pub(crate) format: Format,
    pub(crate) mark_fail: MarkFail,
    pub(crate) receipts: Receipts,
    pub(crate) calls: Calls,
    /// Notices to push once the call that caused them has been answered.
    pub(crate) outbox: Vec<Notice>,
    last_msg_id: u64,
    last_menu_id: u64,
    answered: u64,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Cow<'static, str>,
    pub(crate) body: String,
    errcode: Option<i64>,
}

impl Platform {
    pub(crate) fn new(mut random: Random, account: Option<Account>) -> Self {
        let account = account.unwrap_or_else(|| Account::make(&mut random));
        let mut users = Users::default();
        users.follow(FOLLOWER);
        let last_msg_id = FIRST_MSG_ID + random.below(FIRST_MSG_ID);
        Self {
            account,
            account_type: AccountType::default(),
            callback_ip: None,
            clock: Clock::default(),
            random,
            tokens: Tokens::default(),
            quotas: Quotas::default(),
            whitelist: None,
            users,
            menu: None,
            templates: Templates::default(),
            industries: None,
            sends: Sends::default(),
            faults: Faults::default(),
            format: Format::default(),
            mark_fail: MarkFail::default(),
            receipts: Receipts::default(),
            calls: Calls::default(),
            outbox: Vec::new(),
            last_msg_id,
            last_menu_id: FIRST_MENU_ID,
            answered: 0,
        }
    }

    pub(crate) fn next_msg_id(&mut self) -> u64 {
        self.last_msg_id += 1;
        self.last_msg_id
    }

    pub(crate) fn next_menu_id(&mut self) -> u64 {
        self.last_menu_id += 1 + self.random.below(MENUS_MEANWHILE);
        self.last_menu_id
    }

    /// Answers a call and logs it. The fault, if one was due, still has its delay or its drop to come.
    pub(crate) fn serve(&mut self, call: &Call<'_>) -> (Answer, Option<Fault>) {
        let fault = self.faults.take(call.path);
        let mut answer = match fault.as_ref().and_then(|fault| self.faulty_answer(fault, call)) {
            Some(answer) => answer,
            None => {
                let result = api::answer(self, call);
                self.render(result)
            }
        };
        if let Some(fault) = &fault {
            distort(&mut answer, fault);
        }
        let dropped = fault.as_ref().is_some_and(|fault| fault.drop);
        let (status, errcode) = if dropped {
            (None, None)
        } else {
            (Some(answer.status), answer.errcode)
        };
        self.calls.record(call, self.clock.now(), status, errcode);
        if errcode.is_some_and(|errcode| errcode != 0) {
            self.calls.record_refused(call, self.clock.now(), &answer.body);
        }
        (answer, fault)
    }

    /// The answer in place of the API's own, if the fault has one.
    fn faulty_answer(&mut self, fault: &Fault, call: &Call<'_>) -> Option<Answer> {
        let mut answer = if let Some(errcode) = fault.errcode {
            let error = match &fault.errmsg {
                Some(errmsg) => ApiError::new(errcode, errmsg.as_str()),
                None if errcode == 40164 => ApiError::not_whitelisted(call.peer),
                None => ApiError::of(errcode),
            };
            self.render(Err(error))
        } else if let Some(body) = &fault.body {
            html(200, body.clone())
        } else {
            let status = fault.http_status?;
            html(status, format!("<html><body><h1>{status}</h1></body></html>"))
        };
        answer.status = fault.http_status.unwrap_or(answer.status);
        Some(answer)
    }

    /// The platform always answers HTTP 200; its errors, and now and then its other answers, as `text/plain`.
    fn render(&mut self, result: Result<Value, ApiError>) -> Answer {
        let (json, errcode) = match result {
            Ok(json) => (json, 0),
            Err(error) => (error.to_json(&self.rid()), error.errcode),
        };
        self.answered += 1;
        let is_text = errcode != 0 || self.answered.is_multiple_of(TEXT_EVERY);
        let content_type = if is_text {
            "text/plain"
        } else {
            "application/json; encoding=utf-8"
        };
        Answer {
            status: 200,
            content_type: content_type.into(),
            body: json.to_string(),
            errcode: Some(errcode),
        }
    }

    /// The id of a request begins with its time in hex.
    fn rid(&mut self) -> String {
        format!("{:08x}-{}-{}", self.clock.now(), self.random.hex(8), self.random.hex(8))
    }
}

/// What a fault does to an answer that the platform has given.
fn distort(answer: &mut Answer, fault: &Fault) {
    if fault.truncated {
        let middle = answer.body.floor_char_boundary(answer.body.len() / 2);
        answer.body.truncate(middle);
        answer.errcode = None;
    }
    if let Some(content_type) = &fault.content_type {
        answer.content_type = content_type.clone().into();
    }
}

fn html(status: u16, body: String) -> Answer {
    Answer {
        status,
        content_type: "text/html".into(),
        body,
        errcode: None,
    }
}
