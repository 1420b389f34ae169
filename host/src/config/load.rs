//! From files to a configuration: what is read, and what has to be watched for changes.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    Config, ConfigError, LogFormat, include, read,
    source::{Environment, Source},
    tables,
};

/// What is read in the working directory where no file is named.
const DEFAULT: &str = "toolbay.toml";

/// A configuration, or what is wrong with it, and the files that it was made from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration with the command line over it.
    pub config: Result<Config, ConfigError>,
    /// What it was made from, also where it is wrong: the file with the mistake is the one that
    /// will be mended.
    pub files: Files,
}

/// What a configuration was made from. When any of it changes, the configuration may be another.
///
/// Files that were looked for and are not there are among them. Sidecars are not: whoever watches
/// the plugin folder reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// `toolbay.toml`, the files that it includes, files of `mcpServers`, and the files that
    /// secrets are taken from.
    pub files: BTreeSet<PathBuf>,
    /// Folders in which a file more, or less, counts: those of the patterns of `include`. Not what
    /// is below them.
    pub folders: BTreeSet<PathBuf>,
}

/// What the command line says in place of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--plugins`; a relative path goes from the working directory.
    pub plugins: Option<PathBuf>,
    /// `--mcp-json`: servers beside those that are configured.
    pub mcp_json: Option<PathBuf>,
    /// `--log`.
    pub log: Option<String>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
}

/// Reads a `toolbay.toml` and everything that it names. None: `toolbay.toml` in the working
/// directory where it is there, or else the defaults.
#[must_use]
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Loaded {
    let environment = |name: &str| std::env::var_os(name);
    let mut files = Files::default();
    let default = Path::new(DEFAULT);
    // The default is watched where it is not there, too: it may come.
    files.files.insert(path.unwrap_or(default).to_owned());
    let config = match path.or_else(|| default.exists().then_some(default)) {
        Some(path) => read(path).and_then(|text| parse(&text, path, &environment, &mut files)),
        None => Ok(Config::default()),
    };
    let config = config.and_then(|config| over(config, overrides, &mut files));
    Loaded { config, files }
}

/// The configuration of a text that is, or could be, at `origin`. What else is read is added to
/// `files`.
pub(super) fn parse(text: &str, origin: &Path, environment: Environment<'_>, files: &mut Files) -> Result<Config, ConfigError> {
    files.files.insert(origin.to_owned());
    let mut source = Source::new(text, origin, environment, tables::vocabulary());
    let config = include::add(&mut source, files).and_then(|()| read::config(&source, origin));
    files.files.append(&mut source.files());
    config
}

fn over(mut config: Config, overrides: &Overrides, files: &mut Files) -> Result<Config, ConfigError> {
    let Overrides { listen, plugins, mcp_json, log, log_format } = overrides.clone();
    config.listen = listen.unwrap_or(config.listen);
    config.plugins = plugins.unwrap_or(config.plugins);
    config.telemetry.log = log.unwrap_or(config.telemetry.log);
    config.telemetry.format = log_format.unwrap_or(config.telemetry.format);
    if let Some(path) = mcp_json {
        files.files.insert(path.clone());
        config.add_mcp_json(&path)?;
    }
    Ok(config)
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let wrong = |reason: String| ConfigError::Read { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    String::from_utf8(bytes)
        .map_err(|error| wrong(format!("it is not UTF-8 text (byte {} is wrong)", error.utf8_error().valid_up_to() + 1)))
}
