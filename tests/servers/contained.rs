//! A tool server in one file, without a crate: for a container image that holds nothing but it.
//!
//!     rustc -O -C target-feature=+crt-static -o contained contained.rs
//!
//! It speaks as much of MCP 2025-11-25 as a client needs for tools, by looking for members in the text of a line. Its tool `run` takes a `command`:
//! `echo TEXT`, `env NAME`, `args`, `read PATH`, `write PATH`, `fill PATH MEGABYTES`, `eat MEGABYTES`, `threads N`, `connect ADDRESS`, `uid`, `exit CODE`,
//! `sleep MILLISECONDS`, `say TEXT` (on stderr). What fails is the tool's error. A line that is no JSON is such a command by itself, and its answer is a line.

use std::{
    fs,
    io::{self, BufRead, Write},
    net::TcpStream,
    process::exit,
    thread::{sleep, Builder},
    time::Duration,
};

const TOOL: &str = r#"{"name":"run","description":"Does what it is told.","inputSchema":{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}}"#;

/// What the text of a command that failed begins with.
const FAILED: &str = "failed: ";

fn main() {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let answer = if line.starts_with('{') { message(&line) } else { Some(run(&line)) };
        if let Some(answer) = answer {
            println!("{answer}");
            if io::stdout().flush().is_err() {
                return;
            }
        }
    }
}

/// The answer to a JSON-RPC message; none to a notification.
fn message(line: &str) -> Option<String> {
    let id = number(line, "\"id\":")?;
    let result = match string(line, "\"method\":")?.as_str() {
        "initialize" => {
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"contained","version":"1"}}"#.to_owned()
        }
        "tools/list" => format!(r#"{{"tools":[{TOOL}]}}"#),
        "tools/call" => {
            let text = run(&string(line, "\"command\":").unwrap_or_default());
            let failed = text.starts_with(FAILED);
            format!(r#"{{"content":[{{"type":"text","text":"{}"}}],"isError":{failed}}}"#, escaped(&text))
        }
        "ping" => "{}".to_owned(),
        _ => return Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"no such method"}}}}"#)),
    };
    Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

fn run(command: &str) -> String {
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    let said = match word {
        "echo" => Ok(rest.to_owned()),
        "env" => Ok(std::env::var(rest).unwrap_or_else(|_| "(not set)".to_owned())),
        "args" => Ok(std::env::args().skip(1).collect::<Vec<_>>().join(" ")),
        "read" => fs::read_to_string(rest).map(|text| text.trim().to_owned()),
        "write" => fs::write(rest, "written").map(|()| "written".to_owned()),
        "fill" => fill(rest),
        "eat" => Ok(eat(rest.parse().unwrap_or(0))),
        "threads" => threads(rest.parse().unwrap_or(0)),
        "connect" => TcpStream::connect(rest).map(|_| "connected".to_owned()),
        "uid" => fs::metadata("/proc/self").map(|of| format!("{}", std::os::unix::fs::MetadataExt::uid(&of))),
        "exit" => exit(rest.parse().unwrap_or(0)),
        "sleep" => {
            sleep(Duration::from_millis(rest.parse().unwrap_or(0)));
            Ok("slept".to_owned())
        }
        "say" => {
            eprintln!("{rest}");
            Ok("said".to_owned())
        }
        _ => Ok(format!("not understood: {word}")),
    };
    said.unwrap_or_else(|error| format!("{FAILED}{error}"))
}

fn fill(rest: &str) -> io::Result<String> {
    let (path, megabytes) = rest.split_once(' ').unwrap_or((rest, "1"));
    let mut file = fs::File::create(path)?;
    for _ in 0..megabytes.parse().unwrap_or(1) {
        file.write_all(&vec![1; 1 << 20])?;
    }
    Ok("filled".to_owned())
}

/// Memory that is written counts.
fn eat(megabytes: usize) -> String {
    let mut eaten = Vec::new();
    for _ in 0..megabytes {
        eaten.push(vec![1_u8; 1 << 20]);
    }
    format!("ate {}", eaten.iter().map(|piece| piece.iter().map(|byte| usize::from(*byte)).sum::<usize>()).sum::<usize>() >> 20)
}

fn threads(count: usize) -> io::Result<String> {
    let started = (0..count).map(|_| Builder::new().spawn(|| sleep(Duration::from_secs(1)))).collect::<io::Result<Vec<_>>>()?;
    Ok(format!("started {}", started.len()))
}

/// The digits behind a member's name.
fn number(line: &str, member: &str) -> Option<String> {
    let rest = line[line.find(member)? + member.len()..].trim_start();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

/// The text behind a member's name, with its escapes undone.
fn string(line: &str, member: &str) -> Option<String> {
    let rest = line[line.find(member)? + member.len()..].trim_start().strip_prefix('"')?;
    let (mut text, mut escaped) = (String::new(), false);
    for c in rest.chars() {
        match (escaped, c) {
            (false, '"') => return Some(text),
            (false, '\\') => escaped = true,
            (true, 'n') => (text.push('\n'), escaped = false).1,
            (_, c) => (text.push(c), escaped = false).1,
        }
    }
    None
}

fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            '"' => vec!['\\', '"'],
            '\\' => vec!['\\', '\\'],
            '\n' => vec!['\\', 'n'],
            c if c.is_control() => vec![' '],
            c => vec![c],
        })
        .collect()
}
