//! The thread that pushes metrics to a collector, at the pace and to the place that the configuration says at the moment.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use url::Url;

use super::{
    Page,
    otlp::{Points, Taken},
};
use crate::{
    config::{MetricsConfig, Temporality},
    telemetry::otlp::{self, Client, ClientOptions, Delivery},
};

/// Pushes metrics while it is there.
#[derive(Debug)]
pub struct Push(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    config: MetricsConfig,
    /// Counts its changes.
    version: u64,
    /// Who waits for a last push.
    asked: Vec<SyncSender<()>>,
    closed: bool,
}

impl Shared {
    /// Waits so long, or until somebody waits for the end, or it goes elsewhere. Whether that is so.
    fn pause(&self, wait: Duration, version: u64) -> bool {
        let goes_on = |state: &mut State| state.asked.is_empty() && !state.closed && state.version == version;
        let (mut state, _) = self.changed.wait_timeout_while(self.state(), wait, goes_on).unwrap_or_else(PoisonError::into_inner);
        !goes_on(&mut state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Push {
    /// Begins, as soon as the configuration names a collector. `delivery` is told how it goes. What runs on the runtime that this is called in is asked there.
    ///
    /// # Errors
    ///
    /// There is no thread for it.
    pub fn start(page: Arc<Page>, config: &MetricsConfig, delivery: Arc<Delivery>) -> io::Result<Self> {
        let state = State { config: config.clone(), version: 0, asked: Vec::new(), closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let runtime = tokio::runtime::Handle::try_current().ok();
        let pusher = Pusher { page, delivery, runtime, shared: Arc::clone(&shared), start: now(), taken: Taken::nothing(now()), to: None };
        // It ends when this is gone.
        thread::Builder::new().name("toolbay-metrics".to_owned()).spawn(move || pusher.run())?;
        Ok(Self(shared))
    }

    /// From now on it is done as this says.
    pub fn reconfigure(&self, config: &MetricsConfig) {
        let mut state = self.0.state();
        if state.config != *config {
            state.config = config.clone();
            state.version += 1;
            drop(state);
            self.0.changed.notify_one();
        }
    }

    /// Pushes what there is, and waits for that, for so long at most. Blocks. Whether it is done.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        self.0.state().asked.push(done);
        self.0.changed.notify_one();
        wait.recv_timeout(limit).is_ok()
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_one();
    }
}

struct Pusher {
    page: Arc<Page>,
    delivery: Arc<Delivery>,
    runtime: Option<tokio::runtime::Handle>,
    shared: Arc<Shared>,
    /// When the counting began.
    start: u64,
    taken: Taken,
    to: Option<Destination>,
}

/// Where to, as one version of the configuration says.
struct Destination {
    version: u64,
    endpoint: Url,
    client: Client,
    resource: Vec<u8>,
    scope: Vec<u8>,
    temporality: Temporality,
}

impl Pusher {
    fn run(mut self) {
        let mut last = Instant::now();
        loop {
            let mut state = self.shared.state();
            let asked = loop {
                if state.closed {
                    return;
                }
                if !state.asked.is_empty() {
                    break std::mem::take(&mut state.asked);
                }
                let rest = state.config.endpoint.is_some().then(|| state.config.interval.saturating_sub(last.elapsed()));
                state = match rest {
                    Some(Duration::ZERO) => break Vec::new(),
                    Some(rest) => self.shared.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0,
                    None => self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                };
            };
            let (config, version) = (state.config.clone(), state.version);
            drop(state);
            last = Instant::now();
            self.aim(&config, version);
            self.push(!asked.is_empty());
            for done in asked {
                // Who asked may have given up.
                let _ = done.try_send(());
            }
        }
    }

    /// Takes the place that the configuration says.
    fn aim(&mut self, config: &MetricsConfig, version: u64) {
        if self.to.as_ref().is_some_and(|to| to.version == version) {
            return;
        }
        let before = self.to.take();
        self.to = config.endpoint.as_ref().and_then(|endpoint| {
            let (headers, gzip, delivery) = (&config.headers, config.gzip, &self.delivery);
            let client = Client::new(&ClientOptions { signal: "metrics", what: "metrics", endpoint, headers, gzip, delivery })
                .inspect_err(|why| tracing::error!("cannot prepare the client that sends metrics to [metrics] endpoint: {why}"))
                .ok()?;
            let (resource, scope) = (otlp::resource(&config.service_name), otlp::scope());
            Some(Destination { version, endpoint: endpoint.clone(), client, resource, scope, temporality: config.temporality })
        });
        // Another collector knows nothing of what was sent before, and other counts begin at the beginning.
        let about = |to: Option<&Destination>| to.map(|to| (to.endpoint.clone(), to.temporality));
        if about(before.as_ref()) != about(self.to.as_ref()) {
            self.taken = Taken::nothing(self.start);
        }
    }

    /// `is_last`: somebody waits for it.
    fn push(&mut self, is_last: bool) {
        let Some(to) = &mut self.to else { return };
        let taken = std::mem::take(&mut self.taken);
        let mut points = Points::new(to.temporality, self.start, now(), taken);
        {
            let _inside = self.runtime.as_ref().map(tokio::runtime::Handle::enter);
            self.page.points(&mut points);
        }
        let (request, before, after) = points.request(&to.resource, &to.scope);
        let (shared, version) = (&self.shared, to.version);
        match to.client.send(request, is_last, |wait| shared.pause(wait, version)) {
            Ok(answer) => {
                self.taken = after;
                if let Some(why) = answer.trouble("data points") {
                    to.client.tell(&why);
                }
            }
            Err(why) => {
                // What has come since then is in the next push.
                self.taken = before.unwrap_or_default();
                to.client.tell(&why);
            }
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
