//! Plugins whose code is loaded when it is needed, where there are more of them than are to be in memory.
//!
//! What such a plugin offers is known without its code ([`Described`]). The first call loads the code, once however many calls wait for it, beside the async
//! workers; each of them waits no longer than a call of this plugin may take. The code is dropped again when others need the room or nobody calls it
//! ([`super::residents`]). Calls that run then end on it, and one that comes meanwhile goes through the same queue.
//!
//! A plugin that makes its lists itself may list something else when it is loaded than when it was described: it is listed again then, as if it had said so.

mod news;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwapOption;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::{Plugin, described::Described, listing::shaped, load::PluginHost, residents::Resident};
use crate::{
    config::PluginConfig,
    provider::{
        Call, CallContext, CallError, CallOutput, CompiledStatus, Completion, Completions, JsonText, Offers, PromptOutput, Provider,
        ProviderId, Tool,
    },
    wasm::{
        admission::AdmissionQueue,
        folder::{Load, LoadError, Loaded},
        imports::notify::ChangeSignal,
        instance::Shared,
    },
};

/// How long after a failure the code is tried to be loaded again, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A plugin with one of its lists.
pub(super) struct OnDemand {
    version: Arc<Version>,
    described: Arc<Described>,
}

/// One version of a plugin, whose code may be in memory.
pub(super) struct Version {
    pub(super) host: Arc<PluginHost>,
    pub(super) id: ProviderId,
    /// Where its file is, for when its code is not in the cache any more.
    pub(super) path: PathBuf,
    /// Of the file's content.
    pub(super) digest: blake3::Hash,
    pub(super) config: Arc<PluginConfig>,
    /// What its description is kept by. None: it is not kept.
    pub(super) settings: Option<Arc<str>>,
    /// What its calls say of changes. None: they can say nothing.
    pub(super) bell: Option<Arc<ChangeSignal>>,
    /// What calls run on.
    loaded: ArcSwapOption<Plugin>,
    /// Whether it was called since somebody asked.
    used: AtomicBool,
    /// What is published of it now.
    described: ArcSwapOption<Described>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Loads the code now.
    loading: Option<watch::Receiver<Option<Outcome>>>,
    trouble: Option<Trouble>,
    /// What calls share that run on code which was dropped: those that come go through the same queue.
    shared: Weak<Shared>,
    gate: Weak<AdmissionQueue>,
}

type Outcome = Result<Arc<Plugin>, Arc<str>>;

/// Why the code is not there.
struct Trouble {
    why: Arc<str>,
    /// It is not tried again before that.
    next: Instant,
    pause: Duration,
}

