//! Which replica takes a call, and who waits: all that is decided under the lock. Nothing here waits or calls out.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{health_checked::HealthCheckedChannel, seconds};
use crate::{
    provider::{CallError, ProviderId, ReplicaStatus},
    upstream::{Channel, Lease},
};

/// How long a caller who was turned away had better wait. Most calls take milliseconds: a second is enough for the queue to move.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) struct State {
    /// Those that are up.
    serving: Vec<Replica>,
    waiting: VecDeque<Waiter>,
    next_ticket: u64,
    outlook: Availability,
    load: Load,
    concurrency: usize,
    queue: usize,
    /// The supervisor sleeps until a call comes.
    sleeping: bool,
    /// Words for callers: it is not started here, but called.
    elsewhere: bool,
}

struct Replica {
    number: u64,
    channel: Arc<HealthCheckedChannel>,
    name: String,
    since: SystemTime,
    ongoing: usize,
    takes: Takes,
}

/// Whether a replica takes calls.
enum Takes {
    Calls,
    /// It ends when its calls have.
    Draining(Arc<Notify>),
}

/// What a caller is told, or does, while nothing serves.
#[derive(Clone, Debug)]
pub(super) enum Availability {
    /// One is being started, or will be without further ado.
    Coming,
    /// The last start failed.
    Down {
        why: Arc<str>,
        /// When the next one is tried. None: it is being tried.
        until: Option<Instant>,
    },
    /// Nothing comes any more.
    Stopping,
}

struct Waiter {
    ticket: u64,
    answer: oneshot::Sender<Result<Lease, CallError>>,
}

/// What comes of a call that wants in.
pub(super) enum Turn {
    Now { number: u64, channel: Arc<dyn Channel> },
    Wait(Waiting),
    Refused(CallError),
}

pub(super) struct Waiting {
    pub(super) ticket: u64,
    pub(super) answer: oneshot::Receiver<Result<Lease, CallError>>,
    /// Nothing serves: the wait is for a start.
    pub(super) for_start: bool,
}

/// A free place for one who waits.
pub(super) struct Grant {
    pub(super) to: oneshot::Sender<Result<Lease, CallError>>,
    pub(super) number: u64,
    pub(super) channel: Arc<dyn Channel>,
}

/// What is to be done after a call has ended.
pub(super) struct Left {
    /// The replica has no call any more, and its keeper waits for that.
    pub(super) drained: Option<Arc<Notify>>,
    /// Somebody waits.
    pub(super) queued: bool,
}

/// Calls that run or wait, over time: the mean of a span is exact, whatever happened within it.
struct Load {
    calls: usize,
    /// Calls × seconds since `from`.
    area: f64,
    from: Instant,
    at: Instant,
}

impl Load {
    fn change(&mut self, calls: usize, now: Instant) {
        self.area += self.calls as f64 * now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.calls = calls;
    }

    /// The mean since the last question.
    fn mean(&mut self, now: Instant) -> f64 {
        self.change(self.calls, now);
        let span = now.saturating_duration_since(self.from).as_secs_f64();
        let mean = if span > 0.0 { self.area / span } else { self.calls as f64 };
        (self.area, self.from) = (0.0, now);
        mean
    }
}

impl State {
    pub(super) fn new(concurrency: usize, queue: usize) -> Self {
        let now = Instant::now();
        Self {
            serving: Vec::new(),
            waiting: VecDeque::new(),
            next_ticket: 0,
            outlook: Availability::Coming,
            load: Load { calls: 0, area: 0.0, from: now, at: now },
            concurrency,
            queue,
            sleeping: false,
            elsewhere: false,
        }
    }

    /// Says so to callers where the server is not started here, but called.
    pub(super) fn elsewhere(self, elsewhere: bool) -> Self {
        Self { elsewhere, ..self }
    }

