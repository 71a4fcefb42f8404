//! Pushing notices to the account's server: signing, encryption, redelivery, and what the user sees in the end.

use std::error::Error;

use reqwest::{StatusCode, Url, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::{
    Mode,
    clock::wall_seconds,
    crypto::sign,
    faults::CALLBACK,
    format::Format,
    notice::Notice,
    observe::Observation,
    phone::{FAILURE_TEXT, Shown},
    reply::{Answer, Expected},
    simulation::Simulation,
    xml::Content,
};

/// The platform gives up after this many.
const MAX_DELIVERIES: u32 = 3;

/// What became of a notice.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Delivery {
    /// The reply, decoded to JSON; null when the server only acknowledged.
    pub(crate) reply: Option<Value>,
    /// How often it was pushed; 0 without a callback URL.
    pub(crate) deliveries: u32,
    /// The HTTP status of the last answer; null when there was none.
    pub(crate) status: Option<u16>,
    /// Why the last delivery failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

struct Failure {
    status: Option<StatusCode>,
    reason: String,
}

impl Simulation {
    /// Pushes a notice until it is answered properly, at most three times, and shows the outcome on the user's phone.
    pub(crate) async fn deliver(&self, notice: &Notice) -> Delivery {
        let mut delivery = Delivery::default();
        let Some(url) = &self.callback_url else {
            return delivery;
        };
        loop {
            if self.is_blocked() {
                delivery.error = Some("pushes are blocked for a minute after too many failures (MarkFail)".to_owned());
                self.show_failure(notice);
                return delivery;
            }
            let started = Instant::now();
            delivery.deliveries += 1;
            match self.push(url, notice).await {
                Ok(answer) => {
                    self.platform().mark_fail.record_success();
                    delivery.status = Some(StatusCode::OK.as_u16());
                    delivery.error = None;
                    if let Answer::Reply(reply) = answer {
                        self.show_reply(notice, &reply);
                        delivery.reply = Some(reply);
                    }
                    return delivery;
                }
                Err(failure) => {
                    self.record_failure();
                    tracing::warn!(
                        delivery = delivery.deliveries,
                        reason = failure.reason,
                        "callback failed"
                    );
                    delivery.status = failure.status.map(|status| status.as_u16());
                    self.observe(|| Observation::FailedDelivery {
                        openid: notice.openid.clone(),
                        delivery: delivery.deliveries,
                        status: delivery.status,
                        reason: failure.reason.clone(),
                        took: started.elapsed(),
                    });
                    delivery.error = Some(failure.reason);
                }
            }
            if delivery.deliveries == MAX_DELIVERIES {
                self.show_failure(notice);
                return delivery;
            }
            // From start to start: a delivery that took its whole time is repeated at once.
            sleep_until(started + self.settings.redelivery_interval).await;
        }
    }

    fn is_blocked(&self) -> bool {
        let platform = self.platform();
        platform.mark_fail.blocked_until(platform.clock.now()).is_some()
    }

    fn record_failure(&self) {
        let platform = &mut *self.platform();
        platform.mark_fail.record_failure(platform.clock.now());
    }

    async fn push(&self, url: &Url, notice: &Notice) -> Result<Answer, Failure> {
        let (format, fault) = {
            let platform = &mut *self.platform();
            (platform.format, platform.faults.take(CALLBACK))
        };
        let (url, body) = self.sign_and_seal(url.clone(), notice, format);
        let request = self
            .http
            .post(url)
            .timeout(self.settings.callback_timeout)
            .header(CONTENT_TYPE, format.content_type())
            .body(body);
        let response = request.send().await.map_err(|error| Failure {
            status: None,
            reason: describe(error),
        })?;
        let status = response.status();
        let fail = |reason: String| Failure {
            status: Some(status),
            reason,
        };
        if status != StatusCode::OK {
            return Err(fail(format!("the server answered HTTP {status}")));
        }
        let body = response.bytes().await.map_err(|error| fail(describe(error)))?;
        if fault.is_some() {
            return Err(Failure {
                status: None,
                reason: "the answer was lost on its way, as the fault wants".to_owned(),
            });
        }
        let expected = Expected {
            account: &self.account,
            cipher: &self.cipher,
            mode: self.settings.mode,
            format,
            openid: &notice.openid,
            max_articles: notice.max_articles,
        };
        expected.read(&body).map_err(|malformed| fail(malformed.to_string()))
    }

    /// Each delivery is signed and encrypted anew; only the message inside stays the same.
    fn sign_and_seal(&self, mut url: Url, notice: &Notice, format: Format) -> (Url, String) {
        let (nonce, prefix) = {
            let random = &mut self.platform().random;
            (random.digits(10), random.alphanumeric(16))
        };
        let token = &self.account.token;
        let timestamp = wall_seconds().to_string();
        url.query_pairs_mut()
            .append_pair("signature", &sign(&[token, &timestamp, &nonce]))
            .append_pair("timestamp", &timestamp)
            .append_pair("nonce", &nonce)
            .append_pair("openid", &notice.openid);
        let mut document = notice.document(&self.account.original_id);
        let clear = format.write(&document);
        if self.settings.mode == Mode::Plain {
            return (url, clear);
        }
        let encrypted = self.cipher.encrypt(&prefix, &clear);
        url.query_pairs_mut()
            .append_pair("encrypt_type", "aes")
            .append_pair("msg_signature", &sign(&[token, &timestamp, &nonce, &encrypted]));
        if self.settings.mode == Mode::Safe {
            document.retain(|(name, _)| name == "ToUserName");
        }
        document.push(("Encrypt".into(), Content::Text(encrypted)));
        (url, format.write(&document))
    }

    fn show_reply(&self, notice: &Notice, reply: &Value) {
        // Handed to an agent or to the AI, the message is answered elsewhere.
        let is_transfer = reply["MsgType"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("transfer_"));
        if notice.awaits_reply && !is_transfer {
            let mut platform = self.platform();
            let shown = Shown::Reply {
                at: platform.clock.now(),
                reply: reply.clone(),
            };
            platform.users.show(&notice.openid, shown);
        }
    }

    fn show_failure(&self, notice: &Notice) {
        if notice.awaits_reply {
            let mut platform = self.platform();
            let shown = Shown::Notice {
                at: platform.clock.now(),
                text: FAILURE_TEXT.to_owned(),
            };
            platform.users.show(&notice.openid, shown);
        }
    }
}

/// The whole chain of an error, without the URL and its signatures.
pub(crate) fn describe(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "the server did not answer in time".to_owned();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
