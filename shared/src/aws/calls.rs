//! Holds each function to its declared AWS calls, the only ones that its role in `template.yaml` allows.
//!
//! A debug build refuses an undeclared call, so a test fails before IAM refuses. It also records every call in the folder
//! that `RECORD_AWS_CALLS` names, which reveals declared calls that no test makes.

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use serde_json::Value;

/// Restricts `client` to `declared` calls in a debug build. A release build gets `client` unchanged.
pub(super) fn only(declared: &'static [&'static str], client: SharedHttpClient) -> SharedHttpClient {
    if cfg!(debug_assertions) {
        SharedHttpClient::new(DeclaredCalls {
            declared,
            inner: client,
        })
    } else {
        client
    }
}

#[derive(Debug)]
struct DeclaredCalls<I> {
    declared: &'static [&'static str],
    inner: I,
}

impl HttpClient for DeclaredCalls<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(DeclaredCalls {
            declared: self.declared,
            inner: self.inner.http_connector(settings, components),
        })
    }
}

impl HttpConnector for DeclaredCalls<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let calls = actions(&request);
        match calls.iter().find(|call| !self.declared.contains(&call.as_str())) {
            Some(call) => {
                let refused = format!(
                    "{call} is not declared: add it to AWS_CALLS in the function's lib.rs and to its role in template.yaml"
                );
                tracing::error!("{refused}");
                HttpConnectorFuture::ready(Err(ConnectorError::user(refused.into())))
            }
            None => {
                calls.iter().for_each(|call| record(call));
                self.inner.call(request)
            }
        }
    }
}

/// Returns the IAM actions that `request` needs: none for a request for credentials, one for each write of a transaction.
/// See [AWS Docs/Using IAM with DynamoDB transactions](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html).
fn actions(request: &HttpRequest) -> Vec<String> {
    let Some(target) = request.headers().get("x-amz-target") else {
        let path = request.uri().split('?').next().unwrap_or_default();
        let is_invocation = path.ends_with("/invocations");
        return is_invocation
            .then(|| "lambda:InvokeFunction".to_owned())
            .into_iter()
            .collect();
    };
    if !target.ends_with(".TransactWriteItems") {
        return action(target).into_iter().collect();
    }
    let body: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
    let writes = body["TransactItems"].as_array().into_iter().flatten();
    let kinds = writes.filter_map(|write| write.as_object()?.keys().next());
    kinds.map(|kind| format!("dynamodb:{kind}Item")).collect()
}

fn action(target: &str) -> Option<String> {
    let (service, operation) = target.split_once('.')?;
    let prefix = match service.split('_').next() {
        Some("DynamoDB") => "dynamodb",
        Some("AWSEvents") => "events",
        _ => service,
    };
    Some(format!("{prefix}:{operation}"))
}

/// Records `call` as an empty file, which several processes may create at once.
fn record(call: &str) {
    if let Some(folder) = std::env::var_os("RECORD_AWS_CALLS") {
        // Best effort: a test that reads the record notices that it is missing.
        let _ = std::fs::write(std::path::Path::new(&folder).join(call), "");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static PASSED_ON: AtomicUsize = AtomicUsize::new(0);

    #[derive(Debug)]
    struct Network;

    impl HttpConnector for Network {
        fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
            PASSED_ON.fetch_add(1, Ordering::Relaxed);
            HttpConnectorFuture::ready(Err(ConnectorError::other("no network".into(), None)))
        }
    }

    fn request(uri: &str, target: Option<&'static str>) -> HttpRequest {
        let mut request = HttpRequest::empty();
        request.set_uri(uri).unwrap();
        if let Some(target) = target {
            request.headers_mut().insert("x-amz-target", target);
        }
        request
    }

    #[tokio::test]
    async fn only_declared_calls_are_made() {
        let connector = DeclaredCalls {
            declared: &["dynamodb:GetItem", "lambda:InvokeFunction"],
            inner: SharedHttpConnector::new(Network),
        };
        let invoke = "https://lambda.eu-central-1.amazonaws.com/2015-03-31/functions/f/invocations?Qualifier=live";
        for (uri, target) in [
            ("https://example.com/", Some("DynamoDB_20120810.GetItem")),
            (invoke, None),
            // Credentials.
            ("https://sts.amazonaws.com/", None),
        ] {
            let before = PASSED_ON.load(Ordering::Relaxed);
            connector.call(request(uri, target)).await.unwrap_err();
            assert_eq!(PASSED_ON.load(Ordering::Relaxed), before + 1, "{uri} {target:?}");
        }
        let mut transaction = request("https://example.com/", Some("DynamoDB_20120810.TransactWriteItems"));
        *transaction.body_mut() = r#"{"TransactItems": [{"Put": {}}]}"#.into();
        assert_eq!(actions(&transaction), ["dynamodb:PutItem"]);
        for (target, call) in [
            ("DynamoDB_20120810.Scan", "dynamodb:Scan"),
            ("AWSEvents.PutEvents", "events:PutEvents"),
            ("secretsmanager.GetSecretValue", "secretsmanager:GetSecretValue"),
        ] {
            let before = PASSED_ON.load(Ordering::Relaxed);
            let refused = connector.call(request("https://example.com/", Some(target))).await;
            let refused = crate::error_chain::chain(&refused.unwrap_err());
            assert!(
                [call, "AWS_CALLS", "template.yaml"]
                    .iter()
                    .all(|part| refused.contains(part)),
                "{refused}"
            );
            assert_eq!(PASSED_ON.load(Ordering::Relaxed), before, "{call}");
        }
    }
}