    /// A call wants in.
    pub(super) fn enter(&mut self, id: &ProviderId, now: Instant) -> Turn {
        if matches!(self.outlook, Availability::Stopping) {
            return Turn::Refused(stopping(id));
        }
        // Nobody is passed by: who waits has waited for this place.
        if self.waiting.is_empty()
            && let Some((number, channel)) = self.take()
        {
            self.count(now);
            return Turn::Now { number, channel };
        }
        let for_start = !self.any_serves();
        if let (true, Availability::Down { why, until }) = (for_start, &self.outlook) {
            return Turn::Refused(down(id, why, *until, now, self.elsewhere));
        }
        // Those that wait for a start are not too many for the replica that comes.
        let places = self.queue + if for_start { self.concurrency } else { 0 };
        if self.waiting.len() >= places {
            return Turn::Refused(busy(id, "its queue is full", self.counts()));
        }
        let (answer, receiver) = oneshot::channel();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back(Waiter { ticket, answer });
        self.count(now);
        Turn::Wait(Waiting { ticket, answer: receiver, for_start })
    }

    /// Whether the supervisor should look; tells it once.
    pub(super) fn wants_supervisor(&mut self) -> bool {
        std::mem::take(&mut self.sleeping)
    }

    /// From now on the supervisor sleeps until a call comes. False: there are calls, so it should not.
    pub(super) fn sleep(&mut self) -> bool {
        self.sleeping = self.load.calls == 0;
        self.sleeping
    }

    /// The next who waits, with a place for them.
    pub(super) fn grant(&mut self, now: Instant) -> Option<Grant> {
        if self.waiting.is_empty() {
            return None;
        }
        let (number, channel) = self.take()?;
        let waiter = self.waiting.pop_front()?;
        self.count(now);
        Some(Grant { to: waiter.answer, number, channel })
    }

    /// A place on the less busy of two that have one.
    fn take(&mut self) -> Option<(u64, Arc<dyn Channel>)> {
        let concurrency = self.concurrency;
        let free = |replica: &&mut Replica| {
            matches!(replica.takes, Takes::Calls)
                && replica.ongoing < concurrency
                && !replica.channel.is_suspect()
                && !replica.channel.is_closed()
        };
        let mut open: Vec<&mut Replica> = self.serving.iter_mut().filter(free).collect();
        let chosen = match open.len() {
            0 => return None,
            1 => 0,
            count => {
                let first = fastrand::usize(..count);
                let second = (first + 1 + fastrand::usize(..count - 1)) % count;
                let ongoing = |index: usize| open.get(index).map_or(usize::MAX, |replica| replica.ongoing);
                if ongoing(second) < ongoing(first) { second } else { first }
            }
        };
        let replica = open.get_mut(chosen)?;
        replica.ongoing += 1;
        Some((replica.number, replica.channel.clone()))
    }

    /// A call has ended.
    pub(super) fn leave(&mut self, number: u64, now: Instant) -> Left {
        let mut drained = None;
        if let Some(replica) = self.serving.iter_mut().find(|replica| replica.number == number) {
            replica.ongoing = replica.ongoing.saturating_sub(1);
            if let (0, Takes::Draining(idle)) = (replica.ongoing, &replica.takes) {
                drained = Some(idle.clone());
            }
        }
        self.count(now);
        Left { drained, queued: !self.waiting.is_empty() }
    }

