//! `toolbay top`: the live figures of a running server on a terminal, from its metrics.

mod figures;
mod scrape;
mod screen;
mod table;

use std::{
    io::IsTerminal as _,
    process::ExitCode,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::{Duration, Instant},
};

use super::{Failure, Outcome, causes, print, remote, runtime};
use figures::{Figures, Next, Sort};
use scrape::Scrape;

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Reads /metrics of the server. With [auth.tokens], the token needs a role that allows everything.

  toolbay top
  toolbay top --url https://tools.example.com --token-env TOOLS_TOKEN
  toolbay top --once --sort p99               one table as text, over the next 2 seconds

Keys: c, 5, 9, e, n sort by calls, p50, p99, errors, name; r reverses; the arrows scroll; q quits."#;

/// How long a server may take to answer. Its page is made in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a page that are read: that of 10,000 tools has some 40 MB.
const MAX_PAGE: usize = 64 << 20;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Top {
    /// The server's address; the path is ignored, except for one that ends with /metrics
    #[arg(long, env = "TOOLBAY_URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    /// The environment variable that holds the bearer token
    #[arg(long, value_name = "VAR")]
    token_env: Option<String>,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
    /// Print one table as text, and end
    #[arg(long)]
    once: bool,
    /// What to sort the tools by
    #[arg(long, value_enum, default_value_t = Sort::Calls)]
    sort: Sort,
}

impl Top {
    pub(super) fn run(self) -> Outcome {
        let source = Source::new(&self)?;
        let interval = Duration::from_secs(self.interval);
        let runtime = runtime()?;
        if self.once {
            let figures = runtime.block_on(async {
                let before = source.look().await?;
                tokio::time::sleep(interval).await;
                Ok::<_, Failure>(Figures::between(Some(&before), &source.look().await?))
            })?;
            print(&table::text(&figures, self.sort))?;
            return Ok(ExitCode::SUCCESS);
        }
        if !std::io::stdout().is_terminal() {
            return Err(Failure::usage("stdout is no terminal; `toolbay top --once` prints one table as text"));
        }
        // What is wrong with the address or the token is told before the screen is taken.
        let first = runtime.block_on(source.look())?;
        let (to, from) = sync_channel(1);
        runtime.spawn(watch(source, first, interval, to));
        let done = screen::run(&self.url, self.sort, &from);
        drop::<Receiver<_>>(from);
        runtime.shutdown_background();
        done.map_err(|error| Failure::failed(format!("cannot draw on this terminal: {error}")))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Looks again and again, until nobody takes what was seen.
async fn watch(source: Source, first: Scrape, interval: Duration, to: SyncSender<Next>) {
    let mut before = first;
    let mut next = Ok(Figures::between(None, &before));
    loop {
        // A screen that has not drawn yet takes the next one.
        if let Err(std::sync::mpsc::TrySendError::Disconnected(_)) = to.try_send(next) {
            return;
        }
        tokio::time::sleep(interval).await;
        next = match source.look().await {
            Ok(now) => {
                let figures = Figures::between(Some(&before), &now);
                before = now;
                Ok(figures)
            }
            Err(failure) => Err(failure.message),
        };
    }
}

/// A server's metrics.
struct Source {
    url: url::Url,
    client: reqwest::Client,
    token: Option<String>,
}

impl Source {
    fn new(top: &Top) -> Result<Self, Failure> {
        let mut url = remote::address(&top.url)?;
        if !url.path().ends_with("/metrics") {
            url.set_path("/metrics");
        }
        url.set_query(None);
        url.set_fragment(None);
        let builder = || reqwest::Client::builder().no_proxy().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        let client = remote::client(builder)?;
        Ok(Self { url, client, token: top.token_env.as_deref().map(remote::token).transpose()? })
    }

    async fn look(&self) -> Result<Scrape, Failure> {
        let url = &self.url;
        let mut request = self.client.get(url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut answer = request
            .send()
            .await
            .map_err(|error| Failure::failed(format!("{url}: {}; is `toolbay serve` running there?", causes(&error.without_url()))))?;
        let hint = match answer.status().as_u16() {
            200 => None,
            401 if self.token.is_none() => {
                Some("it needs a bearer token: put it in an environment variable and name that with --token-env")
            }
            401 => Some("it does not accept the token of --token-env"),
            403 => Some("the token needs a role that allows everything (servers = [\"*\"])"),
            404 => Some("there are no metrics at this address: see `enabled` and `listen` in [metrics] of the server's toolbay.toml"),
            _ => Some("it serves no metrics"),
        };
        if let Some(hint) = hint {
            return Err(Failure::failed(format!("{url} answered {}: {hint}", answer.status())));
        }
        let at = Instant::now();
        let mut page = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| Failure::failed(format!("{url}: {}", causes(&error.without_url()))))? {
            page.extend_from_slice(&part);
            if page.len() > MAX_PAGE {
                return Err(Failure::failed(format!("{url}: the page is longer than {MAX_PAGE} bytes")));
            }
        }
        Ok(Scrape::parse(&String::from_utf8_lossy(&page), at))
    }
}
