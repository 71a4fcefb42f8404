//! The users that a request names in place of openids, and whether they follow the account.

use std::collections::{BTreeMap, HashMap};

use http_api::Problem;
use wechat::{store::User, validate::send::Recipients};

use crate::App;

/// Names, in the log, the record that a recipient does not follow the account.
pub(crate) const NOT_FOLLOWING: &str = "that the recipient of a message does not follow";
/// The hint when the users cannot be read. An earlier request may have sent the message.
const NOT_SENT: &str = "This request has sent nothing: repeat it. / 本次请求未发送任何消息，请重试。";

/// The users of a request who are bound to an openid, by id.
#[derive(Debug)]
pub(crate) struct Users(HashMap<String, User>);

/// A user whom no message can reach.
#[derive(Debug)]
pub(crate) struct Unreachable {
    /// The user's openid. `None` when none is bound to the user.
    pub(crate) openid: Option<String>,
    /// The reason.
    pub(crate) problem: Problem,
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

    /// Whether an openid is bound to `user`.
    pub(crate) fn knows(&self, user: &str) -> bool {
        self.0.contains_key(user)
    }

    /// Finds the openid at which `user` can be reached. WeChat refuses every message to a user who has unfollowed the account.
    pub(crate) fn openid(&self, user: &str) -> Result<&str, Unreachable> {
        match self.0.get(user) {
            None => Err(Unreachable {
                openid: None,
                problem: Problem::unknown_user(),
            }),
            Some(user) if user.followed == Some(false) => Err(Unreachable {
                openid: Some(user.openid.clone()),
                problem: Problem::not_a_follower(),
            }),
            Some(user) => Ok(&user.openid),
        }
    }

    /// Returns the openids that WeChat may be asked for, by user id.
    pub(crate) fn openids(&self) -> BTreeMap<&str, &str> {
        let openids = self.0.keys().map(|user| (user.as_str(), self.openid(user)));
        openids
            .filter_map(|(user, openid)| Some((user, openid.ok()?)))
            .collect()
    }
}
