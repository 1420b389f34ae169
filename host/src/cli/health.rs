//! `toolbay health`: whether a running server takes calls, for container engines and service managers. Images have no curl.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use super::{Failure, Outcome, causes, print, remote, runtime};
use crate::tls;

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Exit status 0 means ready. Status 1 means that it is not, or that nothing answers; one line says why.
Health checks need no token.

  toolbay health
  toolbay health --url http://127.0.0.1:9000
  toolbay health --url https://127.0.0.1:9000 --no-verify
  toolbay health --live                       only whether the process answers, not whether it takes calls"#;

/// Longer words of a server would only fill the log of whoever asks.
const WORDS: usize = 300;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Health {
    /// The server's address; a path such as /mcp is ignored
    #[arg(long, env = "TOOLBAY_HEALTH_URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    /// Ask /healthz (the process answers) instead of /readyz (it takes calls)
    #[arg(long)]
    live: bool,
    /// With https: don't verify the server's certificate, such as for an address that it isn't made out to
    #[arg(long)]
    no_verify: bool,
    /// With https: a file in PEM format with the certificate and the private key to show (tls_client_ca in [http])
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Seconds to wait for the response
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

impl Health {
    pub(super) fn run(self) -> Outcome {
        let url = self.probe()?;
        runtime()?.block_on(async {
            tls::install();
            let identity = match &self.identity {
                Some(path) => {
                    let read = std::fs::read(path).map_err(|error| error.to_string());
                    let identity = read.and_then(|pem| reqwest::Identity::from_pem(&pem).map_err(|error| causes(&error)));
                    Some(identity.map_err(|why| Failure::usage(format!("--identity {}: {why}", path.display())))?)
                }
                None => None,
            };
            let builder = || {
                let builder = reqwest::Client::builder()
                    .tls_danger_accept_invalid_certs(self.no_verify)
                    .no_proxy()
                    .timeout(Duration::from_secs(self.timeout))
                    .redirect(reqwest::redirect::Policy::none());
                match &identity {
                    Some(identity) => builder.identity(identity.clone()),
                    None => builder,
                }
            };
            let client = remote::client(builder)?;
            let answer = client.get(url.clone()).send().await.map_err(|error| {
                let why = if error.is_timeout() { format!("no response within {} s", self.timeout) } else { causes(&error.without_url()) };
                Failure::failed(format!("{url}: {why}; is `toolbay serve` running there?"))
            })?;
            let status = answer.status();
            let words = answer.text().await.unwrap_or_default();
            let words: String = words.trim().chars().take(WORDS).collect();
            if status.is_success() {
                print(&format!("{words}\n"))?;
                return Ok(ExitCode::SUCCESS);
            }
            Err(Failure::failed(format!("{url}: {status}: {words}")))
        })
    }

    /// Where the server says how it is.
    fn probe(&self) -> Result<url::Url, Failure> {
        let usage = |why: &dyn std::fmt::Display| Failure::usage(format!("--url {}: {why}; such as http://127.0.0.1:8000", self.url));
        let mut url = url::Url::parse(&self.url).map_err(|error| usage(&error))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(usage(&"only http and https are supported"));
        }
        url.set_path(if self.live { "/healthz" } else { "/readyz" });
        url.set_query(None);
        url.set_fragment(None);
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(url: &str, live: bool) -> Result<String, String> {
        Health { url: url.to_owned(), live, no_verify: false, identity: None, timeout: 1 }
            .probe()
            .map(|url| url.to_string())
            .map_err(|failure| failure.message)
    }

    #[test]
    fn any_address_of_the_server_will_do() {
        for url in ["http://[::1]:9/mcp", "http://[::1]:9", "http://[::1]:9/a/b?c#d"] {
            assert_eq!(probe(url, false).unwrap(), "http://[::1]:9/readyz");
            assert_eq!(probe(url, true).unwrap(), "http://[::1]:9/healthz");
        }
        for (url, why) in [("127.0.0.1:8000", "relative URL"), ("ftp://x", "only http and https"), ("", "relative URL")] {
            let error = probe(url, false).unwrap_err();
            assert!(error.contains(why) && error.contains("such as http://127.0.0.1:8000"), "{error}");
        }
    }
}
