//! Single facts of a caller, as header values.

use std::fmt::Write;
use std::str::FromStr;

use thiserror::Error;

use super::Caller;
use crate::ClaimPath;

/// One fact of a caller that can be told to an upstream in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerField {
    /// [`Caller::issuer`].
    Issuer,
    /// [`Caller::subject`].
    Subject,
    /// [`Caller::principal`], in hex.
    Principal,
    /// [`Caller::kind`].
    Kind,
    /// [`Caller::client_id`].
    ClientId,
    /// [`Caller::scopes`], separated by spaces.
    Scopes,
    /// [`Caller::roles`], separated by commas.
    Roles,
    /// [`Caller::groups`], separated by commas.
    Groups,
    /// The organisation's id.
    Organisation,
    /// [`Caller::email`], only when the issuer says that it is verified.
    VerifiedEmail,
    /// [`Caller::email`], verified or not.
    Email,
    /// The whole name.
    Name,
    /// The name the subject signs in with.
    PreferredUsername,
    /// A claim that is a string, a number, a boolean, or a list of them (separated by commas).
    Claim(ClaimPath),
}

/// The name is not one of a caller's facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "not a fact of a caller: write issuer, subject, principal, kind, client_id, scopes, roles, groups, organisation, \
     verified_email, email, name, preferred_username, or claim:NAME"
)]
pub struct UnknownField(());

impl CallerField {
    /// The longest header value that is made, in bytes. A longer one is left out: a part of a list of roles is worse
    /// than none.
    pub const MAX_BYTES: usize = 4096;

    /// The fact as a header value, or `None` when the caller has no such fact or it is too long.
    ///
    /// Visible ASCII stands for itself. Everything else, `%` and, inside one item of a list, the separator, is
    /// percent-encoded as UTF-8 (RFC 3986 §2.1): no value can end the line, start another, or pass for two.
    #[must_use]
    pub fn header_value(&self, caller: &Caller) -> Option<String> {
        let text = match self {
            Self::Issuer => encoded([caller.issuer.as_str()], ""),
            Self::Subject => encoded([caller.subject.as_str()], ""),
            Self::Principal => caller.principal.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            }),
            Self::Kind => caller.kind.name().to_owned(),
            Self::ClientId => encoded([caller.client_id.as_deref()?], ""),
            Self::Scopes => encoded(caller.scopes.iter(), " "),
            Self::Roles => encoded(caller.roles.iter(), ","),
            Self::Groups => encoded(caller.groups.iter(), ","),
            Self::Organisation => encoded([caller.organisation.as_ref()?.id.as_str()], ""),
            Self::VerifiedEmail if caller.email_verified != Some(true) => return None,
            Self::VerifiedEmail | Self::Email => encoded([caller.email.as_deref()?], ""),
            Self::Name => encoded([caller.names.name.as_deref()?], ""),
            Self::PreferredUsername => encoded([caller.names.preferred_username.as_deref()?], ""),
            Self::Claim(path) => claim(path, caller)?,
        };
        (!text.is_empty() && text.len() <= Self::MAX_BYTES).then_some(text)
    }
}

impl FromStr for CallerField {
    type Err = UnknownField;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "issuer" => Self::Issuer,
            "subject" => Self::Subject,
            "principal" => Self::Principal,
            "kind" => Self::Kind,
            "client_id" => Self::ClientId,
            "scopes" => Self::Scopes,
            "roles" => Self::Roles,
            "groups" => Self::Groups,
            "organisation" => Self::Organisation,
            "verified_email" => Self::VerifiedEmail,
            "email" => Self::Email,
            "name" => Self::Name,
            "preferred_username" => Self::PreferredUsername,
            _ => match name.strip_prefix("claim:") {
                Some(path) if !path.is_empty() => Self::Claim(path.to_owned().into()),
                _ => return Err(UnknownField(())),
            },
        })
    }
}

fn claim(path: &ClaimPath, caller: &Caller) -> Option<String> {
    let scalar = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    let found = path.find(&caller.claims, caller.place_names());
    let value = found.first()?;
    match value {
        serde_json::Value::Array(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect::<Option<_>>()?;
            Some(encoded(items.iter().map(String::as_str), ","))
        }
        one => scalar(one).map(|text| encoded([text.as_str()], "")),
    }
}

fn encoded<'a>(items: impl IntoIterator<Item = &'a str>, separator: &str) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push_str(separator);
        }
        for byte in item.bytes() {
            if matches!(byte, 0x21..=0x7e) && byte != b'%' && !separator.as_bytes().contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value(field: &str, caller: &Caller) -> Option<String> {
        field.parse::<CallerField>().unwrap().header_value(caller)
    }

    #[test]
    fn facts_are_told_in_visible_ascii() {
        let mut caller = Caller::new("https://issuer.example/", "Ärger%\r\nX: 1", 1);
        caller.roles = ["a,b", "c d"].into_iter().collect();
        caller.scopes = ["read", "tools:call"].into_iter().collect();
        caller.email = Some("a@b.example".to_owned());
        caller.claims.insert("plan".to_owned(), json!("pro"));
        caller.claims.insert("list".to_owned(), json!(["x", 1, true]));
        caller.claims.insert("deep".to_owned(), json!({"in": {"it": 7}}));
        assert_eq!(value("issuer", &caller).unwrap(), "https://issuer.example/");
        assert_eq!(value("subject", &caller).unwrap(), "%C3%84rger%25%0D%0AX:%201");
        assert_eq!(value("roles", &caller).unwrap(), "a%2Cb,c%20d");
        assert_eq!(value("scopes", &caller).unwrap(), "read tools:call");
        assert_eq!(value("claim:plan", &caller).unwrap(), "pro");
        assert_eq!(value("claim:list", &caller).unwrap(), "x,1,true");
        assert_eq!(value("claim:/deep/in/it", &caller).unwrap(), "7");
        assert_eq!(value("principal", &caller).unwrap().len(), 64);
        for absent in ["groups", "client_id", "verified_email", "name", "claim:deep", "claim:none"] {
            assert_eq!(value(absent, &caller), None, "{absent}");
        }
        caller.email_verified = Some(true);
        assert_eq!(value("verified_email", &caller).unwrap(), "a@b.example");
        caller.subject = "x".repeat(CallerField::MAX_BYTES + 1);
        assert_eq!(value("subject", &caller), None);
        assert!("claim:".parse::<CallerField>().is_err() && "token".parse::<CallerField>().is_err());
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_line(items in prop::collection::vec(any::<String>(), 0..4)) {
            let mut caller = Caller::new("i", "s", 1);
            caller.roles = items.iter().map(String::as_str).collect();
            let text = CallerField::Roles.header_value(&caller).unwrap_or_default();
            prop_assert!(text.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
            let told = if text.is_empty() { 0 } else { text.split(',').count() };
            prop_assert_eq!(told, caller.roles.len());
        }
    }
}
