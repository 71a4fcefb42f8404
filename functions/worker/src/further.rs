//! Sends the replies that follow a passive one, as customer-service messages.
//!
//! WeChat does not recognise a retry of such a message, so the replies of a callback are begun only once: a run that dies
//! half-way, or an answer that is lost, leaves the rest unsent.

use wechat::{
    account::Account,
    api::calls::custom_message::SendCustomMessage,
    bilingual::caused,
    clock::Deadline,
    digest::logged_openid,
    effects::FurtherReplies,
    errcode::Class,
    random,
    sending::{Outcome, refusal},
    store::{Claim, StoreError},
    telemetry::{self, Metric},
    token::CallError,
};

/// Seconds after the passive reply. Further replies that come later are dropped: by then they would answer nothing.
const TOO_LATE_AFTER: i64 = 30 * 60;
/// Seconds. The claim of a run that dies outlasts the retries of Lambda and of the queue that come before
/// [`TOO_LATE_AFTER`], which then send nothing.
const CLAIMED_FOR: i64 = 24 * 3600;

/// Why none of the replies was sent. Another run may send them.
#[derive(Debug, thiserror::Error)]
pub enum FurtherError {
    /// The table could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// WeChat was not asked.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Sends the messages in order, unless an earlier run has begun to or it is too late. Stops when WeChat takes no more for
/// this person. Returns how many WeChat accepted; `None` when an earlier run has begun.
///
/// # Errors
/// [`FurtherError`] when nothing was sent.
pub(crate) async fn send(
    account: &Account,
    further: &FurtherReplies,
    deadline: Deadline,
) -> Result<Option<usize>, FurtherError> {
    let Account { table, clock, .. } = account;
    if clock.now() - further.at > TOO_LATE_AFTER {
        let (messages, openid_sha256) = (further.messages.len(), logged_openid(&further.openid));
        tracing::warn!(
            openid_sha256,
            messages,
            "further replies are too late and are not sent / 后续回复已过时，不再发送"
        );
        telemetry::emit(&[Metric::count("LostReplies")], None, clock.now_millis());
        return Ok(Some(0));
    }
    let (key, owner) = (format!("{}#then", further.key), random::hex::<8>());
    let claimed = table.claim_callback(&key, &owner, clock.now(), CLAIMED_FOR).await;
    match claimed {
        Ok(Claim::Won) => {}
        Ok(Claim::Done | Claim::InProgress) => return Ok(None),
        Err(error) => {
            // The claim may be in the table all the same.
            let _ = table.give_up_callback(&key, &owner).await;
            return Err(error.into());
        }
    }
    let mut accepted = 0;
    for (index, message) in further.messages.iter().enumerate() {
        let call = SendCustomMessage {
            touser: &further.openid,
            message,
        };
        let sent = account.call(&call, deadline).await;
        record(account, further, index, &sent);
        match (Outcome::of(&sent), sent) {
            (_, Ok(())) => accepted += 1,
            (Outcome::NotAttempted, Err(error)) if index == 0 => {
                table.give_up_callback(&key, &owner).await?;
                return Err(error.into());
            }
            (Outcome::NotAttempted, _) => break,
            (Outcome::Refused, Err(error)) if !is_about_the_message(&error) => break,
            _ => {}
        }
    }
    if let Err(error) = table.finish_callback(&key, &owner, clock.now()).await {
        tracing::warn!(%error, "the claim of further replies was not closed, it will expire / 后续回复的处理标记未能关闭，将自行过期");
    }
    Ok(Some(accepted))
}

/// Whether WeChat refused this message, so that the next one may get through.
fn is_about_the_message(error: &CallError) -> bool {
    let class = refusal(error).map(|rejection| rejection.entry().class);
    matches!(class, Some(Class::Caller | Class::Content))
}

/// Writes one log line and one metric for the message.
fn record(account: &Account, further: &FurtherReplies, index: usize, sent: &Result<(), CallError>) {
    let (number, openid_sha256) = (index + 1, logged_openid(&further.openid));
    let of = further.messages.len();
    let outcome = Outcome::of(sent);
    match sent {
        Ok(()) => tracing::info!(openid_sha256, number, of, "further reply sent"),
        Err(error) if outcome == Outcome::Unknown => tracing::warn!(
            %error,
            openid_sha256,
            number,
            of,
            "a further reply may have been sent and is not repeated / 后续回复可能已发送，不再重复"
        ),
        Err(error) => match refusal(error) {
            Some(rejection) => tracing::warn!(
                errcode = rejection.errcode,
                openid_sha256,
                number,
                of,
                "{}",
                caused("WeChat refused a further reply", "微信拒绝了后续回复", rejection)
            ),
            None => {
                tracing::error!(%error, openid_sha256, number, of, "a further reply was not sent / 后续回复未发送");
            }
        },
    }
    outcome.count(1, account.clock.now_millis());
}
