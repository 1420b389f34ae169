//! The document over time: read from a file or a URL, and read again when it may have changed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, header};
use url::Url;

use super::{
    Error,
    document::Document,
    library::Library,
    load::{Loaded, load},
    send::Sender,
    tree::Tree,
};
use crate::{
    config::{DocumentPlace, OpenApiSource, PublishRules, ServerLimits},
    provider::{Provider, ProviderId},
};

/// How often a file is looked at. One that changes is read when it was the same in two looks: by then whoever writes it has most likely finished.
const GLANCE: Duration = Duration::from_millis(500);

/// What an answer says of its version → the header that asks whether there is a newer one (RFC 9110, 13.1).
const VALIDATORS: [(HeaderName, HeaderName); 2] =
    [(header::ETAG, header::IF_NONE_MATCH), (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE)];

/// Documents that one may be made of, and rounds in which they are found: each refers to others.
const MOST_DOCUMENTS: usize = 200;
const MOST_ROUNDS: usize = 20;

/// Says of the name of a tool whether it is wanted: what is not is not read.
pub type Wanted = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Reads the document of one application.
pub struct Reader {
    id: ProviderId,
    source: OpenApiSource,
    limits: ServerLimits,
    publish: PublishRules,
    wanted: Wanted,
    place: Place,
    /// The documents that it refers to, as they were when they were read.
    others: BTreeMap<Url, Seen>,
    /// None: not needed yet, or it could not be made.
    sender: Option<Arc<Sender>>,
    /// The version that was read last, and why it cannot be used.
    seen: Option<(blake3::Hash, Option<Error>)>,
}

/// Another document, as it was when it was read.
#[derive(Clone, Copy)]
struct Seen {
    stamp: Option<Stamp>,
    /// None: it could not be read.
    digest: Option<blake3::Hash>,
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
    /// A version that was not there at the last look, and what of it is not served, with place and reason.
    New(Arc<dyn Provider>, Vec<String>),
    /// Nothing new.
    Same,
}

impl Reader {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(id: ProviderId, source: &OpenApiSource, limits: ServerLimits, publish: PublishRules, wanted: Wanted) -> Self {
        let place = match source.document.clone() {
            DocumentPlace::Url(url) => Place::Url { url, conditions: HeaderMap::new() },
            DocumentPlace::File(path) => Place::File { path, stamp: None },
        };
        Self { id, source: source.clone(), limits, publish, wanted, place, others: BTreeMap::new(), sender: None, seen: None }
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
        let name = self.source.document.to_string();
        if let Place::Url { conditions, .. } = &mut self.place
            && !self.others.is_empty()
        {
            // One of the others may have changed, and all are needed then.
            conditions.clear();
        }
        let read = self.place.read(&sender, &self.source, &self.limits).await;
        let bytes = read.map_err(|reason| Error::Read { document: name.clone(), reason })?;
        let others = self.read_others(&sender).await;
        let root = bytes.as_ref().map(|bytes| blake3::hash(bytes));
        let known = root.map(|root| self.digest(root));
        let (digest, bytes) = match (known, bytes, &self.seen) {
            (Some(digest), _, Some((seen, fault))) if digest == *seen => return same(fault.as_ref()),
            (Some(digest), Some(bytes), _) => (digest, bytes),
            (_, _, Some((_, fault))) => return same(fault.as_ref()),
            // Nothing was asked that could be answered so.
            (_, _, None) => return Ok(Look::Same),
        };
        let made = self.make(bytes, &sender, others).await;
        for text in made.iter().flat_map(|loaded| &loaded.log) {
            tracing::warn!(server = %self.id, "{}: {text}", self.source.document);
        }
        // Which others there are is known by now.
        let digest = root.map_or(digest, |root| self.digest(root));
        self.seen = Some((digest, made.as_ref().err().cloned()));
        made.map(|loaded| Look::New(loaded.provider, loaded.warnings))
    }

