//! Where one plugin stands: what was seen of its files, which version serves, what is wrong with the newest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::Mutex, task::AbortHandle};

use super::{
    Loaded,
    events::Hint,
    names::provider_id,
    scan::{Seen, Version},
};
use crate::provider::{ProviderId, ProviderKind, ProviderState, ProviderStatus};

/// How much longer a file that was changed a moment ago may stay one that does not load before it is called broken: a copy that pauses for longer than
/// the settling time is no news for the log.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// A hint about a file that looks as before may be a write that the file's times are too coarse to show. Past this age they would show it.
const TIME_GRAIN: Duration = Duration::from_millis(100);

/// One plugin of the folder.
pub(super) struct Entry {
    /// The file's name without `.wasm`.
    stem: String,
    /// None: the name cannot be one.
    pub(super) id: Option<ProviderId>,
    pub(super) seen: Seen,
    /// The number of what the configuration said of it when it was loaded last.
    configuration: Option<u64>,
    /// Since when nobody has touched the files.
    quiet_since: Instant,
    /// Since when the file is not there. Tools like `install` remove a file and make it again.
    missing_since: Option<Instant>,
    pub(super) stage: Stage,
    /// What loads, possibly for a version that is not the newest any more.
    pub(super) task: Option<Task>,
    /// Held by whatever loads a version of it.
    pub(super) lane: Arc<Mutex<()>>,
    pub(super) serving: Option<Serving>,
    /// What waits for news of what serves, and its number.
    pub(super) hearing: Option<(u64, AbortHandle)>,
    error: Option<String>,
    shown: ProviderState,
    since: SystemTime,
}

/// What is done about the newest version.
pub(super) enum Stage {
    /// Until nobody has touched it for a while.
    Waiting,
    /// It is being loaded.
    Loading,
    /// It did not load, and that may be because it is not complete.
    Doubtful(String),
    /// It serves, or is broken.
    Done,
}

/// A running load.
pub(super) struct Task {
    /// Tells its outcome from that of an older one.
    pub(super) ticket: u64,
    pub(super) abort: AbortHandle,
    /// The file was read and is new: its loader is at work.
    pub(super) working: Arc<AtomicBool>,
}

/// What serves.
pub(super) struct Serving {
    pub(super) loaded: Loaded,
    pub(super) version: Version,
}

/// The two clocks at the beginning of a look.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) system: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { instant: Instant::now(), system: SystemTime::now() }
    }
}

/// What a look makes due.
pub(super) enum Due {
    /// Nothing, or not yet.
    Nothing,
    /// To be loaded.
    Load,
    /// Broken, and nothing is to be done: a sentence.
    Broken(String),
    /// Not there any more.
    Gone,
}

impl Entry {
    pub(super) fn new(stem: &str, seen: Seen, moment: Moment) -> Self {
        let (id, error) = match provider_id(stem) {
            Ok(id) => (Some(id), None),
            Err(error) => (None, Some(error)),
        };
        let quiet_since = before(moment.instant, seen.age(moment.system));
        // What has no name is never opened; the first look still reports it as anything else.
        Self {
            stem: stem.to_owned(),
            id,
            seen,
            configuration: None,
            quiet_since,
            missing_since: None,
            stage: Stage::Waiting,
            task: None,
            lane: Arc::default(),
            serving: None,
            hearing: None,
            error,
            shown: ProviderState::Loading,
            since: moment.system,
        }
    }

    /// Takes in what a look saw and what was hinted at.
    pub(super) fn observe(&mut self, seen: Option<Seen>, hint: Option<Hint>, moment: Moment, settle: Duration) {
        let Some(seen) = seen else {
            self.missing_since.get_or_insert(moment.instant);
            return;
        };
        self.missing_since = None;
        let age = seen.age(moment.system);
        let changed = seen != self.seen;
        self.seen = seen;
        if !changed && (hint.is_none() || age > TIME_GRAIN) {
            return;
        }
        self.quiet_since = match hint {
            Some(Hint::Renamed) => before(moment.instant, settle.saturating_add(PATIENCE)),
            Some(Hint::Written) if !changed => moment.instant,
            _ => before(moment.instant, age),
        };
        if self.id.is_some() {
            self.stage = Stage::Waiting;
        }
    }

    /// It is loaded with the number of what the configuration says of it.
    pub(super) fn begins(&mut self, configuration: u64) {
        self.configuration = Some(configuration);
        self.stage = Stage::Loading;
    }

    /// The configuration has this number for it now: whether it has to be loaded again.
    pub(super) fn reconfigured(&mut self, configuration: u64) -> bool {
        // What has not been loaded yet will be loaded with the new one.
        let again = self.configuration.is_some_and(|before| before != configuration);
        if again {
            self.stage = Stage::Waiting;
        }
        again
    }

    /// Its content was another one than the look had seen: look again.
    pub(super) fn disturbed(&mut self) {
        self.quiet_since = Instant::now();
        self.stage = Stage::Waiting;
    }

    /// When something is to be done about it, unless something else happens before.
    pub(super) fn due_at(&self, settle: Duration) -> Option<Instant> {
        if let Some(missing) = self.missing_since {
            return Some(missing + settle);
        }
        match self.stage {
            Stage::Waiting => Some(self.quiet_since + settle),
            Stage::Doubtful(_) => Some(self.quiet_since + settle + PATIENCE),
            Stage::Loading | Stage::Done => None,
        }
    }

