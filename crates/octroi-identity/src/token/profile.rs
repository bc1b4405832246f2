//! What the claims say of the caller beside the name: scopes, roles, groups, organisation, display names.

use serde_json::{Map, Value};

use crate::provider::PlaceNames;
use crate::{Caller, ClaimPath, InvalidToken, NameSet, Organisation, Profile, Provider, ScopeForm};

/// Fills in what the provider's data finds. What a rule may stand on must be readable where it is there; display names
/// that are not are passed over.
pub(super) fn read(
    claims: &Map<String, Value>,
    provider: &Provider,
    names: PlaceNames<'_>,
    caller: &mut Caller,
) -> Result<(), InvalidToken> {
    let profile = &provider.profile;
    caller.organisation = organisation(claims, profile, names)?;
    let organisation = caller.organisation.as_ref().map(|organisation| organisation.id.as_str());
    let names = PlaceNames { organisation, ..names };
    caller.scopes = scopes(claims, provider, names)?;
    caller.roles = set(claims, &profile.roles, names)?;
    caller.groups = set(claims, &profile.groups, names)?;
    let display = |paths: &[ClaimPath]| paths.iter().find_map(|path| shown(path.one(claims)?));
    caller.email = display(&profile.email);
    caller.email_verified = profile.email_verified.iter().find_map(|path| flag(path.one(claims)?));
    caller.names.name = display(&profile.name);
    caller.names.given_name = display(&profile.given_name);
    caller.names.family_name = display(&profile.family_name);
    caller.names.preferred_username = display(&profile.preferred_username);
    caller.names.picture = display(&profile.picture);
    Ok(())
}

/// A list of nothing but strings.
pub(super) fn strings(list: &[Value]) -> Option<Vec<String>> {
    list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn scopes(
    claims: &Map<String, Value>,
    provider: &Provider,
    names: PlaceNames<'_>,
) -> Result<NameSet, InvalidToken> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in &provider.scope_claims {
        let malformed = || InvalidToken::MalformedClaim(scope.claim.name());
        for value in scope.claim.find(claims, names) {
            match (value, scope.form) {
                (Value::String(words), ScopeForm::Words | ScopeForm::Either) => {
                    scopes.extend(words.split(' ').map(str::to_owned));
                }
                (Value::Array(items), ScopeForm::List | ScopeForm::Either) => {
                    scopes.extend(strings(items).ok_or_else(malformed)?);
                }
                _ => return Err(malformed()),
            }
        }
    }
    Ok(scopes.into_iter().collect())
}

fn set(
    claims: &Map<String, Value>,
    paths: &[ClaimPath],
    names: PlaceNames<'_>,
) -> Result<NameSet, InvalidToken> {
    let mut members: Vec<String> = Vec::new();
    for path in paths {
        for value in path.find(claims, names) {
            match value {
                Value::Null => {}
                Value::String(one) => members.push(one.clone()),
                Value::Array(items) => {
                    members.extend(strings(items).ok_or_else(|| InvalidToken::MalformedClaim(path.name()))?);
                }
                Value::Object(object) => members.extend(object.keys().cloned()),
                Value::Bool(_) | Value::Number(_) => return Err(InvalidToken::MalformedClaim(path.name())),
            }
        }
    }
    Ok(members.into_iter().collect())
}

/// The first claim that names an organisation: as a text, a number, or a list of one. A list of several names none: the
/// token does not say in which of them the subject acts.
fn organisation(
    claims: &Map<String, Value>,
    profile: &Profile,
    names: PlaceNames<'_>,
) -> Result<Option<Organisation>, InvalidToken> {
    for path in &profile.organisation {
        let found = path.find(claims, names);
        let [value] = found[..] else { continue };
        let value = match value {
            Value::Array(items) => match &items[..] {
                [one] => one,
                _ => continue,
            },
            Value::Null | Value::Object(_) => continue,
            other => other,
        };
        let id = match value {
            Value::String(id) if !id.is_empty() => id.clone(),
            Value::Number(id) => id.to_string(),
            Value::String(_) => continue,
            _ => return Err(InvalidToken::MalformedClaim(path.name())),
        };
        let name = profile.organisation_name.iter().find_map(|path| shown(path.one(claims)?));
        return Ok(Some(Organisation { id, name }));
    }
    Ok(None)
}

fn shown(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Cognito and others write booleans as text.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text == "true" => Some(true),
        Value::String(text) if text == "false" => Some(false),
        _ => None,
    }
}
