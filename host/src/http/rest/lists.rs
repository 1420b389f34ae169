//! `GET /tools` as it goes out: written once for each state of the catalog, with a tag by which a client asks whether it is still the same, and compressed for
//! those who take that.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer;
use crate::{
    catalog::Snapshot,
    mcp::{PackedLists, takes_gzip},
};

/// States of the catalog, and views of it, whose lists are kept.
const KEPT: usize = 16;

/// What a tag ends with where the list is compressed: that is another representation of it.
const PACKED: &str = "-gzip";

/// A tool as this face lists it.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct List<'a> {
    tools: Vec<Listed<'a>>,
}

/// Lists that somebody asked for.
#[derive(Default)]
pub(super) struct Lists {
    kept: Mutex<Vec<(Weak<Snapshot>, Written)>>,
    packed: PackedLists,
}

#[derive(Clone)]
struct Written {
    body: Bytes,
    tag: Arc<str>,
}

impl Lists {
    /// The list of what a caller sees, or that it has it already.
    pub(super) fn answer(&self, seen: &Arc<Snapshot>, asked: &HeaderMap) -> Response<Body> {
        let Written { body, tag } = match self.written(seen) {
            Ok(written) => written,
            Err(error) => {
                tracing::error!(%error, "a list of tools could not be written as JSON");
                return answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the list could not be written; see the server's log\n");
            }
        };
        let packed = takes_gzip(asked).then(|| self.packed.around(b"", &body, b"")).flatten();
        let suffix = if packed.is_some() { PACKED } else { "" };
        let is_known = answer::names_tag(asked, |known| known.strip_suffix(PACKED).unwrap_or(known) == &*tag);
        let is_packed = packed.is_some() && !is_known;
        let mut response = Response::new(match packed {
            _ if is_known => Body::empty(),
            Some(packed) => Body::from(packed),
            None => Body::from(body),
        });
        *response.status_mut() = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(tag) = HeaderValue::try_from(format!("\"{tag}{suffix}\"")) {
            headers.insert(header::ETAG, tag);
        }
        if is_packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn written(&self, seen: &Arc<Snapshot>) -> serde_json::Result<Written> {
        let is_of = |(of, _): &&(Weak<Snapshot>, Written)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(seen));
        let known = self.lock().iter().find(is_of).map(|(_, written)| written.clone());
        if let Some(known) = known {
            return Ok(known);
        }
        let tools = seen.tools().map(|entry| entry.tool()).map(|tool| Listed {
            name: tool.name.as_str(),
            description: tool.description.as_deref().unwrap_or_default(),
            input_schema: &tool.input_schema,
        });
        let body = Bytes::from(serde_json::to_vec(&List { tools: tools.collect() })?);
        let hash = blake3::hash(&body).to_hex();
        let written = Written { body, tag: hash.get(..32).unwrap_or_default().into() };
        let mut kept = self.lock();
        // Those of states that are over go first, and then those that were asked for earlier.
        kept.retain(|(of, _)| of.strong_count() > 0);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((Arc::downgrade(seen), written.clone()));
        Ok(written)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Weak<Snapshot>, Written)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
