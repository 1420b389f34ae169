//! One request of HTTP to the handler of an instance, and its answer, read as it comes.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::oneshot;
use wasmtime::{
    Store,
    component::{Instance, Resource},
};
use wasmtime_wasi_http::{
    Error as HttpError, WasiHttpView as _,
    p2::{
        bindings::{
            exports::wasi::http::incoming_handler::Guest,
            http::types::{ErrorCode, Scheme},
        },
        body::HyperOutgoingBody,
        types::{HostIncomingRequest, HostResponseOutparam},
    },
};

use super::{
    super::{Code, run::Failure},
    EXPORT,
};
use crate::{provider::CallError, wasm::instance::State};

/// How long a handler may go on after its answer is whole, and how long an answer may be missing
/// after its handler has ended.
const AFTER: Duration = Duration::from_secs(1);

/// Servers that are careful about the name that they are called by accept this one.
const HOST: HeaderValue = HeaderValue::from_static("localhost");

/// One message on its way into an instance.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) path: &'static str,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// What there is of an answer before its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// Why there is no answer, though the handler did not fail.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It ended without one, or without its end.
    Missing(&'static str),
    /// It answered by an error of `wasi:http`.
    Code(String),
    /// More bytes than an answer may have.
    TooLong,
}

/// Takes an answer.
pub(super) trait Reader: Send {
    /// Whatever is made of it.
    type Answer: Send;

    /// The head is there. None: the body is to be read.
    fn head(&mut self, head: Head) -> Option<Self::Answer>;

    /// The next bytes of the body. None: more are to be read.
    fn bytes(&mut self, bytes: &Bytes) -> Result<Option<Self::Answer>, Unanswered>;

    /// The body is whole.
    fn end(self) -> Self::Answer;
}

impl Post {
    fn request(self) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(Method::POST).uri(format!("http://localhost{}", self.path));
        if let Some(headers) = request.headers_mut() {
            *headers = self.headers;
            headers.insert(header::HOST, HOST);
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        request.body(Full::new(Bytes::from(self.body)))
    }
}

impl Code {
    /// The handler of an instance.
    pub(super) fn handler(&self, store: &mut Store<State>, instance: &Instance) -> Result<Guest, Failure> {
        self.bound(EXPORT, self.interfaces.http.as_ref().map(|interface| interface.load(store, instance)))
    }

    /// Makes a request in an instance, and has the answer read while the handler works. `cut`:
    /// whether the handler did not come to its end, so that the instance serves nobody any more.
    pub(super) async fn post<R: Reader>(
        &self,
        store: &mut Store<State>,
        guest: &Guest,
        post: Post,
        reader: R,
        cut: &mut bool,
    ) -> Result<Result<R::Answer, Unanswered>, Failure> {
        *cut = true;
        let (sender, response) = oneshot::channel();
        let (request, out) = handed_in(store, post, sender)
            .map_err(|error| Failure::Call(CallError::Internal(format!("plugin {}: {error:#}", self.shared.id))))?;
        let (handled, answer) = {
            let mut handling = pin!(guest.call_handle(&mut *store, request, out));
            let mut reading = pin!(read(response, reader));
            tokio::select! {
                biased;
                answer = &mut reading => {
                    // What it still does belongs to the call, if it does not take long. Where
                    // nobody takes its answer, it has nothing to do.
                    let handled = match &answer {
                        Err(Unanswered::TooLong) => Ok(()),
                        _ => match tokio::time::timeout(AFTER, handling).await {
                            Ok(handled) => {
                                *cut = handled.is_err();
                                handled
                            }
                            Err(_) => Ok(()),
                        },
                    };
                    match (&answer, handled) {
                        (Ok(_), Err(error)) => {
                            tracing::warn!(plugin = %self.shared.id, "the plugin failed after its answer: {error:#}");
                            (Ok(()), answer)
                        }
                        (_, handled) => (handled, answer),
                    }
                }
                handled = &mut handling => {
                    *cut = handled.is_err();
                    let answer = match &handled {
                        Ok(()) => tokio::time::timeout(AFTER, reading).await,
                        // Nothing comes any more.
                        Err(_) => Ok(Err(Unanswered::Missing("its answer"))),
                    };
                    (handled, answer.unwrap_or(Err(Unanswered::Missing("the end of its answer"))))
                }
            }
        };
        handled.map_err(|error| self.explain(store, &error))?;
        Ok(answer)
    }
}

type Sender = oneshot::Sender<Result<Response<HyperOutgoingBody>, ErrorCode>>;

/// A request as the guest takes it, and the place for its answer.
fn handed_in(
    store: &mut Store<State>,
    post: Post,
    sender: Sender,
) -> wasmtime::Result<(Resource<HostIncomingRequest>, Resource<HostResponseOutparam>)> {
    let request = post.request()?.map(|body| body.map_err(|never| -> HttpError { match never {} }));
    let mut http = store.data_mut().http();
    Ok((http.new_incoming_request(Scheme::Http, request)?, http.new_response_outparam(sender)?))
}

async fn read<R: Reader>(
    response: oneshot::Receiver<Result<Response<HyperOutgoingBody>, ErrorCode>>,
    mut reader: R,
) -> Result<R::Answer, Unanswered> {
    let response = match response.await {
        Ok(Ok(response)) => response,
        Ok(Err(code)) => return Err(Unanswered::Code(format!("{code:?}"))),
        Err(_) => return Err(Unanswered::Missing("an answer")),
    };
    let (head, mut body) = response.into_parts();
    if let Some(answer) = reader.head(Head { status: head.status, headers: head.headers }) {
        return Ok(answer);
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Unanswered::Missing("the end of its answer")) };
        let Some(bytes) = frame.data_ref() else { continue };
        if let Some(answer) = reader.bytes(bytes)? {
            return Ok(answer);
        }
    }
    Ok(reader.end())
}
