//! Walking a document that is already known to be valid.
use super::{Item, Member};
use std::borrow::Cow;

/// The members of an object, in order. Nothing for any other value.
pub fn members(_raw_object: &[u8]) -> impl Iterator<Item = Member<'_>> {
    std::iter::empty()
}

/// The items of an array, in order. Nothing for any other value.
pub fn items(_raw_array: &[u8]) -> impl Iterator<Item = Item<'_>> {
    std::iter::empty()
}

/// The text of a string value, borrowed unless it has escapes. `None` for any other value.
#[must_use]
pub fn string(_raw: &[u8]) -> Option<Cow<'_, str>> {
    todo!()
}

/// The raw value of one member of an object.
#[must_use]
pub fn get<'a>(_raw_object: &'a [u8], _key: &str) -> Option<&'a [u8]> {
    todo!()
}
