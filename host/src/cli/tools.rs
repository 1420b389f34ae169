//! `toolbay tools`: what a server or a folder offers.

use std::process::ExitCode;

use super::{Outcome, print, print_json, quiet, runtime, source::SourceArgs};
use crate::telemetry;

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"The tools that clients see, with the first line of each description.

  toolbay tools --url http://127.0.0.1:8000/mcp
  toolbay tools --plugins dist/plugins --json"#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Tools {
    #[command(flatten)]
    source: SourceArgs,
    /// The whole tools with their schemas, as JSON
    #[arg(long)]
    json: bool,
}

impl Tools {
    pub(super) fn run(self) -> Outcome {
        let _logs = telemetry::init(&quiet()).map_err(super::Failure::usage)?;
        runtime()?.block_on(async {
            let source = self.source.open().await?;
            let tools = source.tools().await;
            source.close().await;
            let tools = tools?;
            if self.json {
                print_json(&tools.iter().map(|tool| &tool.json).collect::<Vec<_>>())?;
            } else {
                let width = tools.iter().map(|tool| tool.name.len()).max().unwrap_or(0);
                let lines: String = tools
                    .iter()
                    .map(|tool| format!("{:width$}  {}\n", tool.name, tool.description.lines().next().unwrap_or_default()))
                    .collect();
                print(&lines)?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
