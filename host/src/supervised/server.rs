//! One server that speaks MCP, as it is configured: its replicas (of a remote one: the one connection), what they offer, and the provider that is published.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures::future::{BoxFuture, OptionFuture};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::replicas::{Connect, ConnectError, Connected, Listener, Policy, ReplicaSet, Setup};
use crate::{
    config::ServerConfig,
    provider::{OfferNames, Provider, ProviderChange, ProviderId, ProviderState, ProviderStatus},
    shape::shape,
    upstream::{
        Change, Channel, UpstreamProvider,
        listing::{self, Listing},
    },
};

/// How long a server may take to end that does not say what it offers: it is not worth more.
const FAILED_STOP: Duration = Duration::from_millis(500);

/// [`Reach::kind`] of servers that run elsewhere.
pub const REMOTE: &str = "remote";

/// A server that tells of a change often tells of the next at once: they are looked at together.
const GATHER: Duration = Duration::from_millis(50);

/// Changes of one kind that a server told of and nobody has looked at yet. One that tells of more than that is heard no further: a change of its lists is
/// looked at after all of these anyway, and an update more or less says nothing.
const UNREAD: usize = 256;

/// How a server is reached.
pub trait Reach: Send + Sync {
    /// `bridge` or `remote`.
    fn kind(&self) -> &'static str;
    /// Where it is, for people.
    fn what(&self) -> String;
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
    kind: &'static str,
    source: String,
    set: Arc<ReplicaSet>,
    offered: Arc<Offered>,
    notes: mpsc::UnboundedSender<Note>,
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
enum Note {
    /// A replica is up and offers this.
    Listing(Listing),
    /// A replica says that something has changed.
    Changed(Arc<dyn Channel>, Change, OwnedSemaphorePermit),
    /// Answer when all that was told before is done.
    Flush(oneshot::Sender<()>),
}

impl Server {
    /// Starts its replicas. What they offer is sent to `changes`; each later change of it too.
    #[must_use]
    pub fn start(
        id: ProviderId,
        reach: Box<dyn Reach>,
        config: &ServerConfig,
        policy: Policy,
        changes: mpsc::Sender<Vec<ProviderChange>>,
    ) -> Self {
        let (notes, noted) = mpsc::unbounded_channel();
        let (kind, source) = (reach.kind(), reach.what());
        let policy = Policy { elsewhere: kind == REMOTE, ..policy };
        let connector = Connector { reach, notes: notes.clone() };
        let set = ReplicaSet::start(Setup {
            id: id.clone(),
            replicas: config.replicas,
            limits: config.limits,
            policy,
            connect: Arc::new(connector),
            listener: Arc::new(Ear::new(notes.clone())),
        });
        let offered = Arc::new(Offered::default());
        let desk = Desk {
            id: id.clone(),
            section: format!("server.{id}"),
            config: config.clone(),
            set: Arc::downgrade(&set),
            offered: offered.clone(),
            changes,
        };
        let desk = tokio::spawn(desk.run(noted));
        Self { id, kind, source, set, offered, notes, desk, started: SystemTime::now() }
    }

    /// Waits until the first start has ended, well or badly, and what came of it was sent.
    pub async fn settled(&self) {
        self.set.tried().await;
        let (done, flushed) = oneshot::channel();
        let _ = self.notes.send(Note::Flush(done));
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
            name: self.id.to_string(),
            kind: self.kind,
            state,
            source: self.source.clone(),
            digest: None,
            tools: provider.map(|provider| provider.tools().iter().map(|tool| tool.name.to_string()).collect()).unwrap_or_default(),
            offers: provider.map(|provider| OfferNames::from(provider.offers())).unwrap_or_default(),
            error: report.trouble,
            warnings: published.as_ref().map(|published| published.warnings.clone()).unwrap_or_default(),
            imports: Vec::new(),
            in_flight: report.ongoing,
            queued: report.queued,
            // Of a remote server nothing is started here.
            replicas: (self.kind != REMOTE).then_some(report.replicas),
            since: published.map_or(self.started, |published| published.since),
            next_try: report.next_try,
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
    reach: Box<dyn Reach>,
    notes: mpsc::UnboundedSender<Note>,
}

impl Connect for Connector {
    fn prepare(&self) -> BoxFuture<'_, Result<(), ConnectError>> {
        self.reach.prepare()
    }

