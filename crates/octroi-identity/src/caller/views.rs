//! A caller as others read it: the gate's own JSON, and the shape of LeanMCP's `authUser`.

use serde_json::{Map, Value, json};

use super::{Actor, Caller};

impl Caller {
    /// Everything the house knows of the caller, except the raw claims: what goes into `_meta["dev.octroi/caller"]` and
    /// into the gate's signed statement. What is not known is left out. Times are seconds since the Unix epoch.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut view = Map::new();
        view.insert("iss".to_owned(), json!(self.issuer));
        view.insert("sub".to_owned(), json!(self.subject));
        view.insert("kind".to_owned(), json!(self.kind.name()));
        put(&mut view, "client_id", self.client_id.as_ref());
        for (name, set) in [("scopes", &self.scopes), ("roles", &self.roles), ("groups", &self.groups)] {
            if !set.is_empty() {
                view.insert(name.to_owned(), set.iter().collect());
            }
        }
        if let Some(organisation) = &self.organisation {
            let mut named = Map::new();
            put(&mut named, "id", Some(&organisation.id));
            put(&mut named, "name", organisation.name.as_ref());
            view.insert("org".to_owned(), Value::Object(named));
        }
        put(&mut view, "email", self.email.as_ref());
        if let Some(verified) = self.email_verified {
            view.insert("email_verified".to_owned(), json!(verified));
        }
        put(&mut view, "name", self.names.name.as_ref());
        put(&mut view, "given_name", self.names.given_name.as_ref());
        put(&mut view, "family_name", self.names.family_name.as_ref());
        put(&mut view, "preferred_username", self.names.preferred_username.as_ref());
        put(&mut view, "picture", self.names.picture.as_ref());
        if let Some(act) = nested(&self.act) {
            view.insert("act".to_owned(), act);
        }
        view.insert("exp".to_owned(), json!(self.expires_at));
        view
    }

    /// The shape that tools written for LeanMCP read as `authUser`: the union of what its providers give, with names in
    /// both spellings its guides use, and every claim under `attributes`.
    #[must_use]
    pub fn to_auth_user(&self) -> Map<String, Value> {
        let mut user = Map::new();
        put(&mut user, "sub", Some(&self.subject));
        put(&mut user, "uid", Some(&self.subject));
        put(&mut user, "userId", Some(&self.subject));
        put(&mut user, "issuer", Some(&self.issuer));
        put(&mut user, "email", self.email.as_ref());
        user.insert("email_verified".to_owned(), json!(self.email_verified == Some(true)));
        let names = &self.names;
        put(&mut user, "name", names.name.as_ref());
        put(&mut user, "username", names.preferred_username.as_ref());
        for (spellings, name) in [
            (["first_name", "firstName"], &names.given_name),
            (["last_name", "lastName"], &names.family_name),
            (["picture", "imageUrl"], &names.picture),
        ] {
            spellings.iter().for_each(|spelling| put(&mut user, spelling, name.as_ref()));
        }
        user.insert("scopes".to_owned(), self.scopes.iter().collect());
        user.insert("roles".to_owned(), self.roles.iter().collect());
        user.insert("groups".to_owned(), self.groups.iter().collect());
        user.insert("attributes".to_owned(), Value::Object(self.claims.clone()));
        user
    }
}

fn put(view: &mut Map<String, Value>, name: &str, text: Option<&String>) {
    if let Some(text) = text {
        view.insert(name.to_owned(), Value::String(text.clone()));
    }
}

/// The chain as RFC 8693 §4.1 nests it.
fn nested(actors: &[Actor]) -> Option<Value> {
    actors.iter().rev().fold(None, |inner, actor| {
        let mut act = Map::new();
        put(&mut act, "sub", actor.subject.as_ref());
        put(&mut act, "iss", actor.issuer.as_ref());
        put(&mut act, "client_id", actor.client_id.as_ref());
        if let Some(inner) = inner {
            act.insert("act".to_owned(), inner);
        }
        Some(Value::Object(act))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{CallerKind, Organisation};
    use super::*;

    fn caller() -> Caller {
        let mut caller = Caller::new("https://issuer.example", "alice", 100);
        caller.scopes = ["read"].into_iter().collect();
        caller.organisation = Some(Organisation { id: "o1".to_owned(), name: None });
        caller.names.given_name = Some("Alice".to_owned());
        let named = |subject: &str| Actor { subject: Some(subject.to_owned()), ..Actor::default() };
        caller.act = vec![named("gate"), named("agent")];
        caller.claims.insert("custom".to_owned(), json!(1));
        caller
    }

    #[test]
    fn the_own_view_says_what_is_known_and_no_claims() {
        let expected = json!({
            "iss": "https://issuer.example", "sub": "alice", "kind": "user", "scopes": ["read"],
            "org": {"id": "o1"}, "given_name": "Alice", "exp": 100,
            "act": {"sub": "gate", "act": {"sub": "agent"}},
        });
        assert_eq!(Value::Object(caller().to_json()), expected);
        let bare = Caller { kind: CallerKind::Workload, ..Caller::new("i", "s", 1) };
        assert_eq!(
            Value::Object(bare.to_json()),
            json!({"iss": "i", "sub": "s", "kind": "workload", "exp": 1})
        );
    }

    #[test]
    fn auth_user_has_both_spellings_and_the_claims() {
        let user = caller().to_auth_user();
        assert!(user["first_name"] == "Alice" && user["firstName"] == "Alice");
        assert!(user["sub"] == "alice" && user["uid"] == "alice" && user["email_verified"] == false);
        assert_eq!(user["attributes"], json!({"custom": 1}));
        assert!(!user.contains_key("last_name"));
    }
}
