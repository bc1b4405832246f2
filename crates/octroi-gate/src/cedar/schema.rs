//! What policies may say: the types of callers, things and circumstances.

use std::fmt::Write as _;

use cedar_policy::Schema;

use super::ArgumentRule;

/// Callers and things. `docs/identity.md` shows the same to operators.
const TYPES: &str = r#"
entity Role, Group, Organisation, Server;
entity Caller in [Role, Group, Organisation] = {
  issuer: String,
  subject: String,
  kind: String,
  client?: String,
  scopes: Set<String>,
  roles: Set<String>,
  groups: Set<String>,
  organisation?: String,
  email?: String,
  email_verified: Bool,
  name?: String,
  delegated: Bool,
  actors: Set<String>,
};
entity Anonymous;
entity Tool in [Server] = { name: String };
entity Prompt in [Server] = { name: String };
entity Resource in [Server] = { name: String, uri: String };
"#;

/// The schema with the arguments that the operator declared.
///
/// # Errors
/// An argument's name that Cedar cannot read, which the configuration has refused before.
pub(super) fn schema(arguments: &[ArgumentRule]) -> Result<Schema, String> {
    let mut text = TYPES.to_owned();
    text.push_str("type Arguments = {");
    let mut seen: Vec<&str> = Vec::new();
    for rule in arguments {
        if !seen.contains(&rule.path.as_str()) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{:?}?: {},", rule.path, rule.kind.cedar_name());
            seen.push(&rule.path);
        }
    }
    text.push_str("};\n");
    for (action, resource) in [("call", "Tool"), ("get", "Prompt"), ("read", "Resource")] {
        let _ = writeln!(
            text,
            "action {action} appliesTo {{ principal: [Caller, Anonymous], resource: {resource}, \
             context: {{ arguments: Arguments, time: datetime, price_msat: Long, peer?: ipaddr }} }};"
        );
    }
    Schema::from_cedarschema_str(&text).map(|(schema, _)| schema).map_err(|error| error.to_string())
}
