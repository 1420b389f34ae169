//! Connections of callers, where each has a token of its own: a session with the server belongs to who
//! opened it, and so does what the server keeps in it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use tokio::{sync::OnceCell, time::Instant};

use super::{connection::HttpConnection, http::Http};
use crate::{provider::Principal, upstream::ChannelError};

/// Callers that have a connection at once. Of more, who has not called for longest greets the server again.
const MOST: usize = 1000;
/// A caller that has not called for so long greets the server again.
const IDLE: Duration = Duration::from_secs(1800);

/// One connection for each caller.
pub(super) struct Callers {
    http: Arc<Http>,
    open: Mutex<HashMap<Box<str>, Place>>,
}

struct Place {
    connection: Arc<OnceCell<Arc<HttpConnection>>>,
    used: Instant,
}

impl Callers {
    pub(super) fn new(http: Arc<Http>) -> Self {
        Self { http, open: Mutex::default() }
    }

    /// The connection of a caller, which is greeted first where it is new. From now on it goes by the token of this call.
    pub(super) async fn of(&self, principal: &Principal) -> Result<Arc<HttpConnection>, ChannelError> {
        let place = self.place(principal);
        let connection = place.get_or_try_init(|| HttpConnection::open(Arc::clone(&self.http), Some(principal.clone()))).await?;
        connection.transport.goes_by(principal);
        Ok(Arc::clone(connection))
    }

    fn place(&self, principal: &Principal) -> Arc<OnceCell<Arc<HttpConnection>>> {
        let mut open = self.lock();
        let now = Instant::now();
        if let Some(place) = open.get_mut(principal.subject()) {
            place.used = now;
            if place.connection.get().is_some_and(|connection| connection.closing.why().is_some()) {
                place.connection = Arc::default();
            }
            return Arc::clone(&place.connection);
        }
        let mut gone: Vec<Place> = open.extract_if(|_, place| now.duration_since(place.used) > IDLE).map(|(_, place)| place).collect();
        if open.len() >= MOST
            && let Some(oldest) = open.iter().min_by_key(|(_, place)| place.used).map(|(subject, _)| subject.clone())
        {
            gone.extend(open.remove(&oldest));
        }
        for connection in gone.iter().filter_map(|place| place.connection.get()) {
            // Ends by itself: it is bounded in time.
            tokio::spawn(Arc::clone(connection).leave());
        }
        let connection = Arc::default();
        open.insert(principal.subject().into(), Place { connection: Arc::clone(&connection), used: now });
        connection
    }

    /// Ends all sessions with the server.
    pub(super) async fn leave(&self) {
        let all: Vec<_> = self.lock().drain().filter_map(|(_, place)| place.connection.get().cloned()).collect();
        join_all(all.into_iter().map(HttpConnection::leave)).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Place>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
