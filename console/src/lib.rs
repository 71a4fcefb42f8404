//! The console's pages, compiled into the binary: HTML, CSS and JavaScript modules as they are in the folder `pages`.
//!
//! `admin` serves [`file()`] at `/console/`: what an operator needs of a deployed bundle. `local` serves the module `local` besides:
//! the phone and what goes with it. No page holds data or a secret: they read the API with the key of whoever opens them.

/// A file of the console.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// The name below `/console/pages/`.
    pub name: &'static str,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The content.
    pub content: &'static str,
}

/// The name of the page at `/console/`.
pub const INDEX: &str = "index.html";

/// Scripts, styles and data come from the page's origin, nothing is inline, and nobody may frame it. The pictures of QR codes are
/// `data:` URLs.
macro_rules! policy {
    () => {
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    };
}

/// The header that, as `same-origin`, keeps pages that open the console away from its window.
pub const OPENER_POLICY: &str = "cross-origin-opener-policy";

/// The page's `Content-Security-Policy`.
pub const CONTENT_SECURITY_POLICY: &str = policy!();

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const MODULE: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The files of a folder, with their types.
macro_rules! files {
    ($folder:literal: $($name:literal $content_type:ident,)*) => {
        &[$(File {
            name: $name,
            content_type: $content_type,
            content: include_str!(concat!("../pages/", $folder, $name)),
        },)*]
    };
}

const FILES: &[File] = files! { "":
    "api.js" MODULE,
    "bind.js" MODULE,
    "buttons.js" MODULE,
    "campaign.js" MODULE,
    "campaigns.js" MODULE,
    "chart.js" MODULE,
    "console.css" CSS,
    "console.js" MODULE,
    "csv.js" MODULE,
    "doctor.js" MODULE,
    "dom.js" MODULE,
    "editor.js" MODULE,
    "fields.js" MODULE,
    "format.js" MODULE,
    "frame.js" MODULE,
    "i18n.js" MODULE,
    "icon.svg" SVG,
    "index.html" HTML,
    "keys.js" MODULE,
    "keywords.js" MODULE,
    "load.js" MODULE,
    "menu.js" MODULE,
    "messages.js" MODULE,
    "own-code.js" MODULE,
    "pointer.js" MODULE,
    "problem.js" MODULE,
    "replies.js" MODULE,
    "route.js" MODULE,
    "rules.js" MODULE,
    "scheduled.js" MODULE,
    "send.js" MODULE,
    "sign-in.js" MODULE,
    "status.js" MODULE,
    "template.js" MODULE,
    "texts.js" MODULE,
    "time.js" MODULE,
    "token.js" MODULE,
    "unsaved.js" MODULE,
};

/// Returns the file with this name.
#[must_use]
pub fn file(name: &str) -> Option<&'static File> {
    find(FILES, name)
}

/// What is shown at `/` of a run on one machine.
#[cfg(feature = "local")]
pub mod local {
    use super::{CSS, File, HTML, MODULE, find};

    /// The page's `Content-Security-Policy`: that of the console, and the phone frames pages of this machine.
    pub const CONTENT_SECURITY_POLICY: &str = concat!(
        policy!(),
        "; frame-src http://127.0.0.1:* http://localhost:* https://127.0.0.1:* https://localhost:*"
    );

    const FILES: &[File] = files! { "local/":
        "activity.js" MODULE,
        "bubbles.js" MODULE,
        "connect.js" MODULE,
        "followers.js" MODULE,
        "index.html" HTML,
        "local.js" MODULE,
        "page.js" MODULE,
        "phone.css" CSS,
        "phone.js" MODULE,
        "platform.js" MODULE,
        "replay.js" MODULE,
        "send.js" MODULE,
        "snippets.js" MODULE,
        "world.js" MODULE,
    };

    /// Returns the file with this name below `/console/pages/local/`.
    #[must_use]
    pub fn file(name: &str) -> Option<&'static File> {
        find(FILES, name)
    }
}

fn find(files: &'static [File], name: &str) -> Option<&'static File> {
    files.iter().find(|file| file.name == name)
}