impl Version {
    pub(super) fn new(
        host: Arc<PluginHost>,
        (id, path, digest): (ProviderId, PathBuf, blake3::Hash),
        config: Arc<PluginConfig>,
        settings: Option<Arc<str>>,
        bell: Option<Arc<ChangeSignal>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            host,
            id,
            path,
            digest,
            config,
            settings,
            bell,
            loaded: ArcSwapOption::empty(),
            used: AtomicBool::new(false),
            described: ArcSwapOption::empty(),
            state: Mutex::default(),
        })
    }

    /// Listed without its code.
    pub(super) fn unloaded(self: Arc<Self>, described: Arc<Described>) -> Loaded {
        self.described.store(Some(described.clone()));
        loaded(self, described)
    }

    /// Listed with its code, which may be dropped from now on.
    pub(super) async fn first(self: Arc<Self>, plugin: Arc<Plugin>) -> Loaded {
        let described = self.host.keep_description(&self, &plugin).await;
        self.described.store(Some(described.clone()));
        self.put(plugin).await;
        loaded(self, described)
    }

    /// Calls run on this from now on.
    async fn put(self: &Arc<Self>, plugin: Arc<Plugin>) {
        {
            let mut state = self.lock();
            state.shared = Arc::downgrade(&plugin.code.shared);
            state.gate = Arc::downgrade(&plugin.code.gate);
            state.trouble = None;
        }
        self.loaded.store(Some(plugin));
        let (residents, resident) = (self.host.residents().clone(), self.clone() as Arc<dyn Resident>);
        // An error is a panic of it, which nothing depends on.
        let _ = tokio::task::spawn_blocking(move || residents.admit(&resident)).await;
    }

    /// What calls share that run on code which was dropped.
    pub(super) fn still_shared(&self) -> Option<(Arc<Shared>, Arc<AdmissionQueue>)> {
        let state = self.lock();
        Some((state.shared.upgrade()?, state.gate.upgrade()?))
    }

    /// What runs a call: at once where it is loaded.
    async fn ready(self: &Arc<Self>, context: &CallContext) -> Result<Arc<Plugin>, CallError> {
        if let Some(plugin) = self.loaded.load_full() {
            // Written once in a while, so that cores do not take it from each other with every call.
            if !self.used.load(Ordering::Relaxed) {
                self.used.store(true, Ordering::Relaxed);
            }
            return Ok(plugin);
        }
        let longest = self.config.limits.timeout;
        let time = context.time_left().map_or(longest, |left| left.min(longest));
        Box::pin(self.load(time)).await
    }

    /// Waits for the code, for as long as a call may take.
    async fn load(self: &Arc<Self>, time: Duration) -> Result<Arc<Plugin>, CallError> {
        self.used.store(true, Ordering::Relaxed);
        let mut loading = match self.begin() {
            Ok(loading) => loading,
            Err(told) => return Err(CallError::Internal(told)),
        };
        let waited = tokio::time::timeout(time, loading.wait_for(Option::is_some)).await;
        match waited.map(|ended| ended.map(|outcome| outcome.clone())) {
            Ok(Ok(Some(Ok(plugin)))) => Ok(plugin),
            Ok(Ok(Some(Err(why)))) => Err(CallError::Internal(self.told(&why))),
            // It panicked, or the host ends.
            Ok(Ok(None) | Err(_)) => Err(CallError::Internal(self.told("the host could not finish loading it; its log says more"))),
            Err(_) => {
                let what = format!("plugin {} is still being loaded after {time:?}, which is the time that its calls have", self.id);
                Err(CallError::Busy { what, retry_after: PAUSE })
            }
        }
    }

    fn told(&self, why: &str) -> String {
        format!("plugin {} cannot be loaded: {why}", self.id)
    }

    /// What loads the code now. An error is told to who calls: it failed a moment ago.
    fn begin(self: &Arc<Self>) -> Result<watch::Receiver<Option<Outcome>>, String> {
        let mut state = self.lock();
        if let Some(loading) = &state.loading {
            return Ok(loading.clone());
        }
        if let Some(trouble) = &state.trouble {
            let wait = trouble.next.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                return Err(format!("{}; it is tried again in {} s", self.told(&trouble.why), wait.as_secs().max(1)));
            }
        }
        let (done, loading) = watch::channel(None);
        state.loading = Some(loading.clone());
        drop(state);
        let version = self.clone();
        // It goes on when nobody waits any more: the next call wants it too. What takes long in it has limits of its own.
        tokio::spawn(async move {
            let ends = EndsLoading(&version);
            let outcome = version.load_now().await;
            // Before it is told: who calls then finds the code, or the trouble.
            drop(ends);
            done.send_replace(Some(outcome));
        });
        Ok(loading)
    }

    async fn load_now(self: &Arc<Self>) -> Outcome {
        // It may have come between the look and the lock.
        if let Some(plugin) = self.loaded.load_full() {
            return Ok(plugin);
        }
        let begun = Instant::now();
        let loaded = self.host.load_again(self).await;
        self.host.residents().loaded(loaded.is_ok(), begun.elapsed());
        match loaded {
            Ok(plugin) => {
                let ms = begun.elapsed().as_millis() as u64;
                tracing::debug!(plugin = %self.id, ms, compiler = plugin.code.made.by, "plugin loaded for a call");
                self.put(plugin.clone()).await;
                self.compare(&plugin).await;
                Ok(plugin)
            }
            Err(LoadError(why)) => {
                let mut state = self.lock();
                let pause = state.trouble.as_ref().map_or(PAUSE, |trouble| (trouble.pause * 2).min(LONGEST_PAUSE));
                let why: Arc<str> = why.into();
                if state.trouble.as_ref().is_none_or(|trouble| trouble.why != why) {
                    tracing::warn!(plugin = %self.id, error = &*why, "the plugin was called and cannot be loaded");
                }
                state.trouble = Some(Trouble { why: why.clone(), next: Instant::now() + pause, pause });
                Err(why)
            }
        }
    }

    /// Has it listed again where it lists something else than what is published.
    async fn compare(&self, plugin: &Plugin) {
        let Some(described) = self.described.load_full() else { return };
        let lists = described.differences(plugin);
        if lists.any()
            && let Some(bell) = &self.bell
        {
            tracing::debug!(plugin = %self.id, "the plugin lists something else than when it was loaded last");
            self.host.forget_description(self, described.target).await;
            bell.changed(lists);
        }
    }

    /// Better code is in the cache: the next call loads it.
    pub(super) fn reload(&self, plugin: &Arc<Plugin>) {
        self.loaded.compare_and_swap(plugin, None);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing is being loaded any more, however that ended.
struct EndsLoading<'a>(&'a Version);

