//! Replicas that die, hang, come and go. The channels here are made up, so that each can be told what to do; real programs are in `bridge` and in
//! the end-to-end tests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::{sync::broadcast, time::sleep};

use super::*;
use crate::{
    provider::{CallContext, JsonText},
    upstream::ChannelError,
};

/// All replicas of a test, and what the next ones do.
#[derive(Default)]
struct World {
    toys: Mutex<Vec<Arc<Toy>>>,
    /// What a start says in place of starting.
    refusal: Mutex<Option<String>>,
    /// Starts wait for this.
    slow: AtomicBool,
    starts: AtomicUsize,
    /// Processes that run now.
    living: Arc<AtomicUsize>,
    changes: Mutex<Vec<Change>>,
}

struct Toy {
    server: JsonText,
    changes: broadcast::Sender<Change>,
    death: watch::Sender<Option<String>>,
    frozen: AtomicBool,
    /// Calls of `hold` end when this grows.
    released: watch::Sender<bool>,
    calls: AtomicUsize,
}

struct Process {
    toy: Arc<Toy>,
    living: Arc<AtomicUsize>,
    number: usize,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.living.fetch_sub(1, SeqCst);
        self.toy.die("killed");
    }
}

impl Attached for Process {
    fn name(&self) -> String {
        format!("toy {}", self.number)
    }

    fn stop(self: Box<Self>, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}

impl Toy {
    fn die(&self, why: &str) {
        self.death.send_if_modified(|death| death.is_none() && death.replace(why.to_owned()).is_none());
    }
}

impl Channel for Toy {
    fn request<'a>(
        &'a self,
        _: &'static str,
        params: &'a str,
        _: &'a CallContext,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, SeqCst);
            let mut released = self.released.subscribe();
            let answer = async {
                if self.frozen.load(SeqCst) {
                    std::future::pending::<()>().await;
                }
                if params == "hold" {
                    let _ = released.wait_for(|released| *released).await;
                }
                if let Some(millis) = params.strip_prefix("ms ") {
                    sleep(Duration::from_millis(millis.parse().unwrap())).await;
                }
            };
            tokio::select! {
                why = self.closed() => Err(ChannelError::Closed(why)),
                () = answer => Ok(JsonText::from_value(&1).unwrap()),
                () = sleep(timeout) => Err(ChannelError::Timeout(timeout)),
            }
        })
    }

    fn server(&self) -> &JsonText {
        &self.server
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        let mut death = self.death.subscribe();
        Box::pin(async move { death.wait_for(Option::is_some).await.unwrap().clone().unwrap() })
    }
}

impl Connect for World {
    fn connect(&self) -> BoxFuture<'_, Result<Connected, ConnectError>> {
        Box::pin(async move {
            let number = self.starts.fetch_add(1, SeqCst) + 1;
            while self.slow.load(SeqCst) {
                sleep(Duration::from_millis(1)).await;
            }
            if let Some(refusal) = self.refusal.lock().unwrap().clone() {
                return Err(ConnectError(refusal));
            }
            self.living.fetch_add(1, SeqCst);
            let toy = Arc::new(Toy {
                server: JsonText::from_value("").unwrap(),
                changes: broadcast::Sender::new(8),
                death: watch::Sender::new(None),
                frozen: AtomicBool::new(false),
                released: watch::Sender::new(false),
                calls: AtomicUsize::new(0),
            });
            self.toys.lock().unwrap().push(toy.clone());
            let process = Box::new(Process { toy: toy.clone(), living: self.living.clone(), number });
            Ok(Connected { channel: toy, process })
        })
    }
}

impl Listener for World {
    fn changed(&self, _: &Arc<dyn Channel>, change: Change) {
        self.changes.lock().unwrap().push(change);
    }
}

impl World {
    fn living(&self) -> usize {
        self.living.load(SeqCst)
    }

    fn starts(&self) -> usize {
        self.starts.load(SeqCst)
    }

    /// Those that have not died.
    fn alive(&self) -> Vec<Arc<Toy>> {
        self.toys.lock().unwrap().iter().filter(|toy| toy.death.borrow().is_none()).cloned().collect()
    }
}

fn limits() -> ServerLimits {
    ServerLimits { start: Duration::from_secs(20), call: Duration::from_secs(20), ping: Duration::ZERO, ..ServerLimits::default() }
}

