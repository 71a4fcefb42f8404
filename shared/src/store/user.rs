//! `user#<appid>#<user>` and `openid#<appid>#<openid>`: which user an openid belongs to. A team knows its users by ids of
//! its own.
//!
//! One user has one openid, one openid one user, so the two items point at each other and change in one transaction. `followed`
//! belongs to the openid; the user's item holds a copy, so that one read resolves a user.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    Attributes, StoreError, Table, get_number, get_text,
    index::{Cursor, Page, indexed, limit_of},
    number, text,
    transaction::{ATTEMPTS, TRANSACTION, Transaction, contended},
};

/// The most users that one read resolves.
pub const USERS_LIMIT: usize = 100;

/// A user whose openid is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The team's id of the user.
    pub user: String,
    /// The user's openid.
    pub openid: String,
    /// The user's unionid, if it is known.
    pub unionid: Option<String>,
    /// Whether the user follows the account. `None` before the first event.
    pub followed: Option<bool>,
    /// When the user was bound to the openid, in epoch seconds.
    pub bound_at: i64,
}

/// A person on WeChat.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The person's openid.
    pub openid: &'a str,
    /// The person's unionid, if it is known.
    pub unionid: Option<&'a str>,
}

/// The former ties that a new one replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// The user's former openid.
    pub openid: Option<String>,
    /// The openid's former user.
    pub user: Option<String>,
}

impl User {
    fn from_attributes(user: &str, item: &Attributes) -> Option<Self> {
        Some(Self {
            user: user.to_owned(),
            openid: get_text(item, "openid")?.to_owned(),
            unionid: get_text(item, "unionid").map(str::to_owned),
            followed: followed(item),
            bound_at: get_number(item, "bound_at").unwrap_or(0),
        })
    }
}

fn followed(item: &Attributes) -> Option<bool> {
    item.get("followed")?.as_bool().ok().copied()
}

/// The two items as they were before a change.
pub(super) struct Ties {
    user: Option<Attributes>,
    openid: Option<Attributes>,
}

