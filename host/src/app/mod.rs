//! The composition root: a host, assembled from its configuration, for `serve`, `check`, `call`, `tools`, other fronts and tests.
//!
//! An [`App`] owns everything that offers something (the folder of plugins, the servers, the models) and the catalog that it is offered in. Fronts are put
//! on top of it: see [`App::front`]. What it was assembled from can change while it runs: see [`App::watch`].

mod console;
mod difference;
mod endpoints;
mod error;
mod files;
mod live;
mod metrics;
mod plugins;
mod policy;
mod search;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

pub use difference::{Change, Digests, How};
pub use error::AppError;
pub use live::{ApplyError, ConfigSource};
pub use policy::warnings;

use crate::{
    catalog::{
        Catalog, Choice, Confirm, LivePolicy,
        feed::{CatalogUpdate, Feed, Inlet, Origin, clash},
    },
    config::{Config, ConfigError, Files, HttpConfig, Overrides},
    credentials::{self, accounts::Accounts},
    dispatch::{Dispatcher, Screen},
    http::{Authenticator, HttpSettings, may_listen, may_serve_console, may_serve_metrics},
    inference::{ModelStatus, Registry},
    mcp::{EndpointOptions, Front, FrontOptions},
    pipeline::Pipelines,
    provider::{ProviderId, ProviderState, ProviderStatus, StatusSource},
    servers::{Run, Servers},
    shared::Shared,
    store::Store,
    telemetry::{self, audit::Audit, metrics::Metrics, traces::Traces},
    trust::Trust,
    wasm::{compile::Worker, plugin::PluginHost},
};
use difference::{changed, needs_restart};
use live::{ConfigStatus, Live};
use plugins::Plugins;

/// How long readiness waits for servers.
/// One that takes longer, since its package is downloaded first for example, comes later, as a change of the lists.
const SERVE_WAITS: Duration = Duration::from_secs(10);

/// The same where nothing comes later.
/// A server has its own deadline, `start_timeout`, which says more; this is for one that has a very long one.
const ONCE_WAITS: Duration = Duration::from_secs(300);

/// How long the last spans may take.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// How long the last audit lines may take.
const LAST_LINES: Duration = Duration::from_secs(5);

/// What is wrong where two processes cannot use the store one after the other.
const CANNOT_SHARE: &str = "what plugins keep cannot be shared with another process";

/// How a host is assembled.
#[derive(Clone, Copy, Debug)]
pub struct AppOptions {
    /// How long it runs.
    pub run: Run,
    /// Whether the folder of plugins has to be there even where there are servers: somebody has named it.
    pub folder_required: bool,
    /// Whether anybody may call where others than this machine can and there are no tokens.
    pub insecure: bool,
    /// Whether another process of this machine serves until this one is ready: it uses the store's file too.
    pub follows: bool,
}

/// Everything that offers something, while it runs.
pub struct App {
    /// What runs. Keys that wait for a restart are as they were at the start.
    config: watch::Sender<Arc<Config>>,
    /// What the files said last that was right.
    wanted: Mutex<Arc<Config>>,
    status: Mutex<ConfigStatus>,
    options: AppOptions,
    /// What follows the configuration above this, with the address that it is listened at.
    fronts: Mutex<Vec<(Weak<Front>, Option<SocketAddr>)>>,
    http: Mutex<Vec<(Weak<HttpSettings>, SocketAddr)>>,
    host: Arc<PluginHost>,
    /// Runs the calls of all fronts.
    dispatcher: Arc<Dispatcher>,
    live: Mutex<Option<JoinHandle<()>>>,
    /// Asks for the configuration to be read again.
    asked: Arc<Notify>,
    /// One configuration is applied after the other.
    applying: tokio::sync::Mutex<()>,
    catalog: Arc<Catalog>,
    /// What callers may do, that are not this machine's own.
    policy: Arc<LivePolicy>,
    plugins: Plugins,
    /// The plugins' way into the catalog.
    inlet: Inlet,
    servers: Arc<Servers>,
    /// Those that callers connect at servers elsewhere.
    accounts: Option<Arc<Accounts>>,
    pipelines: Arc<Pipelines>,
    models: Arc<Registry>,
    /// What this host shares with others.
    shared: Arc<Shared>,
    /// Whether the first look at everything is in the catalog.
    whole: watch::Sender<bool>,
    /// What everything on offer passes.
    trust: Arc<Trust>,
    /// Held while somebody accepts what upstreams say.
    accepting: Mutex<()>,
    screen: Arc<Screen>,
    feed: Feed,
    /// Keeps what the tools mean, for searches.
    meanings: Option<AbortOnDrop>,
    /// When it was started, in milliseconds since 1970.
    started: u64,
}

