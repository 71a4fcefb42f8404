//! `/api/bindings`: QR codes and links that bind one of the team's users to the person who scans or opens them.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Response;
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, Location, Parameter, Schema},
    response, route,
};
use qrcode::{EcLevel, QrCode as Drawing, render::svg};
use serde::Serialize;
use serde_json::Value;
use wechat::{
    api::calls::qr_code::{CreateQrCode, QrCode},
    clock::Deadline,
    errcode::UNAUTHORIZED,
    message::BINDING_SCENE,
    page::PageUrl,
    random,
    store::{BindingState, NewBinding},
    validate::{Fault, Place, Reader},
};

use crate::{
    App,
    users::{ShownReplaced, read_user},
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Users, POST "/api/bindings" => create, Operation {
        id: "createBinding",
        summary: "Make a QR code and a link that bind a user / 创建绑定二维码与链接",
        description: "Whoever scans the code or opens the link first is bound to the user, once.",
        body: Some(Body::required("NewBinding")),
        answers: &[(201, "The binding, with its code and its link", Schema::Named("CreatedBinding"))],
        failures: &[400, 413, 429],
        ..Operation::NEW
    }),
    route!(Users, GET "/api/bindings/{binding}" => get, Operation {
        id: "getBinding",
        summary: "Query a binding / 查询绑定结果",
        parameters: &[Parameter {
            name: "binding",
            location: Location::Path,
            description: "",
            schema: r#"{"type": "string"}"#,
        }],
        answers: &[(200, "The binding, kept for a day after its end", Schema::Named("Binding"))],
        failures: &[404],
        ..Operation::NEW
    }),
];

/// Random bytes of a binding's id.
const ID_BYTES: usize = 16;
/// Seconds.
const DEFAULT_LIFE: u32 = 600;
/// Seconds.
const SHORTEST_LIFE: u32 = 30;
/// Seconds.
const LONGEST_LIFE: u32 = 86_400;
/// Why a binding has no QR code, when WeChat refuses the account the right to make one.
const CANNOT_MAKE_CODES: &str = "WeChat answers 48001: this account may not make QR codes with a parameter. A verified service \
    account (已认证服务号) or a test account (测试号) may. Give the user the link instead, which \
    needs PUBLIC_URL. / 微信返回 48001：该账号无权生成带参数二维码，需已认证服务号或测试号。请改用链接 link（需设置 PUBLIC_URL）。";
/// Pixels. The least width and height of the picture.
const PICTURE_SIZE: u32 = 240;

/// A new binding in the answer.
#[derive(Serialize)]
struct Created<'a> {
    binding: &'a str,
    user: &'a str,
    state: &'static str,
    expires_at: i64,
    qr: Option<Qr>,
    /// Why there is no QR code.
    #[serde(skip_serializing_if = "Option::is_none")]
    qr_problem: Option<&'static str>,
    link: Option<String>,
}

#[derive(Serialize)]
struct Qr {
    url: String,
    ticket: String,
    /// The picture, as a `data:` URL.
    image: String,
}

#[derive(Serialize)]
struct Shown<'a> {
    binding: &'a str,
    user: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    openid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<ShownReplaced<'a>>,
}

const fn name(state: BindingState) -> &'static str {
    match state {
        BindingState::Pending => "pending",
        BindingState::Bound => "bound",
        BindingState::Expired => "expired",
    }
}

/// A request for a binding.
struct Wanted {
    user: String,
    expires_in: u32,
    return_to: Option<PageUrl>,
}

/// Serves `POST /api/bindings`.
async fn create(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let wanted = read(app, &request.json()?).map_err(Problem::faulty_request)?;
    let id = random::hex::<ID_BYTES>();
    let (qr, qr_problem) = match qr_code(app, &id, wanted.expires_in, request.deadline()).await {
        Ok(qr) => (Some(qr), None),
        Err(problem) if problem.errcode() == Some(UNAUTHORIZED) => (None, Some(CANNOT_MAKE_CODES)),
        Err(problem) => return Err(problem),
    };
    let expires_at = app.now() + i64::from(wanted.expires_in);
    let binding = NewBinding {
        id: &id,
        user: &wanted.user,
        expires_at,
        return_to: wanted.return_to.as_ref().map(PageUrl::as_str),
    };
    app.account.table.create_binding(binding).await?;
    let created = Created {
        binding: &id,
        user: &wanted.user,
        state: name(BindingState::Pending),
        expires_at,
        qr,
        qr_problem,
        link: app.public_url.as_ref().map(|base| format!("{base}/bind/{id}")),
    };
    Ok(response::json(201, &created))
}