fn fixed(count: u32) -> Replicas {
    Replicas { min: count, max: count, ..Replicas::default() }
}

fn quick() -> Policy {
    Policy {
        backoff: Duration::from_millis(1),
        longest_backoff: Duration::from_millis(2),
        open: Duration::from_millis(40),
        longest_open: Duration::from_millis(40),
        ..Policy::default()
    }
}

fn start_in(world: &Arc<World>, replicas: Replicas, limits: ServerLimits, policy: Policy) -> Arc<ReplicaSet> {
    start_within(world, replicas, limits, policy, &Slots::new(64))
}

fn start_within(world: &Arc<World>, replicas: Replicas, limits: ServerLimits, policy: Policy, slots: &Slots) -> Arc<ReplicaSet> {
    ReplicaSet::start(Setup {
        interests: Arc::default(),
        id: ProviderId::new("git").unwrap(),
        replicas,
        limits,
        policy,
        slots: slots.clone(),
        connect: world.clone(),
        listener: world.clone(),
    })
}

fn start(replicas: Replicas, limits: ServerLimits, policy: Policy) -> (Arc<World>, Arc<ReplicaSet>) {
    let world = Arc::new(World::default());
    let set = start_in(&world, replicas, limits, policy);
    (world, set)
}

/// One call, as a provider makes it.
async fn call(set: &ReplicaSet, params: &str) -> Result<(), String> {
    call_with(set, params, None).await
}

/// The same, with somebody who wants to know whether it has started.
async fn call_with(set: &ReplicaSet, params: &str, signal: Option<&StartSignal>) -> Result<(), String> {
    let lease = set.pick(signal).await.map_err(|error| error.to_string())?;
    let result = lease.channel.request("tools/call", params, &CallContext::default(), set.shared.limits.call).await;
    drop(lease.guard);
    result.map(drop).map_err(|error| error.to_string())
}

/// Waits for what must come.
async fn until(what: &str, is: impl Fn() -> bool) {
    let wait = async {
        while !is() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("{what} does not come"));
}

fn spawn(set: &Arc<ReplicaSet>, params: &'static str) -> JoinHandle<Result<(), String>> {
    let set = set.clone();
    tokio::spawn(async move { call(&set, params).await })
}

#[tokio::test]
async fn calls_are_spread_and_counted_and_the_queue_has_an_end() {
    let (world, set) = start(fixed(2), ServerLimits { concurrency: 2, queue: 1, ..limits() }, quick());
    until("both", || set.report().replicas.up.len() == 2).await;
    let running: Vec<_> = (0..4).map(|_| spawn(&set, "hold")).collect();
    until("four calls", || set.report().ongoing == 4).await;
    assert_eq!(set.report().replicas.up.iter().map(|replica| replica.ongoing).collect::<Vec<_>>(), [2, 2], "never more than `concurrency`");
    let waiting = spawn(&set, "hold");
    until("one that waits", || set.report().queued == 1).await;
    let error = call(&set, "").await.unwrap_err();
    assert_eq!(
        error,
        "server git is busy, its queue is full (4 calls run, 1 wait); `concurrency`, `queue` and `replicas` in [server.git] set how many may; try again in 1 s"
    );
    waiting.abort();
    until("nobody waits", || set.report().queued == 0).await;
    let waiting = spawn(&set, "");
    until("one that waits", || set.report().queued == 1).await;
    world.alive()[0].released.send_replace(true);
    waiting.await.unwrap().unwrap();
    for toy in world.alive() {
        toy.released.send_replace(true);
    }
    for call in running {
        call.await.unwrap().unwrap();
    }
    let report = set.report();
    assert_eq!((report.ongoing, report.queued, report.replicas.restarts), (0, 0, 0));
    set.stop().await;
    assert_eq!(world.living(), 0);
}

#[tokio::test]
async fn a_call_in_the_queue_has_not_begun() {
    use futures::FutureExt as _;
    let (world, set) = start(fixed(1), ServerLimits { concurrency: 1, ..limits() }, quick());
    until("one", || set.report().replicas.up.len() == 1).await;
    let running = spawn(&set, "hold");
    until("a call", || set.report().ongoing == 1).await;
    let signal = StartSignal::default();
    let mut waiting = Box::pin(call_with(&set, "hold", Some(&signal)));
    assert!((&mut waiting).now_or_never().is_none() && signal.is_queued());
    running.abort();
    until("its turn", || set.report().ongoing == 1 && set.report().queued == 0).await;
    assert!((&mut waiting).now_or_never().is_none() && !signal.is_queued());
    drop(waiting);
    set.stop().await;
    assert_eq!(world.living(), 0);
}

