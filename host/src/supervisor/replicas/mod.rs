//! Several copies of one server: which of them takes a call, how many there are, and what happens when one dies.
//!
//! One lock holds what a call needs to know (`state`): the replicas that serve, and who waits. One task, the supervisor (`supervise`), decides how many
//! there should be and when one is started; one task for each replica (`keeper`) lives as long as its replica does and owns its process.
//!
//! Invariants: a caller waits only while no replica that takes calls has a free place. A replica that is not in the state's list takes no calls, and its
//! keeper ends its process. What the set owns ends with it: dropping the set ends the tasks, and with them every process.

mod breaker;
mod health_checked;
mod interests;
mod replica_task;
mod scale;
mod slots;
mod state;
mod supervise;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    config::{Replicas, ServerLimits},
    provider::{BreakerState, CallError, ProviderId, ReplicasStatus, StartSignal, Subscription, start_signal},
    upstream::{Change, Channel, Lease, Pick},
};
pub use interests::Interests;
pub use slots::Slots;
use state::{State, Turn};

/// Starts one more replica.
pub trait Connect: Send + Sync {
    /// What comes before a start and may take long, such as the pull of an image. Its time is not counted to the start.
    fn prepare(&self) -> BoxFuture<'_, Result<(), ConnectError>> {
        Box::pin(async { Ok(()) })
    }
    /// Starts one, greets it and learns what it offers. Dropping the future leaves nothing behind.
    fn connect(&self) -> BoxFuture<'_, Result<Connected, ConnectError>>;
}

/// A replica that can be called.
pub struct Connected {
    /// The way to it.
    pub channel: Arc<dyn Channel>,
    /// The thing itself.
    pub process: Box<dyn Attached>,
}

/// What a connection is attached to. Dropping it ends it.
pub trait Attached: Send {
    /// For a log: `pid 4711`.
    fn name(&self) -> String;
    /// Ends it; after `grace` by force. Returns when nothing of it is left.
    fn stop(self: Box<Self>, grace: Duration) -> BoxFuture<'static, ()>;
}

/// Why there is no replica.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(pub String);

/// Who wants to know what replicas tell. Called by their keepers; must not block.
pub trait Listener: Send + Sync {
    /// A replica told of a change.
    fn changed(&self, channel: &Arc<dyn Channel>, change: Change);
}

/// What nobody configures, times above all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The server runs elsewhere: it is not started here, but called.
    pub elsewhere: bool,
    /// The first restart after a failure waits a random part of this; each further one of twice as much.
    pub backoff: Duration,
    /// And no longer than this.
    pub longest_backoff: Duration,
    /// A replica that lived so long, or has answered a call, is no failure when it dies.
    pub stable: Duration,
    /// After so many failures in a row the breaker opens.
    pub breaker_after: u32,
    /// For how long, the first time; each further time twice as long.
    pub open: Duration,
    /// And no longer than this.
    pub longest_open: Duration,
    /// Calls in a row that were not answered in time, after which a replica is replaced even if it answers pings.
    pub timeouts: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            elsewhere: false,
            backoff: Duration::from_millis(500),
            longest_backoff: Duration::from_secs(30),
            stable: Duration::from_secs(10),
            breaker_after: 5,
            open: Duration::from_secs(30),
            longest_open: Duration::from_secs(300),
            timeouts: 5,
        }
    }
}

/// A handshake has the deadline of the start itself, and says more when that is over than that it is over: what waits for both waits so much longer.
const START_SLACK: Duration = Duration::from_secs(2);

/// What a set is made of.
pub struct Setup {
    /// The server's name.
    pub id: ProviderId,
    /// How many replicas.
    pub replicas: Replicas,
    /// What they may take.
    pub limits: ServerLimits,
    /// Times.
    pub policy: Policy,
    /// What starts of further replicas wait for.
    pub slots: Slots,
    /// Makes one.
    pub connect: Arc<dyn Connect>,
    /// Hears of changes.
    pub listener: Arc<dyn Listener>,
    /// What every replica is to tell updates of.
    pub interests: Arc<Interests>,
}

