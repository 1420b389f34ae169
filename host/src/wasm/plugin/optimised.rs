//! The optimised code of a plugin that serves from early code: made in the background, and swapped in when it is ready.
//!
//! Both share everything that belongs to the plugin (its limits, queue, memory, log and what it has said of changes), so that it makes no difference which
//! of them a call runs on. Calls in flight end on the code that they began with.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Code, load::PluginHost, on_demand::Version};
use crate::{
    threads::Task,
    wasm::{admission::AdmissionQueue, instance::Shared, typed::docs::Docs},
};

/// What a plugin has beside its code.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) gate: Arc<AdmissionQueue>,
    /// Of the file's content.
    pub(super) digest: blake3::Hash,
    pub(super) docs: Arc<Docs>,
    /// The interfaces that it imports.
    pub(super) imports: Arc<[String]>,
    /// Whether a call may send something before its answer.
    pub(super) notifies: bool,
    /// Whether it may say that something has changed.
    pub(super) tells: bool,
    /// Whether it can ask its caller.
    pub(super) asks: bool,
}

/// Better code, made from when somebody first waits for it.
pub(super) struct Optimising {
    host: Arc<PluginHost>,
    bytes: Bytes,
    parts: Parts,
    /// What serves from then on, if its code is not to be in memory all the time.
    version: Option<Arc<Version>>,
    begun: OnceLock<Begun>,
}

struct Begun {
    made: watch::Receiver<Option<Arc<Code>>>,
    /// Ends with the plugin.
    _task: Task<()>,
}

impl Optimising {
    pub(super) fn new(host: Arc<PluginHost>, bytes: Bytes, parts: Parts, version: Option<Arc<Version>>) -> Self {
        Self { host, bytes, parts, version, begun: OnceLock::new() }
    }

    pub(super) fn version(&self) -> Option<&Arc<Version>> {
        self.version.as_ref()
    }

    fn begin(&self) -> Begun {
        let (host, bytes, parts) = (self.host.clone(), self.bytes.clone(), self.parts.clone());
        let (done, made) = watch::channel(None);
        let work = async move {
            match host.optimise(bytes, &parts).await {
                Ok(code) => drop(done.send_replace(Some(code))),
                Err(error) => {
                    tracing::warn!(plugin = %parts.shared.id, %error, "the plugin cannot be compiled for speed; it is served from the code that it has");
                }
            }
        };
        let ended = self.host.ended().clone();
        let task = tokio::spawn(async move {
            ended.run_until_cancelled(work).await;
        });
        Begun { made, _task: Task::new(task) }
    }
}

impl Code {
    /// Waits for better code. It never comes where there is none to come.
    pub(super) async fn optimised(&self) -> Arc<Self> {
        if let Some(optimising) = &self.optimising {
            let mut made = optimising.begun.get_or_init(|| optimising.begin()).made.clone();
            if let Ok(made) = made.wait_for(Option::is_some).await
                && let Some(code) = made.as_ref()
            {
                return Arc::clone(code);
            }
        }
        std::future::pending().await
    }
}
