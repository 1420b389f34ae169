//! What all tools mean, as vectors of a model: made in the background, one after the other, and kept by what each tool says of itself.
//!
//! A search goes by them as soon as all tools of its view have one; until then, and whenever the model fails, it goes by words alone.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use blake3::Hash;
use serde::Serialize;
use tokio::{sync::Notify, time::timeout};

use super::{
    asked::Asked,
    embedder::{Embedded, Embedder},
    terms::Terms,
    vault::Vault,
    vectors::{Vector, Vectors},
};

/// Tools of which there are vectors at most.
const MOST: usize = 50_000;
/// When to look whether the model is another one, or serves again, where nothing else happens.
const LOOK: Duration = Duration::from_secs(30);
/// How long a search waits for the vector of its question: it shares the model's device with plugins.
const PATIENCE: Duration = Duration::from_secs(1);

/// The model that tools are ranked with, and how far it has come.
#[derive(Default)]
pub struct Meanings {
    state: Mutex<State>,
    /// The model is another one, or the tools are.
    changed: Notify,
}

#[derive(Default)]
struct State {
    embedder: Option<Arc<dyn Embedder>>,
    /// The model that vectors were last made by.
    version: Option<Hash>,
    status: MeaningStatus,
    asked: Asked,
}

/// How far the vectors of all tools are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MeaningStatus {
    /// Tools that there are.
    pub tools: usize,
    /// Of how many there is a vector.
    pub embedded: usize,
    /// Why there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a question means.
pub struct Meaning {
    pub(super) version: Hash,
    pub(super) vector: Vector,
}

/// Looks at what there is: the tools of each provider. None: nobody needs them any more.
type Look = Box<dyn Fn() -> Option<Vec<Arc<Terms>>> + Send + Sync>;

/// Why a round ended early.
enum Stopped {
    /// The catalog is gone.
    Gone,
    /// The model is another one by now.
    Outdated,
    /// The model does not serve.
    Failed(String),
}