impl Drop for EndsLoading<'_> {
    fn drop(&mut self) {
        self.0.lock().loading = None;
    }
}

impl Resident for Version {
    fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    fn make_room(&self) -> bool {
        let Some(plugin) = self.loaded.load_full() else { return true };
        // This one, and that which is stored: every call holds one more.
        if Arc::strong_count(&plugin) > 2 || plugin.code.gate.in_flight() > 0 {
            return false;
        }
        let held = self.loaded.compare_and_swap(&plugin, None);
        let is_gone = held.as_ref().is_some_and(|held| Arc::ptr_eq(held, &plugin));
        if is_gone {
            self.host.residents().dropped();
            tracing::debug!(plugin = %self.id, "plugin dropped from memory until it is called");
        }
        is_gone
    }
}

/// As it goes into the folder's table.
fn loaded(version: Arc<Version>, described: Arc<Described>) -> Loaded {
    let config = version.config.clone();
    let compiled = CompiledStatus { by: described.target.tier.name(), since: SystemTime::now() };
    let plugin = Arc::new(OnDemand { version: version.clone(), described: described.clone() });
    let (provider, unfit) = shaped(plugin.clone(), &config);
    let traits = described.traits;
    Loaded {
        provider,
        warnings: [described.warnings.clone(), unfit].concat(),
        imports: described.imports.clone(),
        load: version.clone(),
        compiled: Some(compiled),
        news: (version.bell.is_some() && (traits.tells || traits.lists)).then(|| Arc::new(news::Ear(plugin)) as _),
    }
}

impl Load for Version {
    fn in_flight(&self) -> usize {
        self.loaded.load().as_ref().map_or(0, |plugin| plugin.code.gate.in_flight())
    }

    fn queued(&self) -> usize {
        self.loaded.load().as_ref().map_or(0, |plugin| plugin.code.gate.queued())
    }

    fn is_loaded(&self) -> Option<bool> {
        Some(self.loaded.load().is_some())
    }

    fn trouble(&self) -> Option<String> {
        self.lock().trouble.as_ref().map(|trouble| trouble.why.to_string())
    }
}

impl Provider for OnDemand {
    fn id(&self) -> &ProviderId {
        &self.version.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.described.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        Box::pin(async move {
            let plugin = self.version.ready(&call.context).await?;
            plugin.call_tool(call).await
        })
    }

    fn code(&self) -> Option<String> {
        Some(self.version.digest.to_hex().to_string())
    }

    fn default_tool(&self) -> Option<&str> {
        self.version.config.default_tool.as_deref()
    }

    fn calls(&self) -> Option<&[String]> {
        self.described.traits.calls.then_some(self.version.config.grants.calls.as_slice())
    }

    fn offers(&self) -> &Offers {
        &self.described.offers
    }

    fn reads_unlisted(&self) -> bool {
        self.described.traits.reads
    }

    fn read_resource<'a>(&'a self, uri: &'a str, context: Box<CallContext>) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        Box::pin(async move {
            if !self.described.traits.reads {
                return Err(CallError::UnknownResource(uri.to_owned()));
            }
            let plugin = self.version.ready(&context).await?;
            plugin.read(uri, context).await
        })
    }

    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        context: Box<CallContext>,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        Box::pin(async move {
            let plugin = self.version.ready(&context).await?;
            plugin.fill_in(name, arguments, context).await
        })
    }

    fn complete(&self, completion: Completion, context: Box<CallContext>) -> BoxFuture<'_, Result<Completions, CallError>> {
        Box::pin(async move {
            let plugin = self.version.ready(&context).await?;
            plugin.values(completion, context).await
        })
    }
}
