//! `toolbay accounts`: the accounts that callers have connected at remote servers, listed and disconnected by an operator.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use chrono::{DateTime, SecondsFormat};
use reqwest::Method;
use serde_json::Value;

use super::{FAILED, Failure, Outcome, causes, counted, print, print_json, remote, runtime};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"A running server is asked, with a token of an operator: one whose roles allow everything, where not everybody's do. Tokens of accounts are never shown.
Disconnected accounts are forgotten here, and their tokens revoked at the authorization server where it takes that (RFC 7009).
Their callers are asked to connect again at their next call.

  toolbay accounts list --token-env OPERATOR
  toolbay accounts list --server notes --json --token-env OPERATOR
  toolbay accounts revoke --server notes --subject ann --token-env OPERATOR
  toolbay accounts revoke --subject corp:bob --token-env OPERATOR     who has left, at all servers
  toolbay accounts revoke --all --token-env OPERATOR

Exit status: 0 done; 1 there is no such account, or the server does not answer; 2 wrong usage."#;

/// The store may be on a slow disk, and revoking asks other servers.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Accounts {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show who has connected an account at which server
    List(List),
    /// Disconnect accounts: of one server, of one caller, or all
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    at: At,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true).args(["server", "subject", "all"])))]
struct Revoke {
    #[command(flatten)]
    chosen: Chosen,
    /// All accounts of all callers at all servers
    #[arg(long, conflicts_with_all = ["server", "subject"])]
    all: bool,
    #[command(flatten)]
    at: At,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Chosen {
    /// Only accounts at this server: NAME of [server.NAME]
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only accounts of this caller, as logs name it: NAME of a token, or ISSUER:SUBJECT
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
}

#[derive(Debug, clap::Args)]
struct At {
    /// The server's address; a path such as /mcp is ignored
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    url: String,
    /// The environment variable that holds the bearer token
    #[arg(long, value_name = "VAR")]
    token_env: Option<String>,
}

impl Accounts {
    pub(super) fn run(self) -> Outcome {
        match self.action {
            Action::List(List { chosen, at, json }) => {
                let found = at.ask(Method::GET, &chosen, false)?;
                show(&found, json, table)?;
                Ok(ExitCode::SUCCESS)
            }
            Action::Revoke(Revoke { chosen, all, at, json }) => {
                let found = at.ask(Method::DELETE, &chosen, all)?;
                show(&found, json, |accounts| revoked(accounts, &chosen))?;
                // Whoever names one wants to know that it was there.
                Ok(if accounts(&found).is_empty() && !all { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
            }
        }
    }
}

impl At {
    fn ask(&self, method: Method, chosen: &Chosen, all: bool) -> Result<Value, Failure> {
        let mut url = remote::address(&self.url)?;
        url.set_path("/oauth-accounts/all");
        url.set_query(None);
        url.set_fragment(None);
        let token = self.token_env.as_deref().map(remote::token).transpose()?;
        {
            let mut query = url.query_pairs_mut();
            for (name, value) in [("server", &chosen.server), ("subject", &chosen.subject)] {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
            if all {
                query.append_pair("all", "true");
            }
        }
        runtime()?.block_on(async {
            let client = remote::client(|| reqwest::Client::builder().no_proxy().timeout(TIMEOUT))?;
            let mut request = client.request(method, url.clone());
            if let Some(token) = &token {
                request = request.bearer_auth(token);
            }
            let unreachable = |error: reqwest::Error| {
                Failure::failed(format!("cannot ask {}: {}; is `toolbay serve` running there?", self.url, causes(&error.without_url())))
            };
            let response = request.send().await.map_err(unreachable)?;
            let status = response.status();
            let text = response.text().await.map_err(unreachable)?;
            let answer: Value = serde_json::from_str(&text).unwrap_or_default();
            if status.is_success() && answer.get("accounts").is_some_and(Value::is_array) {
                return Ok(answer);
            }
            let said = answer.get("error").and_then(Value::as_str);
            Err(Failure::failed(match (status.as_u16(), &self.token_env, said) {
                (401, None, _) => {
                    format!("{} requires a bearer token: put it in an environment variable and name that with --token-env VAR", self.url)
                }
                (401, Some(variable), _) => {
                    format!("{} rejected the token in {variable}; the server's [auth.tokens] says which ones it accepts", self.url)
                }
                (403, Some(variable), Some(said)) => {
                    format!("{said}; the token in {variable} is not one of these: give it a role with servers = [\"*\"], and other callers other roles")
                }
                (404, ..) => format!("{} knows nothing of accounts: is it an older Toolbay, or something else?", self.url),
                (_, _, Some(said)) => format!("{}: {said}", self.url),
                _ => format!("{} answered {status}, and not as a Toolbay does; is `toolbay serve` running there?", self.url),
            }))
        })
    }
}

fn show(found: &Value, json: bool, text: impl Fn(&[Value]) -> String) -> Result<(), Failure> {
    if json { print_json(found) } else { print(&text(accounts(found))) }
}

fn accounts(found: &Value) -> &[Value] {
    found.get("accounts").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(account: &'a Value, name: &str) -> &'a str {
    account.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// One line each.
fn table(accounts: &[Value]) -> String {
    if accounts.is_empty() {
        return "no accounts are connected\n".to_owned();
    }
    let width = |name: &str, least: usize| accounts.iter().map(|one| text(one, name).chars().count()).max().unwrap_or(0).max(least);
    let (server, subject) = (width("server", 6), width("subject", 6));
    let mut shown = format!("{:server$}  {:subject$}  {:10}  TOKEN\n", "SERVER", "CALLER", "STATE");
    for account in accounts {
        let is = |name: &str| account.get(name).and_then(Value::as_bool) == Some(true);
        let ends = account.get("ends").and_then(Value::as_i64).and_then(|ends| DateTime::from_timestamp(ends, 0));
        let ends = ends.map(|ends| ends.to_rfc3339_opts(SecondsFormat::Secs, true));
        let mut token = match (ends, is("renews")) {
            (Some(ends), true) => format!("until {ends}, then renewed"),
            (Some(ends), false) => format!("until {ends}"),
            (None, _) => "encrypted by a key that is not in `keys` of [state] any more".to_owned(),
        };
        if !is("configured") {
            token.push_str("; the server has no `oauth` in the configuration any more");
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            shown,
            "{:server$}  {:subject$}  {:10}  {token}",
            text(account, "server"),
            text(account, "subject"),
            text(account, "state")
        );
    }
    shown
}

fn revoked(accounts: &[Value], chosen: &Chosen) -> String {
    let mut shown: String =
        accounts.iter().map(|one| format!("disconnected {} at {}\n", text(one, "subject"), text(one, "server"))).collect();
    if accounts.is_empty() {
        let of = chosen.subject.as_deref().map(|subject| format!(" of {subject:?}")).unwrap_or_default();
        let at = chosen.server.as_deref().map(|server| format!(" at {server:?}")).unwrap_or_default();
        let _ = writeln!(shown, "there is no account{of}{at}; `toolbay accounts list` shows all");
    } else {
        let _ = writeln!(shown, "{} disconnected", counted(accounts.len(), "account"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn accounts_are_shown_one_a_line_with_what_is_known() {
        let all = [
            json!({ "server": "notes", "subject": "corp:ann", "state": "connected", "ends": 1_796_040_000, "renews": true, "configured": true }),
            json!({ "server": "n", "subject": "bob", "state": "unreadable", "renews": false, "configured": false }),
        ];
        assert_eq!(
            table(&all),
            "SERVER  CALLER    STATE       TOKEN\n\
             notes   corp:ann  connected   until 2026-11-30T12:00:00Z, then renewed\n\
             n       bob       unreadable  encrypted by a key that is not in `keys` of [state] any more; the server has no `oauth` in the \
             configuration any more\n"
        );
        let chosen =
            |server: Option<&str>, subject: Option<&str>| Chosen { server: server.map(str::to_owned), subject: subject.map(str::to_owned) };
        assert_eq!(revoked(&all[..1], &chosen(None, None)), "disconnected corp:ann at notes\n1 account disconnected\n");
        assert!(revoked(&[], &chosen(Some("n"), Some("x"))).starts_with("there is no account of \"x\" at \"n\""));
        assert_eq!(table(&[]), "no accounts are connected\n");
    }
}
