//! Which of the three formats a file is in.

use std::path::Path;

/// A configuration format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.toml`
    Toml,
    /// `.yaml`, `.yml`
    Yaml,
    /// `.json`
    Json,
}

impl Format {
    /// By the file's extension, else by its first line that is not a comment.
    pub fn of(path: &Path, text: &str) -> Self {
        let extension =
            path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("toml") => Self::Toml,
            Some("yaml" | "yml") => Self::Yaml,
            Some("json") => Self::Json,
            _ => Self::of_text(text),
        }
    }

    fn of_text(text: &str) -> Self {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let Some(first) = first else { return Self::Toml };
        if first.starts_with('{') {
            return Self::Json;
        }
        if first.starts_with('[') {
            return Self::Toml;
        }
        match (first.find('='), first.find(':')) {
            (Some(equals), Some(colon)) if equals < colon => Self::Toml,
            (_, Some(_)) => Self::Yaml,
            (_, None) if first.starts_with("---") => Self::Yaml,
            (_, None) => Self::Toml,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_before_the_content() {
        assert_eq!(Format::of(Path::new("a.yml"), "{}"), Format::Yaml);
        assert_eq!(Format::of(Path::new("a.JSON"), "a = 1"), Format::Json);
        assert_eq!(Format::of(Path::new("a.toml"), "a: 1"), Format::Toml);
    }

    #[test]
    fn without_a_known_extension_the_first_line_decides() {
        for (text, format) in [
            ("# a: comment\nlisten = \"127.0.0.1:1\"", Format::Toml),
            ("[ledger]\n", Format::Toml),
            ("listen: 127.0.0.1:1", Format::Yaml),
            ("---\nlisten: x", Format::Yaml),
            ("\n  {\"listen\": 1}", Format::Json),
            ("", Format::Toml),
        ] {
            assert_eq!(Format::of(Path::new("octroi.conf"), text), format, "{text}");
        }
    }
}
