//! `toolbay supervise`, hidden: the parent of a program that is a tool server.

use std::process::ExitCode;

use crate::bridge::process::supervise::{Task, run};

pub(super) fn supervise(task: &Task) -> ExitCode {
    u8::try_from(run(task)).map_or(ExitCode::FAILURE, ExitCode::from)
}
