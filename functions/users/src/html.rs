//! Short pages for people on WeChat, in Chinese and English. They hold no text of the request and load nothing.

use http::{HeaderValue, Response, header};
use http_api::response::respond;

/// A page that says how a login or a binding ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) chinese: &'static str,
    pub(crate) english: &'static str,
}

pub(crate) const BOUND: Page = Page {
    status: 200,
    chinese: "绑定成功，可以返回微信了。",
    english: "Bound. You can go back to WeChat.",
};
pub(crate) const NO_SUCH_BINDING: Page = Page {
    status: 404,
    chinese: "绑定链接不存在，请重新获取。",
    english: "There is no such link. Please get a new one.",
};
pub(crate) const BINDING_ENDED: Page = Page {
    status: 410,
    chinese: "绑定链接已失效，请重新获取。",
    english: "This link has expired or was used. Please get a new one.",
};
pub(crate) const WRONG_ADDRESS: Page = Page {
    status: 400,
    chinese: "参数 to 不是允许的页面地址：应为 https，主机须在 LOGIN_HOSTS 中。",
    english: "The parameter to is not the address of an allowed page: https, with a host that LOGIN_HOSTS lists.",
};
pub(crate) const NOT_CONFIGURED: Page = Page {
    status: 503,
    chinese: "服务尚未设置 PUBLIC_URL，无法登录。",
    english: "The service has no PUBLIC_URL, so nobody can log in.",
};
pub(crate) const LOGIN_ENDED: Page = Page {
    status: 400,
    chinese: "登录已失效，请从原页面重新打开。",
    english: "This login has expired. Please start again from the page you came from.",
};
pub(crate) const OTHER_BROWSER: Page = Page {
    status: 400,
    chinese: "登录须在同一浏览器中完成，请从原页面重新打开。",
    english: "A login must end in the browser in which it began. Please start again from the page you came from.",
};
pub(crate) const SNAPSHOT: Page = Page {
    status: 403,
    chinese: "当前为微信快照页，无法识别身份。请点击页面右下角「使用完整服务」后重试。",
    english: "WeChat shows a snapshot of this page, which does not know who you are. Tap 使用完整服务 (full service) at \
              the bottom right, then try again.",
};
pub(crate) const WECHAT_REFUSED: Page = Page {
    status: 502,
    chinese: "微信未能确认身份，请稍后从原页面重新打开。",
    english: "WeChat did not confirm who you are. Please start again from the page you came from.",
};
/// WeChat has identified the person, but the result could not be stored. The person may be bound already.
pub(crate) const NOT_STORED: Page = Page {
    status: 502,
    chinese: "服务暂时不可用，请稍后从原页面重新打开。",
    english: "The service is not available for now. Please start again later from the page you came from.",
};
pub(crate) const FAILED: Page = Page {
    status: 502,
    chinese: "服务暂时不可用，请稍后重试。",
    english: "The service is not available for now. Please try again later.",
};

impl Page {
    /// Builds the answer. Caches must not keep it, and no other site may learn its address.
    pub(crate) fn into_response(self) -> Response<String> {
        let Self {
            status,
            chinese,
            english,
        } = self;
        let html = format!(
            "<!doctype html><html lang=\"zh\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>微信</title>\
             <style>body{{font:17px/1.6 sans-serif;margin:20vh auto 0;max-width:22em;padding:0 1em;text-align:center}}\
             p+p{{color:#555;font-size:14px}}</style><p>{chinese}</p><p lang=\"en\">{english}</p></html>"
        );
        private(respond(status, "text/html; charset=utf-8", html))
    }
}

/// Keeps an answer out of caches and of other sites' frames, its address out of `Referer` headers, and scripts out of its page.
pub(crate) fn private(mut response: Response<String>) -> Response<String> {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
        ),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
