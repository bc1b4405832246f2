//! `auth.identity`

use std::time::Duration;

use url::Url;

use super::super::nearest::nearest;
use super::super::reader::{Field, Section, Spot, shortened};
use super::super::{IdentityConfig, Provider};

const ISSUER_EXAMPLE: &str = "https://login.example.com/";
const LEEWAY_DEFAULT: Duration = Duration::from_secs(30);
/// All asymmetric: with a shared secret, whoever checks a token could also make one.
const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
const ALGORITHMS_DEFAULT: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];
/// Providers people will try; each works as `oidc` when its tokens are JWTs.
const LATER_PRESETS: [&str; 12] = [
    "clerk", "cognito", "descope", "entra", "firebase", "github", "google", "leanmcp", "scalekit", "stytch",
    "supabase", "workos",
];
const PROVIDERS: [(&str, Provider); 5] = [
    ("auth0", Provider::Auth0),
    ("oidc", Provider::Oidc),
    ("jwks", Provider::Jwks),
    ("keycloak", Provider::Keycloak),
    ("okta", Provider::Okta),
];

/// Reads the section; `resource` is the audience when none is written.
pub(super) fn read(field: &Field<'_>, resource: Option<&Url>) -> Option<IdentityConfig> {
    if !field.is_given() {
        return None;
    }
    let section = field.section();
    let provider = provider(&section.field("provider"));
    let allow_insecure_http = section.field("allow_insecure_http").boolean().unwrap_or(false);
    let issuer = issuer(&section, provider, allow_insecure_http);
    let jwks = section.field("jwks_uri");
    let jwks_uri = jwks.trusted_url("https://login.example.com/.well-known/jwks.json", allow_insecure_http);
    if provider == Some(Provider::Jwks) && !jwks.is_given() {
        section
            .spot
            .wrong("no `jwks_uri`: provider \"jwks\" does no discovery", "add jwks_uri = \"https://…\"");
    }
    let audiences = audiences(&section.field("audience"), provider, resource);
    let required_scopes = scopes(&section.field("required_scopes"));
    let algorithms = algorithms(&section.field("algorithms"), provider);
    let client_ids = section.field("client_ids").texts("client-id").into_iter().map(|(_, id)| id).collect();
    let obo_enabled = section.field("obo_enabled").boolean().unwrap_or(false);
    let allow_private_addresses = section.field("allow_private_addresses").boolean().unwrap_or(false);
    let leeway = section.field("leeway_seconds").seconds(0..=300).unwrap_or(LEEWAY_DEFAULT);
    section.finish();
    Some(IdentityConfig {
        provider: provider?,
        issuer: issuer?,
        jwks_uri,
        audiences,
        required_scopes,
        algorithms,
        client_ids,
        obo_enabled,
        allow_insecure_http,
        allow_private_addresses,
        leeway,
    })
}

fn provider(field: &Field<'_>) -> Option<Provider> {
    if !field.is_given() {
        return Some(Provider::Oidc);
    }
    let written = field.text("oidc")?;
    if LATER_PRESETS.contains(&written) {
        field.spot.wrong(
            format!("{written} has no preset in this release"),
            "write provider = \"oidc\" with issuer = \"https://…\", if its access tokens are JWTs",
        );
        return None;
    }
    field.choice(&PROVIDERS)
}

/// The issuer exactly as tokens carry it: written out, or from Auth0's domain or tenant.
fn issuer(section: &Section<'_>, provider: Option<Provider>, allow_http: bool) -> Option<String> {
    let field = section.field("issuer");
    let (domain, tenant) = (section.field("domain"), section.field("tenant"));
    if provider.is_some_and(|provider| provider != Provider::Auth0) {
        section.only_with(&["domain", "tenant"], "provider = \"auth0\"");
    }
    // Read even when overridden, so that their mistakes show.
    let (domain_name, tenant_name) = (host_name(&domain), host_name(&tenant));
    if field.is_given() {
        return issuer_url(&field, allow_http);
    }
    match provider? {
        Provider::Auth0 if domain.is_given() => domain_name.map(auth0_issuer),
        Provider::Auth0 if tenant.is_given() => tenant_name.map(auth0_issuer),
        Provider::Auth0 => {
            section.spot.wrong("no `tenant`", "add tenant = \"your-tenant.auth0.com\"");
            None
        }
        Provider::Oidc | Provider::Jwks | Provider::Keycloak | Provider::Okta => {
            section.spot.wrong(
                "no `issuer`",
                format!("add issuer = \"{ISSUER_EXAMPLE}\", or start with --issuer URL"),
            );
            None
        }
    }
}

