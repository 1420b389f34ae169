//! `toolbay schema`: the JSON Schema of `toolbay.toml`.

use std::process::ExitCode;

use super::{Outcome, print_json};

pub(super) fn run() -> Outcome {
    print_json(&crate::config::json_schema())?;
    Ok(ExitCode::SUCCESS)
}
