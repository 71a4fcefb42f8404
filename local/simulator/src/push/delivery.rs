//! Delivering notices to the account's server: signing, encryption, redelivery, and what the user sees in the end.

use std::error::Error;

use reqwest::{Client, StatusCode, Url, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::{Channel, Target, crypto::sign, reply::Expected};
use crate::{
    observe::Observation,
    platform::{
        clock::wall_seconds,
        faults::CALLBACK,
        format::Format,
        notice::{Content, Notice},
        users::Shown,
    },
    settings::Mode,
};

/// Deliveries of one notice before the platform gives up.
///
/// See [WeChat Docs/被动回复用户消息](https://developers.weixin.qq.com/doc/service/en/guide/product/message/Passive_user_reply_message.html).
const MAX_DELIVERIES: u32 = 3;

/// What the user sees when no delivery got a usable answer.
const FAILURE_TEXT: &str = "该公众号提供的服务出现故障，请稍后再试";

/// The outcome of pushing a notice.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Delivery {
    /// The reply, decoded to JSON; null when the server only acknowledged.
    pub(crate) reply: Option<Value>,
    /// How often the notice was pushed; 0 without a callback URL.
    pub(crate) deliveries: u32,
    /// The HTTP status of the last answer; null without one.
    pub(crate) status: Option<u16>,
    /// Why the last delivery failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

struct Failure {
    status: Option<StatusCode>,
    reason: String,
}

impl Channel {
    /// Pushes a notice until the answer is usable, at most three times, and shows the outcome on the user's phone.
    pub(crate) async fn deliver(&self, notice: &Notice) -> Delivery {
        let mut delivery = Delivery::default();
        loop {
            // Read for each delivery, so that a redelivery goes to the address of that moment.
            let Target { url: Some(url), http } = self.target() else {
                return delivery;
            };
            if self.is_blocked() {
                delivery.error = Some("pushes are blocked for a minute after too many failures (MarkFail)".to_owned());
                break;
            }
            let started = Instant::now();
            delivery.deliveries += 1;
            match self.push(&http, url, notice).await {
                Ok(reply) => {
                    self.platform.lock().mark_fail.record_success();
                    if let Some(reply) = &reply {
                        self.show_reply(notice, reply);
                    }
                    return Delivery {
                        reply,
                        deliveries: delivery.deliveries,
                        status: Some(StatusCode::OK.as_u16()),
                        error: None,
                    };
                }
                Err(Failure { status, reason }) => {
                    self.record_failure();
                    tracing::warn!(delivery = delivery.deliveries, reason, "callback failed");
                    delivery.status = status.map(|status| status.as_u16());
                    self.settings.observe(|| Observation::FailedDelivery {
                        openid: notice.openid.clone(),
                        delivery: delivery.deliveries,
                        status: delivery.status,
                        reason: reason.clone(),
                        took: started.elapsed(),
                    });
                    delivery.error = Some(reason);
                }
            }
            if delivery.deliveries == MAX_DELIVERIES {
                break;
            }
            // The interval counts from start to start: a delivery that timed out is repeated at once.
            sleep_until(started + self.settings.redelivery_interval).await;
        }
        self.show_failure(notice);
        delivery
    }

    fn is_blocked(&self) -> bool {
        let platform = self.platform.lock();
        platform.mark_fail.blocked_until(platform.clock.now()).is_some()
    }

    fn record_failure(&self) {
        let platform = &mut *self.platform.lock();
        platform.mark_fail.record_failure(platform.clock.now());
    }

    /// Pushes a notice once and reads the answer.
    async fn push(&self, http: &Client, url: Url, notice: &Notice) -> Result<Option<Value>, Failure> {
        let (format, fault) = {
            let platform = &mut *self.platform.lock();
            (platform.format, platform.faults.take(CALLBACK))
        };
        let (url, body) = self.sign_and_seal(url, notice, format);
        let request = http
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
                reason: "a fault of the simulator dropped the answer".to_owned(),
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
        expected.read(&body).map_err(fail)
    }

    /// Signs and encrypts the message. Every delivery has its own nonce and ciphertext, with the same message inside.
    fn sign_and_seal(&self, mut url: Url, notice: &Notice, format: Format) -> (Url, String) {
        let (nonce, prefix) = {
            let random = &mut self.platform.lock().random;
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
        // A message handed to an agent or to the AI is answered elsewhere.
        let is_transfer = reply["MsgType"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("transfer_"));
        if !is_transfer {
            self.show(notice, |at| Shown::Reply {
                at,
                reply: reply.clone(),
            });
        }
    }

    fn show_failure(&self, notice: &Notice) {
        self.show(notice, |at| Shown::Notice {
            at,
            text: FAILURE_TEXT.to_owned(),
        });
    }

    /// Shows something on the user's phone, if the user waits for a reply.
    fn show(&self, notice: &Notice, shown: impl FnOnce(i64) -> Shown) {
        if notice.awaits_reply {
            let platform = &mut *self.platform.lock();
            platform.users.show(&notice.openid, shown(platform.clock.now()));
        }
    }
}

/// The text of an error and its sources, without the URL and its signatures.
pub(super) fn describe(error: reqwest::Error) -> String {
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
