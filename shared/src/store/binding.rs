//! `bind#<appid>#<id>`: a code or link that binds a user to the person who scans or opens it, once.

use super::{
    Attributes, StoreError, Table, get_number, get_text,
    index::{Page, indexed},
    is_kept, number, text,
    transaction::{ATTEMPTS, TRANSACTION, Transaction, contended},
    user::{Person, Replaced},
    written,
};

/// Seconds. A binding is kept for a day after its end.
const KEPT_FOR: i64 = 24 * 3600;

/// The bindings that one step of [`Table::delete_bindings`] deletes.
const DELETED_AT_ONCE: i32 = 25;

/// A binding to create.
#[derive(Clone, Copy, Debug)]
pub struct NewBinding<'a> {
    /// The binding's id, with at least 128 random bits: anyone who has it may bind the user.
    pub id: &'a str,
    /// The user to bind.
    pub user: &'a str,
    /// When the binding ends, in epoch seconds.
    pub expires_at: i64,
    /// Where a person who opened the link goes afterwards.
    pub return_to: Option<&'a str>,
}

/// A binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The user to bind.
    pub user: String,
    /// When the binding ends, in epoch seconds.
    pub expires_at: i64,
    /// Where a person who opened the link goes afterwards.
    pub return_to: Option<String>,
    /// The openid to which it bound the user.
    pub openid: Option<String>,
    /// The former ties that it replaced.
    pub replaced: Replaced,
}

/// How far a binding has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingState {
    /// Nobody has scanned the code or opened the link.
    Pending,
    /// The binding has bound the user.
    Bound,
    /// The binding ended without a scan.
    Expired,
}

/// The result of a scan, or of an opened link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindOutcome {
    /// The user is bound to this person, now or since an earlier scan by the same person.
    Bound(Binding),
    /// There is no such binding, or it ended more than a day ago.
    Unknown,
    /// The binding has expired.
    Expired,
    /// Another person has used it.
    UsedByAnother,
}

impl Binding {
    /// Returns the state at `now`.
    #[must_use]
    pub const fn state(&self, now: i64) -> BindingState {
        if self.openid.is_some() {
            BindingState::Bound
        } else if now < self.expires_at {
            BindingState::Pending
        } else {
            BindingState::Expired
        }
    }

    fn from_attributes(item: &Attributes) -> Option<Self> {
        let optional = |name| get_text(item, name).map(str::to_owned);
        Some(Self {
            user: get_text(item, "user")?.to_owned(),
            expires_at: get_number(item, "expires_at")?,
            return_to: optional("return_to"),
            openid: optional("openid"),
            replaced: Replaced {
                openid: optional("replaced_openid"),
                user: optional("replaced_user"),
            },
        })
    }
}

impl Table {
    /// Creates a binding.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn create_binding(&self, binding: NewBinding<'_>) -> Result<(), StoreError> {
        let attributes = [
            ("user", text(binding.user)),
            ("expires_at", number(binding.expires_at)),
            ("ttl", number(binding.expires_at + KEPT_FOR)),
        ];
        let indexed = indexed(self.bindings_of(binding.user), binding.expires_at);
        let return_to = binding.return_to.map(|return_to| ("return_to", text(return_to)));
        let attributes = attributes.into_iter().chain(indexed).chain(return_to);
        let put = self.put(&self.binding_pk(binding.id), attributes);
        written("PutItem", put.send().await)
    }

    /// Deletes some bindings of a user, pending ones included. Returns whether there may be more.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. Some bindings may have been deleted.
    pub async fn delete_bindings(&self, user: &str) -> Result<bool, StoreError> {
        let Page { entries: pks, next } = self
            .page_of_keys(&self.bindings_of(user), None, DELETED_AT_ONCE)
            .await?;
        for pk in &pks {
            written("DeleteItem", self.delete(pk).send().await)?;
        }
        Ok(next.is_some())
    }

    /// The partition of the index with the bindings of one user.
    fn bindings_of(&self, user: &str) -> String {
        format!("{}#{user}", self.pk("bindings"))
    }

    /// Returns a binding, read consistently. `None` when there is none or it ended more than a day ago.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn binding(&self, id: &str, now: i64) -> Result<Option<Binding>, StoreError> {
        let item = self.read(&self.binding_pk(id), true).await?;
        let kept = item.filter(|item| is_kept(item, now));
        Ok(kept.as_ref().and_then(Binding::from_attributes))
    }

    /// Binds the user of the binding `id` to `person`, in one transaction, once. The same person's later scan gets the same
    /// result and changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. The user may have been bound.
    pub async fn bind(&self, id: &str, person: Person<'_>, now: i64) -> Result<BindOutcome, StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(mut binding) = self.binding(id, now).await? else {
                return Ok(BindOutcome::Unknown);
            };
            match (&binding.openid, binding.state(now)) {
                (Some(openid), _) if openid == person.openid => return Ok(BindOutcome::Bound(binding)),
                (Some(_), _) => return Ok(BindOutcome::UsedByAnother),
                (None, BindingState::Expired) => return Ok(BindOutcome::Expired),
                (None, _) => {}
            }
            let ties = self.ties(&binding.user, person.openid).await?;
            let (transaction, replaced) = self.tie(Transaction::new(self), &binding.user, person, &ties, now);
            let replaced_values = [
                (":replaced_openid", &replaced.openid),
                (":replaced_user", &replaced.user),
            ];
            let replaced_values: Vec<_> = replaced_values
                .into_iter()
                .filter_map(|(name, value)| Some((name, text(value.as_ref()?))))
                .collect();
            let mut expression = "SET openid = :openid, bound_at = :now".to_owned();
            for (name, _) in &replaced_values {
                expression.push_str(&format!(", {} = {name}", name.trim_start_matches(':')));
            }
            let values = [(":openid", text(person.openid)), (":now", number(now))];
            let values = values.into_iter().chain(replaced_values);
            let condition = "attribute_exists(pk) AND attribute_not_exists(openid) AND expires_at > :now";
            let transaction = transaction.update(&self.binding_pk(id), &expression, condition, values);
            if transaction.commit().await? {
                binding.openid = Some(person.openid.to_owned());
                binding.replaced = replaced;
                return Ok(BindOutcome::Bound(binding));
            }
        }
        Err(contended(TRANSACTION))
    }

    fn binding_pk(&self, id: &str) -> String {
        format!("{}#{id}", self.pk("bind"))
    }
}
