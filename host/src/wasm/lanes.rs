//! Calls that take long leave the async workers to those that do not.
//!
//! A guest is interrupted every few milliseconds, but not within one instruction: filling 120 MiB of memory is one, and takes a tenth of a
//! second. And where many guests compute, each of them keeps a worker until it is interrupted, one after the other. So a call that has kept
//! a worker for longer than most calls take goes on on threads of their own, at a lower priority; and the next calls of its plugin begin
//! there, for a while. Which calls are long is seen from how long they run: nobody has to say so.

use std::{
    cell::Cell,
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::{sync::Semaphore, task::JoinError};
use tokio_util::sync::PollSemaphore;

use super::{
    cpu_share::{CpuShare, Waiting},
    engine::Engines,
    epoch_ticker::TICK,
};
use crate::{
    telemetry::carried,
    threads::{self, Task},
};

/// Time of the processor that a long call uses. Looking at it takes time too, so on a worker that is done when the clock has ticked. Time that passes is no
/// measure: on a busy machine other programs have the processor meanwhile, and moving a call costs more than a short call does.
const LONG_TIME: Duration = Duration::from_millis(8);

/// Ticks after a long call for which the next ones of its plugin are taken to be long: 10 s.
const WATCHED: u64 = 2000;

/// The same where the time of the call was only estimated: 1 s.
const SUSPECTED: u64 = 200;

/// How long the calls of one plugin run.
pub(crate) struct Pace {
    engines: Arc<Engines>,
    /// Its calls are long until this tick.
    long: AtomicU64,
    /// Its turns beside the workers: half of the threads, so that no plugin keeps all of them.
    turns: Arc<Semaphore>,
    /// What its calls may have of the processors, where that is limited: then all of them are measured, which is done beside the workers.
    share: Option<CpuShare>,
}

impl Pace {
    pub(crate) fn new(engines: Arc<Engines>, share: Option<CpuShare>) -> Arc<Self> {
        Arc::new(Self { engines, long: AtomicU64::new(0), turns: Arc::new(Semaphore::new(threads::cores())), share })
    }

    fn now(&self) -> u64 {
        self.engines.clock().ticks()
    }

    fn is_long(&self) -> bool {
        self.share.is_some() || self.now() < self.long.load(Ordering::Relaxed)
    }

    fn take_for_long(&self, ticks: u64) {
        self.long.fetch_max(self.now() + ticks, Ordering::Relaxed);
    }
}

/// The work of a call.
pub(crate) struct Paced<F: Future> {
    place: Place<F>,
    pace: Arc<Pace>,
    on_worker: OnWorker,
}

/// What a call has had of the processor on a worker.
#[derive(Clone, Copy, Default)]
struct OnWorker {
    /// At least.
    used: Duration,
    /// Whether each poll is measured: the clock has ticked during an earlier one.
    is_measured: bool,
}

thread_local! {
    /// What this thread had had of the processor when it first worked on a call in this tick, of this clock.
    static LOOKED: Cell<(usize, u64, Duration)> = const { Cell::new((0, 0, Duration::ZERO)) };
}

impl OnWorker {
    /// Does some of the work, and notes what it takes.
    fn poll<F: Future>(&mut self, work: Pin<&mut F>, pace: &Pace, cx: &mut Context<'_>) -> Poll<F::Output> {
        let (tick, clock) = (pace.now(), Arc::as_ptr(&pace.engines).addr());
        let before = if self.is_measured {
            thread_time()
        } else {
            let (of, at, time) = LOOKED.get();
            if (of, at) == (clock, tick) {
                time
            } else {
                let time = thread_time();
                LOOKED.set((clock, tick, time));
                time
            }
        };
        let polled = work.poll(cx);
        let ticks = pace.now().saturating_sub(tick);
        if self.is_measured {
            self.used += thread_time().saturating_sub(before);
        } else if ticks > 0 {
            self.is_measured = true;
            // What other calls had in the tick in which this one began is none of its own.
            if ticks > 1 {
                self.used += thread_time().saturating_sub(before).saturating_sub(TICK);
            }
        }
        if self.is_long() {
            pace.take_for_long(SUSPECTED);
        }
        polled
    }

    fn is_long(self) -> bool {
        self.used >= LONG_TIME
    }
}

/// Where the work is done.
enum Place<F: Future> {
    /// By the worker that asks.
    Here(Pin<Box<F>>),
    /// Beside the workers. Dropping it ends it there.
    Beside(Task<F::Output>),
    /// On its way from the one to the other.
    Between,
}

impl<F: Future> Paced<F> {
    pub(crate) fn new(work: Pin<Box<F>>, pace: &Arc<Pace>) -> Self {
        Self { place: Place::Here(work), pace: Arc::clone(pace), on_worker: OnWorker::default() }
    }
}

impl<F> Future for Paced<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = Result<F::Output, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { place, pace, on_worker } = &mut *self;
        if let Place::Here(work) = place
            && !on_worker.is_long()
            && !pace.is_long()
        {
            return on_worker.poll(work.as_mut(), pace, cx).map(Ok);
        }
        *place = match std::mem::replace(place, Place::Between) {
            Place::Here(work) => match threads::long() {
                Ok(threads) => {
                    let turns = PollSemaphore::new(Arc::clone(&pace.turns));
                    let beside = Beside { work, pace: Arc::clone(pace), turns, used: Duration::ZERO, waiting: Waiting::default() };
                    Place::Beside(Task::new(threads.spawn(carried(beside))))
                }
                // The system gives no thread: it is done here.
                Err(_) => Place::Here(work),
            },
            place => place,
        };
        match place {
            Place::Here(work) => work.as_mut().poll(cx).map(Ok),
            Place::Beside(task) => Pin::new(task).poll(cx).map_err(|error| match error.try_into_panic() {
                // As if it had been done here.
                Ok(panic) => resume_unwind(panic),
                Err(cancelled) => cancelled,
            }),
            Place::Between => Poll::Pending,
        }
    }
}

