//! `auth.identity.forward`: what the server behind the gate is told of callers.

use http::HeaderName;
use octroi_gate::RequestHeaders;
use octroi_identity::{CallerField, SignerSettings};
use url::Url;

use super::super::super::reader::{Field, Section, shortened};
use super::super::super::{ForwardConfig, ForwardJwt};

const JWT_HEADER_DEFAULT: &str = "octroi-caller";
const JWT_TTL_SECONDS_DEFAULT: u64 = 60;
/// Most headers that say something of the caller.
const HEADERS_MAX: usize = 32;

/// Reads the section; `upstream` is the audience of the statement when none is written.
pub(super) fn read(section: Section<'_>, upstream: Option<&Url>) -> ForwardConfig {
    let signs = section.field("jwt").boolean().unwrap_or(false);
    let header = header(&section.field("jwt_header"));
    let most = i64::try_from(SignerSettings::MAX_LIFETIME_SECONDS).unwrap_or(i64::MAX);
    let ttl = section.field("jwt_ttl_seconds").number(5..=most, "seconds");
    let ttl_seconds = ttl.unwrap_or(JWT_TTL_SECONDS_DEFAULT);
    let audience = section.field("jwt_audience");
    let named = audience.filled("http://127.0.0.1:3000/mcp").map(str::to_owned);
    let audience_or_upstream = named.or_else(|| upstream.map(ToString::to_string));
    if signs && audience_or_upstream.is_none() && !audience.is_given() {
        section
            .spot
            .wrong("no `jwt_audience`: who is the statement for?", "add jwt_audience = \"my-server\"");
    }
    let default_header = || HeaderName::from_static(JWT_HEADER_DEFAULT);
    let jwt = signs.then(|| ForwardJwt {
        header: header.unwrap_or_else(default_header),
        audience: audience_or_upstream.unwrap_or_default(),
        ttl_seconds,
    });
    if !signs {
        section.only_with(&["jwt_header", "jwt_ttl_seconds", "jwt_audience"], "jwt = true");
    }
    let forward = ForwardConfig {
        jwt,
        meta: section.field("meta").boolean().unwrap_or(false),
        auth_user: section.field("auth_user").boolean().unwrap_or(false),
        headers: headers(section.section("headers")),
    };
    section.finish();
    forward
}

fn header(field: &Field<'_>) -> Option<HeaderName> {
    let name = field.filled(JWT_HEADER_DEFAULT)?;
    checked(name, field)
}

fn headers(section: Section<'_>) -> Vec<(HeaderName, CallerField)> {
    let entries = section.entries();
    if entries.len() > HEADERS_MAX {
        section.spot.wrong(format!("more than {HEADERS_MAX} headers"), "tell the rest by jwt = true");
    }
    let mut headers: Vec<(HeaderName, CallerField)> = Vec::new();
    for (name, field) in entries {
        let name = checked(name, &field);
        let Some(said) = field.filled("email") else { continue };
        match said.parse::<CallerField>() {
            Ok(said) => headers.extend(name.map(|name| (name, said))),
            Err(error) => field.spot.wrong(
                format!("\"{}\" is {error}", shortened(said)),
                "write one of them, like \"verified_email\"",
            ),
        }
    }
    headers
}

/// A name that no credential and no other header of the exchange has.
fn checked(name: &str, field: &Field<'_>) -> Option<HeaderName> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        field.spot.wrong(format!("\"{}\" is no header name", shortened(name)), "write a name like x-user-id");
        return None;
    };
    if RequestHeaders::default().reserves(&header) {
        field.spot.wrong(format!("{header} has another meaning"), "choose another name, like x-user-id");
        return None;
    }
    Some(header)
}
