//! Pushing metrics while a host serves, as its configuration says at the moment.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use crate::{
    app::App,
    telemetry::metrics::{Page, Push},
};

/// How long the last push may take.
const LAST_PUSH: Duration = Duration::from_secs(5);

/// It ends when this is dropped.
pub(super) struct Pushing {
    push: Arc<Push>,
    following: JoinHandle<()>,
}

impl Pushing {
    /// None: it cannot be done, which is in the log.
    pub(super) fn start(app: &App, page: Arc<Page>) -> Option<Self> {
        let mut configs = app.config();
        let push = Push::start(page, &configs.borrow_and_update().metrics, Arc::clone(app.metrics().pushes()));
        let push = Arc::new(push.inspect_err(|why| tracing::error!("cannot start the thread that pushes metrics: {why}")).ok()?);
        let following = tokio::spawn({
            let push = Arc::clone(&push);
            async move {
                while configs.changed().await.is_ok() {
                    push.reconfigure(&configs.borrow_and_update().metrics);
                }
            }
        });
        Some(Self { push, following })
    }

    /// Pushes for the last time.
    pub(super) async fn end(self) {
        let push = Arc::clone(&self.push);
        let pushed = tokio::task::spawn_blocking(move || push.flush(LAST_PUSH)).await;
        if !pushed.unwrap_or(false) {
            tracing::warn!("the last metrics could not be pushed within {LAST_PUSH:?}");
        }
    }
}

impl Drop for Pushing {
    fn drop(&mut self) {
        self.following.abort();
    }
}
