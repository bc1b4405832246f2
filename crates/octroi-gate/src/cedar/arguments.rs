//! The arguments a policy may look at: only those that the operator declared, each with its type.
//!
//! Whatever is not declared is not read, so that a policy never judges by half-understood data; what is declared and has
//! another type, or a name that differs from a declared one only in case, refuses the call: the server behind the gate
//! might read it where the policy saw nothing.

use octroi_mcp::json;

use crate::policy::Pattern;

/// Longest texts of one call that policies are evaluated on, in bytes together.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Most items of one declared list.
const ITEMS_MAX: usize = 1024;

/// What a declared argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentType {
    /// A string.
    Text,
    /// An integer of 64 bits, written without fraction and exponent.
    Whole,
    /// `true` or `false`.
    Truth,
    /// A number with at most four digits after the point, for amounts: Cedar's `decimal`.
    Decimal,
    /// An array of strings.
    Texts,
    /// An array of integers.
    Wholes,
}

impl ArgumentType {
    /// Every type by its name in Cedar, in which the configuration writes it too.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("String", Self::Text),
        ("Long", Self::Whole),
        ("Bool", Self::Truth),
        ("decimal", Self::Decimal),
        ("Set<String>", Self::Texts),
        ("Set<Long>", Self::Wholes),
    ];

    /// The name of the type in Cedar.
    #[must_use]
    pub fn cedar_name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("String", |(name, _)| name)
    }
}

/// One argument that policies may look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentRule {
    /// The tools and prompts that have it.
    pub subject: Pattern,
    /// Its name; names inside of objects are joined by `.`.
    pub path: String,
    /// What it must be.
    pub kind: ArgumentType,
}

/// What one argument says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Whole(i64),
    Truth(bool),
    Decimal(String),
    Texts(Vec<String>),
    Wholes(Vec<i64>),
}

/// Why a call's arguments cannot be judged. The caller's fault; `path` is the operator's word, never the caller's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    /// Another type than declared.
    #[error("the argument {path} must be a {expected} for the policy of this server to judge it")]
    Type {
        /// The declared argument.
        path: String,
        /// Its declared type.
        expected: &'static str,
    },
    /// A name that differs only in case.
    #[error("an argument differs from {path} only in the case of its letters")]
    Lookalike {
        /// The declared argument.
        path: String,
    },
    /// More than a policy is evaluated on.
    #[error("the argument {path} is longer than the policy of this server judges")]
    TooLong {
        /// The declared argument.
        path: String,
    },
}

/// Reads the declared arguments of one call; absent ones, and `null`, are left out. `raw` must have been validated.
pub(crate) fn read<'r>(
    rules: &'r [ArgumentRule],
    subject: &str,
    raw: Option<&[u8]>,
) -> Result<Vec<(&'r str, Value)>, ArgumentError> {
    let mut found: Vec<(&str, Value)> = Vec::new();
    let Some(raw) = raw else { return Ok(found) };
    let mut room = TEXT_BYTES_MAX;
    for rule in rules.iter().filter(|rule| rule.subject.matches(subject)) {
        if found.iter().any(|(path, _)| *path == rule.path) {
            continue;
        }
        if let Some(value) = rule.read(raw, &mut room)? {
            found.push((&rule.path, value));
        }
    }
    Ok(found)
}

impl ArgumentRule {
    fn read(&self, raw: &[u8], room: &mut usize) -> Result<Option<Value>, ArgumentError> {
        let mut value = raw;
        for name in self.path.split('.') {
            if value.first() != Some(&b'{') {
                return Err(self.wrong_type());
            }
            let mut found = None;
            for member in json::members(value) {
                if member.key == name {
                    found = Some(member.value);
                } else if member.key.eq_ignore_ascii_case(name) {
                    return Err(ArgumentError::Lookalike { path: self.path.clone() });
                }
            }
            match found {
                None | Some(b"null") => return Ok(None),
                Some(inner) => value = inner,
            }
        }
        self.value(value, room).map(Some)
    }

    fn value(&self, raw: &[u8], room: &mut usize) -> Result<Value, ArgumentError> {
        Ok(match self.kind {
            ArgumentType::Text => Value::Text(self.text(raw, room)?),
            ArgumentType::Whole => Value::Whole(self.whole(raw)?),
            ArgumentType::Truth => match raw {
                b"true" => Value::Truth(true),
                b"false" => Value::Truth(false),
                _ => return Err(self.wrong_type()),
            },
            ArgumentType::Decimal => Value::Decimal(decimal(raw).ok_or_else(|| self.wrong_type())?),
            ArgumentType::Texts => {
                Value::Texts(self.items(raw)?.map(|item| self.text(item, room)).collect::<Result<_, _>>()?)
            }
            ArgumentType::Wholes => {
                Value::Wholes(self.items(raw)?.map(|item| self.whole(item)).collect::<Result<_, _>>()?)
            }
        })
    }

    fn text(&self, raw: &[u8], room: &mut usize) -> Result<String, ArgumentError> {
        let text = json::string(raw).ok_or_else(|| self.wrong_type())?;
        *room = room.checked_sub(text.len()).ok_or_else(|| self.too_long())?;
        Ok(text.into_owned())
    }

    fn whole(&self, raw: &[u8]) -> Result<i64, ArgumentError> {
        std::str::from_utf8(raw).ok().and_then(|text| text.parse().ok()).ok_or_else(|| self.wrong_type())
    }