#[tokio::test]
async fn only_calls_on_a_dead_replica_fail_and_say_so() {
    let (world, set) = start(fixed(2), limits(), quick());
    until("both", || set.report().replicas.up.len() == 2).await;
    let (one, two) = (spawn(&set, "hold"), spawn(&set, "hold"));
    until("two calls", || set.report().ongoing == 2).await;
    // Two choices of two: one call on each.
    let dead = world.alive()[0].clone();
    dead.die("killed by signal 9; last line on stderr: \"oops\"");
    until("another", || set.report().replicas.up.len() == 2 && world.starts() == 3).await;
    for toy in world.alive() {
        toy.released.send_replace(true);
    }
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    let errors: Vec<_> = [one, two].into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].starts_with("replica ")
            && errors[0].ends_with(") ended while this call ran on it: killed by signal 9; last line on stderr: \"oops\""),
        "{errors:?}"
    );
    assert_eq!((set.report().replicas.restarts, set.report().replicas.breaker), (1, BreakerState::Closed));
    // The only one dies: whoever calls then waits for the next one.
    let set = start_in(&world, fixed(1), limits(), quick());
    for _ in 0..20 {
        call(&set, "").await.unwrap();
        world.alive().last().unwrap().die("killed");
    }
    call(&set, "").await.unwrap();
}

#[tokio::test]
async fn what_does_not_start_is_told_at_once_and_tried_again() {
    let world = Arc::new(World::default());
    *world.refusal.lock().unwrap() = Some("exit status 1; last line on stderr: \"no token\"".to_owned());
    let set = start_in(
        &world,
        fixed(3),
        limits(),
        Policy { backoff: Duration::from_secs(3600), longest_backoff: Duration::from_secs(3600), ..quick() },
    );
    set.tried().await;
    until("nothing starts", || set.report().replicas.starting == 0).await;
    let error = call(&set, "").await.unwrap_err();
    assert!(error.starts_with("server git is not running: exit status 1; last line on stderr: \"no token\" ("), "{error}");
    assert!(error.contains(" failures in a row); it is started again in "), "{error}");
    assert_eq!(world.starts(), 3, "not tried again before its time");
    set.stop().await;

    let set = start_in(&world, fixed(2), limits(), quick());
    until("the breaker is open", || matches!(set.report().replicas.breaker, BreakerState::Open(_))).await;
    let error = call(&set, "").await.unwrap_err();
    assert!(error.contains("failures in a row") && error.contains("it is "), "{error}");
    assert!(set.report().trouble.is_some());
    *world.refusal.lock().unwrap() = None;
    until("it is back", || set.report().replicas.up.len() == 2).await;
    call(&set, "").await.unwrap();
    let report = set.report();
    assert_eq!((report.replicas.breaker, report.trouble), (BreakerState::Closed, None));
    set.stop().await;
    assert_eq!(world.living(), 0);
}

#[tokio::test]
async fn a_replica_that_dies_as_soon_as_it_is_up_opens_the_breaker() {
    let (world, set) = start(fixed(1), limits(), quick());
    let killer = tokio::spawn({
        let world = world.clone();
        async move {
            loop {
                for toy in world.alive() {
                    toy.die("exit status 3");
                }
                tokio::task::yield_now().await;
            }
        }
    });
    until("the breaker is open", || matches!(set.report().replicas.breaker, BreakerState::Open(_))).await;
    killer.abort();
    until("it is back", || set.report().replicas.up.len() == 1).await;
    call(&set, "").await.unwrap();
    assert_eq!(world.living(), 1);
}

#[tokio::test]
async fn so_many_replicas_start_at_once_and_the_first_of_a_server_does_not_wait() {
    let slots = Slots::new(2);
    let (first, second) = (Arc::new(World::default()), Arc::new(World::default()));
    first.slow.store(true, SeqCst);
    let set = start_within(&first, fixed(6), limits(), quick(), &slots);
    until("two starts", || first.starts() == 2).await;
    assert_eq!(set.report().replicas.starting, 2, "others would only wait");
    // One slot is left of two, and the other server's first replica needs none.
    let other = start_within(&second, fixed(6), limits(), quick(), &slots);
    until("all of the other", || other.report().replicas.up.len() == 6).await;
    assert_eq!(first.starts(), 2);
    first.slow.store(false, SeqCst);
    until("all", || set.report().replicas.up.len() == 6).await;
    assert_eq!((first.starts(), second.starts()), (6, 6));
}

