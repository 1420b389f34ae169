//! The attempts.

use std::{
    env, fs,
    io::{Read, Write},
    sync::atomic::{AtomicU64, Ordering},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};

use crate::{
    Arguments, Outcome,
    exports::toolbay::plugin::tools::{CallResult, Error},
    http, text,
    toolbay::plugin::{context, log, progress, types::LogLevel},
};

/// One attempt.
pub struct Entry {
    pub name: &'static str,
    pub description: &'static str,
    /// Names and JSON types.
    pub arguments: &'static [(&'static str, &'static str)],
    pub output: Option<&'static str>,
    pub run: fn(&Arguments) -> Outcome,
}

const fn entry(
    name: &'static str,
    description: &'static str,
    arguments: &'static [(&'static str, &'static str)],
    run: fn(&Arguments) -> Outcome,
) -> Entry {
    Entry { name, description, arguments, output: None, run }
}

pub static ALL: [Entry; 38] = [
    entry("env", "All environment variables.", &[], |_| Outcome::Done(Value::Object(env::vars().map(|(k, v)| (k, v.into())).collect()))),
    entry("read_file", "Reads a file.", &[("path", "string")], |a| {
        attempt(fs::read_to_string(a.text("path")).map(|text| json!({ "text": text })))
    }),
    entry("write_file", "Writes a file.", &[("path", "string"), ("text", "string")], |a| {
        attempt(fs::write(a.text("path"), a.text("text")).map(|()| json!({ "written": a.text("text").len() })))
    }),
    entry("remove_file", "Removes a file.", &[("path", "string")], |a| {
        attempt(fs::remove_file(a.text("path")).map(|()| json!({ "removed": true })))
    }),
    entry("list_dir", "Lists a folder.", &[("path", "string")], |a| attempt(list_dir(&a.text("path")))),
    entry("preopens", "The folders that were granted.", &[], |_| {
        let folders = wasip2::filesystem::preopens::get_directories();
        Outcome::Done(json!({ "folders": folders.into_iter().map(|(_, path)| path).collect::<Vec<_>>() }))
    }),
    entry("http_get", "Fetches a URL; says status and body.", &[("url", "string"), ("timeout_ms", "integer")], |a| {
        match http::get(&a.text("url"), a.number("timeout_ms")) {
            Ok(value) => Outcome::Done(value),
            Err(why) => Outcome::Failed(why),
        }
    }),
    entry(
        "http_many",
        "Sends several requests to a URL at once; says what came of each.",
        &[("url", "string"), ("count", "integer")],
        |a| Outcome::Done(json!({ "outcomes": http::many(&a.text("url"), a.size("count")) })),
    ),
    entry("http_whole", "Fetches a URL by one call of the host.", &[("url", "string"), ("timeout_ms", "integer")], |a| {
        match http::whole(&a.text("url"), a.number("timeout_ms")) {
            Ok(value) => Outcome::Done(value),
            Err(why) => Outcome::Failed(why),
        }
    }),
    entry(
        "http_whole_many",
        "Fetches a URL several times by one call of the host; says what came of each.",
        &[("url", "string"), ("count", "integer")],
        |a| Outcome::Done(json!({ "outcomes": http::whole_many(&a.text("url"), a.size("count")) })),
    ),
    entry("sleep", "Waits.", &[("ms", "integer")], |a| {
        let start = Instant::now();
        sleep(Duration::from_millis(a.number("ms")));
        Outcome::Done(json!({ "slept_ms": start.elapsed().as_millis() as u64 }))
    }),
    entry("spin", "Computes for some time, or, without a time, for ever.", &[("ms", "integer")], |a| {
        let limit = a.0.get("ms").and_then(Value::as_u64).map(Duration::from_millis);
        let start = Instant::now();
        while limit.is_none_or(|limit| start.elapsed() < limit) {
            std::hint::spin_loop();
        }
        Outcome::Done(json!({ "spun_ms": start.elapsed().as_millis() as u64 }))
    }),
    entry("now", "Both clocks.", &[], |_| {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Outcome::Done(json!({ "unix_ms": unix.as_millis() as u64, "monotonic_ns": wasip2::clocks::monotonic_clock::now() }))
    }),
    entry("random", "Random bytes, in hexadecimal digits.", &[("bytes", "integer")], |a| {
        let bytes = wasip2::random::random::get_random_bytes(a.number("bytes"));
        Outcome::Done(json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }))
    }),
    entry("stdout", "Writes as many bytes to stdout, in lines of 80.", &[("bytes", "integer")], |a| {
        flood(std::io::stdout(), a.size("bytes"))
    }),
    entry("stderr", "Writes as many bytes to stderr, in lines of 80.", &[("bytes", "integer")], |a| {
        flood(std::io::stderr(), a.size("bytes"))
    }),
    entry("stderr_line", "Writes a line to stderr.", &[("text", "string")], |a| {
        eprintln!("{}", a.text("text"));
        Outcome::Done(json!({ "written": true }))
    }),
    entry("stdin", "Reads stdin to its end.", &[], |_| {
        let mut text = String::new();
        attempt(std::io::stdin().read_to_string(&mut text).map(|_| json!({ "text": text })))
    }),
    entry("log", "Logs a sentence.", &[("level", "string"), ("text", "string")], |a| {
        log::message(level(&a.text("level")), &a.text("text"));
        Outcome::Done(json!({ "logged": 1 }))
    }),
    entry("log_data", "Logs JSON, or what is said to be JSON.", &[("logger", "string"), ("data", "string")], |a| {
        log::data(LogLevel::Info, Some(&a.text("logger")), &a.text("data"));
        Outcome::Done(json!({ "logged": 1 }))
    }),
    entry("log_flood", "Logs many times.", &[("count", "integer")], |a| {
        for at in 0..a.number("count") {
            log::message(LogLevel::Info, &format!("message {at} of a flood"));
        }
        Outcome::Done(json!({ "logged": a.number("count") }))
    }),
    entry("progress", "Reports progress in steps, with a pause between.", &[("steps", "integer"), ("pause_ms", "integer")], |a| {
        let steps = a.number("steps");
        for step in 0..=steps {
            progress::report(step as f64, Some(steps as f64), Some(&format!("step {step}")));
            sleep(Duration::from_millis(a.number("pause_ms")));
        }
        Outcome::Done(json!({ "wanted": progress::wanted(), "steps": steps }))
    }),
    entry("context", "What is known of the call.", &[], |_| {
        Outcome::Done(json!({
            "call_id": context::call_id(),
            "principal": context::principal(),
            "roles": context::roles(),
            "claims": context::claims().map(|claims| serde_json::from_str::<Value>(&claims).unwrap_or(Value::String(claims))),
            "trace_parent": context::trace_parent(),
            "meta": context::meta().map(|meta| serde_json::from_str::<Value>(&meta).unwrap_or(Value::String(meta))),
            "client_capabilities": serde_json::from_str::<Value>(&context::client_capabilities()).unwrap_or_default(),
            "remaining_ms": context::remaining_ms(),
        }))
    }),
    entry("state", "How many calls this instance has had, this one too.", &[], |_| {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        Outcome::Done(json!({ "calls": CALLS.fetch_add(1, Ordering::Relaxed) + 1 }))
    }),
    entry("allocate", "Takes memory and writes to all of it.", &[("mib", "integer")], |a| {
        let mut bytes = Vec::new();
        match bytes.try_reserve_exact(a.size("mib") << 20) {
            Ok(()) => bytes.resize(a.size("mib") << 20, 1u8),
            Err(_) => return Outcome::Failed("there is not as much memory".into()),
        }
        Outcome::Done(json!({ "sum_mib": bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>() >> 20 }))
    }),
    entry("fill", "Fills memory again and again.", &[("mib", "integer"), ("times", "integer")], |a| {
        let mut bytes = vec![0u8; a.size("mib") << 20];
        for turn in 0..a.number("times") {
            bytes.fill(std::hint::black_box(turn as u8 | 1));
            std::hint::black_box(&mut bytes);
        }
        Outcome::Done(json!({ "filled_mib": a.number("mib") }))
    }),
    entry(
        "hold_files",
        "Opens a file so many times, and keeps all of them open for a while.",
        &[("path", "string"), ("count", "integer"), ("ms", "integer")],
        |a| {
            let (mut files, mut failed) = (Vec::new(), None);
            for _ in 0..a.number("count") {
                match fs::File::open(a.text("path")) {
                    Ok(file) => files.push(file),
                    Err(error) => {
                        failed = Some(error.to_string());
                        break;
                    }
                }
            }
            sleep(Duration::from_millis(a.number("ms")));
            match failed {
                Some(error) => Outcome::Failed(format!("{error} after {} files", files.len())),
                None => Outcome::Done(json!({ "opened": files.len() })),
            }
        },
    ),
    Entry {
        name: "matched",
        description: "Answers so many letters, which have to match a pattern of thousands of states, and do not.",
        arguments: &[("letters", "integer")],
        output: Some(r#"{"type":"object","properties":{"text":{"type":"string","pattern":"a[ab]{12000}[^ab]"}}}"#),
        run: |a| {
            // In no order that a matcher could learn.
            let mut state = 1u64;
            let letter = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if state >> 63 == 0 { 'a' } else { 'b' }
            };
            Outcome::Done(json!({ "text": (0..a.size("letters")).map(letter).collect::<String>() }))
        },
    },
    entry("structured", "Answers so many letters as structured content.", &[("letters", "integer")], |a| {
        Outcome::Done(json!({ "text": "x".repeat(a.size("letters")) }))
    }),
    entry("answer", "Answers text of so many bytes.", &[("bytes", "integer")], |a| answer(vec!["x".repeat(a.size("bytes"))])),
    entry("items", "Answers so many blocks of text.", &[("count", "integer")], |a| answer(vec![String::new(); a.size("count")])),
    entry("echo", "Answers its arguments.", &[], |a| Outcome::Done(Value::Object(a.0.clone()))),
    entry("fail", "Fails as a tool does.", &[("message", "string")], |a| Outcome::Failed(a.text("message"))),
    entry("refuse", "Fails as the protocol does.", &[("code", "integer"), ("message", "string"), ("data", "string")], |a| {
        let code = a.0.get("code").and_then(Value::as_i64).unwrap_or(-32603) as i32;
        let data = a.0.get("data").and_then(Value::as_str).map(Into::into);
        Outcome::Refused(Error { code, message: a.text("message"), data })
    }),
    entry("panic", "Panics.", &[("message", "string")], |a| panic!("{}", a.text("message"))),
    entry("exit", "Ends the program.", &[("code", "integer")], |a| std::process::exit(a.number("code") as i32)),
    Entry {
        name: "raw_structured",
        description: "Answers the text as structured content, whether it fits or not.",
        arguments: &[("json", "string")],
        output: Some(r#"{"type":"object","properties":{"number":{"type":"integer"}},"required":["number"]}"#),
        run: |a| {
            let content = vec![text("see the structured content".into())];
            Outcome::Answer(CallResult { content, structured_content: Some(a.text("json")), is_error: false, meta: None })
        },
    },
    entry("meta", "Answers with _meta.", &[("json", "string")], |a| {
        Outcome::Answer(CallResult {
            content: vec![text("see _meta".into())],
            structured_content: None,
            is_error: false,
            meta: Some(a.text("json")),
        })
    }),
];

