//! `toolbay new`: a plugin's project in a new folder.

use std::{path::PathBuf, process::ExitCode};

use super::{Outcome, print};
use crate::author::{
    language::{Kind, Language},
    scaffold::scaffold,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Writes a complete project, with the contract and the SDK of the language in it. Nothing is fetched.

  toolbay new greeter --lang rust
  toolbay new greeter --lang ts
  toolbay new greeter --lang python --kind typed     plain functions, described by a WIT file
  toolbay new greeter --lang c                       the same, in C
  toolbay new greeter --lang js --kind http          a server of MCP by itself"#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// The plugin's name: words of a-z and 0-9 with - between them
    name: String,
    /// The language
    #[arg(long)]
    lang: Language,
    /// How it offers its tools; by default `tools`, for C `typed`
    #[arg(long)]
    kind: Option<Kind>,
    /// The folder; by default ./NAME
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl New {
    pub(super) fn run(self) -> Outcome {
        let folder = self.path.unwrap_or_else(|| PathBuf::from(&self.name));
        let kind = self.kind.unwrap_or_else(|| self.lang.kind());
        let written = scaffold(&folder, &self.name, self.lang, kind)?;
        let (code, install) = match self.lang {
            Language::Rust => ("src/lib.rs", ""),
            Language::Js => ("src/index.js", "npm install\n  "),
            Language::Ts => ("src/index.ts", "npm install\n  "),
            Language::C => ("src/plugin.c", ""),
            Language::Python => ("app.py", "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1\n  "),
        };
        let (count, cd) = (written.len(), word(&folder.to_string_lossy()));
        let folder = folder.display();
        print(&format!(
            "{folder}: {count} files; the code is in {code}, the test cases in tests/cases.toml\n\n  cd {cd}\n  {install}toolbay dev\n"
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The text as one word for a shell.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':');
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_is_shown_can_be_pasted() {
        for (folder, shown) in
            [("../a-b/c.d", "../a-b/c.d"), ("mit leer/über", "'mit leer/über'"), ("it's", r"'it'\''s'"), ("$HOME", "'$HOME'")]
        {
            assert_eq!(word(folder), shown);
        }
    }
}
