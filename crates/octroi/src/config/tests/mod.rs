//! The whole way from text to [`Config`].

mod clients;
mod golden;
mod hostile;
mod lightning;
mod loading;
mod nodes;
mod prices;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::*;

/// Surroundings made up for a test.
#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) variables: BTreeMap<&'static str, &'static str>,
    pub(crate) files: BTreeMap<PathBuf, &'static str>,
}

impl Outside for Stage {
    fn variables(&self) -> Vec<(String, String)> {
        self.variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        let found = self.files.get(path).map(|text| (*text).to_owned());
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }
}

pub(crate) fn toml(text: &str) -> Result<Config, Mistakes> {
    Config::from_text(text, Format::Toml, &ConfigArgs::new("octroi.toml"), &Stage::default())
}

pub(crate) fn toml_with(text: &str, set: &[&str]) -> Result<Config, Mistakes> {
    let mut args = ConfigArgs::new("octroi.toml");
    args.set = set.iter().map(|one| (*one).to_owned()).collect();
    Config::from_text(text, Format::Toml, &args, &Stage::default())
}

/// The template published with the dual-layer pattern, byte for byte.
pub(crate) const TEMPLATE: &str = include_str!("../../../tests/data/dual-layer-template.json");

/// The example of the design, in three formats.
pub(crate) const MINIMAL_TOML: &str = include_str!("../../../tests/data/minimal.toml");
pub(crate) const MINIMAL_YAML: &str = include_str!("../../../tests/data/minimal.yaml");
pub(crate) const MINIMAL_JSON: &str = include_str!("../../../tests/data/minimal.json");
