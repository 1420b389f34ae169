//! Whether a connection is of use, and why not any more.

use std::sync::Arc;

use tokio::sync::watch;

/// Open, or closed for a reason. The first reason stays.
pub struct Closing(watch::Sender<Option<Arc<str>>>);

impl Default for Closing {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Closing {
    /// Closes it.
    pub fn close(&self, why: &str) {
        self.0.send_if_modified(|closed| {
            let first = closed.is_none();
            closed.get_or_insert_with(|| why.into());
            first
        });
    }

    /// Why it is closed. None: it is open.
    #[must_use]
    pub fn why(&self) -> Option<Arc<str>> {
        self.0.borrow().clone()
    }

    /// Waits until it is closed.
    pub async fn wait(&self) -> Arc<str> {
        match self.0.subscribe().wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "the connection was closed by the host".into(),
        }
    }
}
