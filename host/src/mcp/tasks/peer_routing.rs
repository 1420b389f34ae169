//! Tasks of other instances of this host: a task lives in the one that runs its call, and its id says which that is.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, request::Parts};
use serde::{Deserialize, Serialize};

use crate::{
    cluster::{self, Patience, Peers},
    mcp::{
        answer::plain_error,
        rpc::BUSY,
        signing::{OpenError, SignError, Signer, random},
    },
    provider::CallerAddress,
};

/// What the signature is for, so that it is good for nothing else.
const PURPOSE: &[u8] = b"toolbay/taskId/1";

/// What an id says. Signed, since a request with the caller's token goes to the address in it.
#[derive(Serialize, Deserialize)]
struct Id {
    /// The address of the instance. None: there is one only.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    copy: Option<String>,
    /// Nobody guesses it.
    #[serde(rename = "n")]
    number: String,
}

/// This instance's tasks among those of others.
pub(super) struct Copies {
    peers: Arc<Peers>,
}

impl Copies {
    pub(super) fn new(peers: Arc<Peers>) -> Self {
        Self { peers }
    }

    /// A new id of a task of this instance.
    pub(super) fn id(&self, signer: &Signer, ttl: Duration) -> Result<String, SignError> {
        let number = random::<16>().ok_or(SignError::NoKey)?.iter().map(|byte| format!("{byte:02x}")).collect();
        signer.seal(PURPOSE, &Id { copy: self.peers.own().map(str::to_owned), number }, ttl)
    }

    /// The other instance that has the task of this request, by its headers.
    pub(super) fn elsewhere(&self, signer: &Signer, headers: &HeaderMap, id: &str) -> Option<String> {
        if Peers::was_handed_on(headers) {
            return None;
        }
        let Id { copy, .. } = signer.open(PURPOSE, id).ok()?;
        copy.filter(|copy| self.peers.is_other(copy))
    }

    /// Why there is no task of this id here.
    pub(super) fn explain(signer: &Signer, id: &str) -> &'static str {
        match signer.open::<Id>(PURPOSE, id) {
            Ok(Id { copy: Some(_), .. }) => "the task no longer exists: a task ends with the process that runs it",
            Ok(Id { copy: None, .. }) => {
                "there is no such task here: a task ends with the process that runs it, and if several instances of this server share one address, each needs [tasks] advertise"
            }
            Err(OpenError::Expired) => "the task has expired",
            Err(OpenError::UnknownKey) => {
                "the task belongs to another instance of this server, or to one before a restart; all instances need the same [state] keys"
            }
            Err(OpenError::Forged) => "there is no such task",
        }
    }

    /// Has that instance answer the request.
    pub(super) async fn hand_on(&self, copy: &str, parts: Parts, body: Bytes, id: Option<&str>) -> Response<Body> {
        let (path, client) = (parts.uri.path().to_owned(), CallerAddress::of(&parts));
        let request = cluster::Request { method: parts.method, path, headers: parts.headers, body, client };
        self.peers.hand_on(copy, request, Patience::Short).await.unwrap_or_else(|why| {
            tracing::warn!(copy, "the instance that runs a task does not answer: {why}");
            let message = format!(
                "the instance of this server that runs the task does not answer: {why}; if it has ended, the task has ended with it"
            );
            plain_error(StatusCode::SERVICE_UNAVAILABLE, id, BUSY, &message, Some(cluster::CONNECT))
        })
    }
}