/// A task that ends with who started it.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl App {
    /// Starts everything. With [`Run::Serve`] it does not wait for plugins and servers: see [`Self::first_attempt_done`]. With [`Run::Once`] the plugins have
    /// been loaded, and each server has been tried once, when it returns.
    ///
    /// # Errors
    ///
    /// [`AppError`]: where there can be no host at all. What is wrong with one plugin or server stands in its status.
    pub async fn start(config: Arc<Config>, options: AppOptions) -> Result<Arc<Self>, AppError> {
        let shared = Shared::new(&config.shared);
        if options.run == Run::Serve {
            shared.start();
        }
        let store = Store::new(&config.store, shared.store_link());
        if options.follows
            && let Err(error) = store.share(true).await
        {
            tracing::warn!("{CANNOT_SHARE}: {error}");
        }
        let host = PluginHost::new(config.clone(), Worker::own(), store)?;
        let models = host.models().clone();
        let audit = Audit::start(&config.audit, options.run == Run::Serve)?;
        let traces = if options.run == Run::Serve { Traces::start(&config.traces)? } else { None };
        let catalog = Catalog::new();
        let dispatcher = Dispatcher::over(catalog.clone(), config.metrics.enabled, audit, traces, shared.clone());
        let trust = Trust::new(&config.trust);
        dispatcher.confirm().put(Confirm::new(config.trust.confirm.clone()));
        dispatcher.safeguards().put(policy::safeguards(&config), config.trust.flow_window);
        let (safeguards, metrics) = (dispatcher.safeguards().clone(), dispatcher.metrics().clone());
        let screen = Screen::new(trust.clone(), catalog.clone(), safeguards, metrics);
        let feed = Feed::through(screen.clone(), catalog.clone());
        let (changes, inlet) = Inlet::open(Origin::Plugins, feed.queue().clone());
        let optional = (!config.server.is_empty() || plugins::are_pulled(&config)) && !options.folder_required;
        let accounts =
            Accounts::new(&config, host.key_values().clone()).inspect_err(|why| tracing::error!("nobody can connect accounts: {why}")).ok();
        let servers = async {
            let servers = Servers::start(&config, options.run, feed.queue().clone(), accounts.clone()).await;
            if options.run == Run::Once {
                servers.settled(ONCE_WAITS).await;
            }
            servers
        };
        let plugins = Plugins::start(&config, options.run, optional, host.clone(), changes);
        let (plugins, servers) = tokio::join!(plugins, servers);
        let plugins = match plugins {
            Ok(plugins) => plugins,
            Err(error) => {
                servers.stop().await;
                return Err(error.into());
            }
        };
        let pipelines = Pipelines::start(&config, catalog.clone(), feed.queue().clone()).await;
        let meanings = (options.run == Run::Serve).then(|| {
            search::apply(&catalog, &models, &config);
            AbortOnDrop(tokio::spawn(catalog.keep_meanings(search::folder(&config))))
        });
        let whole = watch::Sender::new(false);
        let policy = LivePolicy::new(policy::of(&config));
        for warning in warnings(&config).into_iter().filter(|_| options.run == Run::Serve) {
            tracing::warn!("{warning}");
        }
        let app = Self {
            status: Mutex::new(ConfigStatus::new(&config, &Overrides::default())),
            wanted: Mutex::new(config.clone()),
            config: watch::Sender::new(config),
            options,
            fronts: Mutex::default(),
            http: Mutex::default(),
            host,
            dispatcher,
            live: Mutex::default(),
            asked: Arc::default(),
            applying: tokio::sync::Mutex::default(),
            catalog,
            policy,
            plugins,
            inlet,
            servers,
            accounts: accounts.clone(),
            pipelines,
            models,
            shared,
            whole,
            trust,
            accepting: Mutex::default(),
            screen,
            feed,
            meanings,
            started: telemetry::unix_millis(),
        };
        if options.run == Run::Once {
            app.first_attempt_done().await;
        }
        Ok(Arc::new(app))
    }

    /// Waits until every plugin was looked at once, and every server was tried once or had its time, and all that came of it is in the catalog. False: that
    /// never will be so.
    pub async fn first_attempt_done(&self) -> bool {
        let wait = if self.options.run == Run::Serve { SERVE_WAITS } else { ONCE_WAITS };
        tokio::join!(self.plugins.settled(), self.servers.settled(wait));
        let mut done = self.inlet.barrier().await;
        if done && self.screen.settle() {
            // What waited for a guard that is not there waits no more.
            done = self.feed.queue().send(CatalogUpdate::Rules).await.is_ok() && self.inlet.barrier().await;
        }
        if done {
            self.pipelines.settle().await;
            self.catalog.settle();
            self.whole.send_replace(true);
        }
        done
    }

    /// Lets another process use the file of what plugins keep too, while one takes over from the other.
    pub async fn share_store(&self, is_shared: bool) {
        if let Err(error) = self.host.key_values().share(is_shared).await {
            tracing::warn!("{CANNOT_SHARE}: {error}");
        }
    }

    /// What runs now. Keys that wait for a restart are as they were at the start.
    #[must_use]
    pub fn config(&self) -> watch::Receiver<Arc<Config>> {
        self.config.subscribe()
    }

    /// Reads the configuration again from now on, whenever one of its files changes or SIGHUP comes, and applies it. `files`: what it was made from.
    pub fn watch(self: &Arc<Self>, source: ConfigSource, files: Files) {
        lock(&self.status).set_overrides(&source.overrides);
        let app = Arc::downgrade(self);
        let apply = move |config: Result<Config, ConfigError>| -> BoxFuture<'static, Option<()>> {
            let app = app.clone();
            Box::pin(async move {
                let app = app.upgrade()?;
                let applied = match config {
                    Ok(config) => app.apply(Arc::new(config)).await,
                    Err(error) => Err(error.into()),
                };
                if let Err(error) = applied {
                    app.reject(&error);
                }
                Some(())
            })
        };
        let live = Live::new(Box::new(apply), source, files, self.asked.clone());
        // Ended by `stop`, or when this is gone.
        *lock(&self.live) = Some(tokio::spawn(live.run()));
    }

    /// Asks for the configuration to be read again, as SIGHUP does.
    pub fn reread(&self) {
        self.asked.notify_one();
    }

    /// Applies a configuration: what is the same goes on untouched, calls in flight end on what they began with.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]: nothing has changed.
    pub async fn apply(&self, wanted: Arc<Config>) -> Result<(), ApplyError> {
        let _one = self.applying.lock().await;
        let running = self.config.borrow().clone();
        let next = Arc::new(wanted.as_ref().clone().without_restart(&running));
        fn refused(error: impl std::fmt::Display) -> ApplyError {
            ApplyError::Refused(error.to_string())
        }
        // All that can be wrong comes first. An editor empties a file before it writes it, and neither authentication nor a policy is to end
        // for that.
        if let Some(path) = wanted.emptied(&running) {
            return Err(ApplyError::Refused(format!(
                "{} is empty or gone, which would end everything that it said; write a comment into the file if that is meant, or start the host again",
                path.display()
            )));
        }
        let authenticator = Authenticator::from_config(&next.auth);
        if running.auth != next.auth || running.http.asks_for_certificates() != next.http.asks_for_certificates() {
            may_listen(next.listen, &authenticator, next.http.asks_for_certificates(), self.options.insecure).map_err(refused)?;
        }
        if let Some(address) = next.metrics.listen {
            may_serve_metrics(address, &authenticator, next.metrics.authenticate).map_err(refused)?;
        }
        if next.console.enabled {
            may_serve_console(next.console.listen.unwrap_or(next.listen), &authenticator).map_err(refused)?;
        }
        telemetry::check_filter(&next.telemetry.log).map_err(refused)?;
        let models = if running.model == next.model && running.inference == next.inference {
            None
        } else {
            let (registry, config) = (self.models.clone(), next.clone());
            let opening = tokio::task::spawn_blocking(move || registry.prepare(&config)).await;
            Some(opening.map_err(refused)?.map_err(refused)?)
        };
        // From here on nothing fails.
        let (changes, waiting) = (changed(&running, &next), needs_restart(&running, &wanted));
        let are_other_models = models.is_some();
        if let Some(models) = models {
            self.models.put(models);
        }
        if (are_other_models || running.search != next.search) && self.meanings.is_some() {
            search::apply(&self.catalog, &self.models, &next);
        }
        if running.telemetry != next.telemetry {
            // It was checked above.
            let _ = telemetry::refilter(&next.telemetry.log);
        }
        self.config.send_replace(next.clone());
        self.host.reconfigure(next.clone());
        self.shared.reconfigure(&next.shared);
        self.plugins.reconfigured(&next);
        let is_same = running.http == next.http
            && running.auth == next.auth
            && running.state == next.state
            && running.tasks == next.tasks
            && running.cluster == next.cluster
            && running.metrics == next.metrics
            && running.endpoint == next.endpoint;
        let is_same_for_http = is_same && running.server == next.server;
        if running.role != next.role || running.auth != next.auth || running.policy != next.policy {
            self.policy.put(policy::of(&next));
            self.catalog.policy_changed();
        }
        if running.guard != next.guard || running.flow != next.flow || running.trust.flow_window != next.trust.flow_window {
            self.dispatcher.safeguards().put(policy::safeguards(&next), next.trust.flow_window);
            // The queue ends with the host.
            let _ = self.feed.queue().send(CatalogUpdate::Rules).await;
        }
        if running.trust != next.trust {
            self.trust.put(&next.trust);
            self.dispatcher.confirm().put(Confirm::new(next.trust.confirm.clone()));
            // The queue ends with the host.
            let _ = self.feed.queue().send(CatalogUpdate::Rules).await;
        }
        if !is_same {
            self.reconfigure_fronts(&next);
        }
        if !is_same_for_http {
            self.reconfigure_http(&next);
        }
        self.servers.apply(&next).await;
        self.pipelines.apply(&next).await;
        let before = std::mem::replace(&mut *lock(&self.wanted), wanted.clone());
        let was_rejected = lock(&self.status).applied(&next, waiting.clone(), !changes.is_empty());
        if !changes.is_empty() {
            tracing::info!(changed = changes.join(", "), "configuration reloaded");
        } else if was_rejected {
            tracing::info!("the configuration is valid again and was not changed");
        }
        if !waiting.is_empty() && !needs_restart(&before, &wanted).is_empty() {
            tracing::warn!(keys = waiting.join(", "), "these keys have changed and need a restart");
        }
        let of_state = next.state.warning().into_iter().chain(next.tasks.warning(next.state.copies)).map(|warning| warning.to_string());
        for warning in of_state.chain(warnings(&next)).filter(|_| !changes.is_empty()) {
            tracing::warn!("{warning}");
        }
        Ok(())
    }

    /// Says that a configuration is wrong. What was running goes on.
    fn reject(&self, error: &ApplyError) {
        if lock(&self.status).rejected(error) {
            tracing::error!("the configuration was rejected; the previous one stays in effect: {error}");
        }
    }

    fn reconfigure_http(&self, config: &Config) {
        let mut all = lock(&self.http);
        all.retain(|(settings, _)| settings.strong_count() > 0);
        for (settings, address) in all.iter() {
            if let Some(settings) = settings.upgrade() {
                settings.renew(http_config(config, *address), &config.auth);
                settings.open_metrics(!config.metrics.authenticate);
            }
        }
    }

    fn reconfigure_fronts(&self, config: &Config) {
        let mut fronts = lock(&self.fronts);
        fronts.retain(|(front, _)| front.strong_count() > 0);
        for (front, address) in fronts.iter() {
            if let Some(front) = front.upgrade() {
                front.reconfigure(self.front_options(config, *address));
            }
        }
    }

    /// Everything on offer.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// What each endpoint of the configuration offers now, whoever asks, by its name.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(String, Arc<Catalog>)> {
        let options = endpoints::of(&self.config.borrow());
        let choices = options.iter().filter_map(|(name, EndpointOptions { offers, search, .. })| {
            let choice = Choice { endpoint: ProviderId::new(name.as_str()).ok()?, access: offers.clone(), search: *search };
            Some((name.clone(), self.catalog.choose(choice)))
        });
        choices.collect()
    }

    /// What callers may do. It follows the configuration.
    #[must_use]
    pub fn policy(&self) -> &Arc<LivePolicy> {
        &self.policy
    }

    /// What upstreams say, and what of it is accepted.
    #[must_use]
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Whether there is a folder of plugins.
    #[must_use]
    pub fn has_plugins(&self) -> bool {
        self.plugins.is_there()
    }

    /// Why tools cannot be ranked by the model of `[search]`, if there is one.
    pub async fn search_trouble(&self) -> Option<String> {
        let config = self.config.borrow().clone();
        search::trouble(&self.models, &config).await
    }

    /// How the models stand.
    #[must_use]
    pub fn models(&self) -> Vec<ModelStatus> {
        self.models.statuses()
    }

    /// The MCP front of everything on offer. It follows the configuration. `address`: where it is listened for its requests, if anywhere. Without one its
    /// callers are whoever started this process, who may do everything.
    #[must_use]
    pub fn front(self: &Arc<Self>, address: Option<SocketAddr>) -> Arc<Front> {
        let options = self.front_options(&self.config.borrow(), address);
        let statuses = vec![self.clone() as Arc<dyn StatusSource>];
        let dispatcher = if address.is_some() { self.dispatcher.under(self.policy.clone()) } else { self.dispatcher.clone() };
        let front = Front::with_dispatcher(self.catalog.clone(), dispatcher, options, statuses);
        lock(&self.fronts).push((Arc::downgrade(&front), address));
        front
    }

    /// What is counted of calls and requests.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.dispatcher.metrics()
    }

    /// What holds for requests that are listened for at `address`. It follows the configuration.
    #[must_use]
    pub fn http_settings(&self, address: SocketAddr) -> Arc<HttpSettings> {
        let config = self.config.borrow().clone();
        let settings = HttpSettings::under(http_config(&config, address), Authenticator::from_config(&config.auth), self.policy.clone());
        settings.share(self.shared.clone(), &config.auth);
        settings.open_metrics(!config.metrics.authenticate);
        if let Some(accounts) = &self.accounts {
            settings.open_accounts(accounts.clone());
        }
        lock(&self.http).push((Arc::downgrade(&settings), address));
        settings
    }

    fn front_options(&self, config: &Config, address: Option<SocketAddr>) -> FrontOptions {
        let face = match (address, self.options.run) {
            (Some(_), _) => "mcp",
            (None, Run::Serve) => "stdio",
            (None, Run::Once) => "cli",
        };
        let mut options = FrontOptions {
            face,
            authenticated: !config.auth.is_open(),
            state: config.state.clone(),
            tasks: config.tasks.clone(),
            cluster: config.cluster.clone().or_of(&config.http),
            endpoints: endpoints::of(config),
            ..FrontOptions::from(&config.http)
        };
        if let Some(address) = address {
            options.tasks = options.tasks.listening(address.port(), config.http.tls.is_some());
        }
        options
    }

    /// Ends everything. Nothing that was started is left when this returns.
    pub async fn stop(&self) {
        if let Some(live) = lock(&self.live).take() {
            live.abort();
        }
        // What is being applied is applied whole, and ended below.
        let _one = self.applying.lock().await;
        self.pipelines.stop();
        tokio::join!(self.plugins.stop(), self.servers.stop());
        if let Some(traces) = self.dispatcher.traces().cloned() {
            let flushed = tokio::task::spawn_blocking(move || traces.flush(LAST_SPANS)).await;
            if !flushed.unwrap_or(false) {
                tracing::warn!("the last spans could not be sent within {LAST_SPANS:?}");
            }
        }
        if let Some(audit) = self.dispatcher.audit().cloned() {
            let flushed = tokio::task::spawn_blocking(move || audit.flush(LAST_LINES)).await;
            if !flushed.unwrap_or(false) {
                tracing::error!("the last audit lines could not be written within {LAST_LINES:?}");
            }
        }
    }
}