impl Table {
    /// Returns a user.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn user(&self, user: &str) -> Result<Option<User>, StoreError> {
        let item = self.read(&self.user_pk(user), true).await?;
        Ok(item.and_then(|item| User::from_attributes(user, &item)))
    }

    /// Returns the user whose openid this is.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn user_of(&self, openid: &str) -> Result<Option<User>, StoreError> {
        let item = self.read(&self.openid_pk(openid), true).await?;
        match item.as_ref().and_then(|item| get_text(item, "user")) {
            Some(user) => Ok(self.user(user).await?.filter(|user| user.openid == openid)),
            None => Ok(None),
        }
    }

    /// Returns those of at most [`USERS_LIMIT`] users that exist, by id, in one read.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn users(&self, users: &[&str]) -> Result<HashMap<String, User>, StoreError> {
        let mut pks: Vec<String> = users.iter().map(|user| self.user_pk(user)).collect();
        pks.sort_unstable();
        pks.dedup();
        let items = self.read_batch(pks).await?;
        let prefix = self.user_pk("");
        let found = items.iter().filter_map(|(pk, item)| {
            let user = pk.strip_prefix(&prefix)?;
            Some((user.to_owned(), User::from_attributes(user, item)?))
        });
        Ok(found.collect())
    }

    /// Returns a page of all users, the longest bound first. A user who is bound again while pages are read comes again later.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn page_of_users(&self, after: Option<&Cursor>) -> Result<Page<User>, StoreError> {
        let limit = limit_of(USERS_LIMIT);
        let keys = self.page_of_keys(&self.pk("users"), after, limit).await?;
        self.read_page(keys, &self.user_pk(""), User::from_attributes).await
    }

    /// Makes `person` the openid of `user`, and returns the user as stored with the ties that this ended. The same tie again
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. The change may have happened.
    pub async fn put_user(&self, user: &str, person: Person<'_>, now: i64) -> Result<(User, Replaced), StoreError> {
        for _ in 0..ATTEMPTS {
            let ties = self.ties(user, person.openid).await?;
            let stored = ties.user.as_ref().and_then(|item| User::from_attributes(user, item));
            if let Some(stored) = stored.filter(|stored| is_tie(stored, person)) {
                return Ok((stored, Replaced::default()));
            }
            let transaction = Transaction::new(self);
            let (transaction, replaced) = self.tie(transaction, user, person, &ties, now);
            if transaction.commit().await? {
                let user = User {
                    user: user.to_owned(),
                    openid: person.openid.to_owned(),
                    unionid: ties.unionid(person).map(str::to_owned),
                    followed: ties.openid.as_ref().and_then(followed),
                    bound_at: now,
                };
                return Ok((user, replaced));
            }
        }
        Err(contended(TRANSACTION))
    }

    /// Deletes a user and the tie to the openid. Returns the user, or `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. The user may have been deleted.
    pub async fn delete_user(&self, user: &str) -> Result<Option<User>, StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(item) = self.read(&self.user_pk(user), true).await? else {
                return Ok(None);
            };
            let Some(stored) = User::from_attributes(user, &item) else {
                return Err(StoreError::damaged("GetItem", "a user's item has no openid"));
            };
            let mine = [(":openid", text(&stored.openid))];
            let transaction = Transaction::new(self)
                .delete(&self.user_pk(user), "openid = :openid", mine)
                .delete(
                    &self.openid_pk(&stored.openid),
                    IS_GONE_OR_OF_USER,
                    [(":user", text(user))],
                );
            if transaction.commit().await? {
                return Ok(Some(stored));
            }
        }
        Err(contended(TRANSACTION))
    }

    /// Records whether a bound person follows the account since `at` (epoch seconds). The newest event wins, and at a tie
    /// the one that ends following. Changes nothing for a person who is not bound.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. The change may have happened.
    pub async fn set_followed(&self, openid: &str, is_followed: bool, at: i64) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(item) = self.read(&self.openid_pk(openid), true).await? else {
                return Ok(());
            };
            let Some(user) = get_text(&item, "user") else {
                return Ok(());
            };
            let known: i64 = get_number(&item, "followed_at").unwrap_or(i64::MIN);
            let tie_is_news = !is_followed && followed(&item) != Some(false);
            if known > at || (known == at && !tie_is_news) {
                return Ok(());
            }
            let set = "SET followed = :followed, followed_at = :at";
            let now = [(":followed", AttributeValue::Bool(is_followed)), (":at", number(at))];
            let (as_read, was) = unchanged("followed_at", item.get("followed_at"));
            let condition = format!("{IS_OF_USER} AND {as_read}");
            let values = now.clone().into_iter().chain([(":user", text(user))]).chain(was);
            let of_user = now.into_iter().chain([(":openid", text(openid))]);
            let transaction = Transaction::new(self)
                .update(&self.openid_pk(openid), set, &condition, values)
                .update(&self.user_pk(user), set, "openid = :openid", of_user);
            if transaction.commit().await? {
                return Ok(());
            }
        }
        Err(contended(TRANSACTION))
    }

    /// Records that a person who counts as one who has unfollowed follows the account after all, as seen at `at` (epoch
    /// seconds). Changes nothing for anyone else.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. The change may have happened.
    pub async fn confirm_follower(&self, openid: &str, at: i64) -> Result<(), StoreError> {
        let item = self.read(&self.openid_pk(openid), false).await?;
        if item.as_ref().and_then(followed) == Some(false) {
            self.set_followed(openid, true, at).await?;
        }
        Ok(())
    }

    /// Reads the current items of `user` and `openid`.
    pub(super) async fn ties(&self, user: &str, openid: &str) -> Result<Ties, StoreError> {
        let (user, openid) = (self.user_pk(user), self.openid_pk(openid));
        let mut items = self.read_batch(vec![user.clone(), openid.clone()]).await?;
        Ok(Ties {
            user: items.remove(&user),
            openid: items.remove(&openid),
        })
    }

    /// Adds the writes that tie `user` to `person`, on the condition that `ties` still hold. Returns what they replace.
    pub(super) fn tie<'t>(
        &self,
        mut transaction: Transaction<'t>,
        user: &str,
        person: Person<'_>,
        ties: &Ties,
        now: i64,
    ) -> (Transaction<'t>, Replaced) {
        let Person { openid, .. } = person;
        let of_user = ties.user.as_ref().and_then(|item| item.get("openid"));
        let of_openid = ties.openid.as_ref().and_then(|item| item.get("user"));
        let replaced = Replaced {
            openid: former(of_user, openid),
            user: former(of_openid, user),
        };
        let following = ["followed", "followed_at"].into_iter().filter_map(|name| {
            let value = ties.openid.as_ref()?.get(name)?;
            Some((name, value.clone()))
        });

        let (condition, was) = unchanged("openid", of_user);
        let unionid = ties.unionid(person).map(|unionid| ("unionid", text(unionid)));
        let attributes = [("openid", text(openid)), ("bound_at", number(now))].into_iter();
        let attributes = attributes.chain(indexed(self.pk("users"), now)).chain(unionid);
        let attributes = attributes.chain(following.clone());
        transaction = transaction.put(&self.user_pk(user), attributes, &condition, was);

        let (same_user, was_user) = unchanged("user", of_openid);
        let followed_at = ties.openid.as_ref().and_then(|item| item.get("followed_at"));
        let (same_time, was_time) = unchanged("followed_at", followed_at);
        let attributes = [("user", text(user))].into_iter().chain(following);
        let was = was_user.into_iter().chain(was_time);
        let condition = format!("{same_user} AND {same_time}");
        transaction = transaction.put(&self.openid_pk(openid), attributes, &condition, was);

        if let Some(former) = &replaced.openid {
            transaction = transaction.delete(&self.openid_pk(former), IS_GONE_OR_OF_USER, [(":user", text(user))]);
        }
        if let Some(former) = &replaced.user {
            let of_openid = "attribute_not_exists(pk) OR openid = :openid";
            transaction = transaction.delete(&self.user_pk(former), of_openid, [(":openid", text(openid))]);
        }
        (transaction, replaced)
    }

    fn user_pk(&self, user: &str) -> String {
        format!("{}#{user}", self.pk("user"))
    }

    fn openid_pk(&self, openid: &str) -> String {
        format!("{}#{openid}", self.pk("openid"))
    }
}

