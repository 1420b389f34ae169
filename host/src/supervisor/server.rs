//! One server that speaks MCP, as it is configured: its replicas (of a remote one: the one connection), what they offer, and the provider that is published.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use futures::future::{BoxFuture, OptionFuture};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

use super::replicas::{Connect, ConnectError, Connected, Interests, Listener, Policy, ReplicaSet, Setup, Slots};
use crate::{
    config::{PublishRules, ServerConfig},
    overrides::with_overrides,
    provider::{ImageStatus, OfferNames, Provider, ProviderChange, ProviderId, ProviderKind, ProviderState, ProviderStatus},
    upstream::{
        Change, Channel, ChannelError, UpstreamProvider,
        listing::{self, Listing, Terms},
    },
};

/// How long a server may take to end that does not say what it offers: it is not worth more.
const FAILED_STOP: Duration = Duration::from_millis(500);

/// A server that tells of a change often tells of the next at once: they are looked at together.
const GATHER: Duration = Duration::from_millis(50);

/// Changes of one kind that a server told of and nobody has looked at yet. One that tells of more than that is heard no further: a change of its lists is
/// looked at after all of these anyway, and an update more or less says nothing.
const UNREAD: usize = 256;

/// A server that ended so often when it was asked for one of its lists is not asked for that again.
const DEADLY: u32 = 2;

/// A list that could not be had is asked for again after this, then after twice as long each time.
const ASK_AGAIN: Duration = Duration::from_secs(30);
const ASK_AGAIN_LONGEST: Duration = Duration::from_secs(600);

/// How a server is reached.
pub trait ServerConnector: Send + Sync {
    /// Whether it runs here or elsewhere.
    fn kind(&self) -> ProviderKind;
    /// Where it is, for people.
    fn what(&self) -> String;
    /// The image of what was started last, if it is one.
    fn image(&self) -> Option<ImageStatus> {
        None
    }
    /// Makes ready what every start needs, in its own time: pulls an image.
    fn prepare(&self) -> BoxFuture<'_, Result<(), ConnectError>> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// Starts or calls it, and greets it. Dropping the future leaves nothing behind.
    fn open(&self) -> BoxFuture<'_, Result<Connected, ConnectError>>;
}

/// A server, with what runs here for it.
pub struct Server {
    id: ProviderId,
    kind: ProviderKind,
    source: String,
    reach: Arc<dyn ServerConnector>,
    set: Arc<ReplicaSet>,
    offered: Arc<Offered>,
    notes: mpsc::UnboundedSender<PublisherMessage>,
    /// Publishes. Ends with this.
    desk: JoinHandle<()>,
    started: SystemTime,
}

/// What the server offers, as it was published last.
#[derive(Default)]
struct Offered(Mutex<Option<Published>>);

#[derive(Clone)]
struct Published {
    listing: Arc<Listing>,
    provider: Arc<dyn Provider>,
    warnings: Vec<String>,
    since: SystemTime,
}

impl Offered {
    fn get(&self) -> Option<Published> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the desk is told.
enum PublisherMessage {
    /// A replica is up and offers this.
    Listing(Listing, Weak<dyn Channel>),
    /// A replica says that something has changed.
    Changed(Arc<dyn Channel>, Change, OwnedSemaphorePermit),
    /// Answer when all that was told before is done.
    Flush(oneshot::Sender<()>),
}

impl Server {
    /// Starts its replicas. `interests`: the resources that somebody wants to hear of, also from the time before. What they offer is sent to `changes`; each later change of it too.
    #[must_use]
    pub fn start(
        id: ProviderId,
        reach: Box<dyn ServerConnector>,
        config: &ServerConfig,
        policy: Policy,
        interests: Arc<Interests>,
        changes: mpsc::Sender<Vec<ProviderChange>>,
    ) -> Self {
        let (notes, noted) = mpsc::unbounded_channel();
        let reach: Arc<dyn ServerConnector> = reach.into();
        let (kind, source) = (reach.kind(), reach.what());
        let policy = Policy { elsewhere: kind == ProviderKind::Remote, ..policy };
        let deadly = Arc::<DeadlyLists>::default();
        let connector = Connector {
            reach: Arc::clone(&reach),
            start: config.limits.start,
            publish: config.publish,
            deadly: Arc::clone(&deadly),
            notes: notes.clone(),
        };
        let set = ReplicaSet::start(Setup {
            id: id.clone(),
            replicas: config.replicas,
            limits: config.limits,
            policy,
            slots: Slots::of_process(),
            connect: Arc::new(connector),
            listener: Arc::new(ChangeListener::new(notes.clone())),
            interests,
        });
        let offered = Arc::new(Offered::default());
        let desk = Publisher {
            id: id.clone(),
            section: format!("server.{id}"),
            config: config.clone(),
            set: Arc::downgrade(&set),
            offered: offered.clone(),
            deadly,
            changes,
        };
        let desk = tokio::spawn(desk.run(noted));
        Self { id, kind, source, reach, set, offered, notes, desk, started: SystemTime::now() }
    }

