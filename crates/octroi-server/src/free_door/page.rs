//! A page that solves a puzzle in the browser, with a WebAssembly build of the solver. Everything it needs is in the binary,
//! and its policy lets it load nothing else and speak to nobody else.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{Either, Full};
use serde_json::json;

use crate::routes::{ReplyBody, json_reply};

/// CSP Level 3. `wasm-unsafe-eval` permits WebAssembly and nothing else of what `unsafe-eval` would.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A file of the page.
#[derive(Clone, Copy)]
pub(crate) struct Asset {
    /// What follows the endpoint's path.
    pub(crate) suffix: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

impl Asset {
    pub(crate) const ALL: [Self; 5] = [
        Self {
            suffix: "/pow",
            kind: "text/html; charset=utf-8",
            content: include_bytes!("../../assets/pow/page.html"),
        },
        Self {
            suffix: "/pow/page.js",
            kind: "text/javascript; charset=utf-8",
            content: include_bytes!("../../assets/pow/page.js"),
        },
        Self {
            suffix: "/pow/worker.js",
            kind: "text/javascript; charset=utf-8",
            content: include_bytes!("../../assets/pow/worker.js"),
        },
        Self {
            suffix: "/pow/page.css",
            kind: "text/css; charset=utf-8",
            content: include_bytes!("../../assets/pow/page.css"),
        },
        Self {
            suffix: "/pow/solver.wasm",
            kind: "application/wasm",
            content: include_bytes!("../../assets/pow/solver.wasm"),
        },
    ];

    /// The file, for a `GET` or `HEAD`.
    pub(crate) fn serve(self, method: &Method) -> Response<ReplyBody> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return json_reply(StatusCode::METHOD_NOT_ALLOWED, &json!({"message": "use GET"}));
        }
        let body = if method == Method::HEAD { Bytes::new() } else { Bytes::from_static(self.content) };
        let mut reply = Response::new(Either::Right(Full::new(body)));
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        reply
    }
}

/// `/pow`: to the page of the endpoint at this path.
pub(crate) fn page_at(path: &str) -> Response<ReplyBody> {
    let mut reply = Response::new(Either::Right(Full::new(Bytes::new())));
    *reply.status_mut() = StatusCode::FOUND;
    // Relative, so that it holds behind a proxy that serves the gate below a path of its own.
    if let Ok(place) = HeaderValue::from_str(&format!("{}/pow", path.trim_start_matches('/'))) {
        reply.headers_mut().insert(LOCATION, place);
    }
    reply
}
