//! HTTPS to AWS and WeChat: only to servers that the root certificates vouch for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use testing::{Authority, Response, Service, Stage, TlsFront, message};

use crate::{BINARY, SEND, send};

/// The services, each with the variable that says where it is.
const SERVICES: [(&str, Service); 2] = [
    ("WECHAT_API_BASE", Service::WeChat),
    ("AWS_ENDPOINT_URL_DYNAMODB", Service::Table),
];

fn roots(name: &str, authority: &Authority) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, authority.pem()).unwrap();
    path
}

/// Sends with one service behind HTTPS, by a function that trusts the authorities in `roots`.
async fn send_over_https(
    stage: &Stage,
    (variable, service): (&str, Service),
    authority: &Authority,
    roots: &Path,
) -> Response {
    let front = TlsFront::start(authority, &stage.endpoint(service)).await;
    let (endpoint, roots) = (front.endpoint(), roots.to_str().unwrap());
    let changes = [(variable, endpoint.as_str()), ("SSL_CERT_FILE", roots)];
    send(&mut stage.function_with(BINARY, &changes).await, &message()).await
}

#[tokio::test]
async fn a_message_goes_out_over_https() {
    let (stage, authority) = (Stage::with_token().await, Authority::new());
    let roots = roots("trusted.pem", &authority);
    for service in SERVICES {
        let answer = send_over_https(&stage, service, &authority, &roots).await;
        assert_eq!(answer.status, 200, "{service:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_unknown_origin_is_refused() {
    let stage = Stage::with_token().await;
    let roots = roots("stranger.pem", &Authority::new());
    for service in SERVICES {
        let answer = send_over_https(&stage, service, &Authority::new(), &roots).await;
        assert!(answer.status >= 500, "{service:?}: {answer:?}");
    }
    assert_eq!(stage.wechat.calls(SEND).await, 0);
}