    fn connect(&self) -> BoxFuture<'_, Result<Connected, ConnectError>> {
        Box::pin(async move {
            let connected = self.reach.open().await?;
            match listing::fetch(&*connected.channel).await {
                Ok(listing) => {
                    let _ = self.notes.send(Note::Listing(listing));
                    Ok(connected)
                }
                Err(error) => {
                    connected.process.stop(FAILED_STOP).await;
                    Err(ConnectError(error.to_string()))
                }
            }
        })
    }
}

/// Passes on what replicas tell, as long as it is not too much.
struct Ear {
    notes: mpsc::UnboundedSender<Note>,
    lists: Arc<Semaphore>,
    updates: Arc<Semaphore>,
}

impl Ear {
    fn new(notes: mpsc::UnboundedSender<Note>) -> Self {
        let room = || Arc::new(Semaphore::new(UNREAD));
        Self { notes, lists: room(), updates: room() }
    }
}

impl Listener for Ear {
    fn changed(&self, channel: &Arc<dyn Channel>, change: Change) {
        let room = if matches!(change, Change::Updated(_)) { &self.updates } else { &self.lists };
        if let Ok(place) = Arc::clone(room).try_acquire_owned() {
            let _ = self.notes.send(Note::Changed(channel.clone(), change, place));
        }
    }
}

/// Makes a provider of what replicas offer, and tells of it.
struct Desk {
    id: ProviderId,
    section: String,
    config: ServerConfig,
    set: std::sync::Weak<ReplicaSet>,
    offered: Arc<Offered>,
    changes: mpsc::Sender<Vec<ProviderChange>>,
}

type Fetched = Result<Listing, String>;

impl Desk {
    async fn run(self, mut notes: mpsc::UnboundedReceiver<Note>) {
        // One list at a time is fetched anew; whatever changes meanwhile is one more time.
        let mut fetching: Option<BoxFuture<'static, Fetched>> = None;
        let mut stale: Option<Arc<dyn Channel>> = None;
        loop {
            if fetching.is_none()
                && let Some(channel) = stale.take()
            {
                fetching = Some(Box::pin(fetch(channel, self.config.limits.start)));
            }
            tokio::select! {
                note = notes.recv() => match note {
                    None => return,
                    Some(Note::Listing(listing)) => self.publish(listing).await,
                    Some(Note::Changed(_, Change::Updated(uri), place)) => {
                        let _ = self.changes.send(vec![ProviderChange::Updated(self.id.clone(), uri)]).await;
                        drop(place);
                    }
                    Some(Note::Changed(channel, _, place)) => {
                        stale = Some(channel);
                        drop(place);
                    }
                    Some(Note::Flush(done)) => drop(done.send(())),
                },
                Some(fetched) = OptionFuture::from(fetching.as_mut()) => {
                    fetching = None;
                    match fetched {
                        Ok(listing) => self.publish(listing).await,
                        Err(why) => tracing::warn!(server = %self.id, "the server reports changed lists, but they cannot be read: {why}"),
                    }
                }
            }
        }
    }

    async fn publish(&self, listing: Listing) {
        if self.offered.get().is_some_and(|published| *published.listing == listing) {
            return;
        }
        let Some(set) = self.set.upgrade() else { return };
        let listing = Arc::new(listing);
        let mut warnings = listing.warnings.clone();
        let upstream: Arc<dyn Provider> = Arc::new(UpstreamProvider::new(self.id.clone(), listing.clone(), set, self.config.limits));
        let (provider, unfit) = shape(upstream, &self.config.names, self.config.default_tool.as_deref(), &self.section);
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

async fn fetch(channel: Arc<dyn Channel>, within: Duration) -> Fetched {
    tokio::time::sleep(GATHER).await;
    match tokio::time::timeout(within, listing::fetch(&*channel)).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", within.as_secs_f64())),
    }
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
        let ear = Ear::new(notes);
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
