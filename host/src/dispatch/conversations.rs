//! What was read in each conversation, as far as it decides what may leave it.
//!
//! Each host has its own memory, and where hosts share something, what the others know is added ([`Shared`]).
//!
//! There is a bound on how many are told apart. Past it, conversations of one caller count as one, and then those of
//! all callers: so whoever makes up many of them is asked more often, and never less.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    catalog::Labels,
    provider::CallError,
    shared::{HasRead, Shared},
};

/// When to try again where other hosts cannot be asked.
const SOON: Duration = Duration::from_secs(1);

/// Conversations that are told apart, of one caller and of all.
const OF_CALLER: usize = 1_000;
const ALL: usize = 20_000;

/// What was read where.
#[derive(Debug)]
pub(super) struct Conversations {
    started: Instant,
    /// How long one is remembered after its last call, in milliseconds.
    window: AtomicU64,
    known: Mutex<HashMap<Key, Read>>,
}

/// One conversation: of which caller, and which of its own. None of its own: all that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    caller: u64,
    own: Option<u64>,
}

/// All callers together: who is too many.
const EVERYBODY: Key = Key { caller: 0, own: None };

#[derive(Clone, Copy, Debug, Default)]
struct Read {
    private: bool,
    untrusted: bool,
    /// When its last call was, in milliseconds since the start.
    used: u64,
}

impl Default for Conversations {
    fn default() -> Self {
        Self { started: Instant::now(), window: AtomicU64::new(3_600_000), known: Mutex::default() }
    }
}

impl Conversations {
    pub(super) fn remember_for(&self, window: Duration) {
        self.window.store(millis(window), Ordering::Relaxed);
    }

    /// Whether private and untrusted things were read in a conversation. `caller`: None where callers are not told
    /// apart. `own`: the caller's name for the conversation.
    pub(super) fn must_confirm(&self, caller: Option<&str>, own: Option<&str>) -> bool {
        self.must_confirm_at(millis(self.started.elapsed()), caller, own)
    }

    /// Calls with these labels are made in a conversation: what they answer counts as read from now on.
    pub(super) fn reads(&self, caller: Option<&str>, own: Option<&str>, labels: Labels) {
        if labels.private || labels.untrusted {
            self.reads_at(millis(self.started.elapsed()), caller, own, labels);
        }
    }

    /// The same of all hosts together: adds what calls with these labels read, and says whether private and untrusted things were read before.
    ///
    /// # Errors
    ///
    /// [`CallError::Uncounted`]: nobody knows, and without that the call is not to be made.
    pub(super) async fn together(
        &self,
        shared: &Shared,
        caller: Option<&str>,
        own: Option<&str>,
        labels: Labels,
    ) -> Result<bool, CallError> {
        let Some(link) = shared.link() else { return Ok(false) };
        let window = Duration::from_millis(self.window.load(Ordering::Relaxed));
        let adds = HasRead { private: labels.private, untrusted: labels.untrusted };
        match link.has_read(caller, own, adds, window).await {
            Ok(read) => Ok(read.private && read.untrusted),
            Err(fault) if shared.fails_closed() => {
                // The log and `/status` say more: where Redis is concerns no caller.
                tracing::debug!("a call is denied, since nobody knows what its conversation has read: {fault}");
                let what = "what this conversation has read cannot be looked up at the moment, and without that the call is not made";
                Err(CallError::Uncounted { what: what.to_owned(), retry_after: SOON })
            }
            Err(_) => Ok(false),
        }
    }

    fn must_confirm_at(&self, now: u64, caller: Option<&str>, own: Option<&str>) -> bool {
        let window = self.window.load(Ordering::Relaxed);
        let key = key(caller, own);
        let mut known = self.lock();
        let together = [key, Key { own: None, ..key }, EVERYBODY].into_iter().fold(Read::default(), |all, key| {
            // A call keeps what is remembered.
            let read = known.get_mut(&key).filter(|read| now.saturating_sub(read.used) <= window);
            match read {
                Some(read) => {
                    read.used = now;
                    Read { private: all.private || read.private, untrusted: all.untrusted || read.untrusted, used: now }
                }
                None => all,
            }
        });
        together.private && together.untrusted
    }

