//! Chains of delegation (RFC 8693 §4.1).

use serde_json::{Map, Value};

use crate::InvalidToken;

/// One party that acts for the subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// `sub`.
    pub subject: Option<String>,
    /// `iss`, where the actor's name belongs to another issuer than the token's.
    pub issuer: Option<String>,
    /// `client_id` (or `azp`).
    pub client_id: Option<String>,
}

/// Reads `act` and those nested in it, the present actor first. More than `max_depth` refuse the token, and so does one
/// that names nobody: it would look like no delegation at all.
pub(crate) fn chain(claims: &Map<String, Value>, max_depth: usize) -> Result<Vec<Actor>, InvalidToken> {
    const ACT: &str = "act";
    let malformed = || InvalidToken::MalformedClaim(ACT.into());
    let mut actors = Vec::new();
    let mut next = claims.get(ACT);
    while let Some(act) = next {
        if actors.len() >= max_depth {
            return Err(InvalidToken::DelegatedTooOften);
        }
        let act = act.as_object().ok_or_else(malformed)?;
        let text = |name: &str| match act.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(malformed()),
        };
        let client_id = text("client_id")?.or(text("azp")?);
        let actor = Actor { subject: text("sub")?, issuer: text("iss")?, client_id };
        if actor.subject.is_none() && actor.client_id.is_none() {
            return Err(malformed());
        }
        actors.push(actor);
        next = act.get(ACT);
    }
    Ok(actors)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(act: Value, max_depth: usize) -> Result<Vec<Option<String>>, InvalidToken> {
        let claims = Map::from_iter([("act".to_owned(), act)]);
        chain(&claims, max_depth).map(|actors| actors.into_iter().map(|actor| actor.subject).collect())
    }

    #[test]
    fn the_present_actor_comes_first_and_the_depth_is_bounded() {
        let two = json!({"sub": "gate", "act": {"sub": "agent"}});
        let names = |names: &[&str]| Ok(names.iter().map(|name| Some((*name).to_owned())).collect());
        assert_eq!(read(two.clone(), 2), names(&["gate", "agent"]));
        assert_eq!(read(two.clone(), 1), Err(InvalidToken::DelegatedTooOften));
        assert_eq!(read(two, 0), Err(InvalidToken::DelegatedTooOften));
        assert_eq!(chain(&Map::new(), 0), Ok(Vec::new()));
        assert_eq!(read(json!({"client_id": "c"}), 1), Ok(vec![None]));
    }

    #[test]
    fn an_actor_without_a_name_refuses_the_token() {
        for act in [json!({}), json!("gate"), json!([]), json!({"sub": ""}), json!({"sub": 1}), Value::Null] {
            assert_eq!(read(act.clone(), 5), Err(InvalidToken::MalformedClaim("act".into())), "{act}");
        }
        let nested = json!({"sub": "gate", "act": {"act": {"sub": "agent"}}});
        assert_eq!(read(nested, 5), Err(InvalidToken::MalformedClaim("act".into())));
    }
}
