//! Policies for lists: who might be permitted a call, with whatever arguments.
//!
//! A list is asked for without arguments. So conditions that look at arguments are taken to hold where they permit, and a
//! `forbid` that looks at them is left out: the list shows a little more than may be called in the end, never less.

use cedar_policy::{Effect, Policy, PolicySet};
use serde_json::Value;

/// What a condition may ask of the context without looking at arguments.
const KNOWN: [&str; 3] = ["time", "price_msat", "peer"];

/// The policies without what looks at arguments.
///
/// # Errors
/// A policy that cannot be written and read again, which validation has ruled out.
pub(super) fn relaxed(policies: &PolicySet) -> Result<PolicySet, String> {
    let mut relaxed = PolicySet::new();
    for policy in policies.policies() {
        if let Some(policy) = relax(policy)? {
            relaxed.add(policy).map_err(|error| error.to_string())?;
        }
    }
    Ok(relaxed)
}

fn relax(policy: &Policy) -> Result<Option<Policy>, String> {
    let mut json = policy.to_json().map_err(|error| error.to_string())?;
    let Some(conditions) = json.get_mut("conditions").and_then(Value::as_array_mut) else {
        return Ok(Some(policy.clone()));
    };
    let before = conditions.len();
    conditions.retain(|condition| !looks_at_arguments(condition));
    match (conditions.len() == before, policy.effect()) {
        (true, _) => Ok(Some(policy.clone())),
        (false, Effect::Forbid) => Ok(None),
        (false, Effect::Permit) => {
            let id = Some(policy.id().clone());
            Policy::from_json(id, json).map(Some).map_err(|error| error.to_string())
        }
    }
}

/// Whether an expression (Cedar's JSON policy format) uses anything of the context but [`KNOWN`].
fn looks_at_arguments(expression: &Value) -> bool {
    match expression {
        Value::Object(members) => members.iter().any(|(operator, operand)| match operator.as_str() {
            "Var" => operand == "context",
            "." | "has" if operand["left"]["Var"] == "context" => {
                !operand["attr"].as_str().is_some_and(|attribute| KNOWN.contains(&attribute))
            }
            // A literal's members are no operators.
            "Value" => false,
            _ => looks_at_arguments(operand),
        }),
        Value::Array(items) => items.iter().any(looks_at_arguments),
        _ => false,
    }
}
