//! HTTPS, as AWS and WeChat speak it: to those alone that the root certificates vouch for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use testing::{Authority, TlsFront};

use crate::stage::{Answer, SEND, Stage, message, send};

/// The variables that say where the services are.
const SERVICES: [&str; 2] = ["WECHAT_API_BASE", "AWS_ENDPOINT_URL_DYNAMODB"];

fn roots(name: &str, authority: &Authority) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, authority.pem()).unwrap();
    path
}

/// A send with the service that `variable` names behind HTTPS, trusting those in `roots`.
async fn send_over_https(stage: &Stage, variable: &str, authority: &Authority, roots: &Path) -> Answer {
    let endpoint = match variable {
        "WECHAT_API_BASE" => stage.simulator.base_url(),
        _ => stage.table.endpoint(),
    };
    let front = TlsFront::start(authority, &endpoint).await.unwrap();
    let (endpoint, roots) = (front.endpoint(), roots.to_str().unwrap());
    let changes = [(variable, endpoint.as_str()), ("SSL_CERT_FILE", roots)];
    send(&mut stage.function_with(&changes).await, &message()).await
}

#[tokio::test]
async fn a_message_goes_out_over_https() {
    let (stage, authority) = (Stage::new().await, Authority::new());
    let roots = roots("trusted.pem", &authority);
    for variable in SERVICES {
        let answer = send_over_https(&stage, variable, &authority, &roots).await;
        assert_eq!(answer.status, 200, "{variable}: {answer:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_unknown_origin_is_refused() {
    let stage = Stage::new().await;
    let roots = roots("stranger.pem", &Authority::new());
    for variable in SERVICES {
        let answer = send_over_https(&stage, variable, &Authority::new(), &roots).await;
        assert!(answer.status >= 500, "{variable}: {answer:?}");
    }
    assert_eq!(stage.calls(Some(SEND)).await, 0);
}
