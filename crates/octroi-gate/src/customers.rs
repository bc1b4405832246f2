//! Which customer of another ledger a caller is.

use std::collections::HashMap;

use octroi_identity::Caller;
use serde_json::Value;

/// Longest name of a customer, in bytes.
const NAME_MAX: usize = 255;

/// Customers by callers. A caller that is none is not billed elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Customers {
    claim: Option<String>,
    by_principal: HashMap<[u8; 32], String>,
}

impl Customers {
    /// Those whose access token names a customer in the claim `claim`, and those known by issuer and subject, which go first.
    pub fn new<'a>(
        claim: Option<String>,
        known: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> Self {
        let known = known.into_iter();
        let by_principal = known
            .map(|(issuer, subject, customer)| (Caller::principal_of(issuer, subject), customer.to_owned()))
            .collect();
        Self { claim, by_principal }
    }

    /// The customer this caller is.
    pub(crate) fn of<'a>(&'a self, caller: &'a Caller) -> Option<&'a str> {
        let known = self.by_principal.get(&caller.principal).map(String::as_str);
        known.or_else(|| {
            let named = caller.claims.get(self.claim.as_deref()?).and_then(Value::as_str)?;
            is_name(named).then_some(named)
        })
    }
}

/// Whether a text can be a customer's name: it stands in a form and in the operator's lists.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_operators_word_goes_before_the_tokens() {
        let customers = Customers::new(Some("cus".to_owned()), [("https://i", "bob", "cus_bob")]);
        let caller = |subject: &str, claim: Value| {
            let mut caller = Caller::new("https://i", subject, 0);
            caller.claims.insert("cus".to_owned(), claim);
            caller
        };
        let of = |caller: &Caller| customers.of(caller).map(str::to_owned);
        assert_eq!(of(&caller("bob", json!("cus_other"))), Some("cus_bob".to_owned()));
        assert_eq!(of(&caller("eve", json!("cus_eve"))), Some("cus_eve".to_owned()));
        for hostile in [json!(7), json!(""), json!("a b"), json!("a\n"), json!("x".repeat(256)), json!(null)]
        {
            assert_eq!(of(&caller("eve", hostile.clone())), None, "{hostile}");
        }
        assert_eq!(Customers::default().of(&caller("eve", json!("cus_eve"))), None);
    }
}
