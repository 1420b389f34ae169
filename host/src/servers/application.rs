//! An HTTP application by its OpenAPI document, as a server: read when the host starts, and again until that succeeds.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{Member, Run};
use crate::{
    config::{OpenApiSource, ServerConfig},
    provider::{OfferNames, ProviderChange, ProviderId, ProviderState, ProviderStatus},
    remote::openapi,
    shape::shape,
};

/// Until the document is asked for again where it could not be had; each time twice as long.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// An application that is configured.
pub(super) struct Application {
    state: Arc<Mutex<ProviderStatus>>,
    settled: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Application {
    pub(super) fn start(
        id: ProviderId,
        source: &OpenApiSource,
        config: &ServerConfig,
        run: Run,
        changes: mpsc::Sender<Vec<ProviderChange>>,
    ) -> Self {
        let state = Arc::new(Mutex::new(ProviderStatus {
            name: id.to_string(),
            kind: "remote",
            state: ProviderState::Loading,
            source: source.document.clone(),
            digest: None,
            tools: Vec::new(),
            offers: OfferNames::default(),
            error: None,
            warnings: Vec::new(),
            imports: Vec::new(),
            in_flight: 0,
            queued: 0,
            replicas: None,
            since: SystemTime::now(),
        }));
        let (settle, settled) = watch::channel(false);
        let loading = Loading { id, source: source.clone(), config: config.clone(), run, changes, state: Arc::clone(&state), settle };
        // Ended by `stop`, or when this is dropped.
        Self { state, settled, task: tokio::spawn(loading.run()) }
    }
}

struct Loading {
    id: ProviderId,
    source: OpenApiSource,
    config: ServerConfig,
    run: Run,
    changes: mpsc::Sender<Vec<ProviderChange>>,
    state: Arc<Mutex<ProviderStatus>>,
    settle: watch::Sender<bool>,
}

impl Loading {
    async fn run(self) {
        let mut pause = RETRY;
        loop {
            let loaded = openapi::load(self.id.clone(), &self.source, &self.config.limits).await;
            let failed = loaded.is_err();
            match loaded {
                Ok(provider) => {
                    let section = format!("server.{}", self.id);
                    let (provider, warnings) = shape(provider, &self.config.names, self.config.default_tool.as_deref(), &section);
                    let tools = provider.tools().iter().map(|tool| tool.name.to_string()).collect();
                    self.turn(ProviderState::Serving, |status| {
                        status.tools = tools;
                        status.warnings = warnings;
                        status.error = None;
                    });
                    // Nobody takes changes any more when the host ends.
                    let _ = self.changes.send(vec![ProviderChange::Put(provider)]).await;
                }
                Err(error) => {
                    tracing::warn!(server = %self.id, "{error}");
                    self.turn(ProviderState::Broken, |status| status.error = Some(error.to_string()));
                }
            }
            self.settle.send_replace(true);
            if !failed || self.run == Run::Once {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }

    fn turn(&self, state: ProviderState, change: impl FnOnce(&mut ProviderStatus)) {
        let mut status = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if status.state != state {
            status.state = state;
            status.since = SystemTime::now();
        }
        change(&mut status);
    }
}

impl Member for Application {
    fn settled(&self) -> BoxFuture<'_, ()> {
        let mut settled = self.settled.clone();
        Box::pin(async move {
            // The task is gone: nothing more will come of it.
            let _ = settled.wait_for(|settled| *settled).await;
        })
    }

    fn status(&self) -> ProviderStatus {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.task.abort();
        Box::pin(std::future::ready(()))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}
