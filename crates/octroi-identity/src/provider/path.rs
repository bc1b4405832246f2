//! Where in a token a claim is.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The place of a claim.
///
/// A text that begins with `/` is a JSON pointer (RFC 6901), in which four segments have a meaning of their own: `*`
/// is every member, `{client}` the member named like the token's client, `{organisation}` the one named like the
/// caller's organisation, `{audience}` every member named like one of our audiences. Any other text is the name of a
/// top-level claim, whatever characters it has: Auth0's `https://example.com/roles` is a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    text: Cow<'static, str>,
    /// Empty for a plain name.
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    Named(String),
    Any,
    Client,
    Organisation,
    Audience,
}

/// What the segments in braces stand for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Names<'a> {
    pub(crate) client: Option<&'a str>,
    pub(crate) organisation: Option<&'a str>,
    pub(crate) audiences: &'a [String],
}

impl ClaimPath {
    /// The most values one path finds; the rest are not looked at.
    pub const MAX_FOUND: usize = 256;

    /// Reads a path.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        let segments = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(Segment::read).collect(),
            None => Vec::new(),
        };
        Self { text, segments }
    }

    /// The path as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The values at this place, at most [`Self::MAX_FOUND`].
    pub(crate) fn find<'v>(&self, claims: &'v Map<String, Value>, names: Names<'_>) -> Vec<&'v Value> {
        let Some((first, rest)) = self.segments.split_first() else {
            return claims.get(self.text.as_ref()).into_iter().collect();
        };
        let mut found = first.members(claims, names);
        for segment in rest {
            let objects = found.into_iter().filter_map(Value::as_object);
            found = objects.flat_map(|object| segment.members(object, names)).take(Self::MAX_FOUND).collect();
        }
        found
    }

    /// The value at this place, where there is exactly one.
    pub(crate) fn one<'v>(&self, claims: &'v Map<String, Value>) -> Option<&'v Value> {
        if self.segments.is_empty() {
            return claims.get(self.text.as_ref());
        }
        match self.find(claims, Names::default())[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The name for messages.
    pub(crate) fn name(&self) -> Cow<'static, str> {
        self.text.clone()
    }
}

impl Segment {
    fn read(text: &str) -> Self {
        match text {
            "*" => Self::Any,
            "{client}" => Self::Client,
            "{organisation}" => Self::Organisation,
            "{audience}" => Self::Audience,
            // RFC 6901 §4: `~1` first, so that `~01` becomes `~1`.
            _ => Self::Named(text.replace("~1", "/").replace("~0", "~")),
        }
    }

    fn members<'v>(&self, object: &'v Map<String, Value>, names: Names<'_>) -> Vec<&'v Value> {
        let named = |name: Option<&str>| name.and_then(|name| object.get(name)).into_iter().collect();
        match self {
            Self::Named(name) => named(Some(name)),
            Self::Any => object.values().take(ClaimPath::MAX_FOUND).collect(),
            Self::Client => named(names.client),
            Self::Organisation => named(names.organisation),
            Self::Audience => names.audiences.iter().filter_map(|audience| object.get(audience)).collect(),
        }
    }
}

impl From<&'static str> for ClaimPath {
    fn from(text: &'static str) -> Self {
        Self::new(text)
    }
}

impl From<String> for ClaimPath {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ClaimPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() || text == "/" {
            return Err(serde::de::Error::custom("the place of a claim is empty"));
        }
        Ok(Self::new(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_pointers() {
        let Value::Object(claims) = json!({
            "sub": "alice",
            "https://example.com/roles": ["a"],
            "realm_access": {"roles": ["r"]},
            "resource_access": {"one": {"roles": ["x"]}, "two": {"roles": ["y"]}, "three": 3},
            "kubernetes.io": {"namespace": "default"},
            "a/b": {"m~n": 1},
        }) else {
            unreachable!()
        };
        let audiences = ["two".to_owned(), "four".to_owned()];
        let names = Names { client: Some("one"), organisation: Some("three"), audiences: &audiences };
        let find = |path: &'static str| json!(ClaimPath::new(path).find(&claims, names));
        assert_eq!(find("sub"), json!(["alice"]));
        assert_eq!(find("https://example.com/roles"), json!([["a"]]));
        assert_eq!(find("/realm_access/roles"), json!([["r"]]));
        assert_eq!(find("realm_access.roles"), json!([]));
        assert_eq!(find("/resource_access/*/roles"), json!([["x"], ["y"]]));
        assert_eq!(find("/resource_access/{client}/roles"), json!([["x"]]));
        assert_eq!(find("/resource_access/{audience}/roles"), json!([["y"]]));
        assert_eq!(find("/resource_access/{organisation}"), json!([3]));
        assert_eq!(find("/kubernetes.io/namespace"), json!(["default"]));
        assert_eq!(find("/a~1b/m~0n"), json!([1]));
        assert_eq!(find("/sub/x"), json!([]));
        let one = |path: &'static str| ClaimPath::new(path).one(&claims).cloned();
        assert_eq!(one("/resource_access/one/roles"), Some(json!(["x"])));
        assert_eq!(one("/resource_access/*/roles"), None);
    }
}
