//! Events as API Gateway, or whoever may invoke the function, hands them over.

use http::Response;
use http_api::HeaderlessRequest;
use lambda_http::{Context, LambdaEvent, Request, RequestExt, request::LambdaRequest};
use serde_json::{Value, json};
use wechat::{callback::CallbackQuery, clock::SystemClock, response, secret::Secret};

/// An event, as JSON. What is an event is answered with an HTTP status, and nothing but a key or the gateway's JWT
/// authorizer lets a caller in. Without its headers it is the same request.
pub fn gateway_event(json: &[u8]) {
    let headerless = serde_json::from_slice::<HeaderlessRequest>(json);
    if let Ok(request) = &headerless {
        // Read before anything is verified, so whatever it holds.
        let _ = CallbackQuery::from_pairs(request.query());
    }
    let Ok(event) = serde_json::from_slice::<LambdaRequest>(json) else {
        return;
    };
    let json: Value = serde_json::from_slice(json).unwrap_or_default();
    let has_raw_query = json["rawQueryString"].as_str().is_some_and(|query| !query.is_empty());
    let event = LambdaEvent::new(event, Context::default());
    let answer = now_or_never(http_api::answer(event, &|request| {
        if let Ok(headerless) = &headerless {
            assert_same(headerless, &request, has_raw_query);
        }
        respond(request)
    }));
    let answer = serde_json::to_value(answer).expect("an answer is JSON");
    let status = answer["statusCode"].as_u64().expect("an answer has a status");
    assert!([200, 400, 401, 413].contains(&status), "{answer}");
}

fn assert_same(headerless: &HeaderlessRequest, request: &Request, has_raw_query: bool) {
    assert_eq!(headerless.method(), request.method());
    assert_eq!(headerless.body(), request.body().as_ref());
    if !has_raw_query {
        // What stands in its place is not read alike: no gateway makes such an event.
        return;
    }
    let parameters = request.query_string_parameters();
    assert_eq!(headerless.query().count(), parameters.iter().count());
    for (name, value) in headerless.query() {
        assert!(parameters.all(&name).is_some_and(|values| values.contains(&&*value)));
    }
}

/// Waits for what never waits: nothing here does I/O.
fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => unreachable!("nothing waits"),
    }
}

/// What every function does with a request before it looks at its own path.
async fn respond(request: Request) -> Response<String> {
    let keys = [Secret::new("kept from the fuzzer")];
    http_api::serve(&request, &keys, &SystemClock, |_, _| {
        let request = &request;
        async move {
            let context = serde_json::to_value(request.request_context_ref()).unwrap_or_default();
            let jwt = context.pointer("/authorizer/jwt");
            assert!(jwt.is_some_and(|jwt| !jwt.is_null()), "nobody has the key: {context}");
            let body: Value = http_api::json_body(request)?;
            Ok(response::json(
                200,
                &json!({"path": request.raw_http_path(), "body": body}),
            ))
        }
    })
    .await
}
