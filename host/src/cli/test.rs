//! `toolbay test`: the cases of a plugin's project, each in a fresh sandbox.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use super::{FAILED, Failure, Outcome, TRYING, build::build_now, counted, dialogue::Dialogue, local::LocalHost, print, runtime};
use crate::{
    author::{
        cases::{Case, of_project},
        project::Effort,
    },
    telemetry,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Builds the project and calls its tools as tests/*.toml and tests/*.json say:

  [[case]]
  tool = "add"
  arguments = { a = 1, b = 2 }
  text = "3"                        all of its text; or contains = "3"
  # structured = { sum = 3 }        its structured content
  # error = "too large"             it has to fail, with this in its text
  # answers = [{ size = 2 }, "decline"]   what a person answers to its questions, in order

  toolbay test
  toolbay test greeter

Exit status: 0 every case is as it should be, 1 one is not."#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// The project
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Call what was built last
    #[arg(long)]
    no_build: bool,
}

impl Test {
    pub(super) fn run(self) -> Outcome {
        let _logs = telemetry::init_terminal(TRYING).map_err(Failure::usage)?;
        let cases = of_project(&self.dir)?;
        let path = if self.no_build {
            let project = crate::author::project::Project::open(&self.dir)?;
            project.folder.join(super::build::OUT).join(format!("{}.wasm", project.name))
        } else {
            build_now(&self.dir, None, Effort::Whole)?
        };
        runtime()?.block_on(async {
            let host = LocalHost::open_alone(path).await?;
            if let Some(error) = host.statuses().into_iter().find_map(|status| status.error) {
                host.close().await;
                return Err(Failure::failed(error));
            }
            let mut failed = 0;
            let mut count = 0;
            for (_, cases) in &cases {
                for case in cases {
                    count += 1;
                    failed += usize::from(!run(&host, case).await?);
                }
            }
            host.close().await;
            print(&format!("{}, {failed} failed\n", counted(count, "case")))?;
            Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        })
    }
}

/// Calls one, says how it went, and whether it is as it should be.
async fn run(host: &LocalHost, case: &Case) -> Result<bool, Failure> {
    let begun = Instant::now();
    let mut dialogue = Dialogue::prepared(case.answers.clone(), false);
    let wrong = match host.call(&case.tool, case.arguments.clone(), &mut dialogue).await {
        Ok(answer) => case.wrong(&answer.json),
        Err(failure) if case.error.as_ref().is_some_and(|wanted| failure.message.contains(wanted.as_str())) => Vec::new(),
        Err(failure) => vec![failure.message],
    };
    let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
    let mut text = format!("{}  {} ({milliseconds:.1} ms)\n", if wrong.is_empty() { "ok    " } else { "FAILED" }, case.title());
    for line in wrong.iter().flat_map(|wrong| wrong.lines()) {
        text.push_str(&format!("        {line}\n"));
    }
    print(&text)?;
    Ok(wrong.is_empty())
}
