//! Answers from `WECHAT_API_BASE`: from WeChat, or from anything between it and us.

use http::StatusCode;
use http_api::Problem;
use serde_json::Value;
use wechat::api::{
    ApiError, Call, Template,
    calls::{template::SendTemplateMessage, token::GetStableToken},
    read_answer,
};

const NOW: i64 = 1_767_225_600;

/// Reads an answer to a send and to a token request, each also with a broken proxy's status.
///
/// An errcode is never taken for a success, and our API reports it as a problem document with its details.
pub fn answer(body: &[u8]) {
    let operations = [
        (SendTemplateMessage::PATH, SendTemplateMessage::ISSUES_TOKENS),
        (GetStableToken::PATH, GetStableToken::ISSUES_TOKENS),
    ];
    for (operation, issues_tokens) in operations {
        for status in [StatusCode::OK, StatusCode::BAD_GATEWAY] {
            let plain: Option<Value> = serde_json::from_slice(body).ok();
            let errcode = plain
                .as_ref()
                .and_then(|answer| answer.get("errcode"))
                .and_then(Value::as_i64);
            match read_answer(operation, issues_tokens, status, body) {
                Ok(answer) => {
                    assert!(status.is_success() && matches!(errcode, None | Some(0)));
                    read_templates(&answer);
                }
                Err(error) => {
                    if let Some(errcode) = errcode.filter(|errcode| *errcode != 0) {
                        assert_eq!(error.errcode(), Some(errcode));
                    }
                    explain(&error);
                }
            }
        }
    }
}

fn read_templates(answer: &Value) {
    let Ok(templates) = serde_json::from_value::<Vec<Template>>(answer["template_list"].clone()) else {
        return;
    };
    for template in templates {
        for field in template.fields() {
            assert!(template.content.contains(field));
        }
    }
}

fn explain(error: &ApiError) {
    assert!(!error.to_string().is_empty());
    let response = Problem::from_api(error, NOW).into_response();
    let status = response.status().as_u16();
    // 200 is missing: errcode 0 is not an error.
    assert!([400, 404, 429, 502, 503, 504].contains(&status), "{status}");
    let problem: Value = serde_json::from_str(response.body()).expect("a problem is JSON");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["errcode"].as_i64(), error.errcode());
    if let ApiError::Rejected { rejection, .. } = error {
        for detail in ["rid", "field"] {
            if let Some(detail) = problem[detail].as_str() {
                assert!(rejection.errmsg.contains(detail));
            }
        }
    }
}
