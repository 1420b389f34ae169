//! The composition root: a host, assembled from its configuration, for `serve`, `check`, `call`, `tools`, other fronts and tests.
//!
//! An [`App`] owns everything that offers something (the folder of plugins, the servers, the models) and the catalog that it is offered in. Fronts are put
//! on top of it: see [`App::front`].

mod error;
mod plugins;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

pub use error::AppError;

use crate::{
    catalog::{
        Catalog,
        feed::{Feed, Inlet, Origin, clash},
    },
    config::Config,
    inference::{ModelStatus, Registry},
    mcp::{Front, FrontOptions},
    provider::{ProviderState, ProviderStatus, StatusSource},
    servers::{Run, Servers},
    wasm::{compile::Worker, plugin::PluginHost},
};
use plugins::Plugins;

/// How long readiness waits for servers.
/// One that takes longer, since its package is downloaded first for example, comes later, as a change of the lists.
const SERVE_WAITS: Duration = Duration::from_secs(10);

/// The same where nothing comes later.
/// A server has its own deadline, `start_timeout`, which says more; this is for one that has a very long one.
const ONCE_WAITS: Duration = Duration::from_secs(300);

/// How a host is assembled.
#[derive(Clone, Copy, Debug)]
pub struct AppOptions {
    /// How long it runs.
    pub run: Run,
    /// Whether the folder of plugins has to be there even where there are servers: somebody has named it.
    pub folder_required: bool,
}

/// Everything that offers something, while it runs.
pub struct App {
    config: Arc<Config>,
    catalog: Arc<Catalog>,
    plugins: Plugins,
    /// The plugins' way into the catalog.
    inlet: Inlet,
    servers: Arc<Servers>,
    models: Arc<Registry>,
    run: Run,
    /// Whether the first look at everything is in the catalog.
    whole: watch::Sender<bool>,
    _feed: Feed,
}

impl App {
    /// Starts everything. With [`Run::Serve`] it does not wait for plugins and servers: see [`Self::first_attempt_done`]. With [`Run::Once`] the plugins have
    /// been loaded, and each server has been tried once, when it returns.
    ///
    /// # Errors
    ///
    /// [`AppError`]: where there can be no host at all. What is wrong with one plugin or server stands in its status.
    pub async fn start(config: Arc<Config>, options: AppOptions) -> Result<Arc<Self>, AppError> {
        let host = PluginHost::new(config.clone(), Worker::own())?;
        let models = host.models().clone();
        let catalog = Catalog::new();
        let feed = Feed::start(catalog.clone());
        let (changes, inlet) = Inlet::open(Origin::Plugins, feed.queue().clone());
        let optional = !config.server.is_empty() && !options.folder_required;
        let servers = async {
            let servers = Servers::start(&config, options.run, feed.queue().clone()).await;
            if options.run == Run::Once {
                servers.settled(ONCE_WAITS).await;
            }
            servers
        };
        let plugins = Plugins::start(&config, options.run, optional, host, changes);
        let (plugins, servers) = tokio::join!(plugins, servers);
        let plugins = match plugins {
            Ok(plugins) => plugins,
            Err(error) => {
                servers.stop().await;
                return Err(error.into());
            }
        };
        let whole = watch::Sender::new(false);
        let app = Self { config, catalog, plugins, inlet, servers, models, run: options.run, whole, _feed: feed };
        if options.run == Run::Once {
            app.first_attempt_done().await;
        }
        Ok(Arc::new(app))
    }

    /// Waits until every plugin was looked at once, and every server was tried once or had its time, and all that came of it is in the catalog. False: that
    /// never will be so.
    pub async fn first_attempt_done(&self) -> bool {
        let wait = if self.run == Run::Serve { SERVE_WAITS } else { ONCE_WAITS };
        tokio::join!(self.plugins.settled(), self.servers.settled(wait));
        let done = self.inlet.barrier().await;
        if done {
            self.whole.send_replace(true);
        }
        done
    }

    /// What it was assembled from.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Everything on offer.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Whether there is a folder of plugins.
    #[must_use]
    pub fn has_plugins(&self) -> bool {
        !matches!(self.plugins, Plugins::None)
    }

    /// How the models stand.
    #[must_use]
    pub fn models(&self) -> Vec<ModelStatus> {
        self.models.statuses()
    }

    /// The MCP front of everything on offer.
    #[must_use]
    pub fn front(self: &Arc<Self>, options: FrontOptions) -> Arc<Front> {
        let options = FrontOptions { state: self.config.state.clone(), ..options };
        Front::with_statuses(self.catalog.clone(), options, vec![self.clone() as Arc<dyn StatusSource>])
    }

    /// Ends everything. Nothing that was started is left when this returns.
    pub async fn stop(&self) {
        tokio::join!(self.plugins.stop(), self.servers.stop());
    }
}

impl StatusSource for App {
    fn statuses(&self) -> Vec<ProviderStatus> {
        let mut statuses = self.plugins.statuses();
        for status in statuses.iter_mut().filter(|status| self.servers.has(&status.name)) {
            status.state = ProviderState::Broken;
            status.error = Some(clash(&status.name));
        }
        statuses.extend(self.servers.statuses());
        statuses
    }

    fn ready(&self) -> bool {
        *self.whole.borrow() && self.plugins.ready()
    }

    fn sections(&self) -> Vec<(&'static str, serde_json::Value)> {
        let models = self.models.statuses();
        if models.is_empty() { Vec::new() } else { vec![("models", serde_json::to_value(models).unwrap_or_default())] }
    }
}
