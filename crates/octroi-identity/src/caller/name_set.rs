//! Sets of scopes, roles and groups.

/// A set of names. They are case-sensitive and compared exactly (for scopes RFC 6749 §3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet(Vec<String>);

impl NameSet {
    /// Whether `name` is in the set.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.binary_search_by(|own| own.as_str().cmp(name)).is_ok()
    }

    /// Whether every one of `names` is in the set; true for none.
    #[must_use]
    pub fn has_all<S: AsRef<str>>(&self, names: &[S]) -> bool {
        names.iter().all(|name| self.has(name.as_ref()))
    }

    /// Whether one of `names` is in the set; false for none.
    #[must_use]
    pub fn has_any<S: AsRef<str>>(&self, names: &[S]) -> bool {
        names.iter().any(|name| self.has(name.as_ref()))
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Empty names are left out.
impl<S: Into<String>> FromIterator<S> for NameSet {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut names: Vec<String> = names.into_iter().map(Into::into).filter(|s| !s.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        let scopes: NameSet = ["tools:call", "", "read", "read"].into_iter().collect();
        assert!(scopes.has("read") && scopes.has("tools:call"));
        assert!(!scopes.has("rea") && !scopes.has("Read") && !scopes.has(""));
        assert!(scopes.has_all(&["read", "tools:call"]));
        assert!(scopes.has_all::<&str>(&[]) && !scopes.has_any::<&str>(&[]));
        assert!(!scopes.has_all(&["read", "write"]) && scopes.has_any(&["read", "write"]));
        assert_eq!(scopes.iter().collect::<Vec<_>>(), ["read", "tools:call"]);
        assert!(scopes.len() == 2 && !scopes.is_empty());
    }
}
