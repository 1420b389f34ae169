//! From files to a configuration: what is read, and what has to be watched for changes.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    AcceptedImage, Config, ConfigError, LogFormat, OnChange, PluginCompiler, ServerSource,
    files::{self, Files},
    include,
    lock::Lock,
    mcp_json, read,
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
    /// The lock file is not read: for whoever writes it.
    pub without_lock: bool,
    /// Files of policies are not read: for whoever writes them.
    pub without_policies: bool,
    /// `--console`.
    pub console: bool,
    /// Plugins keep the code that is there first, unless the file names a compiler: for whoever builds them again and again.
    pub first_code: bool,
}

impl Config {
    /// Reads a `toolbay.toml` and what it includes. Relative paths go from the folder of the file
    /// that they stand in; secrets are read now.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load(Some(path), &Overrides::default()).config
    }

    /// Reads the text of a `toolbay.toml` that is, or could be, at `origin`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong with it.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        parse(text, origin, &|name| std::env::var_os(name), &mut Files::default())
    }

    /// Adds the servers of a `mcpServers` JSON, as desktop clients have it. Relative paths in it go
    /// from its folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: the file as a whole cannot be read. An entry that cannot be served is in
    /// [`Self::imported`] with its reason.
    pub fn add_mcp_json(&mut self, path: &Path) -> Result<(), ConfigError> {
        mcp_json::merge(self, mcp_json::load(path, &|name| std::env::var_os(name))?);
        Ok(())
    }
}

/// Reads a `toolbay.toml` and everything that it names. None: `toolbay.toml` in the working
/// directory where it is there, or else the defaults.
#[must_use]
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Loaded {
    let environment = |name: &str| std::env::var_os(name);
    let mut found = Files::default();
    let default = Path::new(DEFAULT);
    // The default is watched where it is not there, too: it may come.
    found.files.insert(path.unwrap_or(default).to_owned());
    let config = match path.or_else(|| default.exists().then_some(default)) {
        Some(path) => files::read(path).and_then(|text| {
            found.has_text(path, Some(&text));
            parse(&text, path, &environment, &mut found)
        }),
        None => {
            found.has_text(default, None);
            Ok(Config::default())
        }
    };
    let config = config.and_then(|config| over(config, overrides, &mut found));
    let config = if overrides.without_policies { config } else { config.and_then(|config| with_policies(config, &mut found)) };
    let config = if overrides.without_lock { config } else { config.and_then(|config| with_lock(config, &mut found)) };
    let config = config.map(|config| Config { texts: found.texts.clone(), ..config });
    Loaded { config, files: found }
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
    let Overrides { listen, plugins, mcp_json, log, log_format, console, first_code, .. } = overrides.clone();
    if first_code && config.host.compiler == PluginCompiler::Auto {
        config.host.compiler = PluginCompiler::Winch;
    }
    config.listen = listen.unwrap_or(config.listen);
    config.plugins = plugins.unwrap_or(config.plugins);
    config.telemetry.log = log.unwrap_or(config.telemetry.log);
    config.telemetry.format = log_format.unwrap_or(config.telemetry.format);
    config.console.enabled |= console;
    if let Some(path) = mcp_json {
        files.files.insert(path.clone());
        config.add_mcp_json(&path)?;
    }
    Ok(config)
}

/// Reads the files of policies, which are among those that a configuration is made from.
fn with_policies(mut config: Config, files: &mut Files) -> Result<Config, ConfigError> {
    config.policy.load(files)?;
    Ok(config)
}

/// Reads the lock file, which is one of those that a configuration is made from.
fn with_lock(mut config: Config, files: &mut Files) -> Result<Config, ConfigError> {
    let path = config.lock_path();
    files.files.insert(path.clone());
    config.trust.locked = Lock::read(&path)?.map(Arc::new);
    let hold = config.trust.changed == OnChange::Hold;
    let locked = config.trust.locked.iter().flat_map(|lock| &lock.servers);
    for (name, image) in locked.filter_map(|(name, server)| Some((name, server.image.as_ref()?))) {
        if let Some(ServerSource::Image(source)) = config.server.get_mut(name).map(|server| &mut server.source) {
            source.accepted = Some(AcceptedImage { image: image.clone(), hold });
        }
    }
    Ok(config)
}
