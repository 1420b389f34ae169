//! An HTTP application by its OpenAPI document, as a server: read when the host starts, again until that succeeds, and again when it may have changed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{ManagedServer, Run};
use crate::{
    config::{OpenApiSource, ServerConfig},
    overrides::{is_published, with_overrides},
    provider::{ProviderChange, ProviderId, ProviderKind, ProviderState, ProviderStatus},
    remote::openapi::{Look, Reader, Wanted},
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
        let status = ProviderStatus::new(id.as_str(), ProviderKind::Remote, ProviderState::Loading, source.document.to_string());
        let state = Arc::new(Mutex::new(status));
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
        let names = self.config.names.clone();
        let wanted: Wanted = Arc::new(move |own| is_published(&names, own));
        let mut reader = Reader::new(self.id.clone(), &self.source, self.config.limits, self.config.publish, wanted);
        let mut pause = RETRY;
        loop {
            let looked = reader.look().await;
            let failed = looked.is_err();
            match looked {
                Ok(look) => self.take(look).await,
                Err(error) => self.fail(&error.to_string(), pause),
            }
            self.settle.send_replace(true);
            if self.run == Run::Once {
                return;
            }
            if failed {
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_RETRY),
                    () = reader.changed() => {}
                }
            } else {
                pause = RETRY;
                reader.changed().await;
            }
        }
    }

    async fn take(&self, look: Look) {
        let Look::New(provider, mut warnings) = look else {
            return self.turn(ProviderState::Serving, |status| (status.error, status.next_try) = (None, None));
        };
        let section = format!("server.{}", self.id);
        let (provider, unfit) = with_overrides(provider, &self.config.names, self.config.default_tool.as_deref(), &section);
        for text in &unfit {
            tracing::warn!(server = %self.id, "{text}");
        }
        warnings.extend(unfit);
        let tools = provider.tools().iter().map(|tool| tool.name.to_string()).collect();
        tracing::info!(server = %self.id, tools = provider.tools().len(), "server is published");
        self.turn(ProviderState::Serving, |status| {
            status.tools = tools;
            status.warnings = warnings;
            (status.error, status.next_try) = (None, None);
        });
        // Nobody takes changes any more when the host ends.
        let _ = self.changes.send(vec![ProviderChange::Put(provider)]).await;
    }

    fn fail(&self, error: &str, pause: Duration) {
        let serves = !matches!(self.status().state, ProviderState::Loading | ProviderState::Broken);
        let (state, more) = match serves {
            true => (ProviderState::ServingPrevious, "; the tools of the previous version stay"),
            false => (ProviderState::Broken, ""),
        };
        // The same at each look is told once.
        if self.status().error.as_deref() != Some(error) {
            tracing::warn!(server = %self.id, "{error}{more}");
        }
        self.turn(state, |status| {
            status.error = Some(error.to_owned());
            status.next_try = Some(SystemTime::now() + pause);
        });
    }

    fn status(&self) -> ProviderStatus {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

impl ManagedServer for Application {
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
