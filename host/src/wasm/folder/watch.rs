//! The task that owns the folder: when to look, what to load, what to tell.

use std::{
    collections::{BTreeSet, HashMap},
    future::pending,
    io,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, mpsc, watch as channel},
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    FolderOptions, Loader, PluginUpdate, Shared, blocking,
    entry::{Due, Entry, Moment, Stage, Task},
    events::{Events, Hints},
    load::{Job, Outcome, load, tell, tell_lists},
    mounts::silent_file_system,
    pulled::{self, Over, Pulled},
    scan::{self, Scan},
};
use crate::provider::ProviderChange;

/// How often the folder is looked at where there are no events. With the settling time it stays below the second within which a change is live.
const POLL: Duration = Duration::from_millis(750);
/// How often it is made sure that the watch is on the folder that stands at the path: nothing tells of a folder that comes (back) into being.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How often everything is looked at although no event asked for it.
const SAFETY: Duration = Duration::from_secs(30);
/// The shortest time from one look to the next; a look that takes long waits for ten times as long, so that looking costs a tenth of a core at most.
const LOOK_GAP: Duration = Duration::from_millis(20);
/// How long a change waits for others that are nearly ready, to be sent with them.
const GATHER: Duration = Duration::from_millis(5);
/// The same for each plugin that is still being loaded: the catalog is made anew with every change, which takes the longer the more there are.
const GATHER_EACH: Duration = Duration::from_micros(25);
/// How long the start waits for a file that somebody is still copying.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// How long a sidecar may be without its plugin before that is worth a line: the two are often copied one after the other.
const ORPHAN_AGE: Duration = Duration::from_secs(3);

/// What a load sends back: which plugin, which load, how it ended.
type Finished = (String, u64, Outcome);

/// What a plugin that serves said: which plugin, which of its versions, what.
type Heard = (String, u64, PluginUpdate);

/// The watching task's state.
pub(super) struct Watch {
    options: FolderOptions,
    loader: Arc<dyn Loader>,
    changes: mpsc::Sender<Vec<ProviderChange>>,
    shared: Arc<Shared>,
    token: CancellationToken,
    hints: Arc<Hints>,
    /// None: polling.
    events: Option<Arc<Events>>,
    turns: Arc<Semaphore>,
    loads: JoinSet<Finished>,
    news: JoinSet<Heard>,
    tickets: u64,
    outbox: Vec<ProviderChange>,
    outbox_since: Instant,
    /// Somebody asked for a look.
    wanted: bool,
    /// When an entry needs a look.
    due: Option<Instant>,
    /// No look before this.
    not_before: Instant,
    looked: Instant,
    started: Instant,
    /// What the start still waits for. None: nothing was looked at yet.
    starting: Option<Vec<String>>,
    links: bool,
    /// What is wrong with the folder itself, said once.
    trouble: Option<String>,
    orphans: HashMap<PathBuf, Option<Instant>>,
    /// Files in whose place a pulled plugin is, said once.
    shadowed: BTreeSet<PathBuf>,
    /// Whether the start knows of all pulled plugins.
    is_whole: bool,
}

