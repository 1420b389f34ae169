//! Ids of a session's requests that rmcp has not answered. Its table is keyed by them: of two requests with one id at once it would answer one, and leave the
//! client of the other waiting for ever.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{Error, body::Body};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// The ids of one session, as keys.
#[derive(Default)]
pub(super) struct OpenIds(Mutex<HashSet<String>>);

impl OpenIds {
    /// Takes an id until the last clone of what comes back is gone. None: a request has it.
    pub(super) fn take(self: &Arc<Self>, key: String) -> Option<Taken> {
        let is_new = self.lock().insert(key.clone());
        is_new.then(|| Taken(Arc::new(Key { ids: Arc::clone(self), key })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id that is in use. One clone goes with the request to whoever handles it, in the request's extensions, and one with the response: a client that hangs up
/// does not end its request, and what is handled is not yet answered.
#[derive(Clone)]
pub(super) struct Taken(Arc<Key>);

struct Key {
    ids: Arc<OpenIds>,
    key: String,
}

impl Drop for Key {
    fn drop(&mut self) {
        self.ids.lock().remove(&self.key);
    }
}

impl Taken {
    /// Gives the id back when this body has told the answer, or is dropped.
    pub(super) fn until_told(self, body: Body) -> Body {
        Body::new(Telling { body, taken: Some(self) })
    }
}

struct Telling {
    body: Body,
    taken: Option<Taken>,
}

impl HttpBody for Telling {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        // Once nobody handles it any more, the next to come is the answer. A client may use the id again as soon as it sees that, and the stream's end comes later.
        if polled.is_ready() && self.taken.as_ref().is_some_and(|taken| Arc::strong_count(&taken.0) == 1) {
            self.taken = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