/// The replicas of one server.
pub struct ReplicaSet {
    shared: Arc<Shared>,
    /// None once it was stopped.
    supervisor: Mutex<Option<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

/// What calls, keepers and the supervisor share.
struct Shared {
    id: ProviderId,
    replicas: Replicas,
    limits: ServerLimits,
    policy: Policy,
    state: Mutex<State>,
    /// Wakes the supervisor.
    wake: Notify,
    /// What `HealthCheckedChannel` counts its times from.
    epoch: Instant,
    /// Replicas that died or did not start, so far.
    restarts: AtomicU64,
    /// Whether the first start has ended, well or badly.
    tried: watch::Sender<bool>,
    summary: Mutex<Summary>,
    /// What every replica is to tell updates of.
    interests: Arc<Interests>,
}

/// What the supervisor knows, for whoever asks.
#[derive(Clone, Debug, Default)]
struct Summary {
    starting: usize,
    wanted: u32,
    /// Why there are fewer than wanted.
    trouble: Option<String>,
    breaker: BreakerState,
    /// When the next start is tried. None: none is put off.
    next_try: Option<SystemTime>,
}

/// How a set is.
#[derive(Clone, Debug)]
pub struct Report {
    /// The replicas.
    pub replicas: ReplicasStatus,
    /// Why there are fewer than wanted.
    pub trouble: Option<String>,
    /// When the next start is tried. None: none is put off.
    pub next_try: Option<SystemTime>,
    /// Calls that run.
    pub ongoing: usize,
    /// Calls that wait.
    pub queued: usize,
}

impl ReplicaSet {
    /// Starts the replicas. They end when the set is stopped or dropped.
    #[must_use]
    pub fn start(setup: Setup) -> Arc<Self> {
        let Setup { id, replicas, limits, policy, slots, connect, listener, interests } = setup;
        let shared = Arc::new(Shared {
            id,
            replicas,
            limits,
            policy,
            state: Mutex::new(State::new(limits.concurrency, limits.queue).elsewhere(policy.elsewhere)),
            wake: Notify::new(),
            epoch: Instant::now(),
            restarts: AtomicU64::new(0),
            tried: watch::Sender::new(false),
            summary: Mutex::default(),
            interests,
        });
        let (stop, stopped) = watch::channel(false);
        let supervisor = tokio::spawn(supervise::run(shared.clone(), slots, connect, listener, stopped));
        Arc::new(Self { shared, supervisor: Mutex::new(Some(supervisor)), stop })
    }

    /// Waits until the first start has ended, well or badly.
    pub async fn tried(&self) {
        let _ = self.shared.tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// How things are.
    #[must_use]
    pub fn report(&self) -> Report {
        let (up, ongoing, queued) = {
            let state = self.shared.lock();
            (state.replicas(), state.ongoing(), state.queued())
        };
        let summary = self.shared.summary.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let restarts = self.shared.restarts.load(Relaxed);
        let Summary { starting, wanted, trouble, breaker, next_try } = summary;
        Report { replicas: ReplicasStatus { wanted, starting, up, restarts, breaker }, trouble, next_try, ongoing, queued }
    }

    /// Ends all replicas and returns when nothing of them is left. Calls that wait are answered by an error.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(supervisor) = supervisor {
            let _ = supervisor.await;
        }
    }
}

impl Drop for ReplicaSet {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner) {
            supervisor.abort();
        }
    }
}

impl Pick for ReplicaSet {
    fn pick<'a>(&'a self, signal: Option<&'a StartSignal>) -> BoxFuture<'a, Result<Lease, CallError>> {
        Box::pin(self.shared.pick(signal))
    }

    fn subscribe(&self, uri: &str) -> Option<Subscription> {
        Some(self.shared.interests.add(uri))
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pick(self: &Arc<Self>, signal: Option<&StartSignal>) -> Result<Lease, CallError> {
        let (turn, wake) = {
            let mut state = self.lock();
            let turn = state.enter(&self.id, Instant::now());
            (turn, state.wants_supervisor())
        };
        if wake {
            self.wake.notify_one();
        }
        let waiting = match turn {
            Turn::Now { number, channel } => return Ok(self.lease(number, channel)),
            Turn::Refused(error) => return Err(error),
            Turn::Wait(waiting) => waiting,
        };
        // Gives the place in the queue back when the caller goes.
        let place = Place { shared: self, ticket: waiting.ticket };
        // Who waits for a start waits as long as that may take; who waits for others' calls, as long as one of those.
        let patience = if waiting.for_start { self.limits.start + START_SLACK } else { self.limits.call };
        let answer = start_signal::queued(signal, tokio::time::timeout(patience, waiting.answer)).await;
        start_signal::mark_started(signal);
        drop(place);
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(state::stopping(&self.id)),
            Err(_) if waiting.for_start => Err(CallError::Internal(format!(
                "server {} did not start within {}; `start_timeout` in [server.{}] sets how long it may take",
                self.id,
                seconds(self.limits.start),
                self.id
            ))),
            Err(_) => Err(state::busy(&self.id, "no slot became free in time", self.lock().counts())),
        }
    }

    fn lease(self: &Arc<Self>, number: u64, channel: Arc<dyn Channel>) -> Lease {
        Lease { channel, replica: Some(number), guard: Box::new(Running { shared: self.clone(), number }) }
    }

    /// Gives free places to those who wait.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let Some(grant) = self.lock().grant(Instant::now()) else { return };
            // Not under the lock: a lease that nobody takes any more gives its place back when it is dropped.
            let _ = grant.to.send(Ok(self.lease(grant.number, grant.channel)));
        }
    }
}

/// A call on a replica, counted until dropped.
struct Running {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        let left = self.shared.lock().leave(self.number, Instant::now());
        if let Some(idle) = left.drained {
            idle.notify_one();
        }
        if left.queued {
            self.shared.dispatch();
        }
    }
}

/// A place in the queue.
struct Place<'a> {
    shared: &'a Shared,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.lock().give_up(self.ticket, Instant::now());
    }
}

/// `2.5 s`.
fn seconds(duration: Duration) -> String {
    let tenths = duration.as_millis().div_ceil(100);
    if tenths.is_multiple_of(10) { format!("{} s", tenths / 10) } else { format!("{}.{} s", tenths / 10, tenths % 10) }
}