    /// One who waited has gone.
    pub(super) fn give_up(&mut self, ticket: u64, now: Instant) {
        // Tickets are in order.
        if let Ok(index) = self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            self.waiting.remove(index);
            self.count(now);
        }
    }

    /// A replica is up.
    pub(super) fn add(&mut self, number: u64, channel: Arc<HealthCheckedChannel>, name: String) {
        self.serving.push(Replica { number, channel, name, since: SystemTime::now(), ongoing: 0, takes: Takes::Calls });
    }

    /// A replica is no more.
    pub(super) fn remove(&mut self, number: u64, now: Instant) {
        self.serving.retain(|replica| replica.number != number);
        self.count(now);
    }

    /// A replica takes no calls any more. What it waits for is told when its last one has ended; None: it has none.
    pub(super) fn drain(&mut self, number: u64) -> Option<Arc<Notify>> {
        let replica = self.serving.iter_mut().find(|replica| replica.number == number)?;
        let idle = Arc::new(Notify::new());
        replica.takes = Takes::Draining(idle.clone());
        (replica.ongoing > 0).then_some(idle)
    }

    pub(super) fn ongoing_on(&self, number: u64) -> usize {
        self.serving.iter().find(|replica| replica.number == number).map_or(0, |replica| replica.ongoing)
    }

    /// What callers are told from now on. Answers those who wait in vain, to be told outside of the lock.
    #[must_use]
    pub(super) fn set_outlook(&mut self, outlook: Availability, id: &ProviderId, now: Instant) -> Vec<(Answer, CallError)> {
        self.outlook = outlook;
        let error = match &self.outlook {
            Availability::Down { why, until } if !self.any_serves() => down(id, why, *until, now, self.elsewhere),
            Availability::Stopping => stopping(id),
            Availability::Coming | Availability::Down { .. } => return Vec::new(),
        };
        let told = self.waiting.drain(..).map(|waiter| (waiter.answer, error.clone())).collect();
        self.count(now);
        told
    }

    /// Calls that run or wait: the mean since the last question, and now.
    pub(super) fn load(&mut self, now: Instant) -> (f64, usize) {
        (self.load.mean(now), self.load.calls)
    }

    pub(super) fn ongoing(&self) -> usize {
        self.serving.iter().map(|replica| replica.ongoing).sum()
    }

    pub(super) fn queued(&self) -> usize {
        self.waiting.len()
    }

    /// Calls that run, and calls that wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.ongoing(), self.queued())
    }

    pub(super) fn replicas(&self) -> Vec<ReplicaStatus> {
        let report = |replica: &Replica| ReplicaStatus {
            number: replica.number,
            name: replica.name.clone(),
            state: match replica.takes {
                Takes::Draining(_) => "draining",
                Takes::Calls if replica.channel.is_suspect() => "suspect",
                Takes::Calls => "serving",
            },
            ongoing: replica.ongoing,
            since: replica.since,
        };
        self.serving.iter().map(report).collect()
    }

    fn any_serves(&self) -> bool {
        self.serving.iter().any(|replica| !matches!(replica.takes, Takes::Draining(_)))
    }

    fn count(&mut self, now: Instant) {
        let calls = self.ongoing() + self.waiting.len();
        self.load.change(calls, now);
    }
}

/// To one who waits.
pub(super) type Answer = oneshot::Sender<Result<Lease, CallError>>;

pub(super) fn stopping(id: &ProviderId) -> CallError {
    CallError::Internal(format!("server {id} is being stopped: the host is shutting down"))
}

pub(super) fn busy(id: &ProviderId, why: &str, (running, waiting): (usize, usize)) -> CallError {
    CallError::Busy {
        what: format!(
            "server {id} is busy, {why} ({running} calls run, {waiting} wait); `concurrency`, `queue` and `replicas` in [server.{id}] set how many may"
        ),
        retry_after: RETRY_AFTER,
    }
}

fn down(id: &ProviderId, why: &str, until: Option<Instant>, now: Instant, elsewhere: bool) -> CallError {
    let (is_not, again) = if elsewhere { ("cannot be reached", "tried") } else { ("is not running", "started") };
    let next = match until.map(|until| until.saturating_duration_since(now)) {
        Some(wait) if !wait.is_zero() => format!("it is {again} again in {}", seconds(wait)),
        _ => format!("it is being {again} again"),
    };
    CallError::Internal(format!("server {id} {is_not}: {why}; {next}"))
}
