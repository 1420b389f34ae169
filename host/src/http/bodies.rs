//! Reading requests' bodies: how large one may be, and how many bytes of them are held at once.
//!
//! A call that waits for its turn holds its arguments. Each queue is short, but there are as many as there are plugins and servers, so their sum has a limit
//! of its own.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH};
use http_body_util::{BodyExt as _, LengthLimitError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::settings::HttpSettings;
use crate::{
    dispatch::Hold,
    telemetry::metrics::{Metrics, Reason},
};

/// Bytes of a body that is not counted: nearly all calls are so small, and what runs and waits of them is bounded by its number.
const SMALL: usize = 4 << 10;
/// Bytes in one permit: a semaphore gives out no more than 2^32 at once.
const UNIT: usize = 1 << 10;
/// How long a caller that was turned away should wait. Most calls end within this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What bodies may take.
pub(super) struct Bodies {
    /// They say how large a body may be.
    settings: Arc<HttpSettings>,
    max_bodies: usize,
    room: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A body that was read.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    /// To be kept as long as anything of the body is. None: it is too small to be counted.
    pub(super) share: Option<Hold>,
}

/// Why a body was not read, for the answer.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Refused {
    fn new(status: StatusCode, message: String) -> Self {
        Self { status, message, retry_after: None }
    }
}

impl Bodies {
    /// `max_body` bytes of one, `max_bodies` of all at once. The latter is as it is now, for good.
    pub(super) fn new(settings: Arc<HttpSettings>, metrics: Arc<Metrics>) -> Self {
        let max_bodies = settings.load().config.max_bodies;
        let room = Arc::new(Semaphore::new((max_bodies / UNIT).min(Semaphore::MAX_PERMITS)));
        Self { settings, max_bodies, room, metrics }
    }

    fn max_body(&self) -> usize {
        self.settings.load().config.max_body
    }

    /// Reads a body to its end.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Received, Refused> {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let announced = announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let max_body = self.max_body();
        let read = match announced {
            Some(length) if length > max_body => Err(too_large(max_body)),
            Some(length) if length <= SMALL => read_small(max_body, body).await,
            _ => self.read_counted(max_body, body).await,
        };
        read.inspect_err(|refused| match refused.status {
            StatusCode::PAYLOAD_TOO_LARGE => self.metrics.refused(Reason::BodyTooLarge),
            StatusCode::SERVICE_UNAVAILABLE => self.metrics.refused(Reason::Bodies),
            _ => {}
        })
    }

    /// Counts what has come, and not what was announced: who only announces much takes no room from others.
    async fn read_counted(&self, max_body: usize, mut body: Body) -> Result<Received, Refused> {
        let mut parts: Vec<Bytes> = Vec::new();
        let mut total = 0_usize;
        let mut held: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreadable(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            total = total.saturating_add(data.len());
            if total > max_body {
                return Err(too_large(max_body));
            }
            if total > SMALL {
                let missing = total.div_ceil(UNIT).saturating_sub(held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
                let more = u32::try_from(missing).ok().and_then(|missing| Arc::clone(&self.room).try_acquire_many_owned(missing).ok());
                let more = more.ok_or_else(|| self.full())?;
                match &mut held {
                    Some(held) => held.merge(more),
                    None => held = Some(more),
                }
            }
            parts.push(data);
        }
        let bytes = match parts.as_mut_slice() {
            [only] => std::mem::take(only),
            parts => {
                let mut whole = BytesMut::with_capacity(total);
                parts.iter().for_each(|part| whole.extend_from_slice(part));
                whole.freeze()
            }
        };
        Ok(Received { bytes, share: held.map(Hold::new) })
    }

    fn full(&self) -> Refused {
        let message = format!(
            "the requests in flight hold {} bytes, which is the limit; the server's operator can raise max_bodies in [http]",
            self.max_bodies
        );
        tracing::warn!("a request was rejected: {message}");
        Refused { retry_after: Some(RETRY_AFTER), ..Refused::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }
}

async fn read_small(max_body: usize, body: Body) -> Result<Received, Refused> {
    match axum::body::to_bytes(body, max_body.min(SMALL)).await {
        Ok(bytes) => Ok(Received { bytes, share: None }),
        Err(error) if std::error::Error::source(&error).is_some_and(|source| source.is::<LengthLimitError>()) => Err(too_large(max_body)),
        Err(error) => Err(unreadable(&error)),
    }
}

fn too_large(max: usize) -> Refused {
    let message = format!("the request's body is larger than {max} bytes; the server's setting [http] max_body sets the limit");
    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn unreadable(error: &axum::Error) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, format!("the request's body could not be read: {error}"))
}
