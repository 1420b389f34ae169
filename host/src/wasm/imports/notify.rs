//! The import `notify`: what a plugin says has changed, gathered until somebody has time for it.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::bindings::toolbay::plugin::notify::Host;
use crate::wasm::instance::State;

/// How long what is said is gathered: a call that changes ten resources is one message, and nobody notices it.
const GATHER: Duration = Duration::from_millis(50);

/// The shortest time between two looks at a plugin's lists. A plugin that says in each call that they have changed costs a few instances a second.
const LOOK: Duration = Duration::from_secs(1);

/// Addresses that wait to be told, and bytes of them. What is over is dropped, with a word in the log.
const URIS: usize = 512;
const BYTES: usize = 256 << 10;

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) lists: Lists,
    /// Resources that hold something else now.
    pub(crate) updated: BTreeSet<String>,
}

/// Lists that have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lists {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
}

impl Lists {
    pub(crate) const ALL: Self = Self { tools: true, prompts: true, resources: true };

    pub(crate) fn any(self) -> bool {
        self != Self::default()
    }
}

/// What the calls of one version of a plugin have said and nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct ChangeSignal {
    waiting: Mutex<Waiting>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lists: Lists,
    /// Since when lists wait, and updates.
    lists_since: Option<Instant>,
    updated: BTreeSet<String>,
    updated_since: Option<Instant>,
    bytes: usize,
    dropped: usize,
    /// When the lists were looked at last.
    looked: Option<Instant>,
}

impl Waiting {
    /// When the lists can be looked at, if they wait.
    fn lists_due(&self) -> Option<Instant> {
        let gathered = self.lists_since? + GATHER;
        Some(self.looked.map_or(gathered, |looked| gathered.max(looked + LOOK)))
    }

    /// When the updates can be told, if there are any.
    fn updates_due(&self) -> Option<Instant> {
        Some(self.updated_since? + GATHER)
    }

    fn take(&mut self, now: Instant) -> Said {
        let mut said = Said::default();
        if self.lists_due().is_some_and(|due| due <= now) {
            (self.lists_since, self.looked) = (None, Some(now));
            said.lists = std::mem::take(&mut self.lists);
        }
        if self.updates_due().is_some_and(|due| due <= now) {
            (self.updated_since, self.bytes) = (None, 0);
            said.updated = std::mem::take(&mut self.updated);
        }
        said
    }
}

impl ChangeSignal {
    /// These lists would say something else now.
    pub(crate) fn changed(&self, lists: Lists) {
        let mut waiting = self.lock();
        waiting.lists.tools |= lists.tools;
        waiting.lists.prompts |= lists.prompts;
        waiting.lists.resources |= lists.resources;
        if waiting.lists_since.is_none() {
            waiting.lists_since = Some(Instant::now());
            self.rung.notify_one();
        }
    }

    fn updated(&self, uri: String) {
        let mut waiting = self.lock();
        if waiting.updated.contains(&uri) {
            return;
        }
        if waiting.updated.len() >= URIS || waiting.bytes + uri.len() > BYTES {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes += uri.len();
        waiting.updated.insert(uri);
        if waiting.updated_since.is_none() {
            waiting.updated_since = Some(Instant::now());
            self.rung.notify_one();
        }
    }

    /// What was taken and not told.
    pub(crate) fn say_again(&self, said: Said) {
        if said.lists.any() {
            self.changed(said.lists);
        }
        for uri in said.updated {
            self.updated(uri);
        }
    }

    /// Waits until something is to be told. Dropping the future loses nothing.
    pub(crate) async fn wait(&self, plugin: &str) -> Said {
        loop {
            // What is said from here on is noticed below.
            let rung = self.rung.notified();
            let now = Instant::now();
            let (due, said, dropped) = {
                let mut waiting = self.lock();
                let said = waiting.take(now);
                (waiting.lists_due().into_iter().chain(waiting.updates_due()).min(), said, std::mem::take(&mut waiting.dropped))
            };
            if dropped > 0 {
                tracing::warn!(plugin, dropped, "resource updates were dropped: a plugin can send {URIS} in {} ms", GATHER.as_millis());
            }
            if said.lists.any() || !said.updated.is_empty() {
                return said;
            }
            match due {
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = rung => {}
                },
                None => rung.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While a list is made, nothing is taken: a list that says of itself that it has changed would be made for ever.
impl Host for State {
    fn tools_changed(&mut self) -> wasmtime::Result<()> {
        self.say(|bell| bell.changed(Lists { tools: true, ..Lists::default() }))
    }

    fn prompts_changed(&mut self) -> wasmtime::Result<()> {
        self.say(|bell| bell.changed(Lists { prompts: true, ..Lists::default() }))
    }

    fn resources_changed(&mut self) -> wasmtime::Result<()> {
        self.say(|bell| bell.changed(Lists { resources: true, ..Lists::default() }))
    }

    fn resource_updated(&mut self, uri: String) -> wasmtime::Result<()> {
        self.say(|bell| bell.updated(uri))
    }
}

impl State {
    fn say(&self, what: impl FnOnce(&ChangeSignal)) -> wasmtime::Result<()> {
        if !self.listing {
            what(&self.shared.bell);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(bell: &ChangeSignal) -> impl Future<Output = Said> {
        bell.wait("p")
    }

    #[tokio::test]
    async fn what_is_said_together_is_told_together() {
        let bell = ChangeSignal::default();
        for _ in 0..1000 {
            bell.changed(Lists { tools: true, ..Lists::default() });
            bell.updated("a:1".to_owned());
            bell.updated("a:2".to_owned());
        }
        let said = waits(&bell).await;
        assert_eq!(said.lists, Lists { tools: true, ..Lists::default() });
        assert_eq!(said.updated.into_iter().collect::<Vec<_>>(), ["a:1", "a:2"]);
        let nothing = tokio::time::timeout(GATHER * 4, waits(&bell)).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }

    #[tokio::test]
    async fn a_flood_of_addresses_is_bounded() {
        let bell = ChangeSignal::default();
        for n in 0..100_000 {
            bell.updated(format!("a:{n}"));
        }
        assert_eq!(waits(&bell).await.updated.len(), URIS);
        for n in 0..1000 {
            bell.updated(format!("a:{n}{}", "x".repeat(BYTES / 10)));
        }
        let kept: usize = waits(&bell).await.updated.iter().map(String::len).sum();
        assert!(kept <= BYTES, "{kept}");
    }

    #[tokio::test]
    async fn lists_are_looked_at_once_a_second_and_updates_do_not_wait_for_them() {
        let bell = ChangeSignal::default();
        bell.changed(Lists { prompts: true, ..Lists::default() });
        assert!(waits(&bell).await.lists.prompts);
        let looked = Instant::now();
        bell.changed(Lists { prompts: true, ..Lists::default() });
        bell.updated("a:1".to_owned());
        let said = waits(&bell).await;
        assert!(!said.lists.any() && said.updated.len() == 1, "{said:?}");
        let said = waits(&bell).await;
        assert!(said.lists.prompts && looked.elapsed() >= LOOK, "{said:?} after {:?}", looked.elapsed());
    }

    #[tokio::test]
    async fn who_stops_waiting_loses_nothing() {
        let bell = ChangeSignal::default();
        bell.updated("a:1".to_owned());
        assert!(tokio::time::timeout(GATHER / 2, waits(&bell)).await.is_err());
        assert_eq!(waits(&bell).await.updated.len(), 1);
    }
}
