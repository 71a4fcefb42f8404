//! 提交 in WeChat's console: the signed GET that a callback URL must answer with its `echostr`.
//!
//! See [WeChat Docs/消息推送](https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/message-push.html).

use reqwest::{Client, StatusCode, Url};
use serde::Serialize;

use super::{Channel, Target, crypto::sign, delivery::describe};
use crate::platform::clock::wall_seconds;

/// Characters of a wrong answer that are quoted.
const QUOTED_CHARACTERS: usize = 200;

/// Whether the console would accept the URL.
#[derive(Debug, Serialize)]
pub(crate) struct UrlCheck {
    ok: bool,
    /// The text sent, which had to come back unchanged.
    echostr: String,
    /// The HTTP status; null without an answer.
    status: Option<u16>,
    /// The start of the answer's body.
    answer: Option<String>,
    /// What is wrong with the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Channel {
    /// Calls the callback URL as WeChat does before it pushes anything there. `None` without such a URL.
    pub(crate) async fn check_url(&self) -> Option<UrlCheck> {
        let Target { url, http } = self.target();
        let url = url?;
        let echostr = self.platform.lock().random.digits(19);
        let mut check = UrlCheck {
            ok: false,
            echostr,
            status: None,
            answer: None,
            error: None,
        };
        check.error = self.call_url(&http, url, &mut check).await.err();
        check.ok = check.error.is_none();
        Some(check)
    }

    async fn call_url(&self, http: &Client, mut url: Url, check: &mut UrlCheck) -> Result<(), String> {
        let timestamp = wall_seconds().to_string();
        let nonce = self.platform.lock().random.digits(10);
        url.query_pairs_mut()
            .append_pair("signature", &sign(&[&self.account.token, &timestamp, &nonce]))
            .append_pair("timestamp", &timestamp)
            .append_pair("nonce", &nonce)
            .append_pair("echostr", &check.echostr);
        let request = http.get(url).timeout(self.settings.callback_timeout);
        let response = request.send().await.map_err(describe)?;
        let status = response.status();
        check.status = Some(status.as_u16());
        let body = response.bytes().await.map_err(describe)?;
        let text = String::from_utf8_lossy(&body);
        check.answer = Some(text.chars().take(QUOTED_CHARACTERS).collect());
        check_status(status)?;
        check_answer(&text, &check.echostr)
    }
}

fn check_status(status: StatusCode) -> Result<(), String> {
    if status == StatusCode::OK {
        return Ok(());
    }
    let hint = match status.as_u16() {
        300..=399 => "WeChat follows no redirect",
        401 | 403 => "another token may be configured there, or a proxy in front of the server refuses WeChat",
        404 | 405 => "the path of the URL is not the webhook's, or it accepts no GET",
        _ => "the server failed",
    };
    Err(format!("the server answered HTTP {status}: {hint}"))
}

fn check_answer(answer: &str, echostr: &str) -> Result<(), String> {
    let flaw = if answer == echostr {
        return Ok(());
    } else if answer.is_empty() {
        "the answer is empty, not the echostr"
    } else if answer.trim_matches(|character: char| character.is_whitespace() || matches!(character, '\u{feff}' | '"'))
        == echostr
    {
        "white space, a byte order mark or quotes surround the echostr; answer it bare"
    } else if answer.contains(echostr) {
        "the echostr is wrapped in something else (HTML, JSON, XML); answer it bare"
    } else {
        "the answer is not the echostr"
    };
    Err(flaw.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bare_echostr_is_right_and_the_flaw_is_named() {
        assert_eq!(check_answer("123", "123"), Ok(()));
        for (answer, part) in [
            ("", "empty"),
            ("123\n", "white space"),
            ("\u{feff}123", "byte order mark"),
            ("\"123\"", "quotes"),
            ("<p>123</p>", "wrapped"),
            ("success", "not the echostr"),
        ] {
            assert!(check_answer(answer, "123").unwrap_err().contains(part), "{answer}");
        }
    }
}
