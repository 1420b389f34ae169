//! `toolbay compile`, hidden: the child process that compiles one component under limits.

use std::process::ExitCode;

use crate::wasm::compile::child::{Level, Task, run};

#[derive(Debug, clap::Args)]
pub(super) struct Compile {
    #[arg(long)]
    level: Level,
    #[arg(long)]
    cpu_seconds: u64,
    #[arg(long)]
    memory: u64,
    #[arg(long)]
    background: bool,
}

impl Compile {
    pub(super) fn run(self) -> ExitCode {
        let task = Task { level: self.level, cpu_seconds: self.cpu_seconds, memory: self.memory, background: self.background };
        u8::try_from(run(&task)).map_or(ExitCode::FAILURE, ExitCode::from)
    }
}