    /// What is to be done about it, after a look.
    pub(super) fn due(&mut self, now: Instant, settle: Duration) -> Due {
        if self.due_at(settle).is_none_or(|at| at > now) {
            return Due::Nothing;
        }
        if self.missing_since.is_some() {
            return Due::Gone;
        }
        match &self.stage {
            Stage::Doubtful(error) => Due::Broken(error.clone()),
            _ if self.id.is_none() => Due::Broken(self.error.clone().unwrap_or_default()),
            _ => self.seen.refused().map_or(Due::Load, Due::Broken),
        }
    }

    /// Whether a failure now says more than that somebody pauses in writing.
    pub(super) fn certain(&self, settle: Duration) -> bool {
        self.quiet_since.elapsed() >= settle.saturating_add(PATIENCE)
    }

    /// It cannot serve.
    pub(super) fn broken(&mut self, error: String) {
        self.stage = Stage::Done;
        self.error = Some(error);
        self.turned();
    }

    /// Whether nothing was said yet of this error.
    pub(super) fn is_news(&self, error: &str) -> bool {
        self.shown == ProviderState::Loading || self.error.as_deref() != Some(error)
    }

    /// Whether its newest version is broken.
    pub(super) fn is_broken(&self) -> bool {
        self.error.is_some()
    }

    /// Its newest version serves: this one, or the one that did before.
    pub(super) fn serves(&mut self, newest: Option<Serving>) {
        if let Some(newest) = newest {
            self.serving = Some(newest);
            self.since = SystemTime::now();
        }
        self.error = None;
        if matches!(self.stage, Stage::Loading) {
            self.stage = Stage::Done;
        }
        self.turned();
    }

    /// Ends what loads an older version.
    pub(super) fn abandon(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort.abort();
        }
    }

    /// Ends the waiting for news.
    pub(super) fn stop_hearing(&mut self) {
        if let Some((_, abort)) = self.hearing.take() {
            abort.abort();
        }
    }

    /// Whether the start need not wait for it any longer.
    pub(super) fn started(&self, patient: bool) -> bool {
        match self.stage {
            Stage::Done => true,
            Stage::Waiting | Stage::Doubtful(_) => !patient,
            Stage::Loading => false,
        }
    }

    /// Why it cannot be called now, though it is served.
    fn trouble(&self) -> Option<String> {
        self.serving.as_ref().and_then(|serving| serving.loaded.load.trouble())
    }

    /// Why the newest version cannot serve, while it may still be that somebody pauses in writing it.
    fn doubt(&self) -> Option<String> {
        match &self.stage {
            Stage::Doubtful(error) if self.serving.is_some() => Some(error.clone()),
            _ => None,
        }
    }

    fn state(&self) -> ProviderState {
        match (&self.serving, &self.error) {
            (None, None) => ProviderState::Loading,
            (None, Some(_)) => ProviderState::Broken,
            (Some(_), Some(_)) => ProviderState::ServingPrevious,
            (Some(_), None) => {
                let working = self.task.as_ref().is_some_and(|task| task.working.load(Ordering::Relaxed));
                if working || matches!(self.stage, Stage::Doubtful(_)) { ProviderState::ServingPrevious } else { ProviderState::Serving }
            }
        }
    }

    fn turned(&mut self) {
        let state = self.state();
        if state != self.shown {
            self.shown = state;
            self.since = SystemTime::now();
        }
    }

    /// The name to show in a log.
    pub(super) fn name(&self) -> &str {
        &self.stem
    }

    /// What an operator sees.
    pub(super) fn status(&self) -> ProviderStatus {
        let serving = self.serving.as_ref();
        let loaded = serving.map(|serving| &serving.loaded);
        let name = if self.id.is_some() { self.stem.clone() } else { format!("{}.wasm", self.stem) };
        let source = self.seen.file.path.display().to_string();
        let trouble = if self.error.is_none() { self.trouble() } else { None };
        let state = if trouble.is_some() { ProviderState::Broken } else { self.state() };
        ProviderStatus {
            digest: serving.map(|serving| short(serving.version.digest)),
            tools: loaded.map(|loaded| loaded.provider.tools().iter().map(|tool| tool.name.to_string()).collect()).unwrap_or_default(),
            offers: loaded.map(|loaded| loaded.provider.offers().into()).unwrap_or_default(),
            error: self.error.clone().or(trouble).or_else(|| self.doubt()),
            warnings: loaded.map(|loaded| loaded.warnings.clone()).unwrap_or_default(),
            imports: loaded.map(|loaded| loaded.imports.to_vec()).unwrap_or_default(),
            loaded: loaded.and_then(|loaded| loaded.load.is_loaded()),
            compiled: loaded.and_then(|loaded| loaded.compiled),
            in_flight: loaded.map_or(0, |loaded| loaded.load.in_flight()),
            queued: loaded.map_or(0, |loaded| loaded.load.queued()),
            since: self.since,
            ..ProviderStatus::new(name, ProviderKind::Wasm, state, source)
        }
    }
}

/// The first 16 hex digits, as statuses and logs show a digest.
pub(super) fn short(digest: blake3::Hash) -> String {
    digest.to_hex().chars().take(16).collect()
}

/// A clock that has just been started has no long ago.
fn before(now: Instant, age: Duration) -> Instant {
    now.checked_sub(age).unwrap_or(now)
}