impl Meanings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn embed_with(&self, embedder: Option<Arc<dyn Embedder>>) {
        *self.state() = State { embedder, ..State::default() };
        self.changed.notify_one();
    }

    /// There may be other tools.
    pub(crate) fn look_again(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn status(&self) -> MeaningStatus {
        self.state().status.clone()
    }

    pub(super) fn version(&self) -> Option<Hash> {
        self.state().version
    }

    fn embedder(&self) -> Option<Arc<dyn Embedder>> {
        self.state().embedder.clone()
    }

    /// The vector of a question, where it can be had soon.
    pub(crate) async fn of(&self, question: &str) -> Option<Meaning> {
        let embedder = self.embedder()?;
        match timeout(PATIENCE, self.ask(&*embedder, question)).await {
            Ok(Ok(meaning)) => meaning,
            Ok(Err(why)) => {
                tracing::debug!("tools are searched by words alone, since their model failed: {why}");
                None
            }
            Err(_) => {
                tracing::debug!("tools are searched by words alone, since their model took longer than {PATIENCE:?}");
                None
            }
        }
    }

    async fn ask(&self, embedder: &dyn Embedder, question: &str) -> Result<Option<Meaning>, String> {
        let version = embedder.version().await?;
        if let Some(vector) = self.state().asked.get(version, question) {
            return Ok(Some(Meaning { version, vector }));
        }
        let Embedded { version, vector } = embedder.embed(question).await?;
        let Some(vector) = Vector::of(&vector) else { return Ok(None) };
        self.state().asked.put(version, question, &vector);
        Ok(Some(Meaning { version, vector }))
    }

    /// Makes and keeps vectors for as long as there is something to look at. `folder`: where they are kept from one start to the next.
    pub(crate) async fn keep(self: Arc<Self>, look: Look, folder: Option<PathBuf>) {
        let mut vault = Vault::new(folder);
        loop {
            if let Some(embedder) = self.embedder() {
                match self.round(&embedder, &look, &mut vault).await {
                    Ok(()) => {
                        vault.save().await;
                        self.fails(&embedder, None);
                    }
                    Err(Stopped::Failed(why)) => self.fails(&embedder, Some(why)),
                    Err(Stopped::Outdated) => continue,
                    Err(Stopped::Gone) => return,
                }
            }
            // Time is up: it is tried again.
            let _ = timeout(LOOK, self.changed.notified()).await;
        }
    }

    /// Makes what is missing.
    async fn round(&self, embedder: &Arc<dyn Embedder>, look: &Look, vault: &mut Vault) -> Result<(), Stopped> {
        let version = embedder.version().await.map_err(Stopped::Failed)?;
        vault.open(version).await;
        let all = look().ok_or(Stopped::Gone)?;
        let tools = all.iter().map(|terms| terms.tools()).sum();
        let mut embedded = 0;
        self.progress(embedder, tools, embedded)?;
        self.state().version = Some(version);
        vault.begin();
        for terms in all {
            if embedded + terms.tools() > MOST {
                return Err(Stopped::Failed(format!("there are vectors of {MOST} tools at most, and there are {tools} tools")));
            }
            self.embed(embedder, version, &terms, vault).await?;
            embedded += terms.tools();
            self.progress(embedder, tools, embedded)?;
            vault.save_meanwhile().await;
        }
        vault.end();
        Ok(())
    }

    /// Makes the vectors of one provider's tools.
    async fn embed(&self, embedder: &Arc<dyn Embedder>, version: Hash, terms: &Arc<Terms>, vault: &mut Vault) -> Result<(), Stopped> {
        let sentences = {
            let terms = Arc::clone(terms);
            let made = move || terms.sentences().into_iter().map(|text| (blake3::hash(text.as_bytes()), text)).collect::<Vec<_>>();
            tokio::task::spawn_blocking(made).await.map_err(|error| Stopped::Failed(error.to_string()))?
        };
        let mut vectors = Vec::with_capacity(sentences.len());
        for (digest, text) in sentences {
            let known = match vault.get(&digest) {
                Some(vector) => Some(vector),
                None => {
                    let made = embedder.embed(&text).await.map_err(Stopped::Failed)?;
                    if made.version != version || !self.is_current(embedder) {
                        return Err(Stopped::Outdated);
                    }
                    let vector = Vector::of(&made.vector);
                    if let Some(vector) = &vector {
                        vault.put(digest, vector.clone());
                    }
                    vector
                }
            };
            vectors.push(known);
        }
        if terms.vectors(version).is_none() {
            terms.put_vectors(Vectors::new(version, &vectors));
        }
        Ok(())
    }

    fn is_current(&self, embedder: &Arc<dyn Embedder>) -> bool {
        self.state().embedder.as_ref().is_some_and(|current| Arc::ptr_eq(current, embedder))
    }

    fn progress(&self, embedder: &Arc<dyn Embedder>, tools: usize, embedded: usize) -> Result<(), Stopped> {
        let mut state = self.state();
        if !state.embedder.as_ref().is_some_and(|current| Arc::ptr_eq(current, embedder)) {
            return Err(Stopped::Outdated);
        }
        (state.status.tools, state.status.embedded) = (tools, embedded);
        Ok(())
    }

    /// Notes why the model fails, and says so in the log where that is news.
    fn fails(&self, embedder: &Arc<dyn Embedder>, why: Option<String>) {
        let mut state = self.state();
        if !state.embedder.as_ref().is_some_and(|current| Arc::ptr_eq(current, embedder)) || state.status.error == why {
            return;
        }
        match &why {
            Some(why) => tracing::warn!("tools are searched by words alone: {why}"),
            None => tracing::info!(tools = state.status.tools, "tools are searched by meaning again"),
        }
        state.status.error = why;
    }
}
