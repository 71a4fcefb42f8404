//! `login#<appid>#<id>`: a web login between its start and the page, and the one-time code with which the page's back end asks
//! who logged in.
//!
//! ```text
//! started (state) -> claimed, for one exchange of WeChat's code -> ended; later requests get the same end
//!                                                                    └─ in the same transaction: the one-time code
//! one-time code -> redeemed, once
//! ```

use serde::{Deserialize, Serialize};

use super::{
    Attributes, StoreError, Table,
    claim::{FREE, MINE},
    get_number, get_text, number, text,
    transaction::Transaction,
    user::Person,
    written, written_if,
};
use crate::{json, secret::Secret};

/// Seconds by which an item outlives its end. Readers compare the times themselves, because TTL deletes late.
const KEPT_FOR: i64 = 600;
/// Seconds after which a claim expires: longer than a request may take.
const CLAIMED_FOR: i64 = 30;

/// What a login is for.
#[derive(Clone, Debug)]
pub enum LoginPurpose {
    /// To return to this address with the one-time code.
    Return(String),
    /// To bind the user of the binding with this id.
    Bind(Secret),
}

/// A started login.
#[derive(Clone, Debug)]
pub struct Login {
    /// What it is for.
    pub purpose: LoginPurpose,
    /// The SHA-256 of the cookie of the browser that started it, in lower-case hex.
    pub browser_sha256: String,
    /// The one-time code that the page's back end gets, if the login succeeds.
    pub code: Secret,
    /// When it ends, in epoch seconds.
    pub expires_at: i64,
}

/// How a login ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginEnd {
    /// The page gets the one-time code.
    LoggedIn,
    /// The user is bound; the person goes to this address, if there is one.
    Bound(Option<String>),
    /// The binding had ended, or somebody else had used it.
    BindingEnded,
    /// WeChat returned a made-up identity, because it showed the page as a snapshot.
    Snapshot,
    /// WeChat refused the exchange with this errcode.
    Refused(i64),
}

/// The result of claiming a login: who exchanges WeChat's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginClaim {
    /// This request.
    Won,
    /// Nobody: the login has ended.
    Ended(LoginEnd),
    /// Another request, which still holds the claim.
    InProgress,
    /// There is no such login, or it has expired.
    Unknown,
}

impl Login {
    fn from_attributes(item: &Attributes) -> Option<Self> {
        let purpose = match get_text(item, "binding") {
            Some(binding) => LoginPurpose::Bind(Secret::new(binding)),
            None => LoginPurpose::Return(get_text(item, "return_to")?.to_owned()),
        };
        Some(Self {
            purpose,
            code: Secret::new(get_text(item, "code")?),
            browser_sha256: get_text(item, "browser_sha256")?.to_owned(),
            expires_at: get_number(item, "expires_at")?,
        })
    }
}

impl LoginEnd {
    fn from_attributes(item: &Attributes) -> Option<Self> {
        serde_json::from_str(get_text(item, "end")?).ok()
    }
}

