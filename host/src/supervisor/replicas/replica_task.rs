//! The life of one replica: start, watch, end. Whoever drops it ends the replica.

use std::{future::pending, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{Attached, Connect, Connected, Listener, START_SLACK, Shared, Slots, health_checked::HealthCheckedChannel, seconds};
use crate::upstream::{Change, Channel};

/// What a replica may take beyond its own deadlines before it is dropped, which kills it and waits for nothing. A process is gone at once; an engine has the file
/// system of a container to remove, which took docker with its storage driver `vfs` ten seconds for an image of 265 MB.
const SLACK: Duration = Duration::from_secs(30);

/// How a replica ended.
pub(super) enum Ended {
    /// It never came up.
    NotStarted(String),
    /// It came up, and died or was given up.
    Died {
        why: String,
        /// It lived for long, or had answered a call.
        proved: bool,
    },
    /// It was told to end.
    Stopped,
}

pub(super) struct ReplicaTask {
    pub(super) shared: Arc<Shared>,
    pub(super) connect: Arc<dyn Connect>,
    pub(super) listener: Arc<dyn Listener>,
    pub(super) number: u64,
    /// What its start waits for. None: nothing, since nobody serves without it.
    pub(super) slots: Option<Slots>,
    /// Hears when it is up.
    pub(super) up: mpsc::UnboundedSender<u64>,
    /// Whether it is to end.
    pub(super) order: watch::Receiver<ReplicaCommand>,
}

/// What a keeper is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplicaCommand {
    Serve,
    /// End when your calls have.
    Leave,
    /// End now.
    End,
}

impl ReplicaTask {
    pub(super) async fn run(mut self) -> Ended {
        let limits = self.shared.limits;
        let prepared = tokio::select! {
            prepared = self.connect.prepare() => prepared,
            () = ordered(&mut self.order, |order| order != ReplicaCommand::Serve) => return Ended::Stopped,
        };
        if let Err(error) = prepared {
            return Ended::NotStarted(error.to_string());
        }
        // The time of a start counts from here: before, it could not run.
        let slot = async {
            match &self.slots {
                Some(slots) => slots.take().await,
                None => None,
            }
        };
        let slot = tokio::select! {
            slot = slot => slot,
            () = ordered(&mut self.order, |order| order != ReplicaCommand::Serve) => return Ended::Stopped,
        };
        let connected = tokio::select! {
            connected = timeout(limits.start + START_SLACK, self.connect.connect()) => connected,
            () = ordered(&mut self.order, |order| order != ReplicaCommand::Serve) => return Ended::Stopped,
        };
        drop(slot);
        let Connected { channel, process } = match connected {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Ended::NotStarted(error.to_string()),
            Err(_) => {
                return Ended::NotStarted(format!(
                    "it was not ready within {}; `start_timeout` in [server.{}] sets how long it may take",
                    seconds(limits.start),
                    self.shared.id
                ));
            }
        };
        let name = process.name();
        let tracked =
            HealthCheckedChannel::new(channel, format!("replica {} ({name})", self.number), self.shared.epoch, !limits.ping.is_zero());
        tracing::info!(server = %self.shared.id, replica = self.number, name, "replica is up");
        // However this ends, by being dropped too: what does not live takes no calls.
        let listed = Listed { shared: self.shared.clone(), number: self.number };
        self.shared.lock().add(self.number, tracked.clone(), name);
        self.shared.dispatch();
        let _ = self.up.send(self.number);
        let since = Instant::now();
        let end = self.watch(&tracked).await;
        let why = match &end {
            End::Told(ReplicaCommand::Leave) => {
                self.drain().await;
                None
            }
            End::Told(_) => None,
            End::Dead(why) => Some(why.clone()),
            End::GivenUp(why) => {
                tracked.give_up(why);
                Some(why.clone())
            }
        };
        drop(listed);
        let proved = tracked.answered() || since.elapsed() >= self.shared.policy.stable;
        // One that does not answer would not hear that it should end.
        let grace = if matches!(end, End::GivenUp(_)) { Duration::ZERO } else { limits.stop };
        drop(tracked);
        stop(process, grace).await;
        match why {
            Some(why) => Ended::Died { why, proved },
            None => Ended::Stopped,
        }
    }

