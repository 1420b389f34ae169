//! Two, three and more processes at one path, each as a part of this one.

use std::{fs, net::SocketAddr, net::TcpListener, os::fd::AsFd as _, path::Path};

use tokio::{io::AsyncWriteExt as _, net::UnixListener, sync::watch, task::JoinHandle};

use super::{offer::Following, *};
use crate::http::{Shutdown, shutdown::Stage};

/// A process, as far as it is followed and follows.
struct Process {
    shutdown: Shutdown,
    beside: Beside,
    offers: JoinHandle<Option<Following>>,
    /// Waits for those before it.
    _waits: JoinHandle<()>,
}

impl Process {
    /// Takes over from that one, which has to be there by then.
    async fn start(path: &Path, before: Option<Predecessor>) -> Result<Self, Failure> {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let prepared = Offer::prepare(path, vec![(Role::All, socket.into())])?;
        let (offer, ending) = follow(before, path, prepared).await?;
        let (shutdown, beside) = (Shutdown::new(), Beside::new());
        let waits = tokio::spawn(beside.until_ended(ending));
        let offers = tokio::spawn(offer.serve(shutdown.clone(), Vec::new(), beside.clone()));
        Ok(Self { shutdown, beside, offers, _waits: waits })
    }

    async fn has(&self, others: usize) {
        self.beside.count().wait_for(|count| *count == others).await.unwrap();
    }

    /// The end, of which those that have followed hear.
    async fn end(self) {
        self.shutdown.leaving().await;
        drop(self.offers.await.unwrap().expect("somebody has followed"));
    }

    /// The end without a word.
    fn kill(self) {
        self.offers.abort();
    }

    fn serves(&self) -> bool {
        self.shutdown.stage() == Stage::Running
    }
}

async fn found(path: &Path) -> Predecessor {
    Predecessor::find(path).await.unwrap().expect("somebody is there")
}

#[tokio::test]
async fn sockets_are_taken_by_role_and_address_and_the_first_goes_on_where_nobody_follows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handover.sock");
    assert!(Predecessor::find(&path).await.unwrap().is_none());
    let [all, metrics] = ["127.0.0.1:0"; 2].map(|address| TcpListener::bind(address).unwrap());
    let (at, metrics_at) = (all.local_addr().unwrap(), metrics.local_addr().unwrap());
    let again = |socket: &TcpListener| socket.as_fd().try_clone_to_owned().unwrap();
    let prepared = Offer::prepare(&path, vec![(Role::All, again(&all)), (Role::Metrics, again(&metrics))]).unwrap();
    assert!(!path.exists());
    let (offer, ending) = follow(None, &path, prepared).await.unwrap();
    assert!(ending.is_empty());
    let (shutdown, other, beside) = (Shutdown::new(), Shutdown::new(), Beside::new());
    let count: watch::Receiver<usize> = beside.count();
    let serving = tokio::spawn(offer.serve(shutdown.clone(), vec![other.clone()], beside.clone()));

    // One that ends before it is ready.
    drop(found(&path).await);
    count.clone().wait_for(|count| *count == 0).await.unwrap();
    let mut taken = found(&path).await;
    count.clone().wait_for(|count| *count == 1).await.unwrap();
    assert_eq!(shutdown.stage(), Stage::Running);
    assert!(taken.socket(Role::Console, at).is_none() && taken.socket(Role::All, metrics_at).is_none());
    let any = SocketAddr::new(at.ip(), 0);
    assert_eq!(taken.socket(Role::All, any).unwrap().local_addr().unwrap(), at);
    assert!(taken.socket(Role::All, any).is_none(), "each is taken once");
    assert_eq!(taken.socket(Role::Metrics, metrics_at).unwrap().local_addr().unwrap(), metrics_at);
    let next = Process::start(&path, Some(taken)).await.unwrap();
    let following = serving.await.unwrap().expect("somebody has followed");
    next.has(1).await;
    assert_eq!(*count.borrow(), 1, "both run");
    drop(following);
    next.has(0).await;
    shutdown.leaving().await;
    other.draining().await;
    assert!(path.exists(), "the old one leaves the new one's socket alone");
    next.shutdown.lame_duck();
    assert!(next.offers.await.unwrap().is_none(), "nobody has followed");
    assert!(!path.exists());
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is left");
}

