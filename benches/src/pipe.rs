//! A tool server on stdio that does next to nothing, and the least that a client of it can cost.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{load::Measured, process::cpu_time, requests::TOOL, stats::percentile};

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: &'a str,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Terms {
    a: f64,
    b: f64,
}

/// The server: `add` on stdin and stdout, MCP 2025-11-25, one call after the other.
pub(crate) fn serve() -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let request: Request<'_> = serde_json::from_str(&line).with_context(|| format!("not a request: {line}"))?;
        let Some(id) = request.id else { continue };
        let outcome = match request.method {
            "initialize" => {
                r#""result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"adder","version":"1"}}"#
                    .to_owned()
            }
            "tools/list" => format!(
                r#""result":{{"tools":[{{"name":"{TOOL}","inputSchema":{{"type":"object","properties":{{"a":{{"type":"number"}},"b":{{"type":"number"}}}}}}}}]}}"#
            ),
            "tools/call" => {
                let arguments = request.params.and_then(|params| params.arguments).context("a call without arguments")?;
                let Terms { a, b } = serde_json::from_str(arguments.get())?;
                let sum = a + b;
                format!(
                    r#""result":{{"content":[{{"type":"text","text":"{sum}"}}],"structuredContent":{{"result":{sum}}},"isError":false}}"#
                )
            }
            "ping" => r#""result":{}"#.to_owned(),
            _ => r#""error":{"code":-32601,"message":"Method not found"}"#.to_owned(),
        };
        writeln!(stdout, r#"{{"jsonrpc":"2.0","id":{id},{outcome}}}"#)?;
        stdout.flush()?;
    }
    Ok(())
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Calls in flight at once
    #[arg(long, default_value_t = 1)]
    in_flight: u32,
    /// Milliseconds before it is measured
    #[arg(long, default_value_t = 200)]
    warmup: u64,
    /// Milliseconds of measuring
    #[arg(long, default_value_t = 1000)]
    millis: u64,
}

/// The client: writes and reads lines, with blocking calls on one thread, and looks only for the sum in an answer.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut server = Command::new(std::env::current_exe()?).arg("adder").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = server.stdin.take().context("no stdin")?;
    let mut stdout = BufReader::new(server.stdout.take().context("no stdout")?);
    let mut line = String::new();
    let mut sent = VecDeque::new();
    let mut number: u32 = 0;
    let mut send = |sent: &mut VecDeque<(Instant, String)>| -> anyhow::Result<()> {
        number = number.wrapping_add(1);
        // As the clients over HTTP do it: eighths are exact in binary.
        let (a, b) = (f64::from(number % 64) + 0.125, f64::from(number % 64) * 2.0 + 0.5);
        sent.push_back((Instant::now(), format!("\"result\":{}}}", a + b)));
        let call = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"tools/call\",\"params\":{{\"name\":\"{TOOL}\",\"arguments\":{{\"a\":{a},\"b\":{b}}}}}}}\n"
        );
        Ok(stdin.write_all(call.as_bytes())?)
    };
    for _ in 0..options.in_flight {
        send(&mut sent)?;
    }
    let mut times = Vec::with_capacity(1 << 20);
    let begin = Instant::now() + Duration::from_millis(options.warmup);
    let end = begin + Duration::from_millis(options.millis);
    let mut before = Duration::ZERO;
    let mut started = begin;
    loop {
        line.clear();
        ensure!(stdout.read_line(&mut line)? > 0, "the server ended");
        let (at, sum) = sent.pop_front().context("an answer that nobody asked for")?;
        ensure!(line.contains(&sum), "wrong answer: {sum} was expected, this came: {line}");
        let now = Instant::now();
        if now >= end {
            break;
        }
        if now >= begin {
            if times.is_empty() {
                (before, started) = (cpu_time(std::process::id())?, now);
            }
            times.push(u32::try_from((now - at).as_nanos()).unwrap_or(u32::MAX));
        }
        send(&mut sent)?;
    }
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_time(std::process::id())? - before);
    ensure!(!times.is_empty(), "no call was answered in time");
    times.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let calls = times.len() as f64;
    let cpu_us = cpu.as_secs_f64() * 1e6 / calls;
    let measured = Measured {
        calls,
        seconds,
        cpu_us,
        client_cpu_us: cpu_us,
        calls_per_second: calls / seconds,
        p50_us: percentile(&times, 0.5) / 1e3,
        p99_us: percentile(&times, 0.99) / 1e3,
    };
    println!("{}", serde_json::to_string(&measured)?);
    let _ = server.kill();
    server.wait()?;
    Ok(())
}
