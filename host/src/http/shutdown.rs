//! The end: who asks for it, and how far it has come.

use std::{io, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::Instant,
};

use crate::telemetry;

/// How long the last log lines may take to get out when a second signal ends everything.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How soon a further signal is still the first one: `timeout`, process supervisors and terminals send a signal to a process and to its group, and both
/// arrive.
const ECHO: Duration = Duration::from_millis(300);

/// How far the end has come. It only ever goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Not begun.
    Running,
    /// Everything is served, but load balancers and clients hear that it ends, so that they go elsewhere.
    LameDuck,
    /// Another process has the same listening sockets and serves: what is connected here may end.
    HandedOver,
    /// Nothing new is taken; what runs may end.
    Draining,
    /// What still runs is given up.
    Now,
}

/// Asks for the end, and tells those who wait for it. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<Stage>>);

impl Shutdown {
    /// An end that nobody has asked for yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Stage::Running)))
    }

    /// Announces the end: everything is served until [`Self::drain`], which whoever serves asks for after a time.
    pub fn lame_duck(&self) {
        self.advance(Stage::LameDuck);
    }

    /// Announces the end to who is connected, since another process accepts connections now.
    pub fn hand_over(&self) {
        self.advance(Stage::HandedOver);
    }

    /// Begins the end: nothing new is taken, what runs may end within its time.
    pub fn drain(&self) {
        self.advance(Stage::Draining);
    }

    /// Ends now: what still runs is given up.
    pub fn now(&self) {
        self.advance(Stage::Now);
    }

    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// Returns as soon as the end is announced.
    pub async fn leaving(&self) {
        self.reached(Stage::LameDuck).await;
    }

    /// Returns as soon as nothing new is taken any more.
    pub async fn draining(&self) {
        self.reached(Stage::Draining).await;
    }

    /// Returns as soon as everything has to be given up.
    pub async fn forced(&self) {
        self.reached(Stage::Now).await;
    }

    fn advance(&self, to: Stage) {
        self.0.send_if_modified(|stage| {
            let later = *stage < to;
            *stage = to.max(*stage);
            later
        });
    }

    async fn reached(&self, wanted: Stage) {
        // The sender is in `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|stage| *stage >= wanted).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// An end that SIGTERM, SIGINT or SIGQUIT asks for. SIGTERM announces it first, since it comes from what starts another instance instead; SIGINT and SIGQUIT
/// come from a person, who does not want to wait. A further signal, 300 ms later or more, ends the announcement; one after that, or a second one where
/// nothing was announced, ends the process, with exit code 130 (SIGINT), 131 (SIGQUIT) or 143 (SIGTERM). SIGUSR1 and SIGUSR2, which would end the process without a word, mean nothing here and are logged.
/// The task that waits for them lives as long as the runtime in which this is called.
///
/// # Errors
///
/// Where the system does not let us listen to signals.
pub fn on_signals() -> io::Result<Shutdown> {
    let shutdown = Shutdown::new();
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let quit = signal(SignalKind::quit())?;
    let each = |signal, kind: SignalKind| {
        stream::unfold(signal, |mut signal: tokio::signal::unix::Signal| async { signal.recv().await.map(|()| ((), signal)) })
            .map(move |()| kind)
    };
    let signals = stream::select(each(terminate, SignalKind::terminate()), each(interrupt, SignalKind::interrupt()));
    let signals = stream::select(signals, each(quit, SignalKind::quit()));
    let (first, second) = (signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?);
    let users = stream::select(each(first, SignalKind::user_defined1()), each(second, SignalKind::user_defined2()));
    tokio::spawn(users.for_each(async |kind| {
        tracing::info!(signal = name(kind), "this signal means nothing here and changes nothing; SIGTERM ends the server");
    }));
    tokio::spawn(obey(shutdown.clone(), signals, ECHO, |code| {
        telemetry::flush(LAST_WORDS);
        std::process::exit(code)
    }));
    Ok(shutdown)
}

/// Turns the first signal into an announcement or a drain, and further ones into what comes next.
async fn obey(shutdown: Shutdown, signals: impl Stream<Item = SignalKind>, echo: Duration, exit: impl FnOnce(i32)) {
    let mut signals = std::pin::pin!(signals);
    let Some(first) = signals.next().await else { return };
    tracing::info!(
        signal = name(first),
        "shutting down: no new connections, calls in flight may finish; a second signal exits immediately"
    );
    if first == SignalKind::terminate() {
        shutdown.lame_duck();
    } else {
        shutdown.drain();
    }
    let mut begun = Instant::now();
    let second = loop {
        let Some(signal) = signals.next().await else { return };
        if begun.elapsed() < echo {
            tracing::debug!(signal = name(signal), "the same signal came twice");
        } else if shutdown.stage() == Stage::LameDuck {
            tracing::info!(signal = name(signal), "second signal: not waiting for load balancers; a third one exits immediately");
            shutdown.drain();
            begun = Instant::now();
        } else {
            break signal;
        }
    };
    tracing::warn!(signal = name(second), "another signal: exiting immediately");
    shutdown.now();
    // The shell's way to say "ended by this signal".
    exit(128 + second.as_raw_value());
}

fn name(kind: SignalKind) -> &'static str {
    let names = [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::quit(), "SIGQUIT"),
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
    ];
    names.into_iter().find(|(known, _)| *known == kind).map_or("SIGTERM", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::process::ExitStatusExt as _,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn the_end_never_goes_back() {
        let shutdown = Shutdown::new();
        assert_eq!(shutdown.stage(), Stage::Running);
        shutdown.now();
        shutdown.drain();
        assert_eq!(shutdown.stage(), Stage::Now);
    }

    #[tokio::test]
    async fn the_first_signal_drains_and_the_second_exits_with_its_code() {
        for (second, code) in [(SignalKind::interrupt(), 130), (SignalKind::terminate(), 143)] {
            let shutdown = Shutdown::new();
            let (send, receive) = futures::channel::mpsc::unbounded();
            let (exited, exit) = tokio::sync::oneshot::channel();
            let task = tokio::spawn(obey(shutdown.clone(), receive, Duration::ZERO, |code| exited.send(code).unwrap()));
            // SIGTERM announces it, and whoever serves begins the drain, or the next signal does.
            send.unbounded_send(SignalKind::terminate()).unwrap();
            shutdown.leaving().await;
            assert_eq!(shutdown.stage(), Stage::LameDuck);
            if code == 143 {
                send.unbounded_send(SignalKind::interrupt()).unwrap();
            } else {
                shutdown.drain();
            }
            shutdown.draining().await;
            assert_eq!(shutdown.stage(), Stage::Draining);
            send.unbounded_send(second).unwrap();
            shutdown.forced().await;
            assert_eq!(exit.await, Ok(code));
            task.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_person_does_not_wait_for_load_balancers() {
        for signal in [SignalKind::interrupt(), SignalKind::quit()] {
            let shutdown = Shutdown::new();
            obey(shutdown.clone(), stream::iter([signal]), ECHO, |code| panic!("ended with {code}")).await;
            assert_eq!(shutdown.stage(), Stage::Draining);
        }
    }

    #[tokio::test]
    async fn the_echo_of_the_first_signal_is_no_second_one() {
        let shutdown = Shutdown::new();
        let (send, receive) = futures::channel::mpsc::unbounded();
        for _ in 0..3 {
            send.unbounded_send(SignalKind::terminate()).unwrap();
        }
        drop(send);
        obey(shutdown.clone(), receive, Duration::MAX, |code| panic!("ended with {code}")).await;
        assert_eq!(shutdown.stage(), Stage::LameDuck);
    }

    /// Not a test of its own: the process that the next test sends signals to.
    #[test]
    #[ignore = "started by real_signals_end_a_process"]
    fn child() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let shutdown = on_signals().unwrap();
            println!("\nlistening");
            shutdown.leaving().await;
            shutdown.drain();
            println!("draining");
            std::future::pending::<()>().await;
        });
    }

    #[test]
    fn real_signals_end_a_process() {
        for (signal, code) in [("TERM", 143), ("INT", 130), ("QUIT", 131)] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "http::shutdown::tests::child", "--ignored", "--nocapture"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
            let id = child.id();
            let kill = || assert!(Command::new("sh").args(["-c", &format!("kill -{signal} {id}")]).status().unwrap().success());
            assert!(lines.any(|line| line == "listening"));
            for ignored in ["USR1", "USR2"] {
                assert!(Command::new("sh").args(["-c", &format!("kill -{ignored} {id}")]).status().unwrap().success());
            }
            kill();
            assert!(lines.any(|line| line == "draining"));
            // The ones that come at once are the first one's echo.
            let status = loop {
                kill();
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                std::thread::yield_now();
            };
            assert_eq!((status.code(), status.signal()), (Some(code), None));
        }
    }
}
