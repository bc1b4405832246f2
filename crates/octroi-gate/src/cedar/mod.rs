//! Rules in the Cedar policy language: <https://docs.cedarpolicy.com>.
//!
//! The policies are parsed and validated against a [schema] when they are loaded, so that a misspelt attribute is a mistake
//! with a line and not a policy that never applies. A call is permitted when some `permit` applies, no `forbid` does, and
//! every policy could be evaluated: Cedar itself skips a policy that fails, and a `forbid` that is skipped permits.

mod arguments;
mod entities;
mod listing;
mod load;
mod schema;

use cedar_policy::{AuthorizationError, Authorizer, Decision, PolicyId, PolicySet, Request, Response};

use crate::policy::{FineRules, Judgement, Question};
pub use arguments::{ArgumentRule, ArgumentType};
use entities::Asked;
pub use load::PolicyMistake;

/// A loaded set of policies.
pub struct CedarPolicy {
    policies: PolicySet,
    /// The same, asking about nothing that only a call has: see [`listing`].
    for_lists: PolicySet,
    arguments: Vec<ArgumentRule>,
    authorizer: Authorizer,
    /// The `Server` that tools, prompts and resources are in.
    server: String,
}

impl CedarPolicy {
    /// How many policies there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.policies.num_of_policies()
    }

    /// Parses and validates `text`. `server` is the name of the MCP server; `arguments` are what policies may look at.
    ///
    /// # Errors
    /// Every mistake in the policies, with its line.
    pub fn load(text: &str, server: &str, arguments: Vec<ArgumentRule>) -> Result<Self, Vec<PolicyMistake>> {
        let policies = load::policies(text, &arguments)?;
        let for_lists = listing::relaxed(&policies).map_err(|error| vec![PolicyMistake::of_file(error)])?;
        Ok(Self { policies, for_lists, arguments, authorizer: Authorizer::new(), server: server.to_owned() })
    }

    fn evaluate(&self, policies: &PolicySet, asked: Asked) -> Option<Response> {
        let request =
            Request::new(asked.principal, asked.action, asked.resource, asked.context, None).ok()?;
        let response = self.authorizer.is_authorized(&request, policies, &asked.entities);
        // The text of an error may repeat what the caller wrote; the policy's name does not.
        let failed = |error: &AuthorizationError| match error {
            AuthorizationError::PolicyEvaluationError(error) => error.policy_id().clone(),
        };
        let failed: Vec<PolicyId> = response.diagnostics().errors().map(failed).collect();
        if failed.is_empty() {
            return Some(response);
        }
        for policy in failed {
            tracing::warn!(server = %self.server, %policy, "a Cedar policy could not be evaluated; the call is refused");
        }
        None
    }

    /// What the policies that forbid it say to the caller: the `@advice("…")` of the first that has one.
    fn advice(&self, response: &Response) -> Option<String> {
        let mut said =
            response.diagnostics().reason().filter_map(|id| self.policies.annotation(id, "advice"));
        said.next().map(str::to_owned)
    }
}

impl FineRules for CedarPolicy {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        let arguments = match arguments::read(&self.arguments, question.name, question.arguments) {
            Ok(arguments) => arguments,
            Err(error) => return Judgement::Unjudgeable(error.to_string()),
        };
        let asked = Asked::new(question, &self.server, arguments);
        match asked.and_then(|asked| self.evaluate(&self.policies, asked)) {
            Some(response) if response.decision() == Decision::Allow => Judgement::Permitted,
            Some(response) => Judgement::Denied(self.advice(&response)),
            None => Judgement::Denied(None),
        }
    }

    fn might_permit(&self, question: &Question<'_>) -> bool {
        let asked = Asked::new(question, &self.server, Vec::new());
        asked
            .and_then(|asked| self.evaluate(&self.for_lists, asked))
            .is_some_and(|response| response.decision() == Decision::Allow)
    }
}

#[cfg(test)]
mod tests;
