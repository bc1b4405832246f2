//! Keys that a case-insensitive reader would take for one that is judged.
//!
//! Some JSON libraries (Go's `encoding/json` among them) match keys without regard to case and let the last one win. To
//! them `{"name":"free","Name":"paid"}` calls `paid`. No honest client sends such keys, so they are refused.

/// The judged keys of the message itself.
pub(super) const ENVELOPE: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// The judged keys of `params`.
pub(super) const PARAMS: [&str; 11] = [
    "name",
    "uri",
    "taskId",
    "cursor",
    "protocolVersion",
    "arguments",
    "capabilities",
    "requestId",
    "requestState",
    "inputResponses",
    "_meta",
];

/// The judged key that `key`, which is none of them, equals under Unicode simple case folding.
pub(super) fn find(key: &str, judged: &[&'static str]) -> Option<&'static str> {
    judged.iter().copied().find(|candidate| folds_to(key, candidate))
}

/// Case-insensitive equality with an ASCII word. Outside ASCII only two characters fold to an ASCII letter.
fn folds_to(key: &str, word: &str) -> bool {
    if key.is_ascii() {
        return key.eq_ignore_ascii_case(word);
    }
    let folded = key.chars().map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(word.chars().map(|letter| letter.to_ascii_lowercase()))
}