    /// What tells this version of all documents from others.
    fn digest(&self, root: blake3::Hash) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(root.as_bytes());
        for (url, seen) in &self.others {
            hasher.update(url.as_str().as_bytes());
            hasher.update(seen.digest.as_ref().map_or(&[], |digest| digest.as_bytes().as_slice()));
        }
        hasher.finalize()
    }

    /// The documents that the last version referred to.
    async fn read_others(&mut self, sender: &Sender) -> BTreeMap<Url, Result<String, String>> {
        let mut read = BTreeMap::new();
        for url in self.others.keys().cloned().collect::<Vec<_>>() {
            let text = self.read_other(&url, sender).await;
            read.insert(url, text);
        }
        read
    }

    async fn read_other(&mut self, url: &Url, sender: &Sender) -> Result<String, String> {
        let mut place = match url.to_file_path() {
            Ok(path) if url.scheme() == "file" => Place::File { path, stamp: None },
            _ => Place::Url { url: url.clone(), conditions: HeaderMap::new() },
        };
        let read = place.read(sender, &self.source, &self.limits).await;
        let stamp = if let Place::File { stamp, .. } = place { stamp } else { None };
        let read = read.map(Option::unwrap_or_default);
        let digest = read.as_ref().ok().map(|bytes| blake3::hash(bytes));
        self.others.insert(url.clone(), Seen { stamp, digest });
        read.and_then(text)
    }

    async fn make(
        &mut self,
        bytes: Vec<u8>,
        sender: &Arc<Sender>,
        mut others: BTreeMap<Url, Result<String, String>>,
    ) -> Result<Loaded, Error> {
        let name = self.source.document.to_string();
        let unread = |reason: String| Error::Read { document: name.clone(), reason };
        let text = text(bytes).map_err(unread)?;
        let (own, at, may_read): (_, _, MayRead) = match &self.place {
            Place::Url { url, .. } if self.source.follow_references => (Some(url.clone()), Ok(url.clone()), of_the_same_origin),
            Place::Url { url, .. } => (Some(url.clone()), Ok(url.clone()), none_unless_granted),
            Place::File { path, .. } => (None, Url::from_file_path(path), of_the_same_folder),
        };
        let at = at.map_err(|()| unread("its path is not absolute".to_owned()))?;
        let used = std::mem::take(&mut self.others);
        let mut library = {
            let (at, document) = (at, name.clone());
            let tree = off_the_workers(move || Tree::parse(0, text)).await;
            Library::new(at, tree.map_err(|reason| Error::Document { document, reason })?, may_read)
        };
        for _ in 0..MOST_ROUNDS {
            let (id, source, wanted, publish) = (self.id.clone(), self.source.clone(), Arc::clone(&self.wanted), self.publish);
            let (sender_of_calls, own) = (Arc::clone(sender), own.clone());
            let (made, back) = off_the_workers(move || {
                let name = source.document.to_string();
                let made = Document::new(&library, &name, own)
                    .map_err(|reason| Error::Document { document: name.clone(), reason })
                    .and_then(|document| load(&id, &source, &document, publish, &wanted, sender_of_calls));
                (made, library)
            })
            .await;
            library = back;
            let missing = library.take_missing();
            if missing.is_empty() {
                return made;
            }
            for url in missing {
                let text = match others.remove(&url) {
                    Some(text) => {
                        self.others.extend(used.get(&url).map(|seen| (url.clone(), *seen)));
                        text
                    }
                    None if self.others.len() >= MOST_DOCUMENTS => Err(format!("it is one more than {MOST_DOCUMENTS} documents")),
                    None => self.read_other(&url, sender).await,
                };
                library.add(url, text);
            }
        }
        Err(Error::Document { document: name, reason: "it refers to one document after the other without an end".to_owned() })
    }

    /// Waits until another look may find something new: a file has changed, or it is time to ask for a URL again.
    pub async fn changed(&self) {
        match &self.place {
            Place::Url { .. } if self.source.refresh.is_zero() => std::future::pending().await,
            Place::Url { .. } => tokio::time::sleep(self.source.refresh).await,
            Place::File { path, stamp } => {
                let others = self.others.iter().filter_map(|(url, seen)| Some((url.to_file_path().ok()?, seen.stamp)));
                let (paths, read): (Vec<PathBuf>, Vec<_>) = others.chain([(path.clone(), *stamp)]).unzip();
                let mut before = read.clone();
                loop {
                    tokio::time::sleep(GLANCE).await;
                    let mut now = Vec::with_capacity(paths.len());
                    for path in &paths {
                        now.push(Stamp::of(path).await.ok());
                    }
                    if now != read && now == before {
                        return;
                    }
                    before = now;
                }
            }
        }
    }
}

/// Of the address of a document and of one that it refers to: whether that may be read; the error says why not.
type MayRead = fn(&Url, &Url) -> Result<(), String>;

fn of_the_same_origin(own: &Url, other: &Url) -> Result<(), String> {
    if own.origin() == other.origin() { Ok(()) } else { Err("which is of another origin".to_owned()) }
}

fn none_unless_granted(own: &Url, other: &Url) -> Result<(), String> {
    of_the_same_origin(own, other)?;
    Err("which is not read: set follow_references = true to read documents of the same origin".to_owned())
}

fn of_the_same_folder(own: &Url, other: &Url) -> Result<(), String> {
    let elsewhere = || "which is not in its folder".to_owned();
    let path = |url: &Url| url.to_file_path().ok().filter(|_| url.scheme() == "file");
    let (Some(own), Some(other)) = (path(own), path(other)) else { return Err(elsewhere()) };
    // Where a link leads counts, and what is not there leads nowhere.
    let real = |path: &Path| path.canonicalize().map_err(|error| format!("which cannot be read: {}: {error}", path.display()));
    let (own, other) = (real(&own)?, real(&other)?);
    if own.parent().is_some_and(|folder| other.starts_with(folder)) { Ok(()) } else { Err(elsewhere()) }
}

/// The text of a document.
fn text(bytes: Vec<u8>) -> Result<String, String> {
    let (text, encoding, is_broken) = encoding_rs::UTF_8.decode(&bytes);
    match (is_broken, text) {
        (true, _) if encoding == encoding_rs::UTF_8 => Err("it is not UTF-8 text".to_owned()),
        (true, _) => Err(format!("it is not {} text, as it says it is", encoding.name())),
        (false, text) if encoding == encoding_rs::UTF_8 && text.len() == bytes.len() => {
            drop(text);
            String::from_utf8(bytes).map_err(|error| error.to_string())
        }
        (false, text) => Ok(text.into_owned()),
    }
}

/// Work whose length others choose: whoever else is served does not wait for it.
async fn off_the_workers<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(made) => made,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
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