    /// Until the replica is of no more use.
    async fn watch(&mut self, tracked: &Arc<HealthCheckedChannel>) -> End {
        let ping = self.shared.limits.ping;
        let channel: Arc<dyn Channel> = tracked.clone();
        let mut changes = channel.changes();
        let interests = Arc::clone(&self.shared.interests);
        let mut wanted = interests.changes();
        channel.subscribe(interests.wanted());
        let mut closed = channel.closed();
        let mut look_at = Instant::now() + ping;
        let mut probe: Option<BoxFuture<'static, bool>> = None;
        loop {
            let probed = async {
                match probe.as_mut() {
                    Some(probe) => probe.await,
                    None => pending().await,
                }
            };
            let silent = async { if ping.is_zero() { pending().await } else { sleep_until(look_at).await } };
            tokio::select! {
                why = &mut closed => return End::Dead(why),
                () = ordered(&mut self.order, |order| order != ReplicaCommand::Serve) => return End::Told(*self.order.borrow()),
                change = changes.recv() => match change {
                    Ok(change) => self.listener.changed(&channel, change),
                    // So many that some were lost: all of it may have changed.
                    Err(RecvError::Lagged(_)) => {
                        for change in [Change::Tools, Change::Prompts, Change::Resources] {
                            self.listener.changed(&channel, change);
                        }
                    }
                    Err(RecvError::Closed) => return End::Dead(closed.await),
                },
                // The sender lives as long as `interests` does.
                Ok(()) = wanted.changed() => channel.subscribe(interests.wanted()),
                () = tracked.late.notified() => {
                    let late = tracked.timeouts();
                    if late >= self.shared.policy.timeouts {
                        return End::GivenUp(format!("{late} calls in a row timed out"));
                    }
                    if tracked.is_suspect() && probe.is_none() {
                        probe = Some(Box::pin(tracked.clone().answers_ping(ping)));
                    }
                }
                alive = probed => {
                    probe = None;
                    // Its connection says more about why.
                    if !alive && tracked.is_closed() {
                        continue;
                    }
                    if !alive {
                        return End::GivenUp(format!("it did not answer a ping within {}", seconds(ping)));
                    }
                    self.shared.dispatch();
                    look_at = Instant::now() + ping;
                }
                () = silent => {
                    let busy = self.shared.lock().ongoing_on(self.number) > 0;
                    let quiet_until = tracked.heard_at() + ping;
                    let now = Instant::now();
                    // One that works may have no time to answer; its calls have their own deadlines.
                    if busy || quiet_until > now {
                        look_at = quiet_until.max(now + ping / 4);
                    } else if probe.is_none() {
                        probe = Some(Box::pin(tracked.clone().answers_ping(ping)));
                        look_at = now + ping * 2;
                    } else {
                        look_at = now + ping;
                    }
                }
            }
        }
    }

    /// Waits until its calls have ended, or can have no more.
    async fn drain(&mut self) {
        let Some(idle) = self.shared.lock().drain(self.number) else { return };
        // Who waits may have waited for this one.
        self.shared.dispatch();
        tokio::select! {
            _ = timeout(self.shared.limits.call, idle.notified()) => {}
            () = ordered(&mut self.order, |order| order == ReplicaCommand::End) => {}
        }
    }
}

enum End {
    Told(ReplicaCommand),
    Dead(String),
    GivenUp(String),
}

/// In the list of those that serve, until dropped.
struct Listed {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.shared.lock().remove(self.number, Instant::now());
    }
}

async fn stop(process: Box<dyn Attached>, grace: Duration) {
    // A future that is given up is dropped, and what it holds dies with it.
    let _ = timeout(grace * 2 + SLACK, process.stop(grace)).await;
}

/// Waits for an order. One whose supervisor is gone ends.
async fn ordered(order: &mut watch::Receiver<ReplicaCommand>, is: impl Fn(ReplicaCommand) -> bool) {
    let _ = order.wait_for(|order| is(*order)).await;
}
