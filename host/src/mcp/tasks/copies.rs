//! Tasks of other copies of this host: a task lives in the copy that runs its call, its id says which that is, and a request for it is handed on.

use std::{sync::OnceLock, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};

use crate::{
    mcp::{
        answer::plain_error,
        rpc::BUSY,
        signing::{OpenError, SignError, Signer, random},
    },
    tls::{self, cause},
};

/// What the signature is for, so that it is good for nothing else.
const PURPOSE: &[u8] = b"toolbay/taskId/1";

/// Says that a copy has handed the request on, so that none goes in circles.
const HANDED_ON: HeaderName = HeaderName::from_static("toolbay-handed-on");

/// Copies are near to each other: one that is not reached by then is gone.
const CONNECT: Duration = Duration::from_secs(3);

/// A look at a task waits for nothing.
const ANSWER: Duration = Duration::from_secs(30);

/// What an id says. Signed, since a request with the caller's token goes to the address in it.
#[derive(Serialize, Deserialize)]
struct Id {
    /// The address of the copy. None: there is one copy only.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    copy: Option<String>,
    /// Nobody guesses it.
    #[serde(rename = "n")]
    number: String,
}

/// Headers of a connection, which end with it, and those that are made anew.
const OWN: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    HeaderName::from_static("keep-alive"),
];

/// This copy among others.
pub(super) struct Copies {
    /// The address at which the others reach this one: `http://10.0.0.7:8000`.
    own: Option<String>,
    /// Made when a request is handed on for the first time. The error: why there is none, which does not change.
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl Copies {
    pub(super) fn new(own: Option<String>) -> Self {
        Self { own, client: OnceLock::new() }
    }

    /// Requests carry their caller's token, so they go nowhere but where they are sent: no proxy, no redirect.
    /// Without a client that is made for this there is none.
    fn client(&self) -> Result<&reqwest::Client, &String> {
        let made = self.client.get_or_init(|| {
            let builder = || {
                let builder = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).no_proxy().referer(false);
                builder.redirect(reqwest::redirect::Policy::none())
            };
            tls::client(builder, |_| ()).map_err(|error| cause(&error))
        });
        made.as_ref()
    }

    /// A new id of a task of this copy.
    pub(super) fn id(&self, signer: &Signer, ttl: Duration) -> Result<String, SignError> {
        let number = random::<16>().ok_or(SignError::NoKey)?.iter().map(|byte| format!("{byte:02x}")).collect();
        signer.seal(PURPOSE, &Id { copy: self.own.clone(), number }, ttl)
    }

    /// The other copy that has the task of this request, by its headers.
    pub(super) fn elsewhere(&self, signer: &Signer, headers: &HeaderMap, id: &str) -> Option<String> {
        if headers.contains_key(HANDED_ON) {
            return None;
        }
        let Id { copy, .. } = signer.open(PURPOSE, id).ok()?;
        copy.filter(|copy| self.own.as_ref() != Some(copy))
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

    /// Has that copy answer the request.
    pub(super) async fn hand_on(&self, copy: &str, parts: Parts, body: Bytes, id: Option<&str>) -> Response<Body> {
        let unreachable = |why: &dyn std::fmt::Display| {
            tracing::warn!(copy, "the instance that runs a task does not answer: {why}");
            let message = format!(
                "the instance of this server that runs the task does not answer: {why}; if it has ended, the task has ended with it"
            );
            plain_error(StatusCode::SERVICE_UNAVAILABLE, id, BUSY, &message, Some(CONNECT))
        };
        let mut headers = parts.headers;
        for name in &OWN {
            headers.remove(name);
        }
        headers.insert(HANDED_ON, HeaderValue::from_static("1"));
        let client = match self.client() {
            Ok(client) => client,
            Err(why) => return unreachable(&format_args!("no request can be sent from here: {why}")),
        };
        let request = client.post(format!("{copy}{}", parts.uri.path())).headers(headers).body(body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return unreachable(&cause(&error)),
        };
        let mut response = Response::builder().status(answer.status());
        for name in [header::CONTENT_TYPE, header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
            if let Some(value) = answer.headers().get(&name) {
                response = response.header(name, value);
            }
        }
        response.body(Body::from_stream(answer.bytes_stream())).unwrap_or_else(|error| unreachable(&error))
    }
}
