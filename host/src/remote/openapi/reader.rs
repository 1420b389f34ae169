//! The document over time: read from a file or a URL, and read again when it may have changed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, header};
use url::Url;

use super::{Document, Error, provider, send::Sender};
use crate::{
    config::{OpenApiSource, ServerLimits},
    provider::{Provider, ProviderId},
};

/// How often a file is looked at. One that changes is read when it was the same in two looks: by then whoever writes it has most likely finished.
const GLANCE: Duration = Duration::from_millis(500);

/// What an answer says of its version → the header that asks whether there is a newer one (RFC 9110, 13.1).
const VALIDATORS: [(HeaderName, HeaderName); 2] =
    [(header::ETAG, header::IF_NONE_MATCH), (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE)];

/// Reads the document of one application.
pub struct Reader {
    id: ProviderId,
    source: OpenApiSource,
    limits: ServerLimits,
    place: Place,
    /// None: not needed yet, or it could not be made.
    sender: Option<Arc<Sender>>,
    /// The version that was read last, and why it cannot be used.
    seen: Option<(blake3::Hash, Option<Error>)>,
}

enum Place {
    Url {
        url: Url,
        /// Headers by which the next answer is shorter where nothing has changed.
        conditions: HeaderMap,
    },
    File {
        path: PathBuf,
        /// As it was when it was read. None: it was not there.
        stamp: Option<Stamp>,
    },
}

/// What changes with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

impl Stamp {
    async fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = tokio::fs::metadata(path).await?;
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        Ok(Self { modified: metadata.modified().ok(), size: metadata.len(), inode })
    }
}

/// What a look at the document found.
pub enum Look {
    /// A version that was not there at the last look.
    New(Arc<dyn Provider>),
    /// Nothing new.
    Same,
}

impl Reader {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(id: ProviderId, source: &OpenApiSource, limits: ServerLimits) -> Self {
        let url = Url::parse(&source.document).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let place = match url {
            Some(url) => Place::Url { url, conditions: HeaderMap::new() },
            None => Place::File { path: PathBuf::from(&source.document), stamp: None },
        };
        Self { id, source: source.clone(), limits, place, sender: None, seen: None }
    }

    /// Reads the document, and makes a provider of it where it is another than the last time.
    ///
    /// # Errors
    ///
    /// [`Error`], where it cannot be read, or is of no use; also when that was so at the last look and it is still the same.
    pub async fn look(&mut self) -> Result<Look, Error> {
        let sender = match &self.sender {
            Some(sender) => Arc::clone(sender),
            None => Arc::clone(self.sender.insert(Arc::new(Sender::new(&self.id, &self.source, &self.limits)?))),
        };
        let name = &self.source.document;
        let read = self.place.read(&sender, &self.source, &self.limits).await;
        let bytes = read.map_err(|reason| Error::Read { document: name.clone(), reason })?;
        let known = bytes.as_ref().map(|bytes| blake3::hash(bytes));
        let (digest, bytes) = match (known, bytes, &self.seen) {
            (Some(digest), _, Some((seen, fault))) if digest == *seen => return same(fault.as_ref()),
            (Some(digest), Some(bytes), _) => (digest, bytes),
            (_, _, Some((_, fault))) => return same(fault.as_ref()),
            // Nothing was asked that could be answered so.
            (_, _, None) => return Ok(Look::Same),
        };
        let made = self.make(bytes, sender);
        self.seen = Some((digest, made.as_ref().err().cloned()));
        made.map(Look::New)
    }

    fn make(&self, bytes: Vec<u8>, sender: Arc<Sender>) -> Result<Arc<dyn Provider>, Error> {
        let name = &self.source.document;
        let text =
            String::from_utf8(bytes).map_err(|_| Error::Read { document: name.clone(), reason: "it is not UTF-8 text".to_owned() })?;
        let url = match &self.place {
            Place::Url { url, .. } => Some(url.clone()),
            Place::File { .. } => None,
        };
        let document = Document::parse(&text, name, url).map_err(|reason| Error::Document { document: name.clone(), reason })?;
        provider(&self.id, &self.source, &document, sender)
    }

    /// Waits until another look may find something new: a file has changed, or it is time to ask for a URL again.
    pub async fn changed(&self) {
        match &self.place {
            Place::Url { .. } if self.source.refresh.is_zero() => std::future::pending().await,
            Place::Url { .. } => tokio::time::sleep(self.source.refresh).await,
            Place::File { path, stamp } => {
                let mut before = *stamp;
                loop {
                    tokio::time::sleep(GLANCE).await;
                    let now = Stamp::of(path).await.ok();
                    if now != *stamp && now == before {
                        return;
                    }
                    before = now;
                }
            }
        }
    }
}

fn same(fault: Option<&Error>) -> Result<Look, Error> {
    fault.map_or(Ok(Look::Same), |fault| Err(fault.clone()))
}

impl Place {
    /// The document's bytes. None: it is the same as the last time.
    async fn read(&mut self, sender: &Sender, source: &OpenApiSource, limits: &ServerLimits) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::Url { url, conditions } => {
                let Some((headers, body)) = sender.fetch(url, source, limits, conditions).await? else { return Ok(None) };
                conditions.clear();
                for (validator, condition) in VALIDATORS {
                    if let Some(value) = headers.get(validator) {
                        conditions.insert(condition, value.clone());
                    }
                }
                Ok(Some(body))
            }
            Self::File { path, stamp } => {
                // Before it is read: what is written meanwhile is seen by the next look.
                let now = Stamp::of(path).await;
                *stamp = now.as_ref().ok().copied();
                let size = now.map_err(|error| error.to_string())?.size;
                if size > limits.max_message as u64 {
                    return Err(format!("it has {size} bytes, more than max_message = {} allows", limits.max_message));
                }
                tokio::fs::read(path).await.map(Some).map_err(|error| error.to_string())
            }
        }
    }
}