impl Watch {
    /// Prepares the watching: from here on no event is lost.
    pub(super) async fn start(
        options: FolderOptions,
        loader: Arc<dyn Loader>,
        changes: mpsc::Sender<Vec<ProviderChange>>,
        shared: Arc<Shared>,
        token: CancellationToken,
    ) -> Self {
        let hints = Arc::new(Hints::default());
        let mut events = None;
        if options.poll.is_none() {
            let (path, hints) = (options.path.clone(), Arc::clone(&hints));
            let started = blocking(move || match silent_file_system(&path) {
                Some(kind) => Err(format!("it is on {kind}, which does not report all changes")),
                None => Events::start(&path, &hints).map_err(|error| no_events(&error)),
            });
            match started.await.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(started) => events = Some(Arc::new(started)),
                Err(why) => tell_polling(&options, &why),
            }
        }
        let now = Instant::now();
        Self {
            turns: Arc::new(Semaphore::new(options.jobs.clamp(1, Semaphore::MAX_PERMITS))),
            options,
            loader,
            changes,
            shared,
            token,
            hints,
            events,
            loads: JoinSet::new(),
            news: JoinSet::new(),
            tickets: 0,
            outbox: Vec::new(),
            outbox_since: now,
            wanted: true,
            due: None,
            not_before: now,
            looked: now,
            started: now,
            starting: None,
            links: false,
            // One that may be missing and is was told of.
            trouble: None,
            orphans: HashMap::new(),
            shadowed: BTreeSet::new(),
            is_whole: false,
        }
    }

    /// Watches until it is told to end, or nobody wants to know.
    pub(super) async fn run(mut self) {
        let token = self.token.clone();
        // Whoever waits for the start must not wait for a task that has ended.
        let _ended = token.clone().drop_guard();
        tokio::select! {
            () = token.cancelled() => {}
            () = self.turn_around() => tracing::debug!("nothing reads the changes of the plugins folder: it is no longer watched"),
        }
        for entry in self.shared.entries().values_mut() {
            entry.abandon();
        }
        self.loads.shutdown().await;
        self.news.shutdown().await;
        self.loader.end();
    }

    async fn turn_around(&mut self) {
        let mut heartbeat = interval(self.pulse());
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        loop {
            if !self.send().await {
                return;
            }
            self.check_started();
            let look = self.next_look();
            let send = (!self.outbox.is_empty()).then(|| self.outbox_since + self.gather());
            tokio::select! {
                () = self.hints.notify.notified() => self.wanted = true,
                () = shared.reconfigured.notified() => self.reconfigured(),
                () = pulled_changes(&mut self.options.pulled) => self.wanted = true,
                _ = heartbeat.tick() => self.beat().await,
                Some(ended) = self.loads.join_next() => {
                    self.finish(ended);
                    while let Some(ended) = self.loads.try_join_next() {
                        self.finish(ended);
                    }
                }
                Some(heard) = self.news.join_next() => self.hear(heard),
                () = at(look) => {
                    let polling = self.events.is_none();
                    self.look().await;
                    if self.events.is_none() != polling {
                        heartbeat = interval(self.pulse());
                        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    }
                }
                () = at(send) => {}
            }
        }
    }

    /// Asks for a look at the plugins of which the configuration says something else now.
    fn reconfigured(&mut self) {
        for entry in self.shared.entries().values_mut() {
            let Some(id) = entry.id.clone() else { continue };
            self.wanted |= entry.reconfigured(self.loader.configuration(&id));
        }
    }

    fn pulse(&self) -> Duration {
        let pulse = if self.events.is_some() { HEARTBEAT } else { self.options.poll.unwrap_or(POLL) };
        pulse.max(LOOK_GAP)
    }

    fn next_look(&self) -> Option<Instant> {
        let look = if self.wanted { Some(self.not_before) } else { self.due };
        look.map(|at| at.max(self.not_before))
    }

    /// Asks for a look where events may not tell.
    async fn beat(&mut self) {
        self.tell_orphans();
        let Some(events) = &self.events else {
            self.wanted = true;
            return;
        };
        self.wanted |= self.links || self.trouble.is_some() || self.looked.elapsed() >= SAFETY;
        if !self.wanted {
            let events = Arc::clone(events);
            self.wanted = !blocking(move || events.intact()).await.unwrap_or(false);
        }
    }

    /// Looks at the folder and does what follows from it.
    async fn look(&mut self) {
        // Before the look: what happens during it asks for the next one.
        self.wanted = false;
        let hints = self.hints.take();
        let moment = Moment::now();
        let (events, path, max_file) = (self.events.clone(), self.options.path.clone(), self.options.max_file);
        let pulled = self.options.pulled.as_mut().map(|pulled| Arc::clone(&pulled.borrow_and_update()));
        let looked = blocking(move || {
            let ensured = events.map_or(Ok(()), |events| events.ensure());
            let scanned = scan::scan(&path, max_file);
            let over = pulled.map_or_else(Over::nothing, |pulled| pulled::look(&pulled, &path, scanned.as_ref().ok(), max_file));
            (ensured, scanned, over)
        });
        let (ensured, scanned, over) = looked.await.unwrap_or_else(|error| (Ok(()), Err(error), Over::default()));
        self.looked = Instant::now();
        self.not_before = self.looked + LOOK_GAP.max(moment.instant.elapsed() * 10);
        if let Err(error) = ensured {
            tell_polling(&self.options, &no_events(&error));
            self.events = None;
        }
        let Some(mut scan) = self.take_in(scanned) else {
            self.due = None;
            return;
        };
        self.links = scan.links;
        self.tell_shadowed(&over.shadowed);
        let shared = Arc::clone(&self.shared);
        let mut entries = shared.entries();
        let is_whole = over.whole;
        over.lay(&mut scan, &entries);
        self.note_orphans(&scan, moment.instant);
        if !self.is_whole {
            // What is pulled may come later than what the folder has: the start waits for both.
            self.starting.get_or_insert_default().extend(scan.plugins.keys().cloned());
            self.is_whole = is_whole;
        }
        let settle = self.options.settle;
        let mut plugins = scan.plugins;
        for (stem, entry) in entries.iter_mut() {
            entry.observe(plugins.remove(stem), hints.get(stem).copied(), moment, settle);
        }
        for (stem, seen) in plugins {
            let mut entry = Entry::new(&stem, seen.clone(), moment);
            if let Some(hint) = hints.get(&stem) {
                entry.observe(Some(seen), Some(*hint), moment, settle);
            }
            entries.insert(stem, entry);
        }
        self.loader.expect(entries.len());
        entries.retain(|_, entry| match entry.due(moment.instant, settle) {
            Due::Nothing => true,
            Due::Load => {
                self.begin(entry);
                true
            }
            Due::Broken(error) => {
                entry.abandon();
                // A folder of that name is looked at whenever something in it changes, and stays one.
                if entry.is_news(&error) {
                    tell_broken(entry, error);
                } else {
                    entry.broken(error);
                }
                true
            }
            Due::Gone => {
                entry.abandon();
                entry.stop_hearing();
                self.remove(entry);
                false
            }
        });
        self.due = entries.values().filter_map(|entry| entry.due_at(settle)).min();
    }

    /// What to make of a look at the folder. None: nothing.
    fn take_in(&mut self, scanned: io::Result<Scan>) -> Option<Scan> {
        let path = self.options.path.display();
        let is_optional = self.options.optional;
        match scanned {
            Ok(scan) => {
                if self.trouble.take().is_some() {
                    tracing::info!(folder = %path, "the plugins folder is back");
                }
                Some(scan)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                if self.trouble.is_none() && !(is_optional && self.starting.is_none()) {
                    tracing::warn!(folder = %path, "the plugins folder is gone, and its plugins with it; create it again to serve them");
                }
                self.trouble = Some(error.to_string());
                Some(Scan::default())
            }
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_ref() != Some(&text) {
                    tracing::warn!(folder = %path, %error, "cannot list the plugins folder; loaded plugins keep serving, and it is retried");
                }
                self.trouble = Some(text);
                None
            }
        }
    }

    /// Starts to load what was seen last, in place of what may be loading.
    fn begin(&mut self, entry: &mut Entry) {
        entry.abandon();
        let Some(id) = entry.id.clone() else { return };
        self.tickets += 1;
        let (ticket, stem, working) = (self.tickets, entry.name().to_owned(), Arc::new(AtomicBool::new(false)));
        let current = entry.serving.as_ref().map(|serving| serving.version);
        let configuration = self.loader.configuration(&id);
        let job =
            Job { id, seen: entry.seen.clone(), configuration, current, working: Arc::clone(&working), lane: Arc::clone(&entry.lane) };
        let loading = load(job, Arc::clone(&self.loader), Arc::clone(&self.turns));
        let abort = self.loads.spawn(async move { (stem, ticket, loading.await) });
        entry.task = Some(Task { ticket, abort, working });
        entry.begins(configuration);
    }

    /// Takes in how a load ended.
    fn finish(&mut self, ended: Result<Finished, JoinError>) {
        // The only way to an error is to have been abandoned: a panic of the loader is caught where it is called.
        let Ok((stem, ticket, outcome)) = ended else { return };
        let shared = Arc::clone(&self.shared);
        let mut entries = shared.entries();
        let Some(entry) = entries.get_mut(&stem) else { return };
        if entry.task.as_ref().is_none_or(|task| task.ticket != ticket) {
            return;
        }
        entry.task = None;
        let newest = matches!(entry.stage, Stage::Loading);
        match outcome {
            Outcome::Loaded(serving, took) => {
                if let Some(id) = &entry.id {
                    tell(id, &serving, took, entry.serving.is_some());
                }
                self.post(ProviderChange::Put(Arc::clone(&serving.loaded.provider)));
                entry.serves(Some(serving));
                self.listen(entry);
            }
            // A newer version is waited for already.
            _ if !newest => {}
            Outcome::Same => {
                if entry.is_broken() {
                    tracing::info!(plugin = entry.name(), "the file is the serving version again");
                }
                entry.serves(None);
            }
            Outcome::Changed => entry.disturbed(),
            Outcome::Failed(error) if entry.certain(self.options.settle) => tell_broken(entry, error),
            Outcome::Failed(error) => entry.stage = Stage::Doubtful(error),
        }
        if let Some(at) = entry.due_at(self.options.settle) {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    /// Waits for the next thing that what serves says.
    fn listen(&mut self, entry: &mut Entry) {
        entry.stop_hearing();
        let Some(news) = entry.serving.as_ref().and_then(|serving| serving.loaded.news.clone()) else { return };
        self.tickets += 1;
        let (ticket, stem) = (self.tickets, entry.name().to_owned());
        let abort = self.news.spawn(async move { (stem, ticket, news.next().await) });
        entry.hearing = Some((ticket, abort));
    }

    /// Takes in what a plugin said.
    fn hear(&mut self, heard: Result<Heard, JoinError>) {
        // The only way to an error is that another version serves.
        let Ok((stem, ticket, PluginUpdate { relisted, updated })) = heard else { return };
        let shared = Arc::clone(&self.shared);
        let mut entries = shared.entries();
        let Some(entry) = entries.get_mut(&stem).filter(|entry| entry.hearing.as_ref().is_some_and(|(now, _)| *now == ticket)) else {
            return;
        };
        let (Some(id), Some(serving)) = (entry.id.clone(), &mut entry.serving) else { return };
        if let Some(loaded) = relisted {
            let early = serving.loaded.compiled.filter(|early| loaded.compiled.is_some_and(|now| now.by != early.by));
            match early {
                Some(early) => {
                    let seconds = early.since.elapsed().unwrap_or_default().as_secs();
                    let (from, to) = (early.by, loaded.compiled.map(|now| now.by));
                    tracing::info!(plugin = %id, from, to, seconds, "optimised code serves from now on");
                }
                None => tell_lists(&id, &loaded),
            }
            self.post(ProviderChange::Put(Arc::clone(&loaded.provider)));
            serving.loaded = loaded;
        }
        for uri in updated {
            self.post(ProviderChange::Updated(id.clone(), uri));
        }
        self.listen(entry);
    }

    fn remove(&mut self, entry: &Entry) {
        let Some(id) = &entry.id else { return };
        tracing::info!(plugin = %id, "plugin removed");
        if entry.serving.is_some() {
            self.post(ProviderChange::Remove(id.clone()));
        }
    }

    /// How long what is to be told waits for more.
    fn gather(&self) -> Duration {
        GATHER + GATHER_EACH.saturating_mul(u32::try_from(self.loads.len()).unwrap_or(u32::MAX))
    }

    fn post(&mut self, change: ProviderChange) {
        if self.outbox.is_empty() {
            self.outbox_since = Instant::now();
        }
        self.outbox.push(change);
    }

    /// Sends what has gathered, when it is time. Whether somebody still wants it.
    async fn send(&mut self) -> bool {
        if self.outbox.is_empty() {
            return !self.changes.is_closed();
        }
        if !self.loads.is_empty() && self.outbox_since.elapsed() < self.gather() {
            return true;
        }
        self.changes.send(std::mem::take(&mut self.outbox)).await.is_ok()
    }

    /// Says once that everything there at the start serves or is broken.
    fn check_started(&mut self) {
        if !self.outbox.is_empty() || !self.is_whole || *self.shared.ready.borrow() {
            return;
        }
        let Some(starting) = &mut self.starting else { return };
        let patient = self.started.elapsed() < START_PATIENCE;
        let entries = self.shared.entries();
        // From the end, and each only once.
        while let Some(stem) = starting.last() {
            if entries.get(stem).is_some_and(|entry| !entry.started(patient)) {
                return;
            }
            starting.pop();
        }
        drop(entries);
        self.shared.ready.send_replace(true);
    }

    fn note_orphans(&mut self, scan: &Scan, now: Instant) {
        self.orphans.retain(|path, _| scan.orphans.contains(path));
        for path in &scan.orphans {
            self.orphans.entry(path.clone()).or_insert(Some(now));
        }
    }

    fn tell_shadowed(&mut self, shadowed: &BTreeSet<PathBuf>) {
        for path in shadowed.difference(&self.shadowed) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            tracing::warn!("{} is not served, as [plugin.{stem}] has a `source`; remove the file or the `source`", path.display());
        }
        self.shadowed.clone_from(shadowed);
    }

    fn tell_orphans(&mut self) {
        for (path, since) in &mut self.orphans {
            if since.is_some_and(|since| since.elapsed() > ORPHAN_AGE) {
                *since = None;
                let plugin = path.with_extension("wasm");
                tracing::warn!("{} configures nothing: there is no {}; remove it, or add the plugin", path.display(), plugin.display());
            }
        }
    }
}

fn tell_broken(entry: &mut Entry, error: String) {
    if entry.serving.is_some() {
        tracing::warn!(plugin = entry.name(), error, "the new version is broken; the previous one keeps serving");
    } else {
        tracing::warn!(plugin = entry.name(), error, "plugin broken");
    }
    entry.broken(error);
}

fn tell_polling(options: &FolderOptions, why: &str) {
    tracing::warn!(folder = %options.path.display(), "no file events for the plugins folder: {why}; polling every {} ms instead", POLL.as_millis());
}

fn no_events(error: &notify::Error) -> String {
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => "this user has no inotify watches left (raise fs.inotify.max_user_watches)".to_owned(),
        _ => format!("{error} (is fs.inotify.max_user_instances reached?)"),
    }
}

/// Waits until something else was pulled, or for ever.
async fn pulled_changes(pulled: &mut Option<channel::Receiver<Arc<Pulled>>>) {
    let is_followed = match pulled {
        Some(pulled) => pulled.changed().await.is_ok(),
        None => false,
    };
    if !is_followed {
        pending().await
    }
}

/// Waits for a moment, or for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => pending().await,
    }
}