impl StatusSource for App {
    fn statuses(&self) -> Vec<ProviderStatus> {
        let mut statuses = self.plugins.statuses();
        for status in &mut statuses {
            let owner = [("server", self.servers.has(&status.name)), ("pipeline", self.pipelines.has(&status.name))];
            if let Some((kind, _)) = owner.into_iter().find(|(_, has)| *has) {
                status.state = ProviderState::Broken;
                status.error = Some(clash(kind, &status.name));
            }
        }
        statuses.extend(self.servers.statuses());
        statuses.extend(self.pipelines.statuses());
        for status in &mut statuses {
            self.trust.annotate(status);
            self.screen.annotate(status);
        }
        statuses
    }

    fn ready(&self) -> bool {
        *self.whole.borrow() && self.plugins.ready()
    }

    fn until_ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // It is so after the plugins have settled, and the sender is `self`, which is still here.
            let _ = self.whole.subscribe().wait_for(|whole| *whole).await;
        })
    }

    fn sections(&self) -> Vec<(&'static str, serde_json::Value)> {
        let mut sections = vec![("configuration", serde_json::to_value(&*lock(&self.status)).unwrap_or_default())];
        // One that only grows says that something is never given back.
        let tasks = tokio::runtime::Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        sections.push(("runtime", serde_json::json!({ "tasks": tasks })));
        if let Some(link) = self.shared.link() {
            sections.push(("shared", serde_json::to_value(link.status()).unwrap_or_default()));
        }
        let models = self.models.statuses();
        if !models.is_empty() {
            sections.push(("models", serde_json::to_value(models).unwrap_or_default()));
        }
        let deliveries = self.deliveries();
        if !deliveries.is_empty() {
            let deliveries: serde_json::Map<_, _> = deliveries
                .into_iter()
                .map(|(signal, status)| (signal.to_owned(), serde_json::to_value(status).unwrap_or_default()))
                .collect();
            sections.push(("collectors", deliveries.into()));
        }
        sections.extend(search::status(&self.catalog, &self.config.borrow()).map(|search| ("search", search)));
        sections
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(live) = lock(&self.live).take() {
            live.abort();
        }
    }
}

/// `[http]` with the names made whole under which this host may be called.
///
/// A page that had its own name point to this host (DNS rebinding) is a danger for a host that trusts whoever reaches it on loopback. One that listens
/// beyond it has tokens, or was told that anybody may call: there every name is as good as another, unless the operator lists them.
fn http_config(config: &Config, address: SocketAddr) -> HttpConfig {
    let mut http = config.http.clone();
    if http.allowed_hosts.is_empty() && !address.ip().is_loopback() {
        http.allowed_hosts.push(crate::config::AllowedHost::Any);
    }
    http.forwarded = credentials::forwarded(config);
    http.jwks = credentials::published(config);
    http
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