/// Auth0 writes its issuer with a trailing slash.
fn auth0_issuer(host: &str) -> String {
    format!("https://{host}/")
}

/// RFC 8414 §2: https, no query, no fragment.
fn issuer_url(field: &Field<'_>, allow_http: bool) -> Option<String> {
    let url = field.trusted_url(ISSUER_EXAMPLE, allow_http)?;
    if url.query().is_some() {
        field.spot.wrong(
            "an issuer has no ?query",
            format!("write it as tokens carry it, like \"{ISSUER_EXAMPLE}\""),
        );
        return None;
    }
    // Not as `Url` prints it: tokens are compared with what was written, slash or not.
    field.text(ISSUER_EXAMPLE).map(|text| text.trim().to_owned())
}

fn host_name<'t>(field: &Field<'t>) -> Option<&'t str> {
    let written = field.filled("your-tenant.auth0.com")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if written.contains('.') && written.chars().all(plain) && url::Host::parse(written).is_ok() {
        return Some(written);
    }
    let bare = written.trim_start_matches("https://").trim_end_matches('/');
    let guess = if bare.contains('.') { bare.to_owned() } else { format!("{bare}.auth0.com") };
    field.spot.wrong("not a host name", format!("write \"{}\"", shortened(&guess)));
    None
}

fn audiences(field: &Field<'_>, provider: Option<Provider>, resource: Option<&Url>) -> Vec<String> {
    if !field.is_given() {
        if provider == Some(Provider::Auth0) {
            let fix = "add audience = \"…\", the identifier of the API in Auth0";
            field.spot.wrong("no `audience`: Auth0 issues tokens that can be checked only for an API", fix);
        }
        return resource.map(|url| url.to_string()).into_iter().collect();
    }
    let audiences: Vec<String> =
        field.texts("https://gate.example.com/mcp").into_iter().map(|(_, one)| one).collect();
    if audiences.iter().all(|audience| audience.trim().is_empty()) {
        field.spot.wrong("names no audience", "write \"https://gate.example.com/mcp\"");
    }
    audiences
}

/// RFC 6749 §3.3: a scope has no spaces, quotes or backslashes; a list written OAuth's way, in one text with
/// spaces, is taken apart.
pub(super) fn scopes(field: &Field<'_>) -> Vec<String> {
    let mut scopes = Vec::new();
    for (spot, written) in field.texts("tools:call") {
        for scope in written.split_whitespace() {
            if scope.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
                scopes.push(scope.to_owned());
            } else {
                spot.wrong(
                    format!("\"{}\" is no scope", shortened(scope)),
                    "use printable ASCII without \" and \\",
                );
            }
        }
    }
    scopes
}

fn algorithms(field: &Field<'_>, provider: Option<Provider>) -> Vec<String> {
    let default: &[&str] = if provider == Some(Provider::Auth0) { &["RS256"] } else { &ALGORITHMS_DEFAULT };
    if !field.is_given() {
        return default.iter().map(|name| (*name).to_owned()).collect();
    }
    let written = field.texts("RS256");
    if written.is_empty() {
        field.spot.wrong("names no algorithm", "write [\"RS256\"]");
    }
    for (spot, name) in written.iter().filter(|(_, name)| !ALGORITHMS.contains(&name.as_str())) {
        wrong_algorithm(spot, name);
    }
    written.into_iter().map(|(_, name)| name).collect()
}

fn wrong_algorithm(spot: &Spot<'_>, name: &str) {
    let problem = match name {
        "HS256" | "HS384" | "HS512" => format!("{name} signs with a shared secret, which is not accepted"),
        "none" => "unsigned tokens are not accepted".to_owned(),
        _ => format!("\"{}\" is not known", shortened(name)),
    };
    match nearest(name, &ALGORITHMS).filter(|_| !name.starts_with("HS")) {
        Some(near) => spot.wrong(problem, format!("did you mean \"{near}\"?")),
        None => spot.wrong(problem, format!("write one or more of {}", ALGORITHMS.join(", "))),
    }
}
