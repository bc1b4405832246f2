//! `auth.identity`

mod client;
mod dpop;
mod exchange;
mod forward;
mod provider;
mod trusted;

use octroi_identity::{Preset, PresetInput};
use url::Url;

use super::super::reader::{Field, Section, shortened};
use super::super::{ChallengeStyle, IdentityConfig};

const ISSUER_EXAMPLE: &str = "https://login.example.com/";
/// Most scopes that may contain others.
const HIERARCHY_MAX: usize = 256;

/// Reads the section; `resource` is the audience when none is written, `upstream` where the server behind is.
pub(super) fn read(
    field: &Field<'_>,
    resource: Option<&Url>,
    upstream: Option<&Url>,
) -> Option<IdentityConfig> {
    if !field.is_given() {
        return None;
    }
    let section = field.section();
    let preset = provider::preset(&section.field("provider"));
    let allow_http = section.field("allow_insecure_http").boolean().unwrap_or(false);
    let allow_private_addresses = section.field("allow_private_addresses").boolean().unwrap_or(false);
    let ca_certificates = certificates(&section.field("ca_certificates"));
    let made = preset.and_then(|preset| make(&section, preset, allow_http));
    let algorithms = provider::algorithms(&section.field("algorithms"));
    let provider = made.and_then(|made| provider::provider(&section, made, algorithms));
    let audiences = audiences(&section.field("audience"), preset, provider.as_ref(), resource);
    let trusted_issuers = trusted::all(&section.field("trusted_issuers"), allow_http);
    let required_scopes = scopes(&section.field("required_scopes"));
    let mut tokens = provider.map(|provider| octroi_identity::IdentityConfig::new(provider, audiences));
    if let Some(tokens) = &mut tokens {
        tokens.allowed_clients = client_ids(&section);
        tokens.trusted_issuers = trusted_issuers;
        tokens.allow_insecure_http = allow_http;
        tokens.allow_private_addresses = allow_private_addresses;
        tokens.ca_certificates = ca_certificates;
    }
    limits(&section, tokens.as_mut());
    let styles =
        [("auto", ChallengeStyle::Auto), ("http", ChallengeStyle::Http), ("in-band", ChallengeStyle::InBand)];
    let exchange = exchange::read(&section, preset, tokens.as_ref(), upstream);
    let mut identity = tokens.zip(preset).map(|(tokens, preset)| IdentityConfig {
        preset,
        tokens,
        required_scopes,
        scope_hierarchy: hierarchy(section.section("scope_hierarchy")),
        required: section.field("required").boolean().unwrap_or(false),
        challenge: section.field("challenge").choice(&styles).unwrap_or(ChallengeStyle::Auto),
        dpop: dpop::read(&section.field("dpop")),
        exchange: None,
        obo_without_client: false,
        forward: forward::read(section.section("forward"), upstream),
    });
    if let Some(identity) = &mut identity {
        let (asked, exchange) = exchange;
        identity.obo_without_client = asked && exchange.is_none();
        identity.exchange = exchange;
        meaning(&section, identity);
        // Without a provider not every field was asked for, and the mistake is told already.
        section.finish();
    }
    identity
}

/// What only makes sense or not as a whole, at the line of the field that mends it.
fn meaning(section: &Section<'_>, identity: &IdentityConfig) {
    use octroi_identity::SetupError;
    let Err(error) = identity.tokens.check() else { return };
    let problem = error.to_string();
    match error {
        SetupError::NoClients { .. } | SetupError::ClientsNotNamed { .. } => {
            section.field("client_ids").spot.wrong(problem, "write client_ids = [\"…\"]");
        }
        SetupError::NoAudience => section.field("audience").spot.wrong(problem, "write audience = \"…\""),
        SetupError::AnyWorkload { .. } | SetupError::IssuerTwice { .. } => {
            section.field("trusted_issuers").spot.wrong(problem, "say which of them may call");
        }
        _ => section.spot.wrong(problem, "see docs/identity.md"),
    }
}

/// The preset's provider; the inner error is what it lacks.
fn make(
    section: &Section<'_>,
    preset: Preset,
    allow_http: bool,
) -> Option<Result<octroi_identity::Provider, String>> {
    let given = provider::input(section, allow_http);
    let issuer_field = section.field("issuer");
    let (domain, tenant) = (section.field("domain"), section.field("tenant"));
    let written = issuer_field.is_given().then(|| issuer_url(&issuer_field, allow_http));
    let client = client::read(section, written.as_ref().and_then(Option::as_deref)).auth;
    let mut input = PresetInput { client, ..given };
    if let Some(issuer) = written {
        input.issuer = Some(issuer?);
    }
    match preset {
        Preset::Auth0 => {
            // Read even when overridden, so that their mistakes show.
            let (domain_name, tenant_name) = (host_name(&domain), host_name(&tenant));
            let name = if domain.is_given() { domain_name } else { tenant_name };
            if input.issuer.is_none() && (domain.is_given() || tenant.is_given()) {
                // Auth0 writes its issuer with a trailing slash.
                input.issuer = Some(format!("https://{}/", name?));
            }
        }
        Preset::Entra | Preset::EntraV1 => input.tenant = tenant.filled("tenant id").map(str::to_owned),
        _ => section.only_with(&["domain", "tenant"], "provider = \"auth0\" or \"entra\""),
    }
    if input.issuer.is_none() && preset == Preset::Auth0 {
        section.spot.wrong("no `tenant`", "add tenant = \"your-tenant.auth0.com\"");
        return None;
    }
    if input.issuer.is_none()
        && matches!(preset, Preset::Oidc | Preset::Jwks | Preset::Keycloak | Preset::Okta)
    {
        let fix = format!("add issuer = \"{ISSUER_EXAMPLE}\", or start with --issuer URL");
        section.spot.wrong("no `issuer`", fix);
        return None;
    }
    if preset == Preset::Jwks && !section.field("jwks_uri").is_given() && !section.field("jwks").is_given() {
        let fix = "add jwks_uri = \"https://…\"";
        section.spot.wrong("no `jwks_uri`: provider \"jwks\" does no discovery", fix);
        return None;
    }
    Some(preset.provider(&input).map_err(|error| error.to_string()))
}

