//! `toolbay compile`, hidden: the child process that compiles one component under limits.

use std::{path::PathBuf, process::ExitCode};

use crate::wasm::compile::child::{Level, Task, run};

#[derive(Debug, clap::Args)]
pub(super) struct Compile {
    input: PathBuf,
    output: PathBuf,
    #[arg(long)]
    level: Level,
    #[arg(long)]
    cpu_seconds: u64,
    #[arg(long)]
    memory: u64,
}

impl Compile {
    pub(super) fn run(self) -> ExitCode {
        let task = Task { input: &self.input, output: &self.output, level: self.level, cpu_seconds: self.cpu_seconds, memory: self.memory };
        u8::try_from(run(&task)).map_or(ExitCode::FAILURE, ExitCode::from)
    }
}