#[tokio::test]
async fn a_third_process_comes_while_the_first_one_still_drains() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handover.sock");
    let first = Process::start(&path, None).await.unwrap();
    let second = Process::start(&path, Some(found(&path).await)).await.unwrap();
    second.has(1).await;
    // It takes over from the second, and knows of the first too, which is told of by nobody else.
    let third = Process::start(&path, Some(found(&path).await)).await.unwrap();
    third.has(2).await;
    first.shutdown.leaving().await;
    second.shutdown.leaving().await;
    assert!(third.serves());
    // Also where the second ends before the first.
    second.end().await;
    third.has(1).await;
    // One more that does not come to serve changes nothing.
    let fourth = found(&path).await;
    third.has(2).await;
    drop(fourth);
    third.has(1).await;
    first.end().await;
    third.has(0).await;
    assert!(third.serves());
}

#[tokio::test]
async fn of_two_that_start_up_at_once_the_first_to_be_ready_serves_until_the_one_that_was_started_later_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handover.sock");
    let first = Process::start(&path, None).await.unwrap();
    let (earlier, mut later) = (found(&path).await, found(&path).await);
    first.has(2).await;
    let second = Process::start(&path, Some(earlier)).await.unwrap();
    // The one that was started later is told that it is another one by now.
    later.left(&path).await.unwrap();
    first.shutdown.leaving().await;
    assert!(second.serves());
    // It may not have noticed.
    let third = Process::start(&path, Some(later)).await.unwrap();
    second.shutdown.leaving().await;
    assert!(third.serves());
    third.has(2).await;
    first.end().await;
    second.end().await;
    third.has(0).await;
}

#[tokio::test]
async fn one_that_was_started_before_the_one_that_serves_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handover.sock");
    let first = Process::start(&path, None).await.unwrap();
    let (mut stuck, late, later) = (found(&path).await, found(&path).await, found(&path).await);
    first.has(3).await;
    let second = Process::start(&path, Some(later)).await.unwrap();
    let why = stuck.left(&path).await.unwrap_err().message;
    assert!(why.contains("started after this one"), "{why}");
    let why = Process::start(&path, Some(late)).await.err().expect("it is not needed").message;
    assert!(why.contains("started after this one"), "{why}");
    assert!(second.serves());
    first.end().await;
    second.has(0).await;
}

#[tokio::test]
async fn of_those_that_start_up_when_the_first_is_killed_one_serves_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handover.sock");
    let first = Process::start(&path, None).await.unwrap();
    let starting = [found(&path).await, found(&path).await, found(&path).await];
    first.has(3).await;
    first.kill();
    let started = starting.map(|before| {
        let path = path.clone();
        tokio::spawn(async move { Process::start(&path, Some(before)).await })
    });
    let mut all = Vec::new();
    for process in started {
        match process.await.unwrap() {
            Ok(process) => all.push(process),
            // Which was the first to ask who serves by then is left to chance.
            Err(why) => assert!(why.message.contains("started after this one"), "{}", why.message),
        }
    }
    // The others have been followed.
    while all.iter().filter(|process| process.serves()).count() > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(all.iter().filter(|process| process.serves()).count(), 1);
    assert!(Predecessor::find(&path).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_no_offer_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let listener = UnixListener::bind(&path).unwrap();
    let says = tokio::spawn(async move {
        for text in ["hello\n", r#"{"version":1,"pid":1,"sockets":[]}"#, r#"{"version":2,"pid":1,"sockets":["all"]}"#] {
            let (mut link, _) = listener.accept().await.unwrap();
            link.write_all(text.as_bytes()).await.unwrap();
        }
        // One that lets go of its sockets, and ends.
        drop(listener.accept().await.unwrap());
    });
    for wanted in ["not understood", "version 1", "of 1 sockets that it gives, 0 came"] {
        let error = Predecessor::find(&path).await.unwrap_err().message;
        assert!(error.contains(wanted) && error.contains("handover"), "{error}");
    }
    assert!(Predecessor::find(&path).await.unwrap().is_none(), "one that has gone");
    says.await.unwrap();
    assert!(Predecessor::find(&path).await.unwrap().is_none(), "a socket that nobody listens at");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    assert!(Offer::prepare(&path, Vec::new()).err().unwrap().message.contains("no socket"));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    let nowhere = folder.path().join("none/h");
    let why = Offer::prepare(&nowhere, Vec::new()).err().unwrap().message;
    assert!(why.contains("its folder has to exist"), "{why}");
    // As somebody who only looks is told.
    assert_eq!(trouble(&folder.path().join("other")), None);
    for (at, says) in [(path.clone(), "no socket"), (nowhere, "No such file"), (path.join("h"), "is no folder")] {
        let why = trouble(&at).expect("it is wrong");
        assert!(why.contains(says) && why.contains(&at.display().to_string()), "{why}");
    }
}
