//! A file that holds a `[lightning]` section and nothing else: the node that an agent pays from.

use std::path::Path;

use zeroize::Zeroizing;

use super::outside::read_text;
use super::reader::Section;
use super::report::Report;
use super::tree::{self, FILE_BYTES_MAX};
use super::{Format, LightningConfig, Mistake, Mistakes, Outside, Place, Process, read};

impl LightningConfig {
    /// Reads the file at `path`; the node's own files lie beside it unless it says otherwise.
    ///
    /// # Errors
    /// Every mistake found, each with its place and what to write instead.
    pub fn load_wallet(path: &Path) -> Result<Self, Mistakes> {
        let text = read_text(path, FILE_BYTES_MAX as u64);
        let text = text.map_err(|error| of_file(path, &format!("cannot read the wallet's file: {error}")))?;
        Self::wallet_from_text(&Zeroizing::new(text), path, &Process)
    }

    fn wallet_from_text(text: &str, path: &Path, outside: &dyn Outside) -> Result<Self, Mistakes> {
        let file = path.display().to_string();
        let report = Report::new(&file, text, outside);
        let root = match tree::parse(text, Format::of(path, text)) {
            Ok(root) => root,
            Err(errors) => {
                for error in errors {
                    let origin = tree::Origin::Line(error.line);
                    report.add(&origin, &error.field, error.problem, error.fix);
                }
                report.finish()?;
                return Err(of_file(path, "not a wallet's file"));
            }
        };
        let section = Section::root(&report, &root);
        let beside = path.parent().unwrap_or_else(|| Path::new(""));
        let lightning = read::lightning(&section.field("lightning"), beside);
        section.finish();
        report.finish()?;
        lightning.ok_or_else(|| of_file(path, "no [lightning] section"))
    }
}

fn of_file(path: &Path, problem: &str) -> Mistakes {
    let place = Place::File(path.display().to_string());
    Mistakes(vec![Mistake { place, field: String::new(), problem: problem.to_owned(), fix: None }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LightningConfig, String> {
        LightningConfig::wallet_from_text(text, Path::new("wallet.toml"), &Process)
            .map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn a_wallet_is_the_lightning_section_alone() {
        let good = read("[lightning]\nbackend = \"phoenixd\"\npassword = \"secret\"\n").unwrap();
        assert!(matches!(good.backend, super::super::LightningBackend::Phoenixd(_)));
        assert!(
            read("[lightning]\nbackend = \"phoenixd\"\npassword = \"x\"\n[mcp_server]\n")
                .unwrap_err()
                .contains("mcp_server")
        );
        assert!(read("").unwrap_err().contains("no [lightning] section"));
    }
}
