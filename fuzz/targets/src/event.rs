//! Events as API Gateway, or whoever may invoke the function, hands them over.

use http::Response;
use lambda_http::{Context, LambdaEvent, Request, RequestExt, request::LambdaRequest};
use serde_json::{Value, json};
use wechat::{callback::CallbackQuery, clock::SystemClock, response, secret::Secret};

/// An event, as JSON. What is an event is answered with an HTTP status, and nothing but a key or the gateway's JWT
/// authorizer lets a caller in.
pub fn gateway_event(json: &[u8]) {
    let Ok(event) = serde_json::from_slice::<LambdaRequest>(json) else {
        return;
    };
    let event = LambdaEvent::new(event, Context::default());
    let answer = now_or_never(http_api::answer(event, &respond));
    let answer = serde_json::to_value(answer).expect("an answer is JSON");
    let status = answer["statusCode"].as_u64().expect("an answer has a status");
    assert!([200, 400, 401, 413].contains(&status), "{answer}");
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
    let query = request.query_string_parameters_ref();
    if let Some(query) = query {
        // Read before anything is verified, so whatever it holds.
        let _ = CallbackQuery::from_pairs(query.iter());
    }
    let keys = [Secret::new("kept from the fuzzer")];
    http_api::serve(&request, &keys, &SystemClock, |deadline| {
        let request = &request;
        async move {
            let context = serde_json::to_value(request.request_context_ref()).unwrap_or_default();
            let jwt = context.pointer("/authorizer/jwt");
            assert!(jwt.is_some_and(|jwt| !jwt.is_null()), "nobody has the key: {context}");
            let _ = deadline;
            let body: Value = http_api::json_body(request)?;
            Ok(response::json(
                200,
                &json!({"path": request.raw_http_path(), "body": body}),
            ))
        }
    })
    .await
}
