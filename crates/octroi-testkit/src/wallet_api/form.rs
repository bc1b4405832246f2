//! The parameters of a request: `application/x-www-form-urlencoded`, in a body or behind a question mark.

use std::collections::HashMap;

use super::replies::Refusal;

/// Parameters by name; of a repeated one the first counts, as in phoenixd.
pub(super) struct Form(HashMap<String, String>);

impl Form {
    pub(super) fn parse(encoded: &[u8]) -> Self {
        let mut fields = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            fields.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(fields)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name).ok_or_else(|| Refusal::bad_request(format!("Request parameter {name} is missing")))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let wrong = |_| {
            Refusal::bad_request(format!("Request parameter {name} couldn't be parsed/converted to integer"))
        };
        self.text(name).map(|text| text.parse().map_err(wrong)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_the_first_of_two_counts() {
        let form = Form::parse(b"a=1&b=caf%C3%A9+au+lait&a=2&c&%=%zz");
        assert_eq!(form.number("a").ok(), Some(Some(1)));
        assert_eq!(form.text("b"), Some("café au lait"));
        assert_eq!(form.text("c"), Some(""));
        assert!(form.number("b").is_err() && form.number("c").is_err());
        assert_eq!(form.number("d").ok(), Some(None));
        assert!(form.required("d").is_err());
    }
}
