//! `toolbay check --against URL`: what a configuration would change at a host that runs.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Failure, remote::token};
use crate::{
    app::{Change, Digests, How},
    tls,
};

/// What would change.
#[derive(Debug, Serialize)]
pub(super) struct Against {
    url: String,
    changes: Vec<Change>,
    /// Why the changes may say too much.
    notes: Vec<String>,
}

/// As much of `/status` as is looked at.
#[derive(Deserialize)]
struct Status {
    version: String,
    configuration: Option<Running>,
}

#[derive(Deserialize)]
struct Running {
    digests: Digests,
    /// Keys that the host's command line sets, whatever its files say.
    command_line: Vec<String>,
}

impl Against {
    /// Asks the host at `url` what it runs. `token_env`: the environment variable with the bearer token.
    pub(super) async fn ask(url: &str, token_env: Option<&str>, wanted: &Digests) -> Result<Self, Failure> {
        let status = fetch(url, token_env).await?;
        let Some(running) = status.configuration else {
            return Err(Failure::failed(format!(
                "Toolbay {} at {url} does not tell what it was configured with; it is older than --against, so start a newer one there",
                status.version
            )));
        };
        Ok(Self::compare(url, &status.version, &running, wanted))
    }

    fn compare(url: &str, version: &str, running: &Running, wanted: &Digests) -> Self {
        let is_fixed = |key: &str| running.command_line.iter().any(|fixed| fixed == key);
        let mut changes = running.digests.changes(wanted);
        changes.retain(|change| change.how != How::Restart || !is_fixed(&change.what));
        changes.retain(|change| change.what != "[telemetry]" || !is_fixed("telemetry.log"));
        let mut notes = Vec::new();
        if version != env!("CARGO_PKG_VERSION") {
            notes.push(format!(
                "that is Toolbay {version}, and this is {}: what is said to change may be the same",
                env!("CARGO_PKG_VERSION")
            ));
        }
        if is_fixed("mcp_json") {
            notes.push("that host was given --mcp-json: give the same file here, or its servers are said to be removed".to_owned());
        }
        Self { url: url.to_owned(), changes, notes }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = match self.changes.len() {
            0 => writeln!(text, "nothing would change at {} (values of secrets are not compared)", self.url),
            _ => writeln!(text, "this would change at {} (values of secrets are not compared):", self.url),
        };
        for Change { what, how } in &self.changes {
            let how = match how {
                How::Added => "added",
                How::Removed => "removed",
                How::Changed => "changed",
                How::Restart => "restart",
            };
            let _ = writeln!(text, "  {how:8} {what}");
        }
        if self.changes.iter().any(|change| change.how == How::Restart) {
            text.push_str("\"restart\" takes effect at the next start of that host, everything else within a second.\n");
        }
        for note in &self.notes {
            let _ = writeln!(text, "note    {note}");
        }
        text
    }
}

async fn fetch(url: &str, token_env: Option<&str>) -> Result<Status, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::usage(format!("--against {url}: {error}; such as http://127.0.0.1:8000"));
    let mut address = url::Url::parse(url).map_err(|error| usage(&error))?;
    if !matches!(address.scheme(), "http" | "https") {
        return Err(usage(&"only http and https are supported"));
    }
    // The address that clients are given is as good as the host's own.
    let path = address.path().trim_end_matches('/').trim_end_matches("/mcp").to_owned();
    address.set_path(&format!("{path}/status"));
    let client = tls::client(|| reqwest::Client::builder().no_proxy().timeout(TIMEOUT), |_| {});
    let client = client.map_err(|error| Failure::failed(format!("cannot set up HTTP: {error}")))?;
    let mut request = client.get(address.clone());
    if let Some(variable) = token_env {
        request = request.bearer_auth(token(variable)?);
    }
    let unreachable = |error: reqwest::Error| Failure::failed(format!("cannot ask {address}: {}", super::causes(&error)));
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if matches!(status.as_u16(), 401 | 403) {
        return Err(Failure::failed(match token_env {
            None => format!("{address} requires a bearer token: put it in an environment variable and name that with --token-env VAR"),
            Some(variable) => format!("{address} does not take the token in {variable}"),
        }));
    }
    let body = response.bytes().await.map_err(unreachable)?;
    serde_json::from_slice(&body).map_err(|error| {
        Failure::failed(format!(
            "{address} answered {status} and not with the status of a Toolbay ({error}); is `toolbay serve` running there?"
        ))
    })
}

/// A host answers its status at once, or is in trouble.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn digests(text: &str) -> Digests {
        Digests::of(&Config::parse(text, Path::new("/x/toolbay.toml")).unwrap())
    }

    #[test]
    fn what_the_command_line_sets_is_no_change() {
        let running = |command_line: &[&str]| Running {
            digests: digests("listen = \"127.0.0.1:1\"\n[plugin.a]\nmemory = \"1MiB\"\n[telemetry]\nlog = \"debug\""),
            command_line: command_line.iter().map(|key| (*key).to_owned()).collect(),
        };
        let wanted = digests("listen = \"127.0.0.1:2\"\n[plugin.a]\nmemory = \"2MiB\"");
        let text = |running: &Running, version: &str| Against::compare("http://h", version, running, &wanted).text();
        let own = env!("CARGO_PKG_VERSION");
        let all = text(&running(&[]), own);
        assert!(["changed  [telemetry]", "changed  [plugin.a]", "restart  listen"].iter().all(|line| all.contains(line)), "{all}");
        let fixed = text(&running(&["listen", "telemetry.log", "mcp_json"]), "0.0.1");
        assert!(fixed.contains("[plugin.a]") && !fixed.contains("listen\n") && !fixed.contains("[telemetry]"), "{fixed}");
        assert!(fixed.contains("Toolbay 0.0.1") && fixed.contains("--mcp-json"), "{fixed}");
    }
}
