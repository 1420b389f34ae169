//! `toolbay embed-docs`: doc comments from WIT files into a component.

use std::{path::PathBuf, process::ExitCode};

use super::{Failure, Outcome, print};
use crate::{wasm::typed::docs::embed, whole_file};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Toolchains leave the doc comments of WIT files out of the components that they make. They are what a model reads of
a tool, so put them in as the last step of a build:

  toolbay embed-docs target/wasm32-wasip2/release/calculator.wasm --wit wit"#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct EmbedDocs {
    /// The component; it is replaced by one with the docs in it
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The folder of WIT files that it was built from
    #[arg(long, value_name = "DIR")]
    wit: PathBuf,
    /// The world that it was built for, where there are several
    #[arg(long)]
    world: Option<String>,
    /// Write to this file instead
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl EmbedDocs {
    pub(super) fn run(self) -> Outcome {
        let bytes = std::fs::read(&self.file).map_err(|error| Failure::usage(format!("cannot read {}: {error}", self.file.display())))?;
        let with_docs = embed(&bytes, &self.wit, self.world.as_deref())
            .map_err(|error| Failure::failed(format!("{}: {error}", self.file.display())))?;
        let what = match with_docs.len().saturating_sub(bytes.len()) {
            _ if with_docs == bytes => "these docs are in it already".to_owned(),
            0 => "its docs are replaced".to_owned(),
            more => format!("{more} bytes of docs"),
        };
        let output = self.output.as_ref().unwrap_or(&self.file);
        whole_file::write(output, &with_docs).map_err(|error| Failure::failed(format!("cannot write {}: {error}", output.display())))?;
        print(&format!("{}: {what}\n", output.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
