//! One HTTP application, as it is configured: its document is read at the start, and again until it can be read.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};

use super::openapi::{self, Application};
use crate::{
    bridge::replicas::Policy,
    config::{OpenApiSource, ServerConfig},
    provider::{OfferNames, Provider, ProviderChange, ProviderId, ProviderState, ProviderStatus},
    shape::shape,
};

/// An application of `[server.NAME]` with `openapi`.
pub struct App {
    id: ProviderId,
    source: String,
    shared: Arc<Shared>,
    /// Reads the document. Ends with this.
    reader: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Whether the first attempt has ended, and what came of it was sent.
    tried: watch::Sender<bool>,
}

struct State {
    published: Option<Published>,
    trouble: Option<String>,
    since: SystemTime,
}

struct Published {
    application: Arc<Application>,
    provider: Arc<dyn Provider>,
    warnings: Vec<String>,
}

impl App {
    /// Reads its document, and tries again where that cannot be read. What it offers is sent to `changes`.
    #[must_use]
    pub fn start(
        id: ProviderId,
        source: OpenApiSource,
        config: &ServerConfig,
        policy: Policy,
        changes: mpsc::Sender<Vec<ProviderChange>>,
    ) -> Self {
        let state = State { published: None, trouble: None, since: SystemTime::now() };
        let shared = Arc::new(Shared { state: Mutex::new(state), tried: watch::Sender::new(false) });
        let document = source.document.clone();
        let reading = read(id.clone(), source, config.clone(), policy, Arc::clone(&shared), changes);
        Self { id, source: document, shared, reader: tokio::spawn(reading) }
    }

    /// Waits until the document was read for the first time, well or badly, and what came of it was sent.
    pub async fn settled(&self) {
        let _ = self.shared.tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// Reads the document no more.
    pub async fn stop(&self) {
        self.reader.abort();
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> ProviderStatus {
        let state = self.shared.state();
        let published = state.published.as_ref();
        let (in_flight, queued) = published.map(|published| published.application.counts()).unwrap_or_default();
        let tools = published.map(|published| published.provider.tools().iter().map(|tool| tool.name.to_string()).collect());
        ProviderStatus {
            name: self.id.to_string(),
            kind: "remote",
            state: match (published, &state.trouble) {
                (Some(_), _) => ProviderState::Serving,
                (None, None) => ProviderState::Loading,
                (None, Some(_)) => ProviderState::Broken,
            },
            source: self.source.clone(),
            digest: None,
            tools: tools.unwrap_or_default(),
            offers: OfferNames::default(),
            error: state.trouble.clone(),
            warnings: published.map(|published| published.warnings.clone()).unwrap_or_default(),
            imports: Vec::new(),
            in_flight,
            queued,
            replicas: None,
            since: state.since,
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(
    id: ProviderId,
    source: OpenApiSource,
    config: ServerConfig,
    policy: Policy,
    shared: Arc<Shared>,
    changes: mpsc::Sender<Vec<ProviderChange>>,
) {
    let mut pause = policy.backoff;
    loop {
        match openapi::load(id.clone(), &source, &config.limits).await {
            Ok(application) => {
                let inner: Arc<dyn Provider> = application.clone();
                let (provider, warnings) = shape(inner, &config.names, config.default_tool.as_deref(), &format!("server.{id}"));
                for warning in &warnings {
                    tracing::warn!(server = %id, "{warning}");
                }
                tracing::info!(server = %id, tools = provider.tools().len(), "application is published");
                let published = Published { application, provider: Arc::clone(&provider), warnings };
                *shared.state() = State { published: Some(published), trouble: None, since: SystemTime::now() };
                let _ = changes.send(vec![ProviderChange::Put(provider)]).await;
                shared.tried.send_replace(true);
                return;
            }
            Err(error) => {
                // Half to all of it, so that many hosts do not come back at the same time.
                let wait = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                pause = (pause * 2).min(policy.longest_backoff);
                tracing::warn!(server = %id, "{error}; tried again in {:.1} s", wait.as_secs_f64());
                shared.state().trouble = Some(error.to_string());
                shared.tried.send_replace(true);
                sleep(wait.max(Duration::from_millis(1))).await;
            }
        }
    }
}
