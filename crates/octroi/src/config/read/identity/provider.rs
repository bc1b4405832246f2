//! A preset and what is written instead of its values.

use octroi_identity::{Preset, PresetInput, Provider, ProviderOverrides};
use serde_json::{Map, Value};

use super::super::super::nearest::nearest;
use super::super::super::reader::{Field, Section, shortened};

/// The fields of [`ProviderOverrides`] that are written in the section itself. `algorithms` and `jwks_uri` are read by
/// those who need to look at them.
const OVERRIDES: [&str; 24] = [
    "issuers",
    "issuer_rule",
    "jwks",
    "types",
    "must_equal",
    "must_not_equal",
    "id_token_claims",
    "client_claims",
    "audience_rule",
    "scope_claims",
    "subject",
    "client_signs",
    "kind",
    "role_claims",
    "group_claims",
    "organisation_claims",
    "organisation_name_claims",
    "email_claims",
    "email_verified_claims",
    "name_claims",
    "given_name_claims",
    "family_name_claims",
    "username_claims",
    "picture_claims",
];

/// All asymmetric: with a shared secret, whoever checks a token could also make one.
const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// The preset that is named; `oidc` when none is.
pub(super) fn preset(field: &Field<'_>) -> Option<Preset> {
    if !field.is_given() {
        return Some(Preset::Oidc);
    }
    let words = Preset::ALL.map(|preset| (preset.name(), preset));
    field.choice(&words)
}

/// The fields a preset is made from. Which of them it needs is the preset's matter.
pub(super) fn input(section: &Section<'_>, allow_http: bool) -> PresetInput {
    let text = |name: &'static str, example: &str| section.field(name).filled(example).map(str::to_owned);
    let url = |name: &'static str, example: &str| {
        let field = section.field(name);
        // As written, not as `Url` prints it.
        field
            .trusted_url(example, allow_http)
            .and_then(|_| field.text(example))
            .map(|text| text.trim().to_owned())
    };
    PresetInput {
        issuer: None,
        tenant: None,
        region: text("region", "eu-west-1"),
        user_pool: text("user_pool", "eu-west-1_AbCdEf123"),
        project: text("project", "my-project"),
        jwks_uri: url("jwks_uri", "https://login.example.com/.well-known/jwks.json"),
        namespace: text("namespace", "https://example.com/"),
        introspection_endpoint: url("introspection_endpoint", "https://login.example.com/introspect"),
        api_url: url("api_url", "https://api.github.com"),
        client: None,
    }
}

/// Makes the provider of a section: the preset, with what is written by hand instead of its values.
pub(super) fn provider(
    section: &Section<'_>,
    made: Result<Provider, String>,
    algorithms: Option<Vec<String>>,
) -> Option<Provider> {
    let mut written = Map::new();
    for name in OVERRIDES {
        let field = section.field(name);
        let Some(value) = field.json() else { continue };
        // One at a time, so that a mistake has its line.
        let alone: Map<String, Value> = [(name.to_owned(), value.clone())].into_iter().collect();
        match serde_json::from_value::<ProviderOverrides>(Value::Object(alone)) {
            Ok(_) => drop(written.insert(name.to_owned(), value)),
            Err(error) => {
                field.spot.wrong(shortened(&error.to_string()), "see docs/identity.md for its form")
            }
        }
    }
    let made = match made {
        Ok(made) => made,
        Err(problem) => {
            section.spot.wrong(problem, "see docs/identity.md for a recipe");
            return None;
        }
    };
    let mut overrides: ProviderOverrides = serde_json::from_value(Value::Object(written)).ok()?;
    overrides.algorithms = algorithms;
    overrides.apply(made).map_err(|error| section.spot.wrong(error.to_string(), "remove one of them")).ok()
}

/// The accepted algorithms, where they are written.
pub(super) fn algorithms(field: &Field<'_>) -> Option<Vec<String>> {
    if !field.is_given() {
        return None;
    }
    let written = field.texts("RS256");
    if written.is_empty() {
        field.spot.wrong("names no algorithm", "write [\"RS256\"]");
    }
    let mut known = Vec::new();
    for (spot, name) in written {
        if ALGORITHMS.contains(&name.as_str()) {
            known.push(name);
            continue;
        }
        let problem = match name.as_str() {
            "HS256" | "HS384" | "HS512" => {
                format!("{name} signs with a shared secret, which is not accepted")
            }
            "none" => "unsigned tokens are not accepted".to_owned(),
            _ => format!("\"{}\" is not known", shortened(&name)),
        };
        match nearest(&name, &ALGORITHMS).filter(|_| !name.starts_with("HS")) {
            Some(near) => spot.wrong(problem, format!("did you mean \"{near}\"?")),
            None => spot.wrong(problem, format!("write one or more of {}", ALGORITHMS.join(", "))),
        }
    }
    (!known.is_empty()).then_some(known)
}
