//! Names of what is called, kept once each.

use std::collections::HashMap;
use std::sync::Arc;

/// Most names of tools kept apart in one life of the ledger. Patterns in the policy let callers invent names; what comes
/// later is booked under [`OTHERS`].
const MAX_TOOLS: usize = 4_096;
/// Longest name booked under itself, in bytes.
const MAX_NAME: usize = 1_024;
/// What the rest is booked under.
const OTHERS: &str = "(others)";

/// A tool (or resource, or prompt) of a service.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ToolName {
    pub(crate) service: Box<str>,
    pub(crate) tool: Box<str>,
}

/// The names seen so far: found without an allocation.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    by_service: HashMap<Box<str>, HashMap<Box<str>, Arc<ToolName>>>,
    count: usize,
}

impl Tools {
    /// The kept name. `service` comes from the operator's config, `tool` from the caller.
    pub(crate) fn intern(&mut self, service: &str, tool: &str) -> Arc<ToolName> {
        if let Some(known) = self.by_service.get(service).and_then(|tools| tools.get(tool)) {
            return Arc::clone(known);
        }
        if tool != OTHERS && (self.count >= MAX_TOOLS || tool.len() > MAX_NAME) {
            return self.intern(service, OTHERS);
        }
        self.count += 1;
        let name = Arc::new(ToolName { service: service.into(), tool: tool.into() });
        self.by_service.entry(service.into()).or_default().insert(tool.into(), Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_names_do_not_fill_the_memory() {
        let mut tools = Tools::default();
        for n in 0..MAX_TOOLS + 10 {
            tools.intern("s", &format!("tool-{n}"));
        }
        assert_eq!(&*tools.intern("s", "tool-0").tool, "tool-0");
        assert_eq!(&*tools.intern("s", "one more").tool, OTHERS);
        assert_eq!(tools.by_service["s"].len(), MAX_TOOLS + 1);
        assert_eq!(&*Tools::default().intern("s", &"x".repeat(MAX_NAME + 1)).tool, OTHERS);
    }

    #[test]
    fn a_name_is_kept_once() {
        let mut tools = Tools::default();
        assert!(Arc::ptr_eq(&tools.intern("s", "t"), &tools.intern("s", "t")));
        assert!(!Arc::ptr_eq(&tools.intern("s", "t"), &tools.intern("r", "t")));
    }
}
