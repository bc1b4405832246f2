//! The owner's rules: which subject (tool, resource, prompt) needs what.
//!
//! Looking up a rule is one hash of the name for exact rules and a walk over the patterns otherwise. Of several
//! patterns that match, the one that fixes most characters wins, and of equals the one written first.

mod fine;
mod pattern;
mod rule;
mod scopes;
mod standing;

use std::collections::HashMap;

pub use fine::{FineRules, Judgement, Question};
pub use pattern::Pattern;
pub(crate) use rule::OPEN;
pub use rule::{Rule, Selling};
pub use scopes::ScopeHierarchy;
pub use standing::Standing;

/// What kind of thing a priced call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// `tools/call`, named by `params.name`.
    Tool,
    /// `resources/read`, named by `params.uri`.
    Resource,
    /// `prompts/get`, named by `params.name`.
    Prompt,
}

/// The rules for one kind of subject.
#[derive(Clone, Debug)]
pub struct Rules {
    exact: HashMap<String, Rule>,
    patterns: Vec<(Pattern, Rule)>,
    default: Rule,
}

impl Rules {
    /// `entries` in the order of the configuration; `default` is for what no entry names.
    pub fn new(entries: impl IntoIterator<Item = (Pattern, Rule)>, default: Rule) -> Self {
        let (mut exact, mut patterns) = (HashMap::new(), Vec::new());
        for (pattern, rule) in entries {
            if pattern.is_exact() {
                exact.entry(pattern.as_str().to_owned()).or_insert(rule);
            } else {
                patterns.push((pattern, rule));
            }
        }
        // A stable sort keeps the written order among equally specific patterns.
        patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.specificity()));
        Self { exact, patterns, default }
    }

    /// The rule for `name`.
    pub fn rule(&self, name: &str) -> &Rule {
        self.exact.get(name).unwrap_or_else(|| {
            self.patterns
                .iter()
                .find(|(pattern, _)| pattern.matches(name))
                .map_or(&self.default, |(_, rule)| rule)
        })
    }

    /// Every rule with the text it was written for, exact names first; the default is not among them.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Rule)> {
        let exact = self.exact.iter().map(|(name, rule)| (name.as_str(), rule));
        exact.chain(self.patterns.iter().map(|(pattern, rule)| (pattern.as_str(), rule)))
    }
}

/// The whole policy of one MCP server.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Rules for `tools/call`.
    pub tools: Rules,
    /// Rules for `resources/read`.
    pub resources: Rules,
    /// Rules for `prompts/get`.
    pub prompts: Rules,
    /// Which scopes contain others.
    pub hierarchy: ScopeHierarchy,
}

impl Policy {
    /// The rule for one subject.
    pub fn rule(&self, kind: SubjectKind, name: &str) -> &Rule {
        match kind {
            SubjectKind::Tool => self.tools.rule(name),
            SubjectKind::Resource => self.resources.rule(name),
            SubjectKind::Prompt => self.prompts.rule(name),
        }
    }

    /// Whether any rule has a price.
    pub fn has_prices(&self) -> bool {
        [&self.tools, &self.resources, &self.prompts].iter().any(|rules| {
            rules.default.price.is_some() || rules.entries().any(|(_, rule)| rule.price.is_some())
        })
    }

    /// The tools (names or patterns) that a proof of work may buy.
    pub fn work_tools(&self) -> impl Iterator<Item = &str> {
        self.tools
            .entries()
            .filter(|(_, rule)| rule.work_accepted && rule.price.is_some())
            .map(|(name, _)| name)
    }

    /// Every scope that any rule names, once each, in sorted order: the `scopes_supported` of RFC 9728 §2.
    pub fn scopes(&self) -> Vec<String> {
        let mut scopes: Vec<String> = [&self.tools, &self.resources, &self.prompts]
            .iter()
            .flat_map(|rules| rules.entries().flat_map(|(_, rule)| rule.scopes.iter().cloned()))
            .collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(msat: i64) -> Rule {
        Rule { price: Some(crate::price::Price::fixed(octroi_l402::Msat::new(msat))), ..Rule::FREE }
    }

    #[test]
    fn exact_beats_pattern_and_the_longer_pattern_beats_the_shorter() {
        let rules = Rules::new(
            [
                (Pattern::new("*"), priced(1)),
                (Pattern::new("image_*"), priced(2)),
                (Pattern::new("image_describe"), priced(3)),
            ],
            Rule::forbidden(),
        );
        assert_eq!(rules.rule("image_describe"), &priced(3));
        assert_eq!(rules.rule("image_resize"), &priced(2));
        assert_eq!(rules.rule("status"), &priced(1));
    }

    #[test]
    fn what_no_rule_names_follows_the_default() {
        assert!(Rules::new([], Rule::forbidden()).rule("anything").forbidden);
    }
}
