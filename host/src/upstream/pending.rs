//! The requests that a server has been sent and has not answered, on any transport: whose they are, and whose alone a message can be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::AbortHandle};

use super::{CallGuard, ChannelError};
use crate::provider::{Asker, JsonText, Notifier};

/// The outcome of a request.
pub(crate) type Reply = Result<JsonText, ChannelError>;

/// A request that was given up so long ago is over, even if the server never said so. Many servers do not answer what was cancelled.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Those are looked for once in so many requests.
const SWEEP_EVERY: u64 = 256;

/// All requests in flight on one connection.
#[derive(Default)]
pub(crate) struct Flight(Mutex<HashMap<u64, Entry>>);

/// One of them.
pub(crate) struct Entry {
    /// Who waits. None: nobody any more, but the server has not answered, so that what it says may still belong to this one.
    pub(crate) waits: Option<oneshot::Sender<Reply>>,
    pub(crate) notifier: Option<Arc<dyn Notifier>>,
    pub(crate) asker: Option<Arc<dyn Asker>>,
    /// Held until the server has answered: where calls go one at a time, the next one waits for this. None: outside of the order, as the handshake is.
    pub(crate) turn: Option<Arc<CallGuard>>,
    /// Questions of the server that this request's caller is being asked.
    pub(crate) questions: Vec<AbortHandle>,
    /// It is made for a caller, so that what the server says can be for it. A ping, the handshake and lists are not.
    pub(crate) is_call: bool,
    /// Since when nobody waits.
    pub(crate) left: Option<Instant>,
}

/// Whose a message is that does not say so.
pub(crate) enum Whose {
    /// This request was the only one in flight.
    Only(u64, Option<Arc<dyn Notifier>>, Option<Arc<dyn Asker>>),
    /// Nobody's: none was in flight, or only one that nobody waits for.
    Nobody,
    /// There were several.
    Unclear,
}

impl Flight {
    pub(crate) fn insert(&self, id: u64, entry: Entry) {
        let mut flight = self.lock();
        if id.is_multiple_of(SWEEP_EVERY) {
            flight.retain(|_, entry| entry.left.is_none_or(|left| left.elapsed() < FORGOTTEN));
        }
        flight.insert(id, entry);
    }

    /// The request is over: the server has answered, or it was never sent.
    pub(crate) fn remove(&self, id: u64) -> Option<Entry> {
        let entry = self.lock().remove(&id)?;
        entry.questions.iter().for_each(AbortHandle::abort);
        Some(entry)
    }

    /// Nobody waits for the request any more. False: it is over already.
    pub(crate) fn leave(&self, id: u64) -> bool {
        let mut flight = self.lock();
        let Some(entry) = flight.get_mut(&id) else { return false };
        entry.waits = None;
        entry.notifier = None;
        entry.asker = None;
        entry.left = Some(Instant::now());
        entry.questions.drain(..).for_each(|question| question.abort());
        true
    }

    /// Ends a request early for who waits; the server has still to answer.
    pub(crate) fn tell(&self, id: u64, reply: Reply) {
        let waits = self.lock().get_mut(&id).and_then(|entry| entry.waits.take());
        if let Some(waits) = waits {
            let _ = waits.send(reply);
        }
    }

    /// The only request that somebody waits for.
    pub(crate) fn only_waiting(&self) -> Option<u64> {
        let flight = self.lock();
        let mut waiting = flight.iter().filter(|(_, entry)| entry.waits.is_some()).map(|(id, _)| *id);
        waiting.next().filter(|_| waiting.next().is_none())
    }

    pub(crate) fn notifier(&self, id: u64) -> Option<Arc<dyn Notifier>> {
        self.lock().get(&id)?.notifier.clone()
    }

    /// Whose a message is that names no request. Requests that were left longer ago than `silent` say nothing any more.
    pub(crate) fn whose(&self, silent: Option<Duration>) -> Whose {
        let flight = self.lock();
        let speaks = |entry: &Entry| entry.is_call && silent.is_none_or(|silent| entry.left.is_none_or(|left| left.elapsed() < silent));
        let mut entries = flight.iter().filter(|(_, entry)| speaks(entry));
        match (entries.next(), entries.next()) {
            (None, _) => Whose::Nobody,
            (Some((_, entry)), None) if entry.waits.is_none() => Whose::Nobody,
            (Some((id, entry)), None) => Whose::Only(*id, entry.notifier.clone(), entry.asker.clone()),
            (Some(_), Some(_)) => Whose::Unclear,
        }
    }

    /// The message's own request, where it says which.
    pub(crate) fn of(&self, id: u64) -> Whose {
        match self.lock().get(&id) {
            Some(entry) if entry.waits.is_some() => Whose::Only(id, entry.notifier.clone(), entry.asker.clone()),
            _ => Whose::Nobody,
        }
    }

    /// Questions of the server that a request's caller is being asked.
    pub(crate) fn questions(&self, id: u64) -> usize {
        self.lock().get(&id).map_or(0, |entry| entry.questions.iter().filter(|question| !question.is_finished()).count())
    }

    /// Remembers a question, to be given up with its request. False: the request is over.
    pub(crate) fn question(&self, id: u64, task: AbortHandle) -> bool {
        match self.lock().get_mut(&id).filter(|entry| entry.waits.is_some()) {
            Some(entry) => {
                entry.questions.retain(|task| !task.is_finished());
                entry.questions.push(task);
                true
            }
            None => {
                task.abort();
                false
            }
        }
    }

    /// Whether all that is in flight was left at least so long ago, and there is some.
    pub(crate) fn is_forsaken(&self, since: Duration) -> bool {
        let flight = self.lock();
        let mut calls = flight.values().filter(|entry| entry.is_call).peekable();
        calls.peek().is_some() && calls.all(|entry| entry.left.is_some_and(|left| left.elapsed() >= since))
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Ends all of it.
    pub(crate) fn fail(&self, why: &str) {
        let entries = std::mem::take(&mut *self.lock());
        for entry in entries.into_values() {
            entry.questions.iter().for_each(AbortHandle::abort);
            if let Some(waits) = entry.waits {
                let _ = waits.send(Err(ChannelError::Closed(why.to_owned())));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