    fn items<'a>(&self, raw: &'a [u8]) -> Result<impl Iterator<Item = &'a [u8]>, ArgumentError> {
        if raw.first() != Some(&b'[') {
            return Err(self.wrong_type());
        }
        if json::items(raw).nth(ITEMS_MAX).is_some() {
            return Err(self.too_long());
        }
        Ok(json::items(raw).map(|item| item.value))
    }

    fn wrong_type(&self) -> ArgumentError {
        ArgumentError::Type { path: self.path.clone(), expected: self.kind.cedar_name() }
    }

    fn too_long(&self) -> ArgumentError {
        ArgumentError::TooLong { path: self.path.clone() }
    }
}

/// A JSON number in the form that Cedar's `decimal` reads: always a point, one to four digits behind it.
fn decimal(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let fits = digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(fraction) && fraction.len() <= 4;
    fits.then(|| format!("{whole}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(path: &str, kind: ArgumentType) -> ArgumentRule {
        ArgumentRule { subject: Pattern::new("pay*"), path: path.to_owned(), kind }
    }

    fn one(kind: ArgumentType, arguments: &str) -> Result<Option<Value>, ArgumentError> {
        let rules = [rule("a", kind)];
        read(&rules, "pay", Some(arguments.as_bytes())).map(|mut found| found.pop().map(|(_, value)| value))
    }

    #[test]
    fn each_type_reads_its_own_form_only() {
        use ArgumentType::{Decimal, Text, Texts, Truth, Whole, Wholes};
        for (kind, raw, value) in [
            (Text, r#""x\u0041""#, Value::Text("xA".into())),
            (Whole, "-9223372036854775808", Value::Whole(i64::MIN)),
            (Truth, "false", Value::Truth(false)),
            (Decimal, "12", Value::Decimal("12.0".into())),
            (Decimal, "-0.5", Value::Decimal("-0.5".into())),
            (Texts, r#"["a","b"]"#, Value::Texts(vec!["a".into(), "b".into()])),
            (Wholes, "[ 1 , 2 ]", Value::Wholes(vec![1, 2])),
        ] {
            assert_eq!(one(kind, &format!(r#"{{"a":{raw}}}"#)), Ok(Some(value)), "{raw}");
        }
        for (kind, raw) in [
            (Text, "1"),
            (Whole, r#""1""#),
            (Whole, "1.0"),
            (Whole, "1e3"),
            (Whole, "9223372036854775808"),
            (Truth, "1"),
            (Truth, r#""true""#),
            (Decimal, "1.23456"),
            (Decimal, "1e2"),
            (Decimal, r#""1.0""#),
            (Texts, r#""a""#),
            (Texts, "[1]"),
            (Wholes, r#"["1"]"#),
            (Wholes, "{}"),
        ] {
            let read = one(kind, &format!(r#"{{"a":{raw}}}"#));
            assert!(matches!(read, Err(ArgumentError::Type { .. })), "{kind:?} {raw}: {read:?}");
        }
    }

    #[test]
    fn what_is_absent_is_absent_and_what_looks_alike_is_refused() {
        assert_eq!(one(ArgumentType::Text, "{}"), Ok(None));
        assert_eq!(one(ArgumentType::Text, r#"{"a":null,"b":1}"#), Ok(None));
        assert_eq!(read(&[rule("a", ArgumentType::Text)], "pay", None), Ok(Vec::new()));
        assert_eq!(read(&[rule("a", ArgumentType::Whole)], "other", Some(br#"{"a":"x"}"#)), Ok(Vec::new()));
        let alike = one(ArgumentType::Text, r#"{"A":"x"}"#);
        assert_eq!(alike, Err(ArgumentError::Lookalike { path: "a".into() }));
    }

    #[test]
    fn names_inside_of_objects_are_joined() {
        let rules = [rule("to.account", ArgumentType::Text)];
        let found = read(&rules, "pay", Some(br#"{"to":{"account":"x"}}"#));
        assert_eq!(found, Ok(vec![("to.account", Value::Text("x".into()))]));
        assert_eq!(read(&rules, "pay", Some(br#"{"to":{}}"#)), Ok(Vec::new()));
        assert!(read(&rules, "pay", Some(br#"{"to":"x"}"#)).is_err());
        assert!(read(&rules, "pay", Some(br#"{"To":{"account":"x"}}"#)).is_err());
    }

    #[test]
    fn more_than_the_bounds_is_refused() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(TEXT_BYTES_MAX + 1));
        assert_eq!(one(ArgumentType::Text, &long), Err(ArgumentError::TooLong { path: "a".into() }));
        let many = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(ITEMS_MAX));
        assert_eq!(one(ArgumentType::Wholes, &many), Err(ArgumentError::TooLong { path: "a".into() }));
    }

    proptest! {
        #[test]
        fn whatever_is_validated_is_read_without_harm(raw in "[{}a\\[\\]:,\"0-9.]{0,40}") {
            if json::validate(raw.as_bytes(), &json::Limits::default()).is_ok() {
                for (_, kind) in ArgumentType::NAMES {
                    let _ = one(kind, &raw);
                    let _ = one(kind, &format!(r#"{{"a":{raw}}}"#));
                }
            }
        }

        #[test]
        fn a_decimal_keeps_its_digits(whole in 0..1_000_000u64, fraction in 0..10_000u16) {
            let text = format!("{whole}.{fraction:04}");
            prop_assert_eq!(decimal(text.as_bytes()), Some(text));
        }
    }
}
