//! `toolbay inspect`: what is in a registry under a name, or in a file.

use std::{fmt::Write as _, fs, path::PathBuf, process::ExitCode, str::FromStr};

use serde_json::{Value, json};

use super::{ConfigArgs, Failure, Outcome, print, print_json, quiet, runtime};
use crate::{
    config::{Config, OciReference},
    oci::{self, Description, Interfaces, sha256},
    telemetry,
    trust::visible,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Of a registry the manifest and what is small beside it is read, not the component. `toolbay check` says which tools it has.

  toolbay inspect oci://ghcr.io/acme/weather:1.2
  toolbay inspect plugins/weather.wasm
  toolbay inspect oci://ghcr.io/acme/weather:1.2 --json"#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// oci://registry/repository:tag, or a file
    #[arg(value_name = "OCI|FILE.wasm")]
    what: What,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The configuration file; by default ./toolbay.toml, if it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Debug)]
enum What {
    Registry(OciReference),
    File(PathBuf),
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") { OciReference::parse(text).map(Self::Registry) } else { Ok(Self::File(text.into())) }
    }
}

impl Inspect {
    pub(super) fn run(self) -> Outcome {
        let _logs = telemetry::init(&quiet()).map_err(Failure::usage)?;
        let shown = match &self.what {
            What::File(path) => of_file(path)?,
            What::Registry(reference) => {
                let config = ConfigArgs { config: self.config, ..ConfigArgs::default() }.load()?;
                of_registry(reference, &config)?
            }
        };
        if self.json {
            print_json(&shown)?;
        } else {
            print(&text(&shown))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn of_file(path: &std::path::Path) -> Result<Value, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    let Interfaces { imports, exports } = Interfaces::of(&bytes).map_err(|why| Failure::failed(format!("{}: {why}", path.display())))?;
    Ok(json!({
        "file": path.display().to_string(),
        "digest": sha256(&bytes),
        "blake3": blake3::hash(&bytes).to_hex().to_string(),
        "size": bytes.len(),
        "imports": imports,
        "exports": exports,
    }))
}

fn of_registry(reference: &OciReference, config: &Config) -> Result<Value, Failure> {
    let registry = config.registry.get(&reference.registry).cloned().unwrap_or_default();
    let described = runtime()?.block_on(oci::describe(reference, &registry));
    let found = described.map_err(|error| Failure::failed(format!("cannot look at {reference}: {error}")))?;
    let Description { digest, manifest, config, sidecar, signatures } = found;
    let component = config.as_ref().and_then(|config| config.get("component"));
    let part = |name: &str| component.and_then(|component| component.get(name)).cloned();
    Ok(json!({
        "reference": reference.at(&digest).to_string(),
        "digest": digest,
        "layers": manifest.layers,
        "config": manifest.config,
        "annotations": manifest.annotations,
        "signatures": signatures,
        "imports": part("imports"),
        "exports": part("exports"),
        "sidecar": sidecar,
    }))
}

/// The same for people. What comes from a registry is shown as it is, also where it is meant to deceive.
fn text(shown: &Value) -> String {
    let mut text = String::new();
    let plain = |value: &Value| visible(value.as_str().map_or_else(|| value.to_string(), str::to_owned).as_str());
    for (name, value) in shown.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        // Writing to a String cannot fail.
        let _ = match (name.as_str(), value) {
            ("layers", Value::Array(layers)) => layers.iter().try_for_each(|layer| writeln!(text, "layer        {}", descriptor(layer))),
            ("config", config) => writeln!(text, "config       {}", descriptor(config)),
            ("annotations", Value::Object(all)) => {
                all.iter().try_for_each(|(name, value)| writeln!(text, "annotation   {}={}", plain(&name.as_str().into()), plain(value)))
            }
            ("sidecar", Value::String(sidecar)) => {
                let lines = sidecar.lines().map(|line| format!("    {}", plain(&line.into())));
                writeln!(text, "sidecar\n{}", lines.collect::<Vec<_>>().join("\n"))
            }
            (_, Value::Array(all)) => all.iter().try_for_each(|one| writeln!(text, "{:<12} {}", name.trim_end_matches('s'), plain(one))),
            _ => writeln!(text, "{name:<12} {}", plain(value)),
        };
    }
    text
}

fn descriptor(value: &Value) -> String {
    let part = |name: &str| value.get(name).map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).unwrap_or_default();
    visible(&format!("{}  {} bytes  {}", part("digest"), part("size"), part("mediaType")))
}
