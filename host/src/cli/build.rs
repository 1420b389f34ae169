//! `toolbay build`: a plugin's project to a component that this host has looked at.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use super::{FAILED, Failure, Outcome, counted, local::LocalHost, print, quiet, runtime};
use crate::{
    author::{
        build::build,
        project::{Effort, Project},
    },
    provider::ProviderState,
    telemetry,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Finds the project's language and its tools, builds, embeds the docs of its WIT files, loads the component as `serve`
would, and says what it offers. NAME.toml of the project, which grants what the plugin needs, is put beside it.

  toolbay build
  toolbay build greeter --out plugins

Set TOOLBAY_WASM_TOOLCHAIN=debian to build Rust by Debian's packages where rustup has no target wasm32-wasip2."#;

/// The folder of a project that components are put into.
pub(super) const OUT: &str = "dist";

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Build {
    /// The project
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The folder to put NAME.wasm into; by default `dist` of the project
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Build {
    pub(super) fn run(self) -> Outcome {
        let _logs = telemetry::init(&quiet()).map_err(Failure::usage)?;
        let path = build_now(&self.dir, self.out.as_deref(), Effort::Whole)?;
        let is_well = runtime()?.block_on(async {
            let host = LocalHost::open_alone(path).await?;
            let report = report(&host);
            host.close().await;
            print(&report.0)?;
            Ok::<bool, Failure>(report.1)
        })?;
        if is_well {
            return Ok(ExitCode::SUCCESS);
        }
        Ok(ExitCode::from(FAILED))
    }
}

/// Builds a project, says so on stderr, and gives the component's path.
pub(super) fn build_now(folder: &Path, out: Option<&Path>, effort: Effort) -> Result<PathBuf, Failure> {
    let project = Project::open(folder)?;
    let out = out.map_or_else(|| project.folder.join(OUT), Path::to_owned);
    let begun = Instant::now();
    let built = build(&project, &out, effort)?;
    for warning in &built.warnings {
        eprintln!("warning: {warning}");
    }
    let (name, language, seconds) = (&project.name, project.language.name(), begun.elapsed().as_secs_f64());
    eprintln!("built {name} ({language}) in {seconds:.1} s: {} ({} KiB)", built.path.display(), built.bytes.div_ceil(1024));
    Ok(built.path)
}

/// What a host says of the component, and whether all is well.
fn report(host: &LocalHost) -> (String, bool) {
    let mut text = String::new();
    let mut is_well = true;
    for status in host.statuses() {
        if let Some(error) = &status.error {
            text.push_str(&format!("BROKEN {}: {error}\n", status.name));
        }
        is_well &= status.state == ProviderState::Serving;
        for warning in &status.warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
    }
    let tools = host.tools();
    for tool in &tools {
        let first = tool.description.lines().next().unwrap_or_default();
        text.push_str(format!("  {}  {first}", tool.name).trim_end());
        text.push('\n');
        if tool.description.trim().is_empty() {
            text.push_str(&format!("warning: the tool {} has no description, which is what a model reads of it\n", tool.name));
        }
    }
    text.push_str(&format!("{}\n", counted(tools.len(), "tool")));
    (text, is_well)
}
