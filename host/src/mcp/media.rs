//! In which media type an answer goes out: the one of two that its caller takes, where it takes only one.

use axum::body::{Body, Bytes};
use futures::StreamExt as _;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::BodyExt as _;
use serde::{Deserialize, de::IgnoredAny};

use super::{request_checks::Accepts, sse};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Brings an answer into a type that the caller takes. Errors of HTTP stay as they are.
pub(super) async fn fit(response: Response<Body>, accepts: Accepts) -> Response<Body> {
    if accepts.both() || !response.status().is_success() {
        return response;
    }
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind.starts_with(JSON.as_bytes()) && !accepts.json {
        as_event(response).await
    } else if kind.starts_with(EVENTS.as_bytes()) && !accepts.events {
        only_answer(response).await
    } else {
        response
    }
}

/// Each message of a stream named, as some clients listen for the name only.
///
/// The frames of rmcp's streams are whole events.
pub(super) fn named(response: Response<Body>) -> Response<Body> {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !kind.starts_with(EVENTS.as_bytes()) {
        return response;
    }
    response.map(|body| Body::new(body.map_frame(|frame| frame.map_data(name))))
}

fn name(event: Bytes) -> Bytes {
    const NAME: &[u8] = b"event: message\n";
    let mut lines = event.split(|byte| *byte == b'\n');
    let has_message = lines.any(|line| line.strip_prefix(b"data:").is_some_and(|data| data.trim_ascii().starts_with(b"{")));
    if !has_message || event.starts_with(b"event:") {
        return event;
    }
    [NAME, &event].concat().into()
}

/// The one message as the one event of a stream.
async fn as_event(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Response::from_parts(parts, Body::empty());
    };
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    parts.headers.remove(http::header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(sse::event(&body)))
}

/// The answer at the end of a stream; what is said before it is passed over.
async fn only_answer(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CACHE_CONTROL);
    parts.headers.remove("x-accel-buffering");
    let mut stream = body.into_data_stream();
    let mut rest = Vec::new();
    while let Some(Ok(bytes)) = stream.next().await {
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = rest.drain(..end + 2).collect();
            if let Some(answer) = answer_in(&event) {
                parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
                return Response::from_parts(parts, Body::from(answer));
            }
        }
    }
    // The request was cancelled: it has no answer.
    parts.headers.remove(CONTENT_TYPE);
    parts.status = StatusCode::NO_CONTENT;
    Response::from_parts(parts, Body::empty())
}

fn answer_in(event: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        method: Option<IgnoredAny>,
        #[serde(default)]
        id: Option<IgnoredAny>,
    }
    let lines = event.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
    let data = lines.collect::<Vec<_>>().join(&b'\n').trim_ascii().to_vec();
    let message: Message = serde_json::from_slice(&data).ok()?;
    (message.method.is_none() && message.id.is_some()).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_named_and_what_is_none_is_not() {
        assert_eq!(name("data: {\"a\":1}\n\n".into()), "event: message\ndata: {\"a\":1}\n\n");
        assert_eq!(name("id: 1\ndata:{}\n\n".into()), "event: message\nid: 1\ndata:{}\n\n");
        for other in [": still here\n\n", "id: 1\ndata: \n\n", "event: x\ndata: {}\n\n", ""] {
            assert_eq!(name(other.into()), other);
        }
    }

    #[tokio::test]
    async fn the_answer_is_found_behind_whatever_comes_before_it() {
        let stream =
            ["data: {\"method\":\"n\"}\n\n: x\n\nda", "ta: {\"id\":1,\"method\":\"ping\"}\n\ndata: {\"id\":7,\ndata: \"result\":{}}\n\n"];
        let body = Body::from_stream(futures::stream::iter(stream.map(Ok::<_, std::convert::Infallible>)));
        let response = Response::builder().header(CONTENT_TYPE, EVENTS).body(body).unwrap();
        let response = fit(response, Accepts { json: true, events: false }).await;
        assert_eq!(response.headers()[CONTENT_TYPE], JSON);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{\"id\":7,\n \"result\":{}}");
    }
}
