//! The way to the endpoint: what goes out is tried again, and has the headers that it must have.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::{Value, json, value::RawValue};

use super::{
    endpoint::{Answer, Endpoint, EndpointError},
    message::Message,
    messages::Messages,
};
use crate::upstream::http_headers::{ParamHeaders, VERSION};

/// Between tries of a request that did not go out. Together they outlast a restart of the other end.
const RETRIES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
];

/// The way to the endpoint.
pub(super) struct Link {
    pub(super) endpoint: Arc<dyn Endpoint>,
    /// What tools want of their arguments in headers.
    params: ParamHeaders,
}

impl Link {
    pub(super) fn new(endpoint: Arc<dyn Endpoint>) -> Self {
        Self { endpoint, params: ParamHeaders::default() }
    }

    /// A message of 2026-07-28 as a request of HTTP.
    pub(super) fn modern(&self, message: &Message, line: Bytes) -> Request<Bytes> {
        let mut headers = HeaderMap::new();
        if let Some(revision) = message.revision.as_deref().and_then(|revision| HeaderValue::try_from(revision).ok()) {
            headers.insert(VERSION, revision);
        }
        if let Some(method) = &message.method {
            self.params.write(&mut headers, method, message.params.as_deref().unwrap_or("{}"));
        }
        post(headers, line)
    }

    /// Makes a call again whose arguments have to be repeated in headers, as the tool's schema says which.
    pub(super) async fn with_params(&self, message: &Message, request: &Request<Bytes>) -> Option<Answer> {
        let params: Value = serde_json::from_str(message.params.as_deref()?).ok()?;
        let mut cursor = Value::Null;
        loop {
            let mut list = json!({ "_meta": params.get("_meta")? });
            if let (Some(list), false) = (list.as_object_mut(), cursor.is_null()) {
                list.insert("cursor".to_owned(), cursor);
            }
            let line = json!({ "jsonrpc": "2.0", "id": "toolbay-tools", "method": "tools/list", "params": list }).to_string();
            let list = Message::of(line.as_bytes());
            let answer = self.send(&self.modern(&list, line.into())).await.ok()?;
            let text = Messages::of(answer).next(list.id.as_deref()).await?.ok()?;
            self.learn(&text);
            cursor = serde_json::from_slice::<Value>(&text).ok()?.pointer("/result/nextCursor").cloned().unwrap_or_default();
            if cursor.is_null() {
                break;
            }
        }
        self.send(&self.modern(message, request.body().clone())).await.ok()
    }

    /// Takes note of what a list of tools wants in headers.
    pub(super) fn learn(&self, answer: &[u8]) {
        #[derive(serde::Deserialize)]
        struct Listed<'a> {
            #[serde(borrow)]
            result: &'a RawValue,
        }
        if let Ok(Listed { result }) = serde_json::from_slice(answer) {
            self.params.learn(result.get());
        }
    }

    /// Sends, and again where nothing went out.
    pub(super) async fn send(&self, request: &Request<Bytes>) -> Result<Answer, EndpointError> {
        let mut tries = RETRIES.iter();
        loop {
            match (self.endpoint.send(request.clone()).await, tries.next()) {
                (Err(error), Some(wait)) if error.unsent => {
                    tracing::debug!("trying again in {wait:?}: {error}");
                    tokio::time::sleep(*wait).await;
                }
                (answer, _) => return answer,
            }
        }
    }
}

/// A request that carries a message.
pub(super) fn post(mut headers: HeaderMap, line: Bytes) -> Request<Bytes> {
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut request = Request::new(line);
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers;
    request
}
