//! Scopes that contain others.

use std::collections::{BTreeMap, BTreeSet};

use octroi_identity::NameSet;

/// Which scope contains which: who has `admin` need not be given `write` and `read` too, where the operator says so
/// (MCP 2026-07-28 basic/authorization: servers MUST honour scope hierarchies).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeHierarchy {
    /// For each scope, every other one that contains it, directly or not.
    above: BTreeMap<String, Vec<String>>,
}

impl ScopeHierarchy {
    /// A hierarchy of `(scope, what it contains)`. Circles are allowed: their scopes then mean the same.
    #[must_use]
    pub fn new(contains: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        let below: BTreeMap<String, Vec<String>> = contains.into_iter().collect();
        let mut above: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for scope in below.keys() {
            let mut reached = BTreeSet::new();
            let mut open = vec![scope];
            while let Some(next) = open.pop() {
                for contained in below.get(next).into_iter().flatten() {
                    if contained != scope && reached.insert(contained) {
                        open.push(contained);
                    }
                }
            }
            for contained in reached {
                above.entry(contained.clone()).or_default().push(scope.clone());
            }
        }
        Self { above }
    }

    /// Whether `granted` has `scope` or one that contains it.
    #[must_use]
    pub fn grants(&self, granted: &NameSet, scope: &str) -> bool {
        granted.has(scope)
            || self.above.get(scope).is_some_and(|above| above.iter().any(|higher| granted.has(higher)))
    }

    /// `scopes` once each, without those that others among them contain: what a client should ask for.
    #[must_use]
    pub fn minimal(&self, scopes: &[&str]) -> Vec<String> {
        let mut kept: Vec<String> = Vec::new();
        for (at, scope) in scopes.iter().enumerate() {
            let contains = |higher: &str, lower: &str| {
                self.above.get(lower).is_some_and(|above| above.iter().any(|one| one == higher))
            };
            let by_another = scopes.iter().enumerate().any(|(other_at, other)| {
                // Of two scopes that contain each other, the first stands for both.
                other != scope && contains(other, scope) && (other_at < at || !contains(scope, other))
            });
            if !by_another && !kept.iter().any(|one| one == scope) {
                kept.push((*scope).to_owned());
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hierarchy(contains: &[(&str, &[&str])]) -> ScopeHierarchy {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ScopeHierarchy::new(contains.iter().map(|(scope, below)| ((*scope).to_owned(), owned(below))))
    }

    fn granted(scopes: &[&str]) -> NameSet {
        scopes.iter().copied().collect()
    }

    #[test]
    fn a_scope_contains_what_its_scopes_contain() {
        let tree = hierarchy(&[("admin", &["write"]), ("write", &["read"])]);
        assert!(tree.grants(&granted(&["admin"]), "read"));
        assert!(tree.grants(&granted(&["write"]), "write"));
        assert!(!tree.grants(&granted(&["read"]), "write"));
        assert!(!tree.grants(&granted(&["admi"]), "read"));
        assert!(!tree.grants(&granted(&[]), "read"));
        assert!(ScopeHierarchy::default().grants(&granted(&["read"]), "read"));
    }

    #[test]
    fn a_client_asks_for_the_least_that_holds_all() {
        let tree = hierarchy(&[("admin", &["write"]), ("write", &["read"])]);
        assert_eq!(tree.minimal(&["read", "write", "mail", "read"]), ["write", "mail"]);
        assert_eq!(tree.minimal(&["read", "admin"]), ["admin"]);
        let circle = hierarchy(&[("a", &["b"]), ("b", &["a"])]);
        assert_eq!(circle.minimal(&["a", "b"]), ["a"]);
        assert!(circle.grants(&granted(&["b"]), "a"));
    }

    proptest! {
        #[test]
        fn asking_for_the_minimum_gives_all(
            edges in prop::collection::vec((0..6u8, 0..6u8), 0..12),
            wanted in prop::collection::vec(0..6u8, 0..6),
        ) {
            let mut contains: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (high, low) in edges {
                contains.entry(high.to_string()).or_default().push(low.to_string());
            }
            let tree = ScopeHierarchy::new(contains);
            let wanted: Vec<String> = wanted.iter().map(u8::to_string).collect();
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            let minimal: NameSet = tree.minimal(&wanted).iter().map(String::as_str).collect();
            prop_assert!(wanted.iter().all(|scope| tree.grants(&minimal, scope)));
        }
    }
}
