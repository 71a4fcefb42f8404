//! Problems of failed sends, with hints about refusals whose cause shows in the request: the errcode alone would mislead the
//! reader.
//! See [WeChat Docs/发送模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage).

use http_api::Problem;
use wechat::{
    api::{ApiError, Rejection},
    errcode::{self, INVALID_ARGUMENT},
    token::{CallError, CallFailure},
    validate::{send::SendTemplate, template},
};

/// The hint when WeChat could not be reached.
const NOT_SENT: &str = "Nothing was sent: send it again. / 尚未发送，请重新发送。";

/// Builds the problem of a failed send. Does not say whether an attempt may have been accepted.
pub(crate) fn problem(error: &CallError) -> Problem {
    match &error.cause {
        CallFailure::Api(ApiError::OutOfTime { .. }) => Problem::not_sent(),
        CallFailure::Api(ApiError::Connection { .. }) => Problem::from(error).and_hint(NOT_SENT),
        _ => Problem::from(error),
    }
}

/// Adds the cause of `error` to the hint of `problem`, if `request` shows it.
pub(crate) fn explain(problem: Problem, request: &SendTemplate, error: &CallError) -> Problem {
    let CallFailure::Api(ApiError::Rejected { rejection, .. }) = &error.cause else {
        return problem;
    };
    match cause(request, rejection) {
        Some(cause) => problem.with_hint(cause),
        None => problem,
    }
}

fn cause(request: &SendTemplate, rejection: &Rejection) -> Option<String> {
    match rejection.errcode {
        INVALID_ARGUMENT => cause_in_field(request, &rejection.errmsg),
        _ => None,
    }
}

fn cause_in_field(request: &SendTemplate, errmsg: &str) -> Option<String> {
    let field = errcode::rejected_field(errmsg)?;
    let Some(given) = request.content.data.get(field) else {
        let misnamed = request.content.data.keys().find(|name| template::means(name, field));
        return Some(misnamed.map_or_else(
            || format!("data lacks {field}, a field of the template. / data 中缺少模板字段 {field}。"),
            |name| format!("data holds {name:?}: {}", template::misnamed(field)),
        ));
    };
    // WeChat writes "is empty", in the past "is emtpy", and truncates long texts ("is emp").
    let is_called_empty = errmsg.contains("is emp") || errmsg.contains("is emt");
    if is_called_empty && !given.value.is_empty() {
        Some(format!(
            "{field} is not empty in the request, but WeChat drops emoji, line breaks and other characters that it does not \
             show, and nothing is left: add some text. \
             / {field} 并非空值：微信会先删除 emoji、换行等不可显示的字符，删除后内容为空，请填写文字。"
        ))
    } else if template::is_const(field) {
        Some(format!(
            "{field} is a const: it accepts only a value that WeChat approved for this template of this account, letter by \
             letter, or an empty one. See 模板消息 in the console. \
             / {field} 为常量：只能是本账号该模板审核通过的枚举值（须逐字一致）或空值，请在后台“模板消息”中查看或申请。"
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hint(data: &Value, errcode: i64, errmsg: &str) -> Option<String> {
        let body = json!({"touser": "o1", "template_id": "T", "data": data});
        let request = SendTemplate::read(&body).unwrap();
        let rejection = Rejection {
            errcode,
            errmsg: errmsg.to_owned(),
            at_token_endpoint: false,
        };
        cause(&request, &rejection)
    }

    fn says(data: &Value, errmsg: &str, part: &str) {
        let hint = hint(data, 47003, errmsg).unwrap_or_default();
        assert!(hint.contains(part) && hint.contains(" / "), "{errmsg}: {hint}");
    }

    #[test]
    fn the_hint_for_a_refused_field_says_what_the_request_shows() {
        let empty = "argument invalid! data.time3.value is empty rid: 65936d46-64a9ab26-63986c01";
        says(&json!({"time3.DATA": "10:00"}), empty, "call it time3");
        says(&json!({"{{time3.DATA}}": "10:00"}), empty, "call it time3");
        says(&json!({"thing1": "x"}), empty, "data lacks time3");
        for errmsg in [
            empty,
            "data.time3.value is emtpy",
            "data.time3.value is emp rid: 65b87c16-3061a299-2740a332",
        ] {
            says(&json!({"time3": "😀"}), errmsg, "drops emoji");
        }
        let invalid = "argument invalid! data.const2.value invalid rid: 67ad98ec-79d7c73a-77f41e76";
        says(&json!({"const2": "严重"}), invalid, "approved");
    }

    #[test]
    fn what_the_request_does_not_show_is_left_to_the_errcode() {
        let long = "argument invalid! data.thing1.value invalid";
        assert_eq!(hint(&json!({"thing1": "x"}), 47003, long), None);
        assert_eq!(hint(&json!({"const2": ""}), 47003, "argument invalid!"), None);
        assert_eq!(hint(&json!({"time3": ""}), 47003, "data.time3.value is empty"), None);
        assert_eq!(hint(&json!({}), 43004, "require subscribe"), None);
    }
}
