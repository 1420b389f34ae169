//! Attacks beside a neighbour: what a plugin, a caller or a granted server does its worst with, while somebody else calls 50 times a second.
//!
//! The neighbour alone comes first. Beside an attack none of its calls may fail, and its p99 should stay within twice of what it has alone. What a machine of
//! few cores can give is seen from the same attack on another process: its load is the same, and no code of it is the neighbour's host's.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    process::Server,
    stats::percentile,
    table::{Table, number},
};

/// Between two calls of the neighbour.
const BEAT: Duration = Duration::from_millis(20);

/// Longer than any answer of a server that lives.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it is to be run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The program
    #[arg(long, default_value = "target/release/toolbay")]
    toolbay: PathBuf,
    /// The folder with calculator.wasm
    #[arg(long, default_value = "dist/plugins")]
    plugins: PathBuf,
    /// The folder with probe.wasm
    #[arg(long, default_value = "target/test-plugins")]
    probes: PathBuf,
    /// Seconds of each attack
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only attacks with this in their name
    #[arg(long)]
    only: Option<String>,
}

/// One attack: so many threads that do this until it is over.
struct Attack {
    name: &'static str,
    threads: usize,
    one: fn(&Place) -> io::Result<()>,
}

/// Where to attack, and from where.
struct Place {
    address: String,
    /// A server that sends `103 Early Hints` without end.
    hints: u16,
    over: AtomicBool,
    /// How often it was attacked.
    calls: AtomicUsize,
}

const ATTACKS: [Attack; 10] = [
    // What sixteen callers at full speed do to a neighbour without any harm in mind: the measure for attacks whose calls are as quick.
    Attack { name: "no attack: 16 callers of add at full speed", threads: 16, one: |place| place.call("add", &json!({ "a": 1, "b": 2 })) },
    Attack {
        name: "output pattern of 12,000 states, 4 MB",
        threads: 2,
        one: |place| place.call("matched", &json!({ "letters": 4_000_000 })),
    },
    Attack { name: "named pipe in a granted folder", threads: 16, one: |place| place.call("read_file", &json!({ "path": "/data/pipe" })) },
    Attack {
        name: "103 Early Hints without end, 16 requests",
        threads: 1,
        one: |place| place.call("http_many", &json!({ "url": format!("http://127.0.0.1:{}/", place.hints), "count": 16 })),
    },
    Attack {
        name: "files held open, 900 a call",
        threads: 8,
        one: |place| place.call("hold_files", &json!({ "path": "/data/file", "count": 900, "ms": 1000 })),
    },
    Attack { name: "answers of 8 MB that nobody reads", threads: 100, one: Place::ask_and_do_not_read },
    Attack { name: "unknown tool name of 4 MB", threads: 4, one: |place| place.call(&"ab".repeat(2_000_000), &json!({})) },
    Attack {
        name: "memory.fill of 100 MiB in a loop",
        threads: 16,
        one: |place| place.call("fill", &json!({ "mib": 100, "times": 10_000 })),
    },
    Attack { name: "100 MiB touched by each of 24 calls", threads: 24, one: |place| place.call("allocate", &json!({ "mib": 100 })) },
    Attack { name: "200 idle connections at max_connections = 50", threads: 200, one: Place::connect_and_say_nothing },
];

/// Runs all of them, and prints a table.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("toolbay-attacks-{}", std::process::id()));
    let result = run_in(&folder, options);
    let _ = fs::remove_dir_all(&folder);
    result
}

fn run_in(folder: &Path, options: &Options) -> anyhow::Result<()> {
    let hints = hints_without_end()?;
    let config = prepare(folder, options, hints)?;
    let start = || Server::start(&options.toolbay, ["serve".as_ref(), "--config".as_ref(), config.as_os_str()], &folder.join("log"));
    let mut table = Table::new(
        &["attack", "a second", "calls", "failed", "p50 ms", "p99 ms", "max ms", "RSS MiB", "p99 ms, another process attacked"],
        &[0],
    );
    let alone = beside(&start()?, None, hints, options, None)?;
    table.row(cells("none: the neighbour alone", &alone, None));
    table.line();
    let wanted = |attack: &&Attack| options.only.as_deref().is_none_or(|only| attack.name.contains(only));
    for attack in ATTACKS.iter().filter(wanted) {
        // Each with a server of its own: what one leaves behind is not the next one's.
        let here = beside(&start()?, None, hints, options, Some(attack))?;
        let elsewhere = beside(&start()?, Some(&start()?), hints, options, Some(attack))?;
        table.row(cells(attack.name, &here, Some(&elsewhere)));
    }
    table.print(
        "A neighbour's 50 calls a second beside attacks",
        "0 failed, and p99 within twice of alone, is the aim; the last column is what the same load of another process does to it",
    );
    Ok(())
}

fn cells(name: &str, seen: &Seen, elsewhere: Option<&Seen>) -> [String; 9] {
    let millis_of = |seen: &Seen, share| number(percentile(&seen.micros, share) / 1000.0, 1);
    let millis = |share| millis_of(seen, share);
    [
        name.to_owned(),
        number(seen.attacks_per_second, 0),
        seen.micros.len().to_string(),
        seen.failed.to_string(),
        millis(0.5),
        millis(0.99),
        millis(1.0),
        number(seen.rss_mib, 0),
        elsewhere.map_or_else(|| "–".to_owned(), |seen| millis_of(seen, 0.99)),
    ]
}

/// Why a call failed is told so many times.
const FAILURES_TOLD: usize = 3;

/// What the neighbour saw, and what the server took at most.
#[derive(Default)]
struct Seen {
    /// Of each call, sorted.
    micros: Vec<u32>,
    failed: usize,
    rss_mib: f64,
    attacks_per_second: f64,
}