async fn qr_code(app: &App, id: &str, expire_seconds: u32, deadline: Deadline) -> Result<Qr, Problem> {
    let scene = format!("{BINDING_SCENE}{id}");
    let call = CreateQrCode {
        scene: &scene,
        expire_seconds,
    };
    let QrCode { url, ticket, .. } = app.account.call(&call, deadline).await?;
    let image = picture(&url).ok_or_else(|| {
        Problem::bad_answer("the URL of WeChat's QR code is too long to draw / 微信返回的二维码地址过长，无法绘制")
    })?;
    Ok(Qr { url, ticket, image })
}

/// Draws the QR code of `url` as a `data:` URL. `None` when the text is too long for a code.
fn picture(url: &str) -> Option<String> {
    let drawing = Drawing::with_error_correction_level(url, EcLevel::M).ok()?;
    let svg = drawing
        .render::<svg::Color<'_>>()
        .min_dimensions(PICTURE_SIZE, PICTURE_SIZE)
        .build();
    Some(format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg)))
}

/// Serves `GET /api/bindings/{binding}`.
async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let id = request.parameter("binding");
    let now = app.now();
    let binding = match is_id(id) {
        true => app.account.table.binding(id, now).await?,
        false => None,
    };
    let binding = binding.ok_or_else(|| {
        Problem::not_found("there is no such binding, or it ended more than a day ago / 没有该绑定，或其结束已超过一天")
    })?;
    Ok(response::json(
        200,
        &Shown {
            binding: id,
            user: &binding.user,
            state: name(binding.state(now)),
            openid: binding.openid.as_deref(),
            replaced: ShownReplaced::new(&binding.replaced),
        },
    ))
}

/// Whether `id` may be a binding's.
pub(crate) fn is_id(id: &str) -> bool {
    random::is_hex::<ID_BYTES>(id)
}

fn read(app: &App, body: &Value) -> Result<Wanted, Vec<Fault>> {
    let mut reader = Reader::of_request();
    let read = read_binding(app, &mut reader, body);
    reader.finish(read)
}

fn read_binding(app: &App, reader: &mut Reader, body: &Value) -> Option<Wanted> {
    let object = reader.object_of(Place::Root, body, &["user", "expires_in", "return_to"])?;
    let user = read_user(reader, &object);
    let place = object.place.member("expires_in");
    let expires_in = match object.get("expires_in") {
        None => Some(DEFAULT_LIFE),
        Some(value) => reader
            .integer(&place, value)
            .and_then(|seconds| u32::try_from(seconds).ok()),
    };
    if !expires_in.is_some_and(|seconds| (SHORTEST_LIFE..=LONGEST_LIFE).contains(&seconds)) {
        reader.fault(
            &place,
            format!("must be {SHORTEST_LIFE} to {LONGEST_LIFE} seconds / 应为 {SHORTEST_LIFE} 至 {LONGEST_LIFE} 秒"),
        );
    }
    let return_to = reader.optional_text(&object, "return_to").and_then(|address| {
        let page = PageUrl::parse(address, &app.login_hosts);
        let page =
            page.map_err(|error| reader.fault(&object.place.member("return_to"), error.with_variable("LOGIN_HOSTS")));
        page.ok()
    });
    Some(Wanted {
        user: user?,
        expires_in: expires_in?,
        return_to,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_drawn_from_the_url_and_scales() {
        let picture = picture("http://weixin.qq.com/q/02abcdefghijklmnop").unwrap();
        let svg = STANDARD
            .decode(picture.strip_prefix("data:image/svg+xml;base64,").unwrap())
            .unwrap();
        let svg = String::from_utf8(svg).unwrap();
        assert!(svg.contains("<svg") && svg.contains("viewBox"), "{svg:.200}");
        assert!(picture.len() < 20_000, "{}", picture.len());
        assert!(super::picture(&"x".repeat(3000)).is_none());
    }
}
