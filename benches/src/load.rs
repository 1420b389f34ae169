//! The clients: so many connections, each with one call after the other for a while.
//!
//! They share the machine with the server, so they are lean: the requests are made beforehand, and an answer is compared with one that was read whole before.

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    client::Extent,
    process::{cpu_time, family_cpu_time},
    requests::{Case, Dialect, Era, Expected},
    stats::percentile,
};

/// Different calls that take turns, so that nothing can answer from what it did just before.
const VARIANTS: u32 = 64;
/// Room for an answer at first. Larger ones get more.
const ROOM: usize = 64 << 10;
/// An answer that is larger is none: text is in it twice where a server has structured content too.
const LARGEST: usize = 32 << 20;
/// For the answers that are still on their way at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// HOST:PORT of the server
    #[arg(long)]
    address: String,
    /// Process of the server, whose CPU time is read
    #[arg(long)]
    pid: u32,
    /// Count the processes that it starts too
    #[arg(long)]
    family: bool,
    /// Revision of MCP to speak
    #[arg(long, value_enum, default_value = "modern")]
    era: Era,
    /// Session of a legacy client
    #[arg(long)]
    session: Option<String>,
    /// Bearer token to show
    #[arg(long)]
    token: Option<String>,
    /// Where MCP is served
    #[arg(long, default_value = crate::requests::PATH)]
    path: String,
    /// Name of the tool
    #[arg(long, default_value = crate::requests::TOOL)]
    tool: String,
    /// A file with another call, and what has to come back
    #[arg(long, value_name = "FILE", conflicts_with = "tool")]
    case: Option<PathBuf>,
    /// Connections at once
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Milliseconds before it is measured
    #[arg(long, default_value_t = 200)]
    warmup: u64,
    /// Milliseconds of measuring
    #[arg(long, default_value_t = 1000)]
    millis: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) calls: f64,
    pub(crate) seconds: f64,
    /// CPU time of the server for one call, in microseconds.
    pub(crate) cpu_us: f64,
    /// The same of the clients.
    pub(crate) client_cpu_us: f64,
    pub(crate) calls_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

struct Variant {
    request: Vec<u8>,
    expected: Expected,
    /// The body of an answer that was read whole and found right.
    known: RefCell<Vec<u8>>,
}

struct Shared {
    variants: Vec<Variant>,
    measuring: Cell<bool>,
    ended: Cell<bool>,
    /// Nanoseconds of each call that was answered while it was measured.
    times: RefCell<Vec<u32>>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = tokio::task::LocalSet::new().block_on(&runtime, measure(options))?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<Measured> {
    let path = options.path.trim_start_matches('/').to_owned();
    let dialect =
        Dialect { host: options.address.clone(), era: options.era, session: options.session.clone(), path, token: options.token.clone() };
    let case = options.case.as_deref().map(Case::read).transpose()?;
    let call = |id| case.as_ref().map_or_else(|| dialect.call(&options.tool, id), |case| dialect.case(case, id));
    // Those that are read from files may be large, and differ in nothing but their ids.
    let variants = if case.is_some() { 4 } else { VARIANTS };
    let variants = (1..=variants).map(call).map(|(request, expected)| Variant { request, expected, known: RefCell::default() });
    let shared = Rc::new(Shared {
        variants: variants.collect(),
        measuring: Cell::new(false),
        ended: Cell::new(false),
        times: RefCell::new(Vec::with_capacity(1 << 20)),
    });
    let mut connections = JoinSet::new();
    for number in 0..options.connections {
        let stream = TcpStream::connect(&options.address).await.with_context(|| format!("cannot connect to {}", options.address))?;
        stream.set_nodelay(true)?;
        connections.spawn_local(one_after_the_other(stream, shared.clone(), number));
    }

    let server_time = || if options.family { family_cpu_time(options.pid) } else { cpu_time(options.pid) };
    let window = async {
        tokio::time::sleep(Duration::from_millis(options.warmup)).await;
        let (server, clients) = (server_time()?, cpu_time(std::process::id())?);
        let started = Instant::now();
        shared.measuring.set(true);
        tokio::time::sleep(Duration::from_millis(options.millis)).await;
        // Megabytes take a slow build longer than that.
        while shared.times.borrow().is_empty() && started.elapsed() < LAST_ANSWERS {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shared.measuring.set(false);
        let seconds = started.elapsed().as_secs_f64();
        Ok::<_, anyhow::Error>((seconds, server_time()?.saturating_sub(server), cpu_time(std::process::id())? - clients))
    };
    let (seconds, server, clients) = tokio::select! {
        window = window => window?,
        // None of them ends by itself.
        Some(ended) = connections.join_next() => {
            ended??;
            bail!("a connection ended too early");
        }
    };
    shared.ended.set(true);
    let rest = async {
        while let Some(ended) = connections.join_next().await {
            ended??;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(LAST_ANSWERS, rest).await.context("the last answers did not come")??;

    let mut times = shared.times.take();
    ensure!(!times.is_empty(), "no call was answered in {seconds:.1} s");
    times.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let calls = times.len() as f64;
    Ok(Measured {
        calls,
        seconds,
        cpu_us: server.as_secs_f64() * 1e6 / calls,
        client_cpu_us: clients.as_secs_f64() * 1e6 / calls,
        calls_per_second: calls / seconds,
        p50_us: percentile(&times, 0.5) / 1e3,
        p99_us: percentile(&times, 0.99) / 1e3,
    })
}

async fn one_after_the_other(mut stream: TcpStream, shared: Rc<Shared>, number: u32) -> anyhow::Result<()> {
    let mut buffer = vec![0; ROOM];
    // Each begins elsewhere.
    let first = usize::try_from(number % VARIANTS)?;
    for variant in shared.variants.iter().cycle().skip(first) {
        if shared.ended.get() {
            break;
        }
        let started = Instant::now();
        stream.write_all(&variant.request).await.context("cannot send a request")?;
        let extent = answer(&mut stream, &mut buffer).await?;
        if shared.measuring.get() {
            let nanos = u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX);
            shared.times.borrow_mut().push(nanos);
        }
        let body = buffer.get(extent.head..extent.end).unwrap_or_default();
        if extent.status != 200 || *variant.known.borrow() != body {
            variant.expected.check(extent.status, body)?;
            *variant.known.borrow_mut() = body.to_vec();
        }
    }
    Ok(())
}

/// Reads one answer to the start of the buffer.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<Extent> {
    let mut filled = 0;
    loop {
        if filled == buffer.len() && filled < LARGEST {
            buffer.resize(2 * filled, 0);
        }
        let read = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await.context("cannot read an answer")?;
        ensure!(read > 0, "the server closed a connection, or its answer is larger than {} bytes", buffer.len());
        filled += read;
        if let Some(extent) = Extent::of(buffer.get(..filled).unwrap_or_default())?
            && filled >= extent.end
        {
            ensure!(filled == extent.end, "the server sent more than one answer to a request");
            return Ok(extent);
        }
    }
}