const IS_OF_USER: &str = "#user = :user";
const IS_GONE_OR_OF_USER: &str = "attribute_not_exists(pk) OR #user = :user";

impl Ties {
    /// The unionid of `person`, as given or as known of the same openid.
    fn unionid<'a>(&'a self, person: Person<'a>) -> Option<&'a str> {
        let item = self.user.as_ref();
        let known = item.filter(|item| get_text(item, "openid") == Some(person.openid));
        person.unionid.or_else(|| get_text(known?, "unionid"))
    }
}

/// Whether `stored` already ties its user to `person`.
fn is_tie(stored: &User, person: Person<'_>) -> bool {
    stored.openid == person.openid && (person.unionid.is_none() || person.unionid == stored.unionid.as_deref())
}

/// The former value of a tie, if it differs from the new one.
fn former(value: Option<&AttributeValue>, new: &str) -> Option<String> {
    let value = value?.as_s().ok()?;
    (value != new).then(|| value.clone())
}

/// The condition that the attribute `name` still has the value that was read, and the value it names.
fn unchanged(name: &str, read: Option<&AttributeValue>) -> (String, Option<(&'static str, AttributeValue)>) {
    let was = match name {
        "followed_at" => ":was_at",
        _ => ":was",
    };
    match read {
        Some(value) => (format!("#{name} = {was}"), Some((was, value.clone()))),
        None => (format!("attribute_not_exists(#{name})"), None),
    }
}
