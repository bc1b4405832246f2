//! `auth.identity.obo`: tokens on behalf of callers.

use octroi_identity::{ExchangeForm, ExchangeTarget, Preset};
use url::Url;

use super::super::super::ExchangeConfig;
use super::super::super::reader::Section;
use super::{client, scopes};

/// Reads `obo_enabled` and the section `obo`: whether an exchange was asked for, and the exchange.
///
/// `obo_enabled` alone is accepted, as published templates have it; without a client of the gate's own nothing can be
/// exchanged then.
pub(super) fn read(
    identity: &Section<'_>,
    preset: Option<Preset>,
    tokens: Option<&octroi_identity::IdentityConfig>,
    upstream: Option<&Url>,
) -> (bool, Option<ExchangeConfig>) {
    let field = identity.field("obo");
    let enabled = identity.field("obo_enabled").boolean();
    if !field.is_given() {
        return (enabled == Some(true), None);
    }
    let section = field.section();
    let forms = [
        ("token-exchange", ExchangeForm::TokenExchange),
        ("auth0", ExchangeForm::Auth0),
        ("keycloak", ExchangeForm::Keycloak),
        ("entra", ExchangeForm::Entra),
    ];
    let by_preset = match preset {
        Some(Preset::Auth0) => ExchangeForm::Auth0,
        Some(Preset::Keycloak) => ExchangeForm::Keycloak,
        Some(Preset::Entra | Preset::EntraV1) => ExchangeForm::Entra,
        _ => ExchangeForm::TokenExchange,
    };
    let form = section.field("form").choice(&forms).unwrap_or(by_preset);
    let allow_http = tokens.is_some_and(|tokens| tokens.allow_insecure_http);
    let endpoint = section.field("token_endpoint");
    let token_endpoint = endpoint.trusted_url("https://login.example.com/token", allow_http);
    let issuer = tokens.and_then(|tokens| tokens.provider.issuers.first()).map(String::as_str);
    let client = client::read(&section, issuer);
    client.demand(&section, "the gate must say who it is to exchange tokens");
    let target = target(&section, form, upstream);
    let act_depth = section.field("max_act_depth").number::<usize>(0..=8, "parties");
    if upstream.is_none() {
        let problem = "a program has no Authorization header to get the token in";
        section.spot.wrong(problem, "remove obo, or put the server behind a URL");
    }
    section.finish();
    let exchange = tokens.zip(client.auth).map(|(tokens, client)| {
        let mut exchange = octroi_identity::ExchangeConfig::new(issuer.unwrap_or_default(), form, client);
        exchange.token_endpoint = token_endpoint.map(|url| url.to_string());
        exchange.max_act_depth = act_depth.unwrap_or(exchange.max_act_depth);
        exchange.allow_insecure_http = tokens.allow_insecure_http;
        exchange.allow_private_addresses = tokens.allow_private_addresses;
        exchange.ca_certificates.clone_from(&tokens.ca_certificates);
        ExchangeConfig { exchange, target }
    });
    let on = enabled.unwrap_or(true);
    (on, exchange.filter(|_| on))
}

fn target(section: &Section<'_>, form: ExchangeForm, upstream: Option<&Url>) -> ExchangeTarget {
    let text = |name: &'static str, example: &str| section.field(name).filled(example).map(str::to_owned);
    let target = ExchangeTarget {
        audience: text("audience", "https://api.example.com"),
        resource: text("resource", "https://api.example.com/mcp"),
        scopes: scopes(&section.field("scopes")),
    };
    let named = match form {
        ExchangeForm::Entra => !target.scopes.is_empty(),
        ExchangeForm::Auth0 | ExchangeForm::Keycloak => target.audience.is_some(),
        ExchangeForm::TokenExchange => target.audience.is_some() || target.resource.is_some(),
    };
    if !named {
        let fix = match (form, upstream) {
            (ExchangeForm::Entra, _) => "add scopes = [\"api://…/.default\"]".to_owned(),
            (_, Some(upstream)) => {
                format!("add audience = \"{upstream}\", or the name the issuer knows it by")
            }
            (_, None) => "add audience = \"…\"".to_owned(),
        };
        section.spot.wrong("nothing says what the exchanged tokens are for", fix);
    }
    target
}
