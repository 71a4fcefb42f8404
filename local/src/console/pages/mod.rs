//! The console's pages, compiled into the binary.

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const MODULE: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The name, content type and content of each file of this folder.
macro_rules! files {
    ($($name:literal: $content_type:ident,)*) => {
        [$(($name, $content_type, include_str!($name)),)*]
    };
}

const FILES: &[(&str, &str, &str)] = &files! {
    "activity.js": MODULE,
    "api.js": MODULE,
    "bind.js": MODULE,
    "buttons.js": MODULE,
    "campaign.js": MODULE,
    "campaigns.js": MODULE,
    "connect.js": MODULE,
    "console.css": CSS,
    "console.js": MODULE,
    "csv.js": MODULE,
    "doctor.js": MODULE,
    "dom.js": MODULE,
    "editor.js": MODULE,
    "format.js": MODULE,
    "i18n.js": MODULE,
    "icon.svg": SVG,
    "index.html": HTML,
    "keywords.js": MODULE,
    "load.js": MODULE,
    "menu.js": MODULE,
    "messages.js": MODULE,
    "own-code.js": MODULE,
    "page.js": MODULE,
    "phone.css": CSS,
    "phone.js": MODULE,
    "platform.js": MODULE,
    "pointer.js": MODULE,
    "problem.js": MODULE,
    "replay.js": MODULE,
    "rules.js": MODULE,
    "send.js": MODULE,
    "snippets.js": MODULE,
    "template.js": MODULE,
    "texts.js": MODULE,
    "token.js": MODULE,
    "world.js": MODULE,
};

pub(super) async fn index() -> Response {
    answer("index.html")
}

pub(super) async fn file(Path(name): Path<String>) -> Response {
    answer(&name)
}

fn answer(name: &str) -> Response {
    match FILES.iter().find(|(file, ..)| *file == name) {
        Some((_, content_type, content)) => ([(header::CONTENT_TYPE, *content_type)], *content).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