    /// Waits until the first start has ended, well or badly, and what came of it was sent.
    pub async fn settled(&self) {
        self.set.tried().await;
        let (done, flushed) = oneshot::channel();
        let _ = self.notes.send(PublisherMessage::Flush(done));
        let _ = flushed.await;
    }

    /// Ends it. Nothing of it is left when this returns.
    pub async fn stop(&self) {
        self.set.stop().await;
        self.desk.abort();
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> ProviderStatus {
        let report = self.set.report();
        let published = self.offered.get();
        let serves = !report.replicas.up.is_empty() || report.trouble.is_none();
        let state = match (&published, serves) {
            (Some(_), true) => ProviderState::Serving,
            (None, true) => ProviderState::Loading,
            (_, false) => ProviderState::Broken,
        };
        let provider = published.as_ref().map(|published| &published.provider);
        ProviderStatus {
            tools: provider.map(|provider| provider.tools().iter().map(|tool| tool.name.to_string()).collect()).unwrap_or_default(),
            offers: provider.map(|provider| OfferNames::from(provider.offers())).unwrap_or_default(),
            error: report.trouble,
            warnings: published.as_ref().map(|published| published.warnings.clone()).unwrap_or_default(),
            in_flight: report.ongoing,
            queued: report.queued,
            // Of a remote server nothing is started here.
            replicas: (self.kind != ProviderKind::Remote).then_some(report.replicas),
            since: published.map_or(self.started, |published| published.since),
            next_try: report.next_try,
            image: self.reach.image(),
            ..ProviderStatus::new(self.id.as_str(), self.kind, state, &*self.source)
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.desk.abort();
    }
}

/// Reaches a server and asks what it offers.
struct Connector {
    reach: Arc<dyn ServerConnector>,
    /// The time that a start may take.
    start: Duration,
    publish: PublishRules,
    deadly: Arc<DeadlyLists>,
    notes: mpsc::UnboundedSender<PublisherMessage>,
}

/// Lists that the server is better not asked for: how often it ended when it was.
#[derive(Default)]
struct DeadlyLists(Mutex<HashMap<&'static str, u32>>);

impl DeadlyLists {
    fn count(&self, method: &'static str) {
        *self.lock().entry(method).or_default() += 1;
    }

    /// Its tools are what it is there for, and are always asked for.
    fn get(&self) -> Vec<&'static str> {
        self.lock().iter().filter(|(method, deaths)| **method != "tools/list" && **deaths >= DEADLY).map(|(method, _)| *method).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connect for Connector {
    fn prepare(&self) -> BoxFuture<'_, Result<(), ConnectError>> {
        self.reach.prepare()
    }

    fn connect(&self) -> BoxFuture<'_, Result<Connected, ConnectError>> {
        Box::pin(async move {
            let connected = self.reach.open().await?;
            let avoid = self.deadly.get();
            match listing::fetch(&*connected.channel, Terms { within: self.start, avoid: &avoid, publish: self.publish }).await {
                Ok(listing) => {
                    let _ = self.notes.send(PublisherMessage::Listing(listing, Arc::downgrade(&connected.channel)));
                    Ok(connected)
                }
                Err(error) => {
                    if matches!(error.why, ChannelError::Closed(_)) {
                        self.deadly.count(error.method);
                    }
                    connected.process.stop(FAILED_STOP).await;
                    Err(ConnectError(error.to_string()))
                }
            }
        })
    }
}

/// Passes on what replicas tell, as long as it is not too much.
struct ChangeListener {
    notes: mpsc::UnboundedSender<PublisherMessage>,
    lists: Arc<Semaphore>,
    updates: Arc<Semaphore>,
}

impl ChangeListener {
    fn new(notes: mpsc::UnboundedSender<PublisherMessage>) -> Self {
        let room = || Arc::new(Semaphore::new(UNREAD));
        Self { notes, lists: room(), updates: room() }
    }
}

impl Listener for ChangeListener {
    fn changed(&self, channel: &Arc<dyn Channel>, change: Change) {
        let room = if matches!(change, Change::Updated(_)) { &self.updates } else { &self.lists };
        if let Ok(place) = Arc::clone(room).try_acquire_owned() {
            let _ = self.notes.send(PublisherMessage::Changed(channel.clone(), change, place));
        }
    }
}

/// Makes a provider of what replicas offer, and tells of it.
struct Publisher {
    id: ProviderId,
    section: String,
    config: ServerConfig,
    set: std::sync::Weak<ReplicaSet>,
    offered: Arc<Offered>,
    deadly: Arc<DeadlyLists>,
    changes: mpsc::Sender<Vec<ProviderChange>>,
}

type Fetched = (Result<Listing, String>, Weak<dyn Channel>);

impl Publisher {
    async fn run(self, mut notes: mpsc::UnboundedReceiver<PublisherMessage>) {
        // One list at a time is fetched anew; whatever changes meanwhile is one more time.
        let mut fetching: Option<BoxFuture<'static, Fetched>> = None;
        let mut stale: Option<Arc<dyn Channel>> = None;
        // What could not be had of the server's lists is asked for again by this connection then.
        let mut again: Option<(Instant, Weak<dyn Channel>)> = None;
        let mut pause = ASK_AGAIN;
        loop {
            if fetching.is_none()
                && let Some(channel) = stale.take()
            {
                fetching = Some(Box::pin(fetch(channel, self.config.limits.start, self.config.publish, self.deadly.get())));
            }
            let due = OptionFuture::from(again.as_ref().map(|(at, _)| tokio::time::sleep_until(*at)));
            let (listing, channel) = tokio::select! {
                note = notes.recv() => match note {
                    None => return,
                    Some(PublisherMessage::Listing(listing, channel)) => (listing, channel),
                    Some(PublisherMessage::Changed(_, Change::Updated(uri), place)) => {
                        let _ = self.changes.send(vec![ProviderChange::Updated(self.id.clone(), uri)]).await;
                        drop(place);
                        continue;
                    }
                    Some(PublisherMessage::Changed(channel, _, place)) => {
                        stale = Some(channel);
                        drop(place);
                        continue;
                    }
                    Some(PublisherMessage::Flush(done)) => {
                        // Nobody may wait any more.
                        let _ = done.send(());
                        continue;
                    }
                },
                Some((fetched, channel)) = OptionFuture::from(fetching.as_mut()) => {
                    fetching = None;
                    match fetched {
                        Ok(listing) => (listing, channel),
                        Err(why) => {
                            tracing::warn!(server = %self.id, "the server reports changed lists, but they cannot be read: {why}");
                            continue;
                        }
                    }
                }
                Some(()) = due => {
                    stale = again.take().and_then(|(_, channel)| channel.upgrade());
                    continue;
                }
            };
            again = if listing.lost.is_empty() {
                pause = ASK_AGAIN;
                None
            } else {
                let at = Instant::now() + pause;
                pause = (pause * 2).min(ASK_AGAIN_LONGEST);
                Some((at, channel))
            };
            self.publish(listing).await;
        }
    }

    async fn publish(&self, mut listing: Listing) {
        if let Some(published) = self.offered.get() {
            listing.keep_lost(&published.listing);
        }
        if self.offered.get().is_some_and(|published| *published.listing == listing) {
            return;
        }
        let Some(set) = self.set.upgrade() else { return };
        let listing = Arc::new(listing);
        let mut warnings = listing.warnings.clone();
        let upstream: Arc<dyn Provider> =
            Arc::new(UpstreamProvider::new(self.id.clone(), listing.clone(), set, self.config.limits, self.config.publish));
        let (provider, unfit) = with_overrides(upstream, &self.config.names, self.config.default_tool.as_deref(), &self.section);
        warnings.extend(unfit);
        for warning in &warnings {
            tracing::warn!(server = %self.id, "{warning}");
        }
        tracing::info!(server = %self.id, tools = provider.tools().len(), "server is published");
        let published = Published { listing, provider: provider.clone(), warnings, since: SystemTime::now() };
        *self.offered.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(published);
        let _ = self.changes.send(vec![ProviderChange::Put(provider)]).await;
    }
}

async fn fetch(channel: Arc<dyn Channel>, within: Duration, publish: PublishRules, avoid: Vec<&'static str>) -> Fetched {
    tokio::time::sleep(GATHER).await;
    let fetched = match tokio::time::timeout(within, listing::fetch(&*channel, Terms { within, avoid: &avoid, publish })).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", within.as_secs_f64())),
    };
    (fetched, Arc::downgrade(&channel))
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;
    use crate::{
        provider::{CallContext, JsonText},
        upstream::ChannelError,
    };

    struct Silent(JsonText);

    impl Channel for Silent {
        fn request<'a>(
            &'a self,
            _: &'static str,
            _: &'a str,
            _: &'a CallContext,
            timeout: Duration,
        ) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
            Box::pin(async move { Err(ChannelError::Timeout(timeout)) })
        }
        fn server(&self) -> &JsonText {
            &self.0
        }
        fn changes(&self) -> broadcast::Receiver<Change> {
            broadcast::channel(1).1
        }
        fn closed(&self) -> BoxFuture<'_, String> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn a_flood_of_changes_is_kept_in_bounds_and_hides_no_change_of_lists() {
        let (notes, mut noted) = mpsc::unbounded_channel();
        let ear = ChangeListener::new(notes);
        let channel: Arc<dyn Channel> = Arc::new(Silent(JsonText::from_value("").unwrap()));
        for n in 0..10 * UNREAD {
            ear.changed(&channel, Change::Updated(format!("x://{n}")));
        }
        ear.changed(&channel, Change::Tools);
        assert_eq!(noted.len(), UNREAD + 1);
        // What was looked at makes room.
        assert!(noted.try_recv().is_ok());
        ear.changed(&channel, Change::Updated("x://".to_owned()));
        assert_eq!(noted.len(), UNREAD + 1);
    }
}
