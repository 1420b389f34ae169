//! `toolbay check`: load everything, serve nothing.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use serde_json::json;

use super::{ConfigArgs, FAILED, Outcome, counted, print, print_json, quiet, runtime, source::open_folder};
use crate::{
    provider::{ProviderState, ProviderStatus},
    telemetry,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Compiles and links every plugin, lists its tools and what it imports, and says what is wrong. Nothing is served.
Run it before you deploy a folder or a configuration.

  toolbay check dist/plugins
  toolbay check target/wasm32-wasip2/release/greeter.wasm
  toolbay check --config prod.toml --json

Exit status: 0 all is well, 1 something is broken, 2 the configuration is wrong."#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// A folder of plugins or one .wasm file, in place of the configured folder
    path: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Outcome {
        let _logs = telemetry::init(&quiet()).map_err(super::Failure::usage)?;
        runtime()?.block_on(async {
            let folder = open_folder(&self.config, self.path).await?;
            let collisions = folder.collisions();
            let broken = folder.statuses.iter().filter(|status| status.state != ProviderState::Serving).count();
            if self.json {
                print_json(&json!({ "ok": broken == 0, "plugins": folder.statuses, "collisions": collisions, "unused": folder.unused }))?;
            } else {
                print(&report(&folder.statuses, &collisions, &folder.unused))?;
            }
            Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        })
    }
}

/// Imports of ours that reach beyond the answer of a call, and what a plugin that has them may do.
const MEANINGS: [(&str, &str); 2] = [
    ("toolbay:plugin/client@", "ask the person or the client's model in the middle of a call"),
    ("toolbay:plugin/notify@", "have its lists made again, and tell clients of changed resources"),
];

fn report(statuses: &[ProviderStatus], collisions: &[String], unused: &[String]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for status in statuses {
        match &status.error {
            None => {
                let _ = writeln!(text, "ok      {}: {}", status.name, status.tools.join(", "));
            }
            Some(error) => {
                let _ = writeln!(text, "BROKEN  {} ({}): {error}", status.name, status.source);
            }
        }
        if !status.imports.is_empty() {
            let _ = writeln!(text, "        imports: {}", status.imports.join(", "));
        }
        for (_, meaning) in MEANINGS.iter().filter(|(name, _)| status.imports.iter().any(|import| import.starts_with(name))) {
            let _ = writeln!(text, "        may {meaning}");
        }
        for warning in &status.warnings {
            let _ = writeln!(text, "        warning: {warning}");
        }
    }
    for warning in unused {
        let _ = writeln!(text, "warning {warning}");
    }
    for collision in collisions {
        let _ = writeln!(text, "note    {collision}");
    }
    let broken = statuses.iter().filter(|status| status.state != ProviderState::Serving).count();
    let tools: usize = statuses.iter().map(|status| status.tools.len()).sum();
    let _ = writeln!(text, "{}, {}, {broken} broken", counted(statuses.len(), "plugin"), counted(tools, "tool"));
    text
}