fn attempt(result: std::io::Result<Value>) -> Outcome {
    match result {
        Ok(value) => Outcome::Done(value),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn answer(texts: Vec<String>) -> Outcome {
    Outcome::Answer(CallResult { content: texts.into_iter().map(text).collect(), structured_content: None, is_error: false, meta: None })
}

fn list_dir(path: &str) -> std::io::Result<Value> {
    let mut names = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(json!({ "names": names }))
}

fn flood(mut stream: impl Write, bytes: usize) -> Outcome {
    let line = [&[b'x'; 79][..], b"\n"].concat();
    let mut written = 0;
    while written < bytes {
        match stream.write(&line[..line.len().min(bytes - written)]) {
            Ok(0) => return Outcome::Failed(format!("nothing more is taken after {written} bytes")),
            Ok(count) => written += count,
            Err(error) => return Outcome::Failed(format!("after {written} bytes: {error}")),
        }
    }
    attempt(stream.flush().map(|()| json!({ "written": written })))
}

fn level(name: &str) -> LogLevel {
    match name {
        "debug" => LogLevel::Debug,
        "notice" => LogLevel::Notice,
        "warning" => LogLevel::Warning,
        "error" => LogLevel::Error,
        "critical" => LogLevel::Critical,
        "alert" => LogLevel::Alert,
        "emergency" => LogLevel::Emergency,
        _ => LogLevel::Info,
    }
}
