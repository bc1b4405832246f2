//! From a file to a [`Config`].

use std::net::SocketAddr;

use url::Url;
use zeroize::Zeroizing;

use super::outside::read_text;
use super::reader::Section;
use super::report::Report;
use super::tree::{self, FILE_BYTES_MAX, Origin};
use super::{
    Config, ConfigArgs, Format, Mistake, Mistakes, Outside, Place, Process, ServerConfig, overrides, read,
};

impl Config {
    /// Reads the file and lays the environment and the flags over it.
    ///
    /// # Errors
    /// Every mistake found, each with its place and what to write instead.
    pub fn load(args: &ConfigArgs) -> Result<Self, Mistakes> {
        let text = match read_text(&args.config, FILE_BYTES_MAX as u64) {
            Ok(text) => Zeroizing::new(text),
            Err(error) => {
                return Err(Mistakes::of_file(args, &format!("cannot read the configuration: {error}")));
            }
        };
        Self::from_text(&text, Format::of(&args.config, &text), args, &Process)
    }

    /// Reads `text`, named in messages as `args.config` says, in the given surroundings.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_text(
        text: &str,
        format: Format,
        args: &ConfigArgs,
        outside: &dyn Outside,
    ) -> Result<Self, Mistakes> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() > FILE_BYTES_MAX {
            return Err(Mistakes::of_file(args, &format!("longer than {FILE_BYTES_MAX} bytes")));
        }
        let file = args.config.display().to_string();
        let report = Report::new(&file, text, outside);
        let mut root = match tree::parse(text, format) {
            Ok(root) => root,
            Err(errors) => {
                for error in errors {
                    report.add(&Origin::Line(error.line), &error.field, error.problem, error.fix);
                }
                report.finish()?;
                return Err(Mistakes::of_file(args, "not a configuration"));
            }
        };
        overrides::apply(&mut root, args, &report);
        let config = read::config(Section::root(&report, &root));
        report.finish()?;
        config.ok_or_else(|| Mistakes::of_file(args, "not a configuration"))
    }

    /// The same gate listening at the address it was really given (port 0 in [`listen`](Self::listen) asks for any):
    /// where no public URL was configured, resources and the audiences taken from them follow.
    #[must_use]
    pub fn bound_to(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        if self.public_url_given {
            return self;
        }
        let Ok(public_url) = Url::parse(&format!("http://{address}")) else { return self };
        for server in &mut self.servers {
            let Some(resource) = ServerConfig::resource_under(&public_url, &server.path) else { continue };
            let before = std::mem::replace(&mut server.resource, resource);
            let audiences = server.identity.iter_mut().flat_map(|identity| &mut identity.tokens.audiences);
            for audience in audiences.filter(|audience| **audience == before.as_str()) {
                *audience = server.resource.to_string();
            }
        }
        self.public_url = public_url;
        self
    }
}

impl Mistakes {
    fn of_file(args: &ConfigArgs, problem: &str) -> Self {
        Self(vec![Mistake {
            place: Place::File(args.config.display().to_string()),
            field: String::new(),
            problem: problem.to_owned(),
            fix: None,
        }])
    }
}

impl ConfigArgs {
    /// The file with nothing laid over it.
    pub fn new(config: impl Into<std::path::PathBuf>) -> Self {
        Self {
            config: config.into(),
            upstream: None,
            issuer: None,
            set: Vec::new(),
            listen: None,
            public_url: None,
        }
    }
}