    fn reads_at(&self, now: u64, caller: Option<&str>, own: Option<&str>, labels: Labels) {
        let window = self.window.load(Ordering::Relaxed);
        let mut known = self.lock();
        let key = place(&mut known, key(caller, own), now, window);
        let read = known.entry(key).or_default();
        if now.saturating_sub(read.used) > window {
            *read = Read::default();
        }
        *read = Read { private: read.private || labels.private, untrusted: read.untrusted || labels.untrusted, used: now };
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Read>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a conversation is kept: at its own place while there is room.
fn place(known: &mut HashMap<Key, Read>, key: Key, now: u64, window: u64) -> Key {
    if known.contains_key(&key) {
        return key;
    }
    let of_caller = |known: &HashMap<Key, Read>| known.keys().filter(|other| other.caller == key.caller).count();
    if known.len() >= OF_CALLER {
        // Only who has so many is looked through, now and then.
        known.retain(|_, read| now.saturating_sub(read.used) <= window);
    }
    if known.len() < OF_CALLER || (known.len() < ALL && (key.own.is_none() || of_caller(known) < OF_CALLER)) {
        return key;
    }
    let all_of_it = Key { own: None, ..key };
    if known.contains_key(&all_of_it) || known.len() < ALL { all_of_it } else { EVERYBODY }
}

fn key(caller: Option<&str>, own: Option<&str>) -> Key {
    // 0 is everybody.
    Key { caller: digest(caller).max(1), own: own.map(|own| digest(Some(own))) }
}

fn digest(text: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: Labels = Labels { private: true, untrusted: false, outside: false };
    const UNTRUSTED: Labels = Labels { private: false, untrusted: true, outside: false };

    #[test]
    fn only_what_was_read_in_the_same_conversation_counts() {
        let all = Conversations::default();
        assert!(!all.must_confirm(Some("ann"), Some("a")));
        all.reads(Some("ann"), Some("a"), PRIVATE);
        all.reads(Some("ann"), Some("b"), UNTRUSTED);
        all.reads(Some("bob"), Some("a"), UNTRUSTED);
        assert!(!all.must_confirm(Some("ann"), Some("a")) && !all.must_confirm(Some("ann"), Some("b")));
        all.reads(Some("ann"), Some("a"), UNTRUSTED);
        assert!(all.must_confirm(Some("ann"), Some("a")));
        assert!(!all.must_confirm(Some("bob"), Some("a")) && !all.must_confirm(None, Some("a")));
        // What was read where conversations are not told apart counts in all of that caller.
        all.reads(Some("bob"), None, PRIVATE);
        assert!(all.must_confirm(Some("bob"), Some("a")) && !all.must_confirm(Some("bob"), Some("z")));
    }

    #[test]
    fn a_conversation_is_forgotten_after_its_window() {
        let all = Conversations::default();
        all.remember_for(Duration::from_secs(10));
        all.reads_at(0, None, None, PRIVATE.with(UNTRUSTED));
        // Each look is a call, which keeps what is remembered.
        assert!(all.must_confirm_at(9_000, None, None) && all.must_confirm_at(19_000, None, None));
        assert!(!all.must_confirm_at(29_001, None, None));
        all.reads_at(29_001, None, None, PRIVATE);
        assert!(!all.must_confirm_at(29_002, None, None), "what was forgotten does not come back");
        all.reads_at(29_003, None, None, UNTRUSTED);
        assert!(all.must_confirm_at(29_004, None, None));
    }

    #[test]
    fn who_makes_up_many_conversations_is_asked_more_often() {
        let all = Conversations::default();
        for number in 0..3 * OF_CALLER {
            all.reads(Some("mallory"), Some(&number.to_string()), if number % 2 == 0 { PRIVATE } else { UNTRUSTED });
        }
        assert!(all.lock().len() <= OF_CALLER + 1);
        assert!(all.must_confirm(Some("mallory"), Some("never seen")), "its conversations count as one");
        assert!(!all.must_confirm(Some("ann"), Some("1")));
        all.reads(Some("ann"), Some("1"), PRIVATE);
        assert!(!all.must_confirm(Some("ann"), Some("1")));
    }
}
