//! Names with `*`: how one rule covers many tools.

/// A name, or a name with any number of `*`, each standing for any run of characters (also none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes the text as it stands in the configuration.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern names exactly one subject.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// How many characters the pattern fixes: of two patterns that match, the one that fixes more is meant.
    pub fn specificity(&self) -> usize {
        self.0.chars().filter(|c| *c != '*').count()
    }

    /// Whether `name` is covered. Linear in the name for each star; no recursion.
    pub fn matches(&self, name: &str) -> bool {
        let (p, n) = (self.0.as_bytes(), name.as_bytes());
        let (mut i, mut j) = (0, 0);
        // Where to resume when the characters after the latest star turn out not to fit.
        let mut retry: Option<(usize, usize)> = None;
        while j < n.len() {
            if i < p.len() && p[i] == b'*' {
                retry = Some((i + 1, j));
                i += 1;
            } else if i < p.len() && p[i] == n[j] {
                i += 1;
                j += 1;
            } else if let Some((after_star, from)) = retry {
                i = after_star;
                j = from + 1;
                retry = Some((after_star, j));
            } else {
                return false;
            }
        }
        p[i..].iter().all(|c| *c == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn covers_what_a_reader_expects() {
        for (pattern, name, expected) in [
            ("image_*", "image_describe", true),
            ("image_*", "image_", true),
            ("image_*", "images", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*_delete", "user_delete", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("file:///*", "file:///etc/motd", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} / {name}");
        }
    }

    proptest! {
        #[test]
        fn a_text_without_stars_matches_only_itself(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            prop_assert_eq!(Pattern::new(a.clone()).matches(&b), a == b);
        }

        #[test]
        fn stars_for_pieces_match_the_whole(a in "[a-c]{0,4}", b in "[a-c]{0,4}", c in "[a-c]{0,4}") {
            let pattern = Pattern::new(format!("{a}*{c}"));
            let name = format!("{a}{b}{c}");
            prop_assert!(pattern.matches(&name));
        }
    }
}
