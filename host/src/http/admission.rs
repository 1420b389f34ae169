//! Who may come in, in one order for all routes: first from where (`Host` and `Origin`), then who it is.

use std::{net::SocketAddr, sync::Arc};

use axum::body::Body;
use http::{Response, request::Parts};

use super::{auth::Authenticator, origin::Origins};

/// Decides about each request before anything is done for it.
pub(super) struct Admission {
    origins: Origins,
    auth: Arc<Authenticator>,
}

impl Admission {
    pub(super) fn new(origins: Origins, auth: Arc<Authenticator>) -> Self {
        Self { origins, auth }
    }

    /// From which pages one may call.
    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Checks only from where a request comes.
    ///
    /// # Errors
    ///
    /// The answer to send.
    pub(super) fn check_origin(&self, head: &Parts) -> Result<(), Box<Response<Body>>> {
        self.origins.check(&head.uri, &head.headers)
    }

    /// Checks everything, and notes who calls for those further down.
    ///
    /// # Errors
    ///
    /// The answer to send.
    pub(super) async fn admit(&self, head: &mut Parts, peer: SocketAddr) -> Result<(), Box<Response<Body>>> {
        self.check_origin(head)?;
        match self.auth.authenticate(head).await {
            Ok(Some(principal)) => {
                head.extensions.insert(principal);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(challenge) => {
                tracing::info!(reason = ?challenge, %peer, method = %head.method, path = head.uri.path(), "a caller was not let in");
                Err(Box::new(challenge.response()))
            }
        }
    }
}
