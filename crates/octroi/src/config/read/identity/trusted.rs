//! `auth.identity.trusted_issuers`: other issuers whose tokens are accepted beside the provider's.

use octroi_identity::{ClaimPath, KeySource, Pattern, Preset, Provider, TrustedIssuer};

use super::super::super::reader::{Field, Section};
use super::client;
use super::provider::{algorithms, input, provider};
use super::{client_ids, issuer_url, scopes};

/// A platform, or another provider.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kubernetes,
    GitHubActions,
    Spiffe,
    Platform,
    Preset(Preset),
}

pub(super) fn all(list: &Field<'_>, allow_http: bool) -> Vec<TrustedIssuer> {
    list.items().iter().filter_map(|item| one(item.section(), allow_http)).collect()
}

fn one(section: Section<'_>, allow_http: bool) -> Option<TrustedIssuer> {
    let mut words = vec![
        ("kubernetes", Kind::Kubernetes),
        ("github-actions", Kind::GitHubActions),
        ("spiffe", Kind::Spiffe),
        ("platform", Kind::Platform),
    ];
    words.extend(Preset::ALL.map(|preset| (preset.name(), Kind::Preset(preset))));
    let field = section.field("provider");
    if !field.is_given() {
        section
            .spot
            .wrong("no `provider`", "add provider = \"kubernetes\", \"github-actions\", \"spiffe\", …");
    }
    let kind = field.choice(&words);
    let made = kind.and_then(|kind| make(kind, &section, allow_http));
    let algorithms = algorithms(&section.field("algorithms"));
    let provider = made.and_then(|made| provider(&section, made, algorithms));
    let texts = |name: &'static str, example: &str| -> Vec<String> {
        section.field(name).texts(example).into_iter().map(|(_, text)| text).collect()
    };
    let trusted = TrustedIssuer {
        audiences: texts("audience", "https://gate.example.com/mcp"),
        allowed_clients: client_ids(&section),
        subjects: texts("subjects", "system:serviceaccount:prod:*").into_iter().map(Pattern::new).collect(),
        claims: claims(section.section("claims")),
        scopes: scopes(&section.field("scopes")),
        roles: texts("roles", "deployer"),
        groups: texts("groups", "machines"),
        ..TrustedIssuer::new(provider.clone().unwrap_or_else(|| Provider::platform("")))
    };
    let spot = section.spot.clone();
    // Without a provider not every field was asked for, and the mistake is told already.
    provider?;
    section.finish();
    if !trusted.is_selective() {
        let fix = "add subjects = [\"…\"], or claims = { repository = [\"owner/name\"] }";
        spot.wrong("any token of this issuer would be accepted", fix);
        return None;
    }
    Some(trusted)
}

/// The provider; the inner error is what a preset lacks.
fn make(kind: Kind, section: &Section<'_>, allow_http: bool) -> Option<Result<Provider, String>> {
    let mut given = input(section, allow_http);
    let issuer_field = section.field("issuer");
    let issuer = |example: &str| {
        if !issuer_field.is_given() {
            section.spot.wrong("no `issuer`", format!("add issuer = \"{example}\""));
        }
        issuer_url(&issuer_field, allow_http)
    };
    let fixed_keys = |mut provider: Provider| {
        if let Some(uri) = &given.jwks_uri {
            provider.method = octroi_identity::Method::Jwt(KeySource::Jwks(uri.clone()));
        }
        provider
    };
    Some(Ok(match kind {
        Kind::Kubernetes => fixed_keys(Provider::kubernetes(&issuer("https://kubernetes.default.svc")?)),
        Kind::Platform => fixed_keys(Provider::platform(&issuer("https://platform.example.com")?)),
        Kind::GitHubActions => Provider::github_actions(),
        Kind::Spiffe => {
            let domain = section.field("trust_domain");
            if !domain.is_given() {
                section.spot.wrong("no `trust_domain`", "add trust_domain = \"example.org\"");
            }
            let keys = match &given.jwks_uri {
                Some(uri) => KeySource::Jwks(uri.clone()),
                None if section.field("jwks").is_given() => KeySource::Fixed(String::new()),
                None => {
                    section.spot.wrong("no keys", "add jwks_uri = \"https://…\", the bundle, or jwks");
                    return None;
                }
            };
            Provider::spiffe(domain.filled("example.org")?, keys)
        }
        Kind::Preset(preset) => {
            let written = issuer_field.is_given().then(|| issuer_url(&issuer_field, allow_http));
            given.client = client::read(section, written.as_ref().and_then(Option::as_deref)).auth;
            given.tenant = section.field("tenant").filled("tenant").map(str::to_owned);
            if let Some(issuer) = written {
                given.issuer = Some(issuer?);
            }
            return Some(preset.provider(&given).map_err(|error| error.to_string()));
        }
    }))
}

/// Claims that must fit one of some patterns: `{ repository = ["acme/*"] }`.
fn claims(section: Section<'_>) -> Vec<(ClaimPath, Vec<Pattern>)> {
    let entries = section.entries().into_iter();
    entries
        .map(|(claim, field)| {
            let patterns = field.texts("acme/*").into_iter().map(|(_, text)| Pattern::new(text)).collect();
            (ClaimPath::from(claim.to_owned()), patterns)
        })
        .collect()
}