/// The work of a call beside the workers. It has a turn of its plugin for as long as it keeps a thread, and not while its guest waits for something.
struct Beside<F> {
    work: Pin<Box<F>>,
    pace: Arc<Pace>,
    turns: PollSemaphore,
    /// Time that it has used.
    used: Duration,
    waiting: Waiting,
}

impl<F: Future> Future for Beside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { work, pace, turns, used, waiting } = &mut *self;
        // Before the turn: who waits for the plugin's share keeps nobody from a thread.
        if let Some(share) = &pace.share {
            ready!(share.poll_ready(waiting, cx));
        }
        let _turn = ready!(turns.poll_acquire(cx));
        let before = thread_time();
        let polled = work.as_mut().poll(cx);
        let time = thread_time().saturating_sub(before);
        if let Some(share) = &pace.share {
            share.used(time);
        }
        *used += time;
        if *used >= LONG_TIME {
            pace.take_for_long(WATCHED);
        }
        polled
    }
}

/// What this thread has had of the processor.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Instant};

    use super::*;
    use crate::config::HostConfig;

    fn pace() -> Arc<Pace> {
        Pace::new(Engines::new(&HostConfig { instances: 10, ..HostConfig::default() }).unwrap(), None)
    }

    fn name() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    /// Keeps its thread for so many ticks, as does a call while other programs have the processor.
    fn keep(pace: &Pace, ticks: u64) {
        let _beat = pace.engines.clock().beat();
        let end = pace.now() + ticks;
        while pace.now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Uses its processor for longer than a call that is none of the long ones.
    fn compute(pace: &Pace) {
        let _beat = pace.engines.clock().beat();
        let (began, tick) = (thread_time(), pace.now());
        while thread_time() < began + TICK + LONG_TIME || pace.now() < tick + 2 {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn a_call_that_computes_goes_on_beside_the_workers_as_do_the_next_ones() {
        let pace = pace();
        let long = {
            let pace = Arc::clone(&pace);
            async move {
                let first = name();
                // All of it between two looks: within one instruction, say.
                compute(&pace);
                tokio::task::yield_now().await;
                (first, name())
            }
        };
        let here = name();
        assert_eq!(Paced::new(Box::pin(long), &pace).await.unwrap(), (here, "long".to_owned()));
        assert_eq!(Paced::new(Box::pin(async { name() }), &pace).await.unwrap(), "long");
    }

    #[tokio::test]
    async fn a_call_that_computes_piece_by_piece_goes_on_beside_the_workers() {
        let pace = pace();
        let long = {
            let pace = Arc::clone(&pace);
            async move {
                let _beat = pace.engines.clock().beat();
                let began = thread_time();
                // As a guest does that is interrupted with each tick.
                while name() != "long" && thread_time() < began + Duration::from_secs(20) {
                    let tick = pace.now();
                    while pace.now() == tick {
                        std::hint::spin_loop();
                    }
                    tokio::task::yield_now().await;
                }
                name()
            }
        };
        assert_eq!(Paced::new(Box::pin(long), &pace).await.unwrap(), "long");
    }

    #[tokio::test]
    async fn a_call_whose_worker_other_programs_have_kept_stays_there_as_do_the_next_ones() {
        let pace = pace();
        let kept = {
            let pace = Arc::clone(&pace);
            async move {
                for _ in 0..4 {
                    keep(&pace, 4);
                    tokio::task::yield_now().await;
                }
                name()
            }
        };
        let here = name();
        assert_eq!(Paced::new(Box::pin(kept), &pace).await.unwrap(), here);
        assert_eq!(Paced::new(Box::pin(async { name() }), &pace).await.unwrap(), here);
    }

    #[tokio::test]
    async fn calls_of_a_plugin_that_computes_begin_beside_the_workers() {
        let pace = pace();
        let long = |pace: Arc<Pace>| async move {
            compute(&pace);
            name()
        };
        let here = name();
        assert_eq!(Paced::new(Box::pin(long(Arc::clone(&pace))), &pace).await.unwrap(), here);
        assert_eq!(Paced::new(Box::pin(long(Arc::clone(&pace))), &pace).await.unwrap(), "long");
        keep(&pace, SUSPECTED);
        // There it was measured.
        assert_eq!(Paced::new(Box::pin(async { name() }), &pace).await.unwrap(), "long");
    }

    #[tokio::test]
    async fn one_that_ends_at_once_stays_where_it_is() {
        let here = name();
        assert_eq!(Paced::new(Box::pin(async { name() }), &pace()).await.unwrap(), here);
    }

    #[tokio::test]
    async fn one_that_is_dropped_ends_beside_the_workers_too() {
        let pace = pace();
        pace.long.store(u64::MAX, Ordering::Relaxed);
        let (held, gone) = tokio::sync::oneshot::channel::<()>();
        let mut waits = Paced::new(
            Box::pin(async move {
                std::future::pending::<()>().await;
                drop(held);
            }),
            &pace,
        );
        assert!(futures::poll!(&mut waits).is_pending());
        drop(waits);
        assert!(tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn one_plugin_does_not_have_all_the_threads() {
        let (greedy, other) = (pace(), pace());
        greedy.long.store(u64::MAX, Ordering::Relaxed);
        other.long.store(u64::MAX, Ordering::Relaxed);
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let many: Vec<_> = (0..threads::cores() * 3)
            .map(|_| {
                let wait = Arc::clone(&wait);
                tokio::spawn(Paced::new(Box::pin(async move { drop(wait.lock().map(|wait| wait.recv())) }), &greedy))
            })
            .collect();
        let begun = Instant::now();
        while greedy.turns.available_permits() > 0 && begun.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(tokio::time::timeout(Duration::from_secs(20), Paced::new(Box::pin(async { 1 }), &other)).await.unwrap().unwrap(), 1);
        drop(release);
        for one in many {
            one.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_is_the_callers_as_it_would_be_on_a_worker() {
        let pace = pace();
        pace.long.store(u64::MAX, Ordering::Relaxed);
        let _ = Paced::new(Box::pin(async { panic!("on purpose") }), &pace).await;
    }
}
