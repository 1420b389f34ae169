//! `toolbay pull`: a component out of an OCI registry.

use std::{fs, path::PathBuf, process::ExitCode, sync::Arc};

use super::{ConfigArgs, Failure, Outcome, print, quiet, runtime};
use crate::{
    config::OciReference,
    oci::{self, Cache, PullSettings},
    telemetry, whole_file,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Every part is held against its digest, and against the signatures that [trust] demands, before the file is there.
A running host pulls by itself: write `source` in [plugin.NAME] of toolbay.toml.

  toolbay pull oci://ghcr.io/acme/weather:1.2 -o plugins/weather.wasm
  toolbay pull oci://ghcr.io/acme/weather@sha256:…

Without -o the file is called as the repository ends: weather.wasm.
Credentials are what `docker login` or `podman login` has kept, or [registry."HOST"] of toolbay.toml."#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Pull {
    /// What: oci://registry/repository:tag, or …@sha256:…
    #[arg(value_name = "OCI", value_parser = OciReference::parse)]
    from: OciReference,
    /// The file to write
    #[arg(long, short, value_name = "FILE.wasm")]
    output: Option<PathBuf>,
    /// Write its sidecar too, beside the file, if it has one
    #[arg(long)]
    sidecar: bool,
    /// The configuration file; by default ./toolbay.toml, if it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Pull {
    pub(super) fn run(self) -> Outcome {
        let _logs = telemetry::init(&quiet()).map_err(Failure::usage)?;
        let config = ConfigArgs { config: self.config, ..ConfigArgs::default() }.load()?;
        let settings = PullSettings::of(&config, &self.from);
        let cache = Arc::new(Cache::open(config.host.registry_cache.clone()).map_err(Failure::usage)?);
        let pulled = runtime()?.block_on(oci::pull(&self.from, &settings, &cache));
        let artifact = pulled.map_err(|error| Failure::failed(format!("cannot pull {}: {error}", self.from)))?;
        let name = self.from.repository.rsplit('/').next().unwrap_or("plugin");
        let output = self.output.unwrap_or_else(|| PathBuf::from(format!("{name}.wasm")));
        copy(&artifact.component, &output)?;
        print(&format!("{}\n{}\n", self.from.at(&artifact.digest), output.display()))?;
        if let Some(sidecar) = artifact.sidecar.filter(|_| self.sidecar) {
            let beside = output.with_extension("toml");
            copy(&sidecar, &beside)?;
            print(&format!("{}\n", beside.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<(), Failure> {
    let copied = fs::read(from).and_then(|bytes| whole_file::write(to, &bytes));
    copied.map_err(|error| Failure::failed(format!("cannot write {}: {error}", to.display())))
}
