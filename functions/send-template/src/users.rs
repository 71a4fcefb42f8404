//! The users that a request names in place of openids.

use std::collections::{BTreeMap, HashMap};

use http_api::Problem;
use wechat::{store::User, validate::send::Recipients};

use crate::App;

/// The hint when the users cannot be read. An earlier request may have sent the message.
const NOT_SENT: &str = "This request has sent nothing: repeat it. / 本次请求未发送任何消息，请重试。";

/// Those users of a request that are bound to an openid, by id.
#[derive(Debug)]
pub(crate) struct Users(HashMap<String, User>);

/// Where a user can be reached.
#[derive(Debug)]
pub(crate) enum Address<'a> {
    /// The user's openid.
    Openid(&'a str),
    /// The openid of a user who has unfollowed the account: WeChat refuses every message to it.
    Unfollowed(&'a str),
    /// No openid is bound to the user.
    Unknown,
}

impl Users {
    /// Reads the users that `recipients` names, in one read. `None`, without a read, when it names openids.
    ///
    /// # Errors
    /// The answer when the table cannot be read. Nothing may be sent then.
    pub(crate) async fn read(app: &App, recipients: &Recipients) -> Result<Option<Self>, Problem> {
        let table = &app.account.table;
        let users = match recipients {
            Recipients::Openid(_) | Recipients::Openids(_) => return Ok(None),
            Recipients::User(id) => {
                let user = table.user(id).await;
                user.map(|user| user.map(|user| (id.clone(), user)).into_iter().collect())
            }
            Recipients::Users(ids) => table.users(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await,
        };
        match users {
            Ok(users) => Ok(Some(Self(users))),
            Err(error) => Err(Problem::from(error).and_hint(NOT_SENT)),
        }
    }

    /// Finds out where `user` can be reached.
    pub(crate) fn address(&self, user: &str) -> Address<'_> {
        match self.0.get(user) {
            None => Address::Unknown,
            Some(user) if user.followed == Some(false) => Address::Unfollowed(&user.openid),
            Some(user) => Address::Openid(&user.openid),
        }
    }

    /// Returns the openids that WeChat may be asked for, by user id.
    pub(crate) fn openids(&self) -> BTreeMap<&str, &str> {
        let openids = self.0.keys().filter_map(|user| match self.address(user) {
            Address::Openid(openid) => Some((user.as_str(), openid)),
            Address::Unfollowed(_) | Address::Unknown => None,
        });
        openids.collect()
    }
}
