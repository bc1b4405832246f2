//! The known name a person most likely meant.

/// The candidate that differs least from `written`, when it differs little enough to be a slip.
pub(super) fn nearest<'c>(written: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    let measured = candidates.iter().map(|candidate| (edits(written, candidate), *candidate));
    measured.filter(|(edits, _)| *edits <= allowed).min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

/// Levenshtein distance, ignoring case and taking `-` for `_`.
fn edits(a: &str, b: &str) -> usize {
    /// No known name is longer; a longer one is nothing like any of them.
    const LONGEST: usize = 64;
    let fold = |text: &str| -> Vec<char> {
        text.chars().take(LONGEST).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["pow_difficulty", "pow_calls", "tenant", "url"];
        assert_eq!(nearest("pow_dificulty", &known), Some("pow_difficulty"));
        assert_eq!(nearest("pow-calls", &known), Some("pow_calls"));
        assert_eq!(nearest("Tenant", &known), Some("tenant"));
        assert_eq!(nearest("uri", &known), Some("url"));
        assert_eq!(nearest("password", &known), None);
        assert_eq!(nearest(&"x".repeat(10_000), &known), None);
    }

    #[test]
    fn distance_counts_insertions_deletions_and_replacements() {
        for (a, b, expected) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
        }
    }
}
