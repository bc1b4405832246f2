//! What a caller must be, besides having scopes.

use octroi_identity::{Caller, NameSet};

/// Roles, groups and organisations that a rule asks for. An empty list asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// One of these roles.
    pub roles: Vec<String>,
    /// Each of these roles.
    pub all_roles: Vec<String>,
    /// One of these groups.
    pub groups: Vec<String>,
    /// Each of these groups.
    pub all_groups: Vec<String>,
    /// One of these organisations, by the issuer's identifier.
    pub organisations: Vec<String>,
}

impl Standing {
    /// Nothing is asked for.
    pub const ANYTHING: Self = Self {
        roles: Vec::new(),
        all_roles: Vec::new(),
        groups: Vec::new(),
        all_groups: Vec::new(),
        organisations: Vec::new(),
    };

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        *self == Self::ANYTHING
    }

    /// Whether the caller is all that is asked for.
    #[must_use]
    pub fn admits(&self, caller: &Caller) -> bool {
        self.missing(caller).is_none()
    }

    /// What the caller lacks, for a message to the caller: which kind of thing, and which of them would do.
    pub(crate) fn missing(&self, caller: &Caller) -> Option<String> {
        let any = |wanted: &[String], own: &NameSet| wanted.is_empty() || own.has_any(wanted);
        let organisation = caller.organisation.as_ref().map(|organisation| organisation.id.as_str());
        let member = self.organisations.is_empty()
            || organisation.is_some_and(|id| self.organisations.iter().any(|one| one == id));
        if !member {
            return Some(format!("the organisation {}", self.organisations.join(" or ")));
        }
        if !any(&self.roles, &caller.roles) {
            return Some(format!("the role {}", self.roles.join(" or ")));
        }
        if !caller.roles.has_all(&self.all_roles) {
            return Some(format!("the roles {}", self.all_roles.join(" and ")));
        }
        if !any(&self.groups, &caller.groups) {
            return Some(format!("the group {}", self.groups.join(" or ")));
        }
        if !caller.groups.has_all(&self.all_groups) {
            return Some(format!("the groups {}", self.all_groups.join(" and ")));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use octroi_identity::Organisation;

    use super::*;

    fn caller() -> Caller {
        let mut caller = Caller::new("https://issuer.example", "alice", 1);
        caller.roles = ["editor", "auditor"].into_iter().collect();
        caller.groups = ["staff"].into_iter().collect();
        caller.organisation = Some(Organisation { id: "o1".to_owned(), name: None });
        caller
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn one_of_some_and_each_of_others() {
        let asks = |standing: Standing| standing.admits(&caller());
        assert!(asks(Standing::default()) && Standing::default().is_anything());
        assert!(asks(Standing { roles: names(&["admin", "editor"]), ..Standing::default() }));
        assert!(!asks(Standing { roles: names(&["admin", "edit"]), ..Standing::default() }));
        assert!(asks(Standing { all_roles: names(&["auditor", "editor"]), ..Standing::default() }));
        assert!(!asks(Standing { all_roles: names(&["auditor", "admin"]), ..Standing::default() }));
        assert!(!asks(Standing { groups: names(&["editor"]), ..Standing::default() }));
        assert!(!asks(Standing { all_groups: names(&["staff", "board"]), ..Standing::default() }));
        assert!(asks(Standing { organisations: names(&["o2", "o1"]), ..Standing::default() }));
        assert!(!asks(Standing { organisations: names(&["O1"]), ..Standing::default() }));
    }

    #[test]
    fn who_belongs_to_no_organisation_is_not_of_any() {
        let asked = Standing { organisations: names(&["o1"]), ..Standing::default() };
        let nobody = Caller::new("https://issuer.example", "alice", 1);
        assert_eq!(asked.missing(&nobody).unwrap(), "the organisation o1");
    }
}