#[tokio::test]
async fn the_time_of_a_start_counts_from_its_slot() {
    let slots = Slots::new(1);
    let held = slots.take().await;
    let world = Arc::new(World::default());
    let limits = ServerLimits { start: Duration::from_millis(10), ..limits() };
    let set = start_within(&world, fixed(2), limits, quick(), &slots);
    until("the first", || set.report().replicas.up.len() == 1).await;
    // Longer than the start and its slack, without a slot.
    sleep(limits.start + START_SLACK + Duration::from_millis(200)).await;
    assert_eq!((set.report().replicas.restarts, world.starts()), (0, 1));
    drop(held);
    until("both", || set.report().replicas.up.len() == 2).await;
}

#[tokio::test]
async fn the_breaker_stays_closed_while_a_replica_serves() {
    let growing = Replicas { min: 1, max: 5, target_ongoing_requests: 1.0, upscale_delay: Duration::ZERO, ..Replicas::default() };
    let (world, set) = start(growing, ServerLimits { concurrency: 100, ..limits() }, quick());
    until("one", || set.report().replicas.up.len() == 1).await;
    *world.refusal.lock().unwrap() = Some("too slow".to_owned());
    let running: Vec<_> = (0..20).map(|_| spawn(&set, "hold")).collect();
    until("many that do not start", || set.report().replicas.restarts > 20).await;
    let report = set.report();
    assert_eq!(report.replicas.breaker, BreakerState::Closed, "{report:?}");
    assert!(report.trouble.is_some_and(|trouble| trouble.contains("too slow")));
    call(&set, "").await.expect("the one that is up serves");
    *world.refusal.lock().unwrap() = None;
    until("all", || set.report().replicas.up.len() == 5).await;
    world.alive()[0].released.send_replace(true);
    for call in running {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_start_has_a_deadline_and_so_has_who_waits_for_it() {
    let world = Arc::new(World::default());
    world.slow.store(true, SeqCst);
    let limits = ServerLimits { start: Duration::from_millis(50), ..limits() };
    let set = start_in(
        &world,
        fixed(1),
        limits,
        Policy { backoff: Duration::from_secs(3600), longest_backoff: Duration::from_secs(3600), ..quick() },
    );
    let error = call(&set, "").await.unwrap_err();
    assert!(error.contains("`start_timeout` in [server.git] sets how long it may take"), "{error}");
    assert_eq!(world.living(), 0);
}

#[tokio::test]
async fn load_makes_more_and_rest_makes_fewer_and_no_call_is_lost() {
    let replicas = Replicas {
        min: 1,
        max: 3,
        target_ongoing_requests: 2.0,
        upscale_delay: Duration::from_millis(100),
        downscale_delay: Duration::from_millis(200),
    };
    let (world, set) = start(replicas, limits(), quick());
    set.tried().await;
    let mut most = 0;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let set = set.clone();
            tokio::spawn(async move {
                let end = Instant::now() + Duration::from_millis(1500);
                let mut count = 0;
                while Instant::now() < end {
                    call(&set, "ms 5").await.unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    while calls.iter().any(|call| !call.is_finished()) {
        most = most.max(set.report().replicas.up.len());
        sleep(Duration::from_millis(5)).await;
    }
    let mut count = 0;
    for call in calls {
        count += call.await.unwrap();
    }
    assert_eq!(most, 3);
    assert!(count > 100, "{count} calls");
    assert!(world.toys.lock().unwrap().iter().all(|toy| toy.calls.load(SeqCst) > 0), "each that was started took its part");
    until("rest", || set.report().replicas.up.len() == 1 && world.living() == 1).await;
    assert_eq!(set.report().replicas.restarts, 0);
}

#[tokio::test]
async fn with_a_minimum_of_zero_it_runs_while_it_is_called() {
    let replicas = Replicas {
        min: 0,
        max: 2,
        target_ongoing_requests: 1.0,
        upscale_delay: Duration::from_millis(20),
        downscale_delay: Duration::from_millis(50),
    };
    let (world, set) = start(replicas, ServerLimits { queue: 0, ..limits() }, quick());
    set.tried().await;
    for _ in 0..3 {
        until("idle", || world.living() == 0 && set.report().replicas.starting == 0).await;
        // On a busy machine the five calls may want a second one.
        let before = world.starts();
        let calls: Vec<_> = (0..5).map(|_| spawn(&set, "")).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        until("one more", || world.starts() > before).await;
    }
    // One that is being stopped while a call comes loses no call.
    for _ in 0..50 {
        call(&set, "").await.unwrap();
        sleep(Duration::from_millis(fastrand::u64(30..80))).await;
    }
}

#[tokio::test]
async fn one_that_does_not_answer_is_asked_and_replaced() {
    let limits = ServerLimits { call: Duration::from_millis(200), ping: Duration::from_millis(100), ..limits() };
    let (world, set) = start(fixed(1), limits, quick());
    call(&set, "").await.unwrap();
    // Under way: the call has its deadline, then it is asked.
    world.alive()[0].frozen.store(true, SeqCst);
    let error = call(&set, "").await.unwrap_err();
    assert_eq!(error, "no answer within 200ms");
    call(&set, "").await.unwrap();
    assert_eq!((world.starts(), set.report().replicas.restarts), (2, 1));
    // At rest: it is asked after a while of silence, before a call comes to it.
    world.alive()[0].frozen.store(true, SeqCst);
    until("a new one", || world.starts() == 3).await;
    call(&set, "").await.unwrap();
    // A slow call is none that hangs: it is asked, answers, and stays.
    let error = call(&set, "ms 300").await.unwrap_err();
    assert_eq!(error, "no answer within 200ms");
    call(&set, "").await.unwrap();
    assert_eq!(world.starts(), 3);
    // So many in a row are too many.
    for _ in 0..5 {
        call(&set, "ms 300").await.unwrap_err();
    }
    until("a new one", || world.starts() == 4).await;
    set.stop().await;
    assert_eq!(world.living(), 0);
}

#[tokio::test]
async fn changes_are_handed_on() {
    let (world, set) = start(fixed(1), limits(), quick());
    call(&set, "").await.unwrap();
    let toy = world.alive()[0].clone();
    until("the keeper listens", || toy.changes.receiver_count() > 0).await;
    toy.changes.send(Change::Updated("file:///a".to_owned())).unwrap();
    until("it", || *world.changes.lock().unwrap() == [Change::Updated("file:///a".to_owned())]).await;
    for _ in 0..100 {
        toy.changes.send(Change::Tools).unwrap();
    }
    until("all lists", || world.changes.lock().unwrap().contains(&Change::Prompts)).await;
    drop(set);
    until("the end", || world.living() == 0).await;
}

#[tokio::test]
async fn the_end_answers_who_waits_and_leaves_nothing() {
    let (world, set) = start(fixed(2), ServerLimits { concurrency: 1, ..limits() }, quick());
    until("both", || set.report().replicas.up.len() == 2).await;
    let calls: Vec<_> = (0..4).map(|_| spawn(&set, "hold")).collect();
    until("all", || set.report().ongoing == 2 && set.report().queued == 2).await;
    set.stop().await;
    assert_eq!(world.living(), 0);
    let mut errors = Vec::new();
    for call in calls {
        errors.push(call.await.unwrap().unwrap_err());
    }
    errors.sort();
    assert!(errors[0].contains("ended while this call ran on it: killed"), "{errors:?}");
    assert_eq!(errors[2], "server git is being stopped: the host is shutting down");
    assert_eq!(call(&set, "").await.unwrap_err(), "server git is being stopped: the host is shutting down");
    set.stop().await;
}

#[tokio::test]
async fn a_thousand_deaths_leave_one() {
    let (world, set) = start(fixed(1), limits(), quick());
    for _ in 0..1000 {
        call(&set, "").await.unwrap();
        world.alive()[0].die("killed");
    }
    call(&set, "").await.unwrap();
    until("one", || world.living() == 1).await;
    assert_eq!(set.report().replicas.restarts, 1000);
    assert_eq!(Arc::strong_count(&world.toys.lock().unwrap()[0]), 1, "nothing holds a dead replica");
}
