//! `toolbay connect CLIENT`: what to put into a client's configuration so that it uses this server.

mod snippet;

use std::{io::Write as _, process::ExitCode};

use super::{Failure, Outcome, print, remote};
use snippet::{Client, Snippet, Way};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Prints the client's configuration to stdout, and where it belongs to stderr. Writes no file and connects to nothing.

  toolbay connect claude-code
  toolbay connect codex --url https://tools.example.com/mcp --token-env TOOLS_TOKEN
  toolbay connect claude-desktop              a desktop client starts `toolbay stdio`, which connects to the server
  toolbay connect cursor --url http://127.0.0.1:8000/research/mcp --name research"#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Connect {
    /// The client
    #[arg(value_enum)]
    client: Client,
    /// The MCP endpoint: everything at /mcp, a part at /NAME/mcp
    #[arg(long, env = "TOOLBAY_URL", default_value = "http://127.0.0.1:8000/mcp")]
    url: String,
    /// What the client calls the server
    #[arg(long, default_value = "toolbay", value_parser = name)]
    name: String,
    /// The environment variable in which the client finds the bearer token; not the token itself
    #[arg(long, value_name = "VAR", value_parser = variable)]
    token_env: Option<String>,
    /// Have the client start `toolbay stdio` in place of HTTP, as Claude Desktop always does
    #[arg(long)]
    stdio: bool,
}

impl Connect {
    pub(super) fn run(self) -> Outcome {
        let url = remote::address(&self.url)?;
        if !url.path().trim_end_matches('/').ends_with("/mcp") {
            return Err(Failure::usage(format!(
                "--url {}: the path of an MCP endpoint ends with /mcp, as in http://127.0.0.1:8000/mcp",
                self.url
            )));
        }
        let program = std::env::current_exe().map_or_else(|_| "toolbay".to_owned(), |path| path.display().to_string());
        let way = if self.stdio || self.client == Client::ClaudeDesktop { Way::Stdio { program: &program } } else { Way::Http };
        let Snippet { text, place, command } = snippet::of(self.client, &self.name, url.as_str(), self.token_env.as_deref(), way);
        let mut notes = format!("# {place}\n");
        if let Some(command) = command {
            notes += &format!("# or run: {command}\n");
        }
        // Nobody has to read them.
        let _ = std::io::stderr().write_all(notes.as_bytes());
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What every client takes as the name of a server.
fn name(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if fits { Ok(text.to_owned()) } else { Err("use 1 to 64 of A-Z, a-z, 0-9, - and _, which every client takes".to_owned()) }
}

fn variable(text: &str) -> Result<String, String> {
    let fits = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("give the name of an environment variable, such as TOOLS_TOKEN, and not the token".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_all_clients_take_and_a_token_is_no_variable() {
        assert!(name("toolbay-2_x").is_ok() && name("a b").is_err() && name("").is_err() && name("a.b").is_err() && name("é").is_err());
        assert!(variable("TOOLS_TOKEN").is_ok() && variable("_x1").is_ok());
        for token in ["", "1A", "sk-0123", "a b", "eyJ.x.y"] {
            assert!(variable(token).is_err(), "{token}");
        }
    }
}
