//! A call of a session that its client can cancel.

use std::{sync::Arc, time::Instant};

use futures::future::abortable;

use super::{envelope::id_key, fleet::Cancellation, sessions::Session};

/// A call that runs since `begun` and that its client can cancel, at this instance or where its session is at home: then it has no answer.
pub(super) fn cancellable<T>(
    running: impl Future<Output = T> + Send + 'static,
    session: Option<Arc<Session>>,
    cancellation: Option<Cancellation>,
    id: &str,
    begun: Instant,
) -> impl Future<Output = Option<T>> + Send + 'static {
    let (running, abort) = abortable(running);
    let registered = session.zip(id_key(id)).map(|(session, key)| session.register(key, begun, abort));
    async move {
        let _registered = registered;
        let Some(cancellation) = cancellation else { return running.await.ok() };
        tokio::select! {
            biased;
            ended = running => ended.ok(),
            () = cancellation.wait() => None,
        }
    }
}
