//! What a client of a session is answered by which instance of this host: questions name the one that asked, and a
//! session the one where its client's stream is.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header::CONTENT_TYPE, request::Parts};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{sessions::Session, signing::Signer};
use crate::{
    cluster::{self, HANDED_ON, HandedOn, Patience, Peers, Unreachable},
    provider::CallerAddress,
};

/// What the signature is for, so that it is good for nothing else.
const ASKED: &[u8] = b"toolbay/question/1";

/// Longer than any question may wait.
const QUESTION_TTL: Duration = Duration::from_secs(2 * 24 * 3600);

/// The method by which an instance that runs a call waits for its client to cancel it.
pub(super) const AWAIT_CANCEL: &str = "toolbay/awaitCancel";

/// A call that takes longer than that is worth a request to the instance where its client cancels.
const LONG: Duration = Duration::from_millis(300);

/// Headers of a client's request that speak for it.
const SPEAK: [HeaderName; 6] = [
    http::header::HOST,
    http::header::AUTHORIZATION,
    HeaderName::from_static("dpop"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("mcp-protocol-version"),
    http::header::ORIGIN,
];

/// This instance among others, as far as sessions go.
pub(super) struct Fleet {
    signer: Arc<Signer>,
    peers: Arc<Peers>,
}

/// What the id of a question says. Signed, since a request with the caller's token goes to the address in it.
#[derive(Serialize, Deserialize)]
struct Asked {
    /// The address of the instance that waits for the answer.
    #[serde(rename = "h")]
    host: String,
    /// Which of the session's questions.
    #[serde(rename = "n")]
    number: String,
}

impl Fleet {
    pub(super) fn new(signer: Arc<Signer>, peers: Arc<Peers>) -> Self {
        Self { signer, peers }
    }

    /// The address at which the others reach this instance.
    pub(super) fn own(&self) -> Option<&str> {
        self.peers.own()
    }

    /// Whether another instance has sent this request, and not a client.
    pub(super) fn is_of_instance(parts: &Parts, body: &[u8]) -> bool {
        let proof = parts.extensions.get::<HandedOn>();
        proof.is_some_and(|proof| proof.is_for(&parts.method, parts.uri.path(), &parts.headers, body))
    }

    /// The id of a question, by which its answer finds the instance that asked, at whichever one it comes in.
    pub(super) fn question(&self, number: String) -> String {
        let Some(host) = self.own().map(str::to_owned) else { return number };
        let asked = Asked { host, number: number.clone() };
        // Without a key there is nothing to be signed, and the answer has to come in here.
        self.signer.seal(ASKED, &asked, QUESTION_TTL).unwrap_or(number)
    }

    /// The other instance that waits for an answer to a question of this id, a JSON text.
    pub(super) fn asked_by(&self, headers: &HeaderMap, id: &str) -> Option<String> {
        if Peers::was_handed_on(headers) {
            return None;
        }
        let id: String = serde_json::from_str(id).ok()?;
        let Asked { host, .. } = self.signer.open(ASKED, &id).ok()?;
        self.peers.is_other(&host).then_some(host)
    }

    /// The other instance that has what belongs to this session, for a request with these headers.
    pub(super) fn home<'s>(&self, session: &'s Session, headers: &HeaderMap) -> Option<&'s str> {
        session.home().filter(|home| !Peers::was_handed_on(headers) && self.peers.is_other(home))
    }

    /// Has that instance answer a request, and waits as long as it takes where that is a stream.
    ///
    /// # Errors
    ///
    /// It gave no answer.
    pub(super) async fn hand_on(&self, host: &str, parts: &Parts, body: Bytes) -> Result<Response<Body>, Unreachable> {
        let patience = if parts.method == Method::GET { Patience::Endless } else { Patience::Short };
        let (method, path, headers) = (parts.method.clone(), parts.uri.path().to_owned(), parts.headers.clone());
        let request = cluster::Request { method, path, headers, body, client: CallerAddress::of(parts) };
        let answer = self.peers.hand_on(host, request, patience).await;
        if let Err(why) = &answer {
            tracing::debug!(host, "the instance that has a session's stream does not answer: {why}");
        }
        answer
    }

    /// What waits for a client to cancel its call where that has its session: a request to there, with this one's rights. None: that is here.
    pub(super) fn cancellation(self: &Arc<Self>, session: &Session, parts: &Parts, id: &str) -> Option<Cancellation> {
        let host = self.home(session, &parts.headers)?.to_owned();
        let mut headers = HeaderMap::with_capacity(SPEAK.len() + 3);
        for name in &SPEAK {
            if let Some(value) = parts.headers.get(name) {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HANDED_ON, HeaderValue::from_static("cancel"));
        let id: Value = serde_json::from_str(id).ok()?;
        let body = serde_json::json!({"jsonrpc": "2.0", "id": id, "method": AWAIT_CANCEL}).to_string().into();
        let request =
            cluster::Request { method: Method::POST, path: parts.uri.path().to_owned(), headers, body, client: CallerAddress::of(parts) };
        Some(Cancellation { fleet: Arc::clone(self), host, request })
    }
}

/// A wait for the end of a call by its client's wish.
pub(super) struct Cancellation {
    fleet: Arc<Fleet>,
    host: String,
    request: cluster::Request,
}

impl Cancellation {
    /// Returns when the call is to end; never, where nobody says so.
    pub(super) async fn wait(self) {
        tokio::time::sleep(LONG).await;
        match self.fleet.peers.hand_on(&self.host, self.request, Patience::Endless).await {
            // One that ends without a word is that of an instance that ends.
            Ok(answer) if answer.status().is_success() => match answer.into_body().collect().await {
                Ok(said) => {
                    if said.to_bytes().is_empty() {
                        std::future::pending().await
                    }
                }
                Err(_) => std::future::pending().await,
            },
            Ok(_) | Err(_) => std::future::pending().await,
        }
    }
}
