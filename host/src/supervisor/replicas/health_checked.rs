//! A replica's channel, with an eye on whether it answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{Notify, broadcast},
    time::Instant,
};

use crate::{
    provider::{CallContext, JsonText},
    upstream::{Change, Channel, ChannelError, Uris},
};

pub(super) struct HealthCheckedChannel {
    inner: Arc<dyn Channel>,
    /// `replica 2 (pid 4711)`
    who: String,
    epoch: Instant,
    /// Milliseconds from `epoch` to its last answer.
    heard: AtomicU64,
    /// Calls in a row that were not answered in time.
    timeouts: AtomicU32,
    /// Whether it has ever answered a call.
    answered: AtomicBool,
    /// A call was not answered in time, and nothing was heard since. Only where replicas are pinged: else nobody would clear it.
    suspect: AtomicBool,
    pinged: bool,
    /// Why it was given up, which is more than the connection knows.
    verdict: std::sync::OnceLock<String>,
    /// Told of each call that was not answered in time.
    pub(super) late: Notify,
}

impl HealthCheckedChannel {
    pub(super) fn new(inner: Arc<dyn Channel>, who: String, epoch: Instant, pinged: bool) -> Arc<Self> {
        let tracked = Self {
            inner,
            who,
            epoch,
            heard: AtomicU64::new(0),
            timeouts: AtomicU32::new(0),
            answered: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            pinged,
            verdict: std::sync::OnceLock::new(),
            late: Notify::new(),
        };
        tracked.hear();
        Arc::new(tracked)
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.inner.is_ending() || self.inner.closed().now_or_never().is_some()
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Relaxed)
    }

    pub(super) fn heard_at(&self) -> Instant {
        self.epoch + Duration::from_millis(self.heard.load(Relaxed))
    }

    pub(super) fn timeouts(&self) -> u32 {
        self.timeouts.load(Relaxed)
    }

    pub(super) fn answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// Says why it is given up, for the calls that run on it.
    pub(super) fn give_up(&self, why: &str) {
        let _ = self.verdict.set(why.to_owned());
    }

    /// Asks whether it lives. Any answer will do: servers of 2026-07-28 do not know the method.
    pub(super) async fn answers_ping(self: Arc<Self>, within: Duration) -> bool {
        let context = CallContext::default();
        let result = self.inner.request("ping", "{}", &context, within).await;
        let alive = !matches!(result, Err(ChannelError::Timeout(_) | ChannelError::Closed(_) | ChannelError::Unreachable(_)));
        if alive {
            self.suspect.store(false, Relaxed);
            self.hear();
        }
        alive
    }

    fn hear(&self) {
        let millis = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(millis, Relaxed);
    }
}

impl Channel for HealthCheckedChannel {
    fn request<'a>(
        &'a self,
        method: &'static str,
        params: &'a str,
        context: &'a CallContext,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(async move {
            let result = self.inner.request(method, params, context, timeout).await;
            match &result {
                Err(ChannelError::Timeout(_)) => {
                    self.timeouts.fetch_add(1, Relaxed);
                    // Before the call gives its place back, so that the next one does not run into the same.
                    self.suspect.store(self.pinged, Relaxed);
                    self.late.notify_one();
                }
                Err(ChannelError::Closed(why)) => {
                    let why = self.verdict.get().unwrap_or(why);
                    return Err(ChannelError::Closed(format!("{} ended while this call ran on it: {why}", self.who)));
                }
                // Nothing was heard of the server itself.
                Err(ChannelError::Unreachable(_) | ChannelError::Call(_)) => {}
                Ok(_) | Err(ChannelError::Rpc { .. } | ChannelError::Busy { .. } | ChannelError::Ask(_) | ChannelError::Malformed(_)) => {
                    self.timeouts.store(0, Relaxed);
                    self.answered.store(true, Relaxed);
                    self.hear();
                }
            }
            result
        })
    }

    fn server(&self) -> &JsonText {
        self.inner.server()
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes()
    }

    fn subscribe(&self, uris: Uris) {
        self.inner.subscribe(uris);
    }

    fn is_ending(&self) -> bool {
        self.inner.is_ending()
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        self.inner.closed()
    }
}
