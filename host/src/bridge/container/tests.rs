//! Real containers, by the program and by the API of the engine that `scripts/test-images.sh` found.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    sync::Mutex,
};

use tokio_util::task::TaskTracker;

use super::{Backend, Containers, Engine, Pipes, Resolved, Spec, owner};
use crate::{
    bridge::launch::{Launch, Launched},
    config::{DirGrant, EngineChoice, ImageSource, Pull, Secret},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The engine's program and the image, or that there are none and why there are none.
fn prepared() -> Option<(String, String)> {
    let found = std::env::var("TOOLBAY_TEST_ENGINE").ok().zip(std::env::var("TOOLBAY_TEST_IMAGE").ok());
    if found.is_none() {
        let why = std::env::var("TOOLBAY_TEST_NO_ENGINE").unwrap_or_else(|_| "run by scripts/test.sh, which looks for one".to_owned());
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs a container engine: {why}");
        eprintln!("SKIPPED, no container engine: {why}");
    }
    found
}

/// The engine by each way there is to it.
async fn ways() -> Vec<(Arc<Engine>, Arc<Containers>, Option<Service>)> {
    let Some((program, _)) = prepared() else { return Vec::new() };
    let by_program = EngineChoice::Program(program.clone().into());
    let mut ways = vec![way(by_program, None).await];
    if program.contains("podman") {
        let service = Service::start(&program);
        let choice = EngineChoice::Api(format!("unix://{}", service.socket().display()));
        ways.push(way(choice, Some(service)).await);
    } else {
        ways.push(way(EngineChoice::Auto, None).await);
    }
    ways
}

async fn way(choice: EngineChoice, service: Option<Service>) -> (Arc<Engine>, Arc<Containers>, Option<Service>) {
    let engine = Engine::new(choice);
    let containers = engine.containers().await.unwrap().clone();
    (engine, containers, service)
}

/// Podman's API, for one test.
struct Service {
    child: Child,
    folder: tempfile::TempDir,
}

impl Service {
    fn start(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("unix://{}", folder.path().join("engine.sock").display());
        let child = Command::new(program)
            .args(["system", "service", "--time=0", &address])
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let service = Self { child, folder };
        let end = Instant::now() + PATIENCE;
        while !service.socket().exists() {
            assert!(Instant::now() < end, "podman's service does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("engine.sock")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = (self.child.kill(), self.child.wait());
    }
}

fn source() -> ImageSource {
    ImageSource {
        image: prepared().unwrap().1,
        args: Vec::new(),
        entrypoint: None,
        env: BTreeMap::new(),
        memory: 64 << 20,
        cpus: 0.5,
        pids: 16,
        network: "none".to_owned(),
        tmpfs: 1 << 20,
        scratch: Vec::new(),
        writable: false,
        user: None,
        dirs: Vec::new(),
        pull: Pull::Missing,
        accepted: None,
    }
}

/// A running container, spoken to by lines.
struct Talk {
    launched: Launched,
    lines: Lines<BufReader<Box<dyn tokio::io::AsyncRead + Send + Unpin>>>,
}

impl Talk {
    async fn start(engine: &Arc<Engine>, server: &str, source: ImageSource) -> Self {
        let mut launched = engine.image(server, source).launch().await.unwrap();
        let stdout = std::mem::replace(&mut launched.stdout, Box::new(tokio::io::empty()));
        Self { launched, lines: BufReader::new(stdout).lines() }
    }

    async fn say(&mut self, line: &str) {
        self.launched.stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        self.launched.stdin.flush().await.unwrap();
    }

    async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        let answer = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.unwrap_or_else(|_| panic!("no answer to {line}"));
        answer.unwrap().unwrap_or_else(|| panic!("it ended at {line}"))
    }

    /// Closes its input and waits for its end.
    async fn stop(self) {
        let Launched { stdin, running, .. } = self.launched;
        drop(stdin);
        running.stop(Duration::from_secs(10)).await;
    }
}

/// Containers of a server that are there.
async fn left(server: &str) -> usize {
    let name = format!("toolbay-{server}-");
    let program = prepared().unwrap().0;
    let output = tokio::process::Command::new(program).args(["ps", "--all", "--format", "{{.Names}}"]).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().lines().filter(|line| line.starts_with(&name)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_talked_to_and_leaves_nothing() {
    for (engine, containers, _service) in ways().await {
        let env = BTreeMap::from([("GIVEN".to_owned(), Secret("two words\nand a line".to_owned()))]);
        let source = ImageSource { args: vec!["--one".to_owned(), "a b".to_owned()], env, ..source() };
        let mut talk = Talk::start(&engine, "talk", source).await;
        assert_eq!(talk.ask("echo hello").await, "hello");
        assert_eq!(talk.ask("args").await, "--one a b");
        assert_eq!(talk.ask("env GIVEN").await, "two words");
        assert_eq!(talk.lines.next_line().await.unwrap().unwrap(), "and a line");
        assert_eq!(talk.ask("say on stderr").await, "said");
        let mut heard = [0; 10];
        talk.launched.stderr.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"on stderr\n");
        assert_eq!(left("talk").await, 1, "{}", containers.engine());
        assert!(containers.backend.list().await.unwrap().iter().any(|(_, label)| *label == containers.owner), "{}", containers.engine());
        talk.stop().await;
        assert_eq!(left("talk").await, 0, "{}", containers.engine());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_with_the_same_process_number_do_not_get_into_each_others_way() {
    for (engine, containers, _service) in ways().await {
        // As one in another container sees it: its own process number, and its own count of containers.
        let other = Engine::new(engine.choice.clone());
        let mut first = Talk::start(&engine, "twin", source()).await;
        assert_eq!(first.ask("echo one").await, "one");
        let mut second = Talk::start(&other, "twin", source()).await;
        assert_eq!(second.ask("echo two").await, "two");
        assert_eq!(first.ask("echo still").await, "still", "{}", containers.engine());
        first.stop().await;
        second.stop().await;
        assert_eq!(left("twin").await, 0, "{}", containers.engine());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_may_do_nothing_that_was_not_granted() {
    for (engine, containers, _service) in ways().await {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("note"), "readable").unwrap();
        let dirs = vec![DirGrant { host: folder.path().to_owned(), guest: "/data".to_owned(), write: false }];
        let mut talk = Talk::start(&engine, "hard", ImageSource { dirs, ..source() }).await;
        for (command, refused) in [
            ("write /file", "Read-only file system"),
            ("write /data/file", "Read-only file system"),
            ("fill /tmp/large 2", "No space left"),
            ("connect 127.0.0.1:1", "failed: "),
            ("connect 10.0.0.1:80", "unreachable"),
            ("threads 32", "failed: "),
        ] {
            let answer = talk.ask(command).await;
            assert!(answer.contains(refused), "{} {command}: {answer}", containers.engine());
        }
        assert_eq!(talk.ask("write /tmp/file").await, "failed: No space left on device (os error 28)", "/tmp is full");
        assert_eq!(talk.ask("read /data/note").await, "readable");
        talk.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_by_its_reason() {
    for (engine, containers, _service) in ways().await {
        for (command, end) in [("exit 3", "exit status 3"), ("eat 200", "over its memory limit (64 MiB)")] {
            let mut talk = Talk::start(&engine, "end", source()).await;
            assert_eq!(talk.ask("echo up").await, "up");
            talk.say(command).await;
            let ended = tokio::time::timeout(PATIENCE, talk.launched.running.ended()).await.unwrap();
            assert!(ended.contains(end), "{}: {ended}", containers.engine());
            talk.stop().await;
        }
        // The end of its input is the end of a server, and no signal has to say it.
        let mut talk = Talk::start(&engine, "end", source()).await;
        assert_eq!(talk.ask("echo up").await, "up");
        talk.launched.stdin = Box::new(tokio::io::sink());
        let ended = tokio::time::timeout(PATIENCE, talk.launched.running.ended()).await;
        assert_eq!(ended.as_deref(), Ok("exit status 0"), "{}", containers.engine());
        talk.stop().await;
        assert_eq!(left("end").await, 0);
    }
}

/// An engine that has images or has them not, and counts pulls: what a registry would be needed for.
#[derive(Default)]
struct Shelf {
    there: AtomicBool,
    pulls: AtomicUsize,
    away: AtomicBool,
}

impl Backend for Shelf {
    fn resolve<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<Option<Resolved>, String>> {
        async { Ok(self.there.load(SeqCst).then(|| Resolved { id: image.to_owned(), digests: Vec::new() })) }.boxed()
    }
    fn pull<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), String>> {
        async {
            self.pulls.fetch_add(1, SeqCst);
            // Those who want the same have come by then.
            tokio::task::yield_now().await;
            let away = self.away.load(SeqCst);
            self.there.fetch_or(!away, SeqCst);
            if away { Err("the registry is away".to_owned()) } else { Ok(()) }
        }
        .boxed()
    }
    fn start<'a>(&'a self, _: &'a Spec) -> BoxFuture<'a, Result<Pipes, String>> {
        unreachable!()
    }
    fn wait<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        unreachable!()
    }
    fn ended<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<super::Ended>> {
        unreachable!()
    }
    fn signal<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, ()> {
        unreachable!()
    }
    fn remove<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), String>> {
        unreachable!()
    }
    fn list(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, String>> {
        unreachable!()
    }
}

#[tokio::test]
async fn an_image_that_was_removed_after_its_pull_is_pulled_again_for_the_next_start() {
    for (policy, first) in [(Pull::Missing, 0), (Pull::Always, 1)] {
        let shelf = Arc::new(Shelf { there: AtomicBool::new(true), ..Shelf::default() });
        let (engine, owner) = ("a shelf".to_owned(), owner::own());
        let (last, pulls, left) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        let containers = Containers { backend: shelf.clone(), engine, owner, last, pulls, left, removing: TaskTracker::new() };
        let pulled = async || {
            let starts = (0..3).map(|_| containers.fetch("i", policy));
            let results = futures::future::join_all(starts).await;
            (shelf.pulls.load(SeqCst), results.iter().all(Result::is_ok))
        };
        assert_eq!(pulled().await, (first, true), "{policy:?}");
        assert_eq!(pulled().await, (first, true), "{policy:?}: it is there");
        for again in 1..=2 {
            shelf.there.store(false, SeqCst);
            assert_eq!(pulled().await, (first + again, true), "{policy:?}: it was removed");
        }
        // A pull that failed is no pull.
        shelf.there.store(false, SeqCst);
        shelf.away.store(true, SeqCst);
        assert_eq!(pulled().await, (first + 3, false), "{policy:?}");
        shelf.away.store(false, SeqCst);
        assert_eq!(pulled().await, (first + 4, true), "{policy:?}");
        assert!(containers.fetch("i", Pull::Never).await.is_ok());
        shelf.there.store(false, SeqCst);
        assert!(containers.fetch("i", Pull::Never).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_missing_is_told_in_the_engines_words() {
    for (engine, containers, _service) in ways().await {
        let missing = |pull| ImageSource { image: "localhost/toolbay-none:1".to_owned(), pull, ..source() };
        let error = engine.image("none", missing(Pull::Never)).launch().await.unwrap_err().to_string();
        assert!(error.contains("localhost/toolbay-none:1") && error.contains("pull = \"never\""), "{error}");
        let error = engine.image("none", missing(Pull::Missing)).launch().await.unwrap_err().to_string();
        // The engine asks a registry at localhost, which refuses the connection.
        assert!(error.contains("localhost/toolbay-none:1") && error.contains("refused"), "{error}");
        // And a program that is not in the image.
        let entrypoint = Some(vec!["/nothing-here".to_owned()]);
        let started = engine.image("none", ImageSource { entrypoint, ..source() }).launch().await;
        let said = match started {
            Err(error) => {
                assert_eq!(left("none").await, 0, "{}: what was made for it is gone when it is told", containers.engine());
                error.to_string()
            }
            Ok(mut launched) => {
                let mut text = String::new();
                launched.stderr.read_to_string(&mut text).await.unwrap();
                text
            }
        };
        assert!(said.contains("/nothing-here"), "{}: {said}", containers.engine());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_dropped_or_stuck_is_removed() {
    for (engine, containers, _service) in ways().await {
        let mut talk = Talk::start(&engine, "stuck", source()).await;
        // It reads no input while it sleeps, and as PID 1 takes no SIGTERM.
        talk.say("sleep 600000").await;
        let Launched { stdin, running, .. } = talk.launched;
        drop(stdin);
        running.stop(Duration::from_millis(300)).await;
        assert_eq!(left("stuck").await, 0, "{}", containers.engine());

        let mut talk = Talk::start(&engine, "stuck", source()).await;
        assert_eq!(talk.ask("echo up").await, "up");
        drop(talk);
        let end = Instant::now() + PATIENCE;
        while left("stuck").await > 0 {
            assert!(Instant::now() < end, "{}", containers.engine());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_host_left_is_removed_by_the_next() {
    let Some((program, image)) = prepared() else { return };
    // The owner of these was killed.
    let mut dead = Command::new("sleep").arg("600").spawn().unwrap();
    let own = owner::own();
    let place = own.rsplitn(3, '/').nth(2).unwrap();
    let label = format!("{}={place}/{}/1", owner::LABEL, dead.id());
    dead.kill().unwrap();
    dead.wait().unwrap();
    let name = format!("toolbay-orphan-{}", std::process::id());
    let mut orphan = Command::new(&program)
        .args(["run", "--interactive", "--name", &name, "--network=none", "--label", &label, &image])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut orphan.stdin.as_ref().unwrap(), b"echo up\n").unwrap();
    let mut answer = [0; 3];
    std::io::Read::read_exact(orphan.stdout.as_mut().unwrap(), &mut answer).unwrap();
    let living = Engine::new(EngineChoice::Program(program.clone().into()));
    let mut talk = Talk::start(&living, "living", source()).await;

    Engine::new(EngineChoice::Program(program.into())).containers().await.unwrap();
    assert_eq!(left("orphan").await, 0);
    assert_eq!(talk.ask("echo there").await, "there", "one whose owner lives stays");
    talk.stop().await;
    orphan.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_on_a_command_line() {
    for (engine, containers, _service) in ways().await {
        let secret = "s3cr3t-of-the-container";
        let env = BTreeMap::from([("TOKEN".to_owned(), Secret(secret.to_owned()))]);
        let mut talk = Talk::start(&engine, "secret", ImageSource { env, ..source() }).await;
        assert_eq!(talk.ask("env TOKEN").await, secret);
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(Path::new("/proc").join(process.file_name()).join("cmdline")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&line).contains(secret), "{}: {}", containers.engine(), String::from_utf8_lossy(&line));
        }
        talk.stop().await;
    }
}
