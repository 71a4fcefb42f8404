//! `local health` and `local doctor`: they ask the bundle that runs on this machine.

use std::time::Duration;

use serde::Deserialize;

use super::{CommandError, Outcome};
use crate::{SIMULATED_API_KEY, gateway, options::Options};

/// The time for `/health` to answer. Container engines give a check 3 s or more.
const HEALTH_WITHIN: Duration = Duration::from_secs(3);
/// The time for the doctor to answer: a request takes 25 s at most.
const DOCTOR_WITHIN: Duration = Duration::from_secs(30);

/// Asks whether the bundle serves.
pub(super) async fn health(options: &Options) -> Result<Outcome, CommandError> {
    let url = address(options, gateway::HEALTH);
    let response = get(&url, None, HEALTH_WITHIN).await?;
    Ok(Outcome {
        text: response.status().to_string(),
        is_good: response.status().is_success(),
    })
}

#[derive(Deserialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
    hint: Option<String>,
}

/// Asks the doctor, and writes what it found: what failed last, where it is seen.
pub(super) async fn doctor(options: &Options) -> Result<Outcome, CommandError> {
    let url = address(options, "/api/doctor");
    let keys = std::env::var("API_KEYS").unwrap_or_default();
    let key = keys.split(',').map(str::trim).find(|key| !key.is_empty());
    let response = get(&url, Some(key.unwrap_or(SIMULATED_API_KEY)), DOCTOR_WITHIN).await?;
    let status = response.status().as_u16();
    if status == 401 {
        return Err(CommandError::Refused { url });
    }
    let Ok(Report { ok, mut checks }) = response.json::<Report>().await else {
        return Err(CommandError::NotTheDoctor { url, status });
    };
    checks.sort_by_key(|check| !check.ok);
    let has_hints = checks.iter().any(|check| check.hint.is_some());
    let mut lines = Vec::new();
    for Check { name, ok, detail, hint } in checks {
        lines.push(format!("{} {name}: {detail}", if ok { "ok  " } else { "FAIL" }));
        lines.extend(hint.map(|hint| format!("     → {hint}")));
    }
    lines.push(String::new());
    lines.push(
        match (ok, has_hints) {
            (false, _) => "something is wrong, see FAIL / 存在问题，见 FAIL",
            (true, true) => "every check passed; → says what is left to do / 各项检查均已通过；→ 为尚需完成的事项",
            (true, false) => "every check passed / 各项检查均已通过",
        }
        .to_owned(),
    );
    Ok(Outcome {
        text: lines.join("\n"),
        is_good: ok,
    })
}

/// The address at which the bundle of these options serves this machine.
fn address(options: &Options, path: &str) -> String {
    let host = if options.listen.is_unspecified() {
        std::net::Ipv4Addr::LOCALHOST.into()
    } else {
        options.listen
    };
    format!("http://{}{path}", std::net::SocketAddr::new(host, options.port))
}

async fn get(url: &str, key: Option<&str>, within: Duration) -> Result<reqwest::Response, CommandError> {
    let no_answer = |error: reqwest::Error| CommandError::NoAnswer {
        url: url.to_owned(),
        cause: cause(&error.without_url()),
    };
    // The bundle is on this machine: no proxy leads there.
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(within)
        .build()
        .map_err(no_answer)?;
    let mut request = client.get(url);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    request.send().await.map_err(no_answer)
}

/// The innermost cause, which says most: "Connection refused".
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
