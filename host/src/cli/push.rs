//! `toolbay push`: a component into an OCI registry.

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode};

use super::{ConfigArgs, Failure, Outcome, print, quiet, runtime};
use crate::{
    config::OciReference,
    oci::{self, Package},
    telemetry,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"The component becomes an artifact as `wkg oci push` makes it, which Wassette and other tools read too.
The digest that is printed names it forever; a tag can be moved.

  toolbay push weather.wasm oci://ghcr.io/acme/weather:1.2
  toolbay push weather.wasm oci://localhost:5000/weather:1.2 --sidecar weather.toml

Credentials are what `docker login` or `podman login` has kept, or [registry."HOST"] of toolbay.toml."#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Push {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Where to: oci://registry/repository:tag
    #[arg(value_name = "OCI", value_parser = OciReference::parse)]
    to: OciReference,
    /// A sidecar to push with it. A host applies it only where `sidecar = true` says so
    #[arg(long, value_name = "FILE.toml")]
    sidecar: Option<PathBuf>,
    /// What the manifest says of it, such as org.opencontainers.image.version=1.2
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,
    /// The configuration file; by default ./toolbay.toml, if it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Push {
    pub(super) fn run(self) -> Outcome {
        let _logs = telemetry::init(&quiet()).map_err(Failure::usage)?;
        let read = |path: &PathBuf| fs::read(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())));
        let package = Package {
            component: read(&self.file)?.into(),
            sidecar: self.sidecar.as_ref().map(read).transpose()?.map(Into::into),
            annotations: self.annotations.into_iter().collect::<BTreeMap<_, _>>(),
        };
        let config = ConfigArgs { config: self.config, ..ConfigArgs::default() }.load()?;
        if let Some(path) = &self.sidecar {
            check_sidecar(path, package.sidecar.as_deref().unwrap_or_default())?;
        }
        let registry = config.registry.get(&self.to.registry).cloned().unwrap_or_default();
        let pushed = runtime()?.block_on(oci::push(&self.to, &registry, &package));
        let digest = pushed.map_err(|error| Failure::failed(format!("cannot push {} to {}: {error}", self.file.display(), self.to)))?;
        print(&format!("{}\n", self.to.at(&digest)))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A sidecar that nobody could apply is not pushed.
fn check_sidecar(path: &std::path::Path, bytes: &[u8]) -> Result<(), Failure> {
    let wrong = |why: String| Failure::usage(format!("{} is no sidecar: {why}", path.display()));
    let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    toml::from_str::<toml::Table>(text).map(drop).map_err(|error| wrong(error.message().to_owned()))
}

fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
