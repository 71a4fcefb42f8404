//! 提交 in WeChat's console: the signed GET that a callback URL must answer with its `echostr`.

use reqwest::{StatusCode, Url};
use serde::Serialize;

use crate::{callback::describe, clock::wall_seconds, crypto::sign, simulation::Simulation};

/// How much of a wrong answer is quoted.
const QUOTED_CHARACTERS: usize = 200;

/// Whether the console would take the URL.
#[derive(Debug, Serialize)]
pub(crate) struct Verification {
    ok: bool,
    /// What was sent, and what had to come back as it was.
    echostr: String,
    /// The HTTP status; null when there was no answer.
    status: Option<u16>,
    /// The beginning of the answer's body.
    answer: Option<String>,
    /// Why the answer was not right.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Simulation {
    /// Asks the callback URL as WeChat does before it pushes anything there. `None` without such a URL.
    pub(crate) async fn verify_callback_url(&self) -> Option<Verification> {
        let url = self.callback_url.clone()?;
        let echostr = self.platform().random.digits(19);
        let mut verification = Verification {
            ok: false,
            echostr,
            status: None,
            answer: None,
            error: None,
        };
        let outcome = self.ask(url, &mut verification).await;
        verification.ok = outcome.is_ok();
        verification.error = outcome.err();
        Some(verification)
    }

    async fn ask(&self, mut url: Url, verification: &mut Verification) -> Result<(), String> {
        let timestamp = wall_seconds().to_string();
        let nonce = self.platform().random.digits(10);
        url.query_pairs_mut()
            .append_pair("signature", &sign(&[&self.account.token, &timestamp, &nonce]))
            .append_pair("timestamp", &timestamp)
            .append_pair("nonce", &nonce)
            .append_pair("echostr", &verification.echostr);
        let request = self.http.get(url).timeout(self.settings.callback_timeout);
        let response = request.send().await.map_err(describe)?;
        let status = response.status();
        verification.status = Some(status.as_u16());
        let body = response.bytes().await.map_err(describe)?;
        let text = String::from_utf8_lossy(&body);
        verification.answer = Some(text.chars().take(QUOTED_CHARACTERS).collect());
        check_status(status)?;
        check_answer(&text, &verification.echostr)
    }
}

fn check_status(status: StatusCode) -> Result<(), String> {
    if status == StatusCode::OK {
        return Ok(());
    }
    let hint = match status.as_u16() {
        300..=399 => "WeChat follows no redirect",
        401 | 403 => "another token may be configured there, or something in front of the server refuses WeChat",
        404 | 405 => "the path of the URL is not that of the callback, or it takes no GET",
        _ => "the server failed",
    };
    Err(format!("the server answered HTTP {status}: {hint}"))
}

fn check_answer(answer: &str, echostr: &str) -> Result<(), String> {
    let flaw = if answer == echostr {
        return Ok(());
    } else if answer.is_empty() {
        "the answer is empty; the echostr must come back"
    } else if answer.trim_matches(|character: char| character.is_whitespace() || matches!(character, '\u{feff}' | '"'))
        == echostr
    {
        "white space, a byte order mark or quotes stand around the echostr; it must come back bare"
    } else if answer.contains(echostr) {
        "the echostr is wrapped in something else (HTML, JSON, XML); it must come back bare"
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