impl Table {
    /// Stores a started login under its `state`, a secret of the browser and WeChat with at least 128 random bits.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn create_login(&self, state: &str, login: &Login) -> Result<(), StoreError> {
        let purpose = match &login.purpose {
            LoginPurpose::Return(to) => ("return_to", text(to)),
            LoginPurpose::Bind(binding) => ("binding", text(binding.expose())),
        };
        let attributes = [
            purpose,
            ("code", text(login.code.expose())),
            ("browser_sha256", text(&login.browser_sha256)),
            ("expires_at", number(login.expires_at)),
            ("ttl", number(login.expires_at + KEPT_FOR)),
        ];
        let put = self.put(&self.login_pk(state), attributes);
        written("PutItem", put.send().await)
    }

    /// Returns the login with this `state`. `None` when there is none or it has expired.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn login(&self, state: &str, now: i64) -> Result<Option<Login>, StoreError> {
        let item = self.read(&self.login_pk(state), true).await?;
        let login = item.as_ref().and_then(Login::from_attributes);
        Ok(login.filter(|login| login.expires_at > now))
    }

    /// Claims a login for the request `owner`.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn claim_login(&self, state: &str, owner: &str, now: i64) -> Result<LoginClaim, StoreError> {
        let pk = self.login_pk(state);
        let condition = format!(
            "attribute_exists(browser_sha256) AND expires_at > :now AND attribute_not_exists(#end) AND ({FREE} OR {MINE})"
        );
        let values = [
            (":owner", text(owner)),
            (":now", number(now)),
            (":until", number(now + CLAIMED_FOR)),
        ];
        let update = self.update(
            &pk,
            "SET #owner = :owner, claim_expires_at = :until",
            Some(&condition),
            values,
        );
        Ok(match self.claim(&pk, update).await? {
            Ok(_) => LoginClaim::Won,
            Err(item) => match (Login::from_attributes(&item), LoginEnd::from_attributes(&item)) {
                (Some(login), _) if login.expires_at <= now => LoginClaim::Unknown,
                (Some(_), Some(end)) => LoginClaim::Ended(end),
                (Some(_), None) => LoginClaim::InProgress,
                (None, _) => LoginClaim::Unknown,
            },
        })
    }

    /// Ends a login that `owner` holds. Returns `false`, and changes nothing, when another request took over the claim.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The login may have ended.
    pub async fn end_login(&self, state: &str, owner: &str, end: &LoginEnd) -> Result<bool, StoreError> {
        self.ending(Transaction::new(self), state, owner, end).commit().await
    }

    /// Ends a login that `owner` holds: its one-time code stands for `person` until `expires_at` (epoch seconds). Returns
    /// `false`, and changes nothing, when another request took over the claim.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The login may have ended.
    pub async fn end_login_with_code(
        &self,
        state: &str,
        owner: &str,
        code: &Secret,
        person: Person<'_>,
        expires_at: i64,
    ) -> Result<bool, StoreError> {
        let attributes = [
            ("openid", text(person.openid)),
            ("expires_at", number(expires_at)),
            ("ttl", number(expires_at + KEPT_FOR)),
        ];
        let unionid = person.unionid.map(|unionid| ("unionid", text(unionid)));
        let attributes = attributes.into_iter().chain(unionid);
        let transaction = Transaction::new(self).put(
            &self.login_pk(code.expose()),
            attributes,
            "attribute_not_exists(pk)",
            [],
        );
        self.ending(transaction, state, owner, &LoginEnd::LoggedIn)
            .commit()
            .await
    }

    fn ending<'t>(&self, transaction: Transaction<'t>, state: &str, owner: &str, end: &LoginEnd) -> Transaction<'t> {
        let end = json::write(end);
        let values = [(":end", text(end)), (":owner", text(owner))];
        let condition = format!("{MINE} AND attribute_not_exists(#end)");
        transaction.update(&self.login_pk(state), "SET #end = :end", &condition, values)
    }

    /// Gives up the claim on a login whose exchange brought no answer, so that the visitor can try again.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The claim then expires by itself.
    pub async fn give_up_login(&self, state: &str, owner: &str) -> Result<(), StoreError> {
        self.update_claimed(&self.login_pk(state), owner, "REMOVE #owner, claim_expires_at", [])
            .await
    }

    /// Returns the openid and the unionid of the person for whom the one-time code `code` stands. `None` when there is no such
    /// code, it has expired or was redeemed.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn login_person(&self, code: &str, now: i64) -> Result<Option<(String, Option<String>)>, StoreError> {
        let item = self.read(&self.login_pk(code), true).await?;
        let item = item.filter(|item| {
            let expires_at: i64 = get_number(item, "expires_at").unwrap_or(0);
            expires_at > now
        });
        Ok(item.and_then(|item| {
            let unionid = get_text(&item, "unionid").map(str::to_owned);
            Some((get_text(&item, "openid")?.to_owned(), unionid))
        }))
    }

    /// Redeems the one-time code `code` for the request `owner`, and deletes the person that it stood for. Returns `false`
    /// when there is no such code, it has expired or another request redeemed it.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The code may have been redeemed.
    pub async fn redeem_login(&self, code: &str, owner: &str, now: i64) -> Result<bool, StoreError> {
        let condition = format!("{MINE} OR (attribute_exists(openid) AND expires_at > :now)");
        let values = [(":owner", text(owner)), (":now", number(now))];
        let update = self.update(
            &self.login_pk(code),
            "SET #owner = :owner REMOVE openid, unionid",
            Some(&condition),
            values,
        );
        written_if("UpdateItem", update.send().await)
    }

    fn login_pk(&self, id: &str) -> String {
        format!("{}#{id}", self.pk("login"))
    }
}
