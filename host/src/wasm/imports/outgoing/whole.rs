//! Answers that are read whole, for `toolbay:plugin/fetch`: under the same limits as those that a plugin reads piece by piece, and counted as memory of its call.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, FieldMap, FieldMapError, RequestOptions};

use super::{FORBIDDEN, Outgoing, body::ResponseBody};
use crate::wasm::{limits::FIELDS, memory::InstanceMemory};

/// As much as is asked of the system beforehand because a server says that it is coming.
const PROMISED: usize = 1 << 20;

/// Where the bodies are that one host call waits for. None of them is in the guest yet, so they are counted here.
pub(crate) struct Room {
    /// Bytes until they are more than the guest could hold.
    left: AtomicUsize,
    /// What they take of the memory for all instances, until the last of them is handed over.
    taken: Mutex<InstanceMemory>,
}

impl Room {
    /// `limit`: bytes that the guest may have. `memory`: where what is used is counted.
    pub(crate) fn new(limit: usize, memory: InstanceMemory) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(limit), taken: Mutex::new(memory) })
    }

    fn take(&self, bytes: usize) -> bool {
        let left = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes));
        left.is_ok() && self.taken.lock().unwrap_or_else(PoisonError::into_inner).take(bytes)
    }

    /// Puts a body together.
    pub(super) async fn read(self: Arc<Self>, answer: Response<ResponseBody>) -> Result<Response<Vec<u8>>, Error> {
        let (head, mut body) = answer.into_parts();
        let said = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let mut whole = Vec::with_capacity(said.min(PROMISED));
        while let Some(frame) = body.frame().await {
            // Trailers are not told.
            let Ok(data) = frame?.into_data() else { continue };
            if !self.take(data.len()) {
                return Err(Error::HttpResponseBodySize(None));
            }
            whole.extend_from_slice(&data);
        }
        Ok(Response::from_parts(head, whole))
    }
}

/// What is to be sent, and how long and how much is waited for.
pub(crate) struct Fetch {
    pub(crate) request: Request<Bytes>,
    /// None: as long as the plugin's limit is.
    pub(crate) timeout: Option<Duration>,
    /// None: as much as the plugin's limit is.
    pub(crate) most: Option<u64>,
}

impl Outgoing {
    /// Checks a request as those of `wasi:http` are checked, sends it, and waits for the whole answer. Dropping the future ends the request.
    pub(crate) fn fetch(&mut self, fetch: Fetch, room: Arc<Room>) -> impl Future<Output = Result<Response<Vec<u8>>, Error>> + Send + use<> {
        let Fetch { request, timeout, most } = fetch;
        let (mut parts, body) = request.into_parts();
        let (ready, span) = self.prepare(&mut parts);
        let body = (!body.is_empty()).then(|| reqwest::Body::from(body));
        let own = timeout.filter(|own| *own < self.limits.timeout);
        async move {
            let exchange = async {
                let options = RequestOptions { connect_timeout: own, first_byte_timeout: own, between_bytes_timeout: own };
                ready?.whole(parts, body, options, most.unwrap_or(u64::MAX), room).await
            };
            let mut result = match own {
                Some(own) => tokio::time::timeout(own, exchange).await.unwrap_or(Err(Error::ConnectionReadTimeout)),
                None => exchange.await,
            };
            if let Ok(answer) = &mut result {
                FORBIDDEN.iter().for_each(|name| drop(answer.headers_mut().remove(name)));
            }
            span.end(&result);
            result
        }
    }

    /// Headers as a plugin of `wasi:http` could have made them.
    ///
    /// # Errors
    ///
    /// One of them has no such name, no such value, or is not the plugin's to set; or all are too large.
    pub(crate) fn headers(&mut self, list: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, (String, FieldMapError)> {
        let mut fields = FieldMap::new_mutable(FIELDS);
        for (name, value) in list {
            fields.append(self, name.clone(), value).map_err(|error| (name, error))?;
        }
        Ok(fields.into())
    }

    /// As many requests as may be open.
    pub(crate) fn at_once(&self) -> usize {
        self.limits.connections
    }
}