/// Times and sizes, each within the bounds of the library.
fn limits(section: &Section<'_>, tokens: Option<&mut octroi_identity::IdentityConfig>) {
    use octroi_identity::IdentityConfig as Bounds;
    let seconds = |name: &'static str, most: u64| {
        section.field(name).number::<u64>(0..=i64::try_from(most).unwrap_or(i64::MAX), "seconds")
    };
    let leeway = seconds("leeway_seconds", Bounds::MAX_LEEWAY_SECONDS);
    let cache = seconds("token_cache_seconds", Bounds::MAX_TOKEN_CACHE_SECONDS);
    let max_age = section.field("max_age_seconds").number::<u64>(1..=31_536_000, "seconds");
    let stale = seconds("keys_stale_seconds", Bounds::MAX_KEYS_STALE_SECONDS);
    let fresh = seconds("keys_fresh_seconds", Bounds::MAX_KEYS_STALE_SECONDS);
    let act = section.field("max_act_depth").number::<usize>(0..=8, "parties");
    let Some(tokens) = tokens else { return };
    tokens.leeway_seconds = leeway.unwrap_or(tokens.leeway_seconds);
    tokens.token_cache_seconds = cache.unwrap_or(tokens.token_cache_seconds);
    tokens.max_age_seconds = max_age.or(tokens.max_age_seconds);
    tokens.keys_stale_seconds = stale.unwrap_or(tokens.keys_stale_seconds);
    tokens.keys_fresh_seconds = fresh.unwrap_or(tokens.keys_fresh_seconds).min(tokens.keys_stale_seconds);
    tokens.max_act_depth = act.unwrap_or(tokens.max_act_depth);
}

/// Authorities beside the system's, in PEM.
fn certificates(field: &Field<'_>) -> Option<String> {
    let pem = field.secret()?;
    let readable = reqwest::Certificate::from_pem_bundle(pem.reveal().as_bytes());
    if readable.is_ok_and(|certificates| !certificates.is_empty()) {
        return Some(pem.reveal().to_owned());
    }
    field.spot.wrong("no certificates in PEM", "write ca_certificates = \"file:/etc/octroi/authority.pem\"");
    None
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

fn audiences(
    field: &Field<'_>,
    preset: Option<Preset>,
    provider: Option<&octroi_identity::Provider>,
    resource: Option<&Url>,
) -> Vec<String> {
    if !field.is_given() {
        if preset == Some(Preset::Auth0) {
            let fix = "add audience = \"…\", the identifier of the API in Auth0";
            field.spot.wrong("no `audience`: Auth0 issues tokens that can be checked only for an API", fix);
        }
        // Some products write an audience of their own into every token.
        let own = provider.is_some_and(|provider| !provider.default_audiences.is_empty());
        return resource.filter(|_| !own).map(|url| url.to_string()).into_iter().collect();
    }
    let audiences: Vec<String> =
        field.texts("https://gate.example.com/mcp").into_iter().map(|(_, one)| one).collect();
    if audiences.iter().all(|audience| audience.trim().is_empty()) {
        field.spot.wrong("names no audience", "write \"https://gate.example.com/mcp\"");
    }
    audiences
}

fn client_ids(section: &Section<'_>) -> Vec<String> {
    section.field("client_ids").texts("client-id").into_iter().map(|(_, id)| id).collect()
}

/// `{ admin = ["write"], write = ["read"] }`
fn hierarchy(section: Section<'_>) -> Vec<(String, Vec<String>)> {
    let entries = section.entries();
    if entries.len() > HIERARCHY_MAX {
        section.spot.wrong(format!("more than {HIERARCHY_MAX} scopes"), "name fewer");
    }
    let mut hierarchy = Vec::new();
    for (scope, field) in entries {
        if !is_scope(scope) {
            field.spot.wrong(
                format!("\"{}\" is no scope", shortened(scope)),
                "use printable ASCII without \" and \\",
            );
        }
        hierarchy.push((scope.to_owned(), scopes(&field)));
    }
    hierarchy
}

/// RFC 6749 §3.3: a scope has no spaces, quotes or backslashes; a list written OAuth's way, in one text with
/// spaces, is taken apart.
pub(super) fn scopes(field: &Field<'_>) -> Vec<String> {
    let mut scopes = Vec::new();
    for (spot, written) in field.texts("tools:call") {
        for scope in written.split_whitespace() {
            if is_scope(scope) {
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

fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}
