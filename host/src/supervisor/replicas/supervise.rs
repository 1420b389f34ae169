//! Decides how many replicas there should be, starts what is missing and ends what is too much.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::SystemTime,
};

use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Connect, Listener, Shared, Slots, Summary,
    breaker::Breaker,
    replica_task::{Ended, ReplicaCommand, ReplicaTask},
    scale::Scaler,
    state::Availability,
};
use crate::provider::BreakerState;

struct Supervisor {
    shared: Arc<Shared>,
    slots: Slots,
    connect: Arc<dyn Connect>,
    listener: Arc<dyn Listener>,
    keepers: JoinSet<Ended>,
    kept: HashMap<Id, Kept>,
    next_number: u64,
    up: mpsc::UnboundedSender<u64>,
    breaker: Breaker,
    scaler: Scaler,
    /// Whether one was ever up.
    known: bool,
    /// Whether a start has ended, well or badly.
    tried: bool,
    /// When to look at the load again. None: when a call comes.
    tick: Option<Instant>,
}

/// A replica, as the supervisor sees it.
struct Kept {
    number: u64,
    phase: Phase,
    order: watch::Sender<ReplicaCommand>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Up,
    Leaving,
}

pub(super) async fn run(
    shared: Arc<Shared>,
    slots: Slots,
    connect: Arc<dyn Connect>,
    listener: Arc<dyn Listener>,
    mut stopped: watch::Receiver<bool>,
) {
    let (up, mut came_up) = mpsc::unbounded_channel();
    let mut supervisor = Supervisor {
        breaker: Breaker::new(shared.policy),
        scaler: Scaler::new(shared.replicas),
        shared: shared.clone(),
        slots,
        connect,
        listener,
        keepers: JoinSet::new(),
        kept: HashMap::new(),
        next_number: 1,
        up,
        known: false,
        tried: false,
        tick: None,
    };
    loop {
        let look_again = supervisor.reconcile(Instant::now());
        let timer = async {
            match look_again {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(ended) = supervisor.keepers.join_next_with_id() => {
                // Those that were up before one ended are counted first.
                while let Ok(number) = came_up.try_recv() {
                    supervisor.came_up(number);
                }
                supervisor.ended(ended);
            }
            Some(number) = came_up.recv() => supervisor.came_up(number),
            () = shared.wake.notified() => {}
            () = timer => {}
        }
    }
    supervisor.stop().await;
}

impl Supervisor {
    /// Brings what is nearer to what should be. Answers when to look again.
    fn reconcile(&mut self, now: Instant) -> Option<Instant> {
        self.look_at_load(now);
        let wanted = if self.known { self.scaler.wanted() } else { self.scaler.wanted().max(1) };
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let put_off = self.breaker.next(now);
        let (starting, live) = (self.count(Phase::Starting), self.count(Phase::Starting) + self.count(Phase::Up));
        if live < wanted && put_off.is_none() {
            // After a failure one at a time: the others would most likely fail too.
            let missing = wanted - live;
            // More than that at once would wait for each other, and by then the load may be another.
            let at_once = if self.breaker.failures() == 0 { self.slots.count().max(1) } else { 1 };
            for further in 0..missing.min(at_once.saturating_sub(starting)) {
                // The first one does not wait for those of other servers: without it, nobody serves.
                self.start_one(live + further > 0);
            }
        }
        for _ in wanted..live {
            self.end_one();
        }
        self.tell(wanted, now);
        let waits = put_off.filter(|_| live < wanted);
        [waits, self.tick].into_iter().flatten().min()
    }

    fn look_at_load(&mut self, now: Instant) {
        if self.scaler.is_fixed() || !self.known {
            return;
        }
        let mut state = self.shared.lock();
        // Between two ticks only the first call to nobody counts.
        let due = self.tick.is_none_or(|tick| tick <= now);
        if due || self.scaler.wanted() == 0 {
            let (mean, calls) = state.load(now);
            self.scaler.look(mean, calls, now);
        }
        let asleep = self.scaler.is_at_rest() && state.sleep();
        drop(state);
        if asleep {
            self.tick = None;
        } else if due {
            self.tick = Some(now + self.scaler.tick());
        }
    }

    /// `waits`: others of this server are there, so this one waits for its slot.
    fn start_one(&mut self, waits: bool) {
        let number = self.next_number;
        self.next_number += 1;
        let (order, ordered) = watch::channel(ReplicaCommand::Serve);
        let keeper = ReplicaTask {
            shared: self.shared.clone(),
            connect: self.connect.clone(),
            listener: self.listener.clone(),
            number,
            slots: waits.then(|| self.slots.clone()),
            up: self.up.clone(),
            order: ordered,
        };
        let id = self.keepers.spawn(keeper.run()).id();
        self.kept.insert(id, Kept { number, phase: Phase::Starting, order });
    }

    /// Ends the one that is missed least: one that is not up yet, else the least busy.
    fn end_one(&mut self) {
        let state = self.shared.lock();
        let candidates = self.kept.values_mut().filter(|kept| kept.phase != Phase::Leaving);
        let chosen = candidates.min_by_key(|kept| (kept.phase == Phase::Up, state.ongoing_on(kept.number), std::cmp::Reverse(kept.number)));
        drop(state);
        if let Some(kept) = chosen {
            tracing::info!(server = %self.shared.id, replica = kept.number, "replica is no longer needed");
            kept.phase = Phase::Leaving;
            kept.order.send_replace(ReplicaCommand::Leave);
        }
    }

    fn came_up(&mut self, number: u64) {
        if let Some(kept) = self.kept.values_mut().find(|kept| kept.number == number && kept.phase == Phase::Starting) {
            kept.phase = Phase::Up;
        }
        self.known = true;
        self.breaker.came_up();
        self.tried = true;
    }

    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let now = Instant::now();
        let (id, ended) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Ended::NotStarted(format!("internal error: {error}"))),
        };
        let kept = self.kept.remove(&id);
        let (number, leaving) = kept.map_or((0, true), |kept| (kept.number, kept.phase == Phase::Leaving));
        let server = &self.shared.id;
        match ended {
            Ended::Stopped => {}
            // Told to go and died on the way: that is what was wanted.
            _ if leaving => {}
            Ended::NotStarted(why) => {
                self.breaker.failed(&why, self.count(Phase::Up) > 0, now);
                self.shared.restarts.fetch_add(1, Relaxed);
                self.tried = true;
                let next_ms = self.breaker.next(now).map_or(0, |next| (next - now).as_millis() as u64);
                tracing::warn!(%server, replica = number, failures = self.breaker.failures(), next_ms, "server did not start: {why}");
            }
            Ended::Died { why, proved } => {
                if proved {
                    self.breaker.proved();
                }
                self.breaker.died(&why, proved, self.count(Phase::Up) > 0, now);
                self.shared.restarts.fetch_add(1, Relaxed);
                let next_ms = self.breaker.next(now).map_or(0, |next| (next - now).as_millis() as u64);
                tracing::warn!(%server, replica = number, next_ms, "replica ended and is replaced: {why}");
            }
        }
    }

    /// Tells callers and whoever asks how things are.
    fn tell(&self, wanted: usize, now: Instant) {
        let (starting, up) = (self.count(Phase::Starting), self.count(Phase::Up));
        let until = self.breaker.next(now).filter(|_| starting == 0);
        let missing = up < wanted && self.breaker.failures() > 0;
        // While one serves, callers wait for that.
        let outlook = if missing && up == 0 && self.breaker.turns_away() {
            Availability::Down { why: self.breaker.why(), until }
        } else {
            Availability::Coming
        };
        let on_the_wall = |at: Instant| SystemTime::now() + at.saturating_duration_since(now);
        let breaker = match (self.breaker.is_open() && missing && up == 0, until) {
            (true, Some(until)) => BreakerState::Open(on_the_wall(until)),
            (true, None) => BreakerState::HalfOpen,
            (false, _) => BreakerState::Closed,
        };
        let next_try = until.filter(|_| missing).map(on_the_wall);
        let trouble = missing.then(|| self.breaker.why().to_string());
        *self.shared.summary.lock().unwrap_or_else(PoisonError::into_inner) =
            Summary { starting, wanted: u32::try_from(wanted).unwrap_or(u32::MAX), trouble, breaker, next_try };
        let told = self.shared.lock().set_outlook(outlook, &self.shared.id, now);
        for (answer, error) in told {
            let _ = answer.send(Err(error));
        }
        // Last, so that whoever has waited for it sees all of the above.
        if self.tried {
            self.shared.tried.send_if_modified(|tried| !std::mem::replace(tried, true));
        }
    }

    fn count(&self, phase: Phase) -> usize {
        self.kept.values().filter(|kept| kept.phase == phase).count()
    }

    /// Ends all of them. Their processes are gone when this returns.
    async fn stop(mut self) {
        let told = self.shared.lock().set_outlook(Availability::Stopping, &self.shared.id, Instant::now());
        for (answer, error) in told {
            let _ = answer.send(Err(error));
        }
        self.shared.tried.send_replace(true);
        for kept in self.kept.values() {
            kept.order.send_replace(ReplicaCommand::End);
        }
        while self.keepers.join_next().await.is_some() {}
    }
}