/// The neighbour calls this server, and that is what is attacked, or another one.
fn beside(server: &Server, other: Option<&Server>, hints: u16, options: &Options, attack: Option<&Attack>) -> anyhow::Result<Seen> {
    let attacked = other.unwrap_or(server);
    let place = Arc::new(Place { address: attacked.address.clone(), hints, over: AtomicBool::new(false), calls: AtomicUsize::new(0) });
    let mut neighbour = Connection::default();
    let mut seen = Seen::default();
    for _ in 0..50 {
        neighbour.add(&server.address).context("the server does not answer before the attack")?;
    }
    for _ in 0..attack.map_or(0, |attack| attack.threads) {
        let (place, one) = (Arc::clone(&place), attack.map(|attack| attack.one));
        // Not waited for: an attack can hang, which is its business.
        thread::spawn(move || {
            give_way();
            while let Some(one) = one
                && !place.over.load(Ordering::Relaxed)
            {
                place.calls.fetch_add(1, Ordering::Relaxed);
                if one(&place).is_err() {
                    thread::sleep(BEAT);
                }
            }
        });
    }
    let begun = Instant::now();
    let mut next = begun;
    while begun.elapsed() < Duration::from_secs(options.seconds) {
        next += BEAT;
        let call = Instant::now();
        if let Err(why) = neighbour.add(&server.address) {
            seen.failed += 1;
            if seen.failed <= FAILURES_TOLD {
                eprintln!("the neighbour's call failed after {:.1} ms: {why}", call.elapsed().as_secs_f64() * 1000.0);
            }
        }
        seen.micros.push(u32::try_from(call.elapsed().as_micros()).unwrap_or(u32::MAX));
        seen.rss_mib = seen.rss_mib.max(attacked.rss_mib()?);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    place.over.store(true, Ordering::Relaxed);
    seen.attacks_per_second = place.calls.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    seen.micros.sort_unstable();
    Ok(seen)
}

/// Attackers are meant to be other machines, whose CPUs are not the host's: what attacks here runs only when the host
/// and the neighbour have nothing to do.
fn give_way() {
    // Of this thread alone, on Linux.
    let _ = rustix::process::nice(19);
}

/// A configuration with the plugins, a file, and a pipe.
fn prepare(folder: &Path, options: &Options, hints: u16) -> anyhow::Result<PathBuf> {
    for part in ["plugins", "data"] {
        fs::create_dir_all(folder.join(part))?;
    }
    for (from, name) in [(&options.plugins, "calculator.wasm"), (&options.probes, "probe.wasm")] {
        let from = from.join(name);
        fs::copy(&from, folder.join("plugins").join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    fs::write(folder.join("data/file"), "x")?;
    anyhow::ensure!(std::process::Command::new("mkfifo").arg(folder.join("data/pipe")).status()?.success(), "mkfifo failed");
    let config = folder.join("toolbay.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\nplugins = \"plugins\"\n[host]\ncompiler = \"cranelift\"\n[http]\nmax_connections = 50\n[plugin.probe]\ntimeout = \"2s\"\n\
         http_private = [\"127.0.0.1:{hints}\"]\ndirs = [{{ host = \"data\", guest = \"/data\" }}]\n"
    );
    fs::write(&config, text)?;
    Ok(config)
}

fn hints_without_end() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </x.css>; rel=preload\r\n\r\n".repeat(1000);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let hints = hints.clone();
            thread::spawn(move || while stream.write_all(hints.as_bytes()).is_ok() {});
        }
    });
    Ok(port)
}

impl Place {
    fn call(&self, tool: &str, arguments: &Value) -> io::Result<()> {
        Connection::default().call(&self.address, tool, arguments).map(drop)
    }

    fn ask_and_do_not_read(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(&self.address)?;
        // By MCP an answer has its structured content and a text copy.
        let params = json!({ "name": "structured", "arguments": { "letters": 3_900_000 } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\naccept: application/json, text/event-stream\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        self.wait();
        Ok(())
    }

    fn connect_and_say_nothing(&self) -> io::Result<()> {
        let _stream = TcpStream::connect(&self.address)?;
        self.wait();
        Ok(())
    }

    fn wait(&self) {
        while !self.over.load(Ordering::Relaxed) {
            thread::sleep(BEAT);
        }
    }
}

/// A connection that is kept, as clients keep theirs, and made again where it was closed.
#[derive(Default)]
struct Connection(Option<TcpStream>);

impl Connection {
    fn add(&mut self, address: &str) -> io::Result<()> {
        let answer = self.call(address, "add", &json!({ "a": 1, "b": 2 }))?;
        if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned())) }
    }

    fn call(&mut self, address: &str, tool: &str, arguments: &Value) -> io::Result<Vec<u8>> {
        let kept = self.0.is_some();
        let answer = self.exchange(address, &request(tool, arguments));
        match answer {
            Ok(answer) => Ok(answer),
            // One that the server has closed meanwhile: clients try once more.
            Err(_) if kept => self.exchange(address, &request(tool, arguments)),
            Err(error) => Err(error),
        }
    }

    fn exchange(&mut self, address: &str, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = match self.0.take() {
            Some(stream) => stream,
            None => TcpStream::connect(address)?,
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        let mut part = vec![0; 64 << 10];
        loop {
            let read = stream.read(&mut part)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(part.get(..read).unwrap_or_default());
            if is_whole(&answer) {
                self.0 = Some(stream);
                return Ok(answer);
            }
        }
    }
}

/// Whether head and body are there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    answer.len() >= end + 4 + length.unwrap_or(0)
}

fn request(tool: &str, arguments: &Value) -> Vec<u8> {
    let body = json!({ "tool_name": tool, "tool_args": arguments }).to_string();
    format!("POST /call HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"));
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nxy"));
    }
}
