//! What is written: every line whole, none of them lost without a word, and no secret.

use std::{fs, os::unix::fs::PermissionsExt as _, os::unix::net::UnixDatagram, path::Path};

use chrono::DateTime;
use serde_json::{Value, json};

use super::*;
use crate::telemetry::otlp::collector::{Collector as Receiver, Read};

const LONG: Duration = Duration::from_secs(20);

fn config(folder: &Path) -> AuditConfig {
    AuditConfig { file: Some(folder.join("audit.jsonl")), ..AuditConfig::default() }
}

fn start(config: &AuditConfig) -> Audit {
    let redactor = (config.arguments == AuditArguments::Redacted).then(|| Redactor::new(&config.redact));
    let delivery = Arc::default();
    let collector = Collector::start(config, &delivery).unwrap();
    Audit::with((Outputs::new(config), collector), delivery, redactor).unwrap()
}

/// A call that went well.
fn facts(id: u64) -> Facts<'static> {
    Facts {
        id: Some(id),
        caller: Some("ann"),
        front: "mcp",
        operation: Some("tools/call"),
        provider: Some("p"),
        name: Some("t"),
        ..Facts::default()
    }
}

const GOOD: End<'_> = End { outcome: "ok", error: None, took: Some(Duration::from_micros(1250)) };

fn write(audit: &Audit, id: u64, arguments: Option<&str>) {
    audit.write(&facts(id), arguments.map(|text| audit.arguments(text)).unwrap_or_default(), &GOOD);
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn a_line_says_who_did_what_and_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let audit = start(&config);
    write(&audit, 7, Some("{\"a\":1}"));
    assert!(audit.flush(LONG));
    let line = lines(config.file.as_deref().unwrap()).remove(0);
    let time = line["time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 27, "{time}");
    let mut rest = line.clone();
    rest.as_object_mut().unwrap().remove("time");
    assert_eq!(
        rest,
        json!({
            "event": "call", "id": 7, "caller": "ann", "front": "mcp", "operation": "tools/call", "provider": "p", "name": "t",
            "arguments_sha256": "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
            "outcome": "ok", "duration_ms": 1.25
        })
    );
    assert_eq!(audit.counts(), (1, 0));
    let mode = fs::metadata(config.file.unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn arguments_are_written_without_secrets_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let config = AuditConfig { arguments: AuditArguments::Redacted, redact: vec!["Pet Name".to_owned()], ..config(folder.path()) };
    let audit = start(&config);
    let text = json!({
        "city": "Ulm",
        "API-Key": "s1",
        "nested": [{ "userPassword": { "x": "s2" }, "pet_name": "s3", "n": 1 }],
        "Authorization": "Bearer s4",
        "nothing_secret": null,
        "page": 2
    });
    write(&audit, 1, Some(&text.to_string()));
    write(&audit, 2, Some("not json"));
    write(&audit, 3, Some(&format!("\"{}\"", "x".repeat(KEPT))));
    // Where too much is kept already.
    audit.queue.counts.held.fetch_add(HELD + 1, Relaxed);
    write(&audit, 4, Some("{}"));
    audit.queue.counts.held.fetch_sub(HELD + 1, Relaxed);
    // Dropped with its call, and never written.
    drop(audit.arguments("{}"));
    assert!(audit.flush(LONG));
    let lines = lines(config.file.as_deref().unwrap());
    let redacted = "[redacted]";
    assert_eq!(
        lines[0]["arguments"],
        json!({
            "city": "Ulm", "API-Key": redacted, "nested": [{ "userPassword": redacted, "pet_name": redacted, "n": 1 }],
            "Authorization": redacted, "nothing_secret": null, "page": 2
        })
    );
    assert_eq!(lines.len(), 4);
    assert!(lines[1..].iter().all(|line| line.get("arguments").is_none()), "{lines:#?}");
    assert!(lines.iter().all(|line| line["arguments_sha256"].as_str().unwrap().len() == 64));
    assert_eq!(audit.queue.counts.held.load(Relaxed), 0);
}

#[test]
fn a_full_file_makes_place_and_every_line_is_in_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let config = AuditConfig { max_size: 4096, keep: 100, ..config(folder.path()) };
    let audit = start(&config);
    for id in 0..500 {
        write(&audit, id, None);
        if id % 10 == 0 {
            // In many small batches, so that there is much to rotate.
            assert!(audit.flush(LONG));
        }
    }
    assert!(audit.flush(LONG));
    let mut ids: Vec<u64> = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::metadata(&path).unwrap();
        assert!(about.len() <= 4096 && about.permissions().mode() & 0o777 == 0o600, "{path:?}");
        ids.extend(lines(&path).iter().map(|line| line["id"].as_u64().unwrap()));
        files += 1;
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..500).collect::<Vec<_>>());
    assert!(files > 10, "{files}");
    // Only so many old ones stay.
    let few = AuditConfig { max_size: 4096, keep: 2, file: Some(folder.path().join("few.jsonl")), ..AuditConfig::default() };
    let audit = start(&few);
    for id in 0..500 {
        write(&audit, id, None);
        assert!(id % 20 != 0 || audit.flush(LONG));
    }
    assert!(audit.flush(LONG));
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("few")).collect();
    names.sort();
    assert_eq!(names, ["few.jsonl", "few.jsonl.1", "few.jsonl.2"]);
}

#[test]
fn a_file_that_somebody_moves_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let path = config.file.as_deref().unwrap();
    let audit = start(&config);
    write(&audit, 1, None);
    assert!(audit.flush(LONG));
    fs::rename(path, folder.path().join("moved")).unwrap();
    write(&audit, 2, None);
    assert!(audit.flush(LONG));
    assert_eq!((lines(&folder.path().join("moved")).len(), lines(path).len()), (1, 1));
}

#[test]
fn what_cannot_be_written_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let config = AuditConfig { file: Some(folder.path().join("no/such/folder")), ..AuditConfig::default() };
    assert!(matches!(Audit::start(&config, true), Err(AuditError::Open { .. })));
    let audit = start(&config);
    write(&audit, 1, None);
    assert!(audit.flush(LONG));
    assert_eq!(audit.counts(), (0, 1));
    // It is tried again with the next line.
    fs::create_dir_all(folder.path().join("no/such")).unwrap();
    write(&audit, 2, None);
    assert!(audit.flush(LONG));
    assert_eq!(audit.counts(), (1, 1));
    assert!(Audit::start(&AuditConfig::default(), true).unwrap().is_none());
}

#[test]
fn lines_that_come_at_once_are_each_in_a_file_that_is_not_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let config = AuditConfig { max_size: 1000, keep: 100, ..config(folder.path()) };
    // Most are some 100 bytes long, and one is longer than any file may be.
    let line = |id: usize| format!("{{\"id\":{id},\"fill\":\"{}\"}}\n", "x".repeat(if id == 100 { 2000 } else { 70 + id % 7 }));
    let text: String = (0..202).map(line).collect();
    Outputs::new(&config).write(text.as_bytes(), 202).unwrap();
    let paths: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut ids: Vec<u64> = Vec::new();
    for path in &paths {
        let lines = lines(path);
        assert!(fs::metadata(path).unwrap().len() <= 1000 || lines.len() == 1, "{path:?}");
        ids.extend(lines.iter().map(|line| line["id"].as_u64().unwrap()));
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..202).collect::<Vec<_>>());
    assert!((20..30).contains(&paths.len()), "{}", paths.len());
}

#[test]
fn more_lines_than_may_wait_are_dropped_and_counted_and_all_others_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let audit = start(&config);
    let fifo = folder.path().join("audit.jsonl");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR, 0).unwrap();
    // Nobody reads yet, so that the thread that writes waits to open it with what it has taken.
    let sent = 40_000;
    (0..sent).for_each(|id| write(&audit, id, None));
    let reader = fs::File::open(&fifo).unwrap();
    let read = thread::spawn(move || std::io::BufRead::lines(std::io::BufReader::new(reader)).map_while(Result::ok).count() as u64);
    assert!(audit.flush(LONG));
    let (written, dropped) = audit.counts();
    assert!(dropped > 1000 && written >= 16_000, "{written} {dropped}");
    assert_eq!(written + dropped, sent);
    // Its thread ends with it, and so does what it writes to.
    drop(audit);
    assert_eq!(read.join().unwrap(), written);
}

#[test]
fn the_system_log_takes_a_line_as_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = UnixDatagram::bind(&path).unwrap();
    let audit = start(&AuditConfig { syslog: Some(path.clone()), ..AuditConfig::default() });
    let mut message = [0; 4096];
    let mut next = |log: &UnixDatagram| {
        let length = log.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    write(&audit, 1, None);
    let begin = format!("<110>toolbay[{}]: {{\"time\":", std::process::id());
    assert!(next(&log).starts_with(&begin));
    // It is started again.
    fs::remove_file(&path).unwrap();
    drop(log);
    let log = UnixDatagram::bind(&path).unwrap();
    write(&audit, 2, None);
    assert!(next(&log).contains("\"id\":2,"));
    assert!(audit.flush(LONG));
    assert_eq!(audit.counts(), (2, 0));
    // One is longer than a message may be. Those beside it are sent.
    let long = "n".repeat(1 << 20);
    write(&audit, 3, None);
    audit.write(&Facts { name: Some(&long), ..facts(4) }, Arguments::default(), &GOOD);
    write(&audit, 5, None);
    assert!(next(&log).contains("\"id\":3,") && next(&log).contains("\"id\":5,"));
    assert!(audit.flush(LONG));
    assert_eq!(audit.counts(), (4, 1));
}

#[test]
fn a_collector_takes_a_line_as_a_record_of_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&[(200, 0), (400, 0)]);
    let headers = [(http::header::AUTHORIZATION, http::HeaderValue::from_static("Bearer s3cr3t"))].into_iter().collect();
    let config =
        AuditConfig { endpoint: Some(receiver.url.parse().unwrap()), headers, service_name: "tools".to_owned(), ..config(folder.path()) };
    let audit = start(&config);
    let trace = Some("0af7651916cd43dd8448eb211c80319c");
    audit.write(&Facts { trace, ..facts(7) }, audit.arguments("{\"a\":1}"), &GOOD);
    audit.write(&facts(8), Arguments::default(), &End { outcome: "denied", error: Some("denied"), took: None });
    assert!(audit.flush(LONG));
    let (head, request) = receiver.requests.recv_timeout(LONG).unwrap();
    assert!(head.starts_with("post /v1/logs ") && head.contains("authorization: bearer s3cr3t"), "{head}");
    let service = request.one(1).one(1).all(1).into_iter().find(|attribute| attribute.text(1) == "service.name").unwrap();
    assert_eq!(service.one(2).text(1), "tools");
    let records = request.one(1).one(2).all(2);
    let [good, denied] = &records[..] else { panic!("{request:?}") };
    let lines = lines(config.file.as_deref().unwrap());
    for (record, line) in records.iter().zip(&lines) {
        assert_eq!(&serde_json::from_str::<Value>(&record.one(5).text(1)).unwrap(), line);
    }
    assert_eq!((good.number(2), denied.number(2)), (9, 13));
    let time = |line: &Value| DateTime::parse_from_rfc3339(line["time"].as_str().unwrap()).unwrap().timestamp_nanos_opt().unwrap();
    assert_eq!(good.number(1), u64::try_from(time(&lines[0])).unwrap());
    assert_eq!(good.one(9).0, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert!(denied.all(9).is_empty());
    let attributes =
        |record: &Read| -> Vec<(String, String)> { record.all(6).iter().map(|one| (one.text(1), one.one(2).text(1))).collect() };
    let of_good = attributes(good);
    for pair in [
        ("user.id", "ann"),
        ("mcp.method.name", "tools/call"),
        ("toolbay.provider", "p"),
        ("gen_ai.tool.name", "t"),
        ("toolbay.outcome", "ok"),
    ] {
        assert!(of_good.contains(&(pair.0.to_owned(), pair.1.to_owned())), "{pair:?} {of_good:?}");
    }
    assert_eq!((audit.counts(), audit.delivery().status().failed), ((2, 0), 0));
    // What the collector refuses is in the file all the same, counted, and told.
    write(&audit, 9, None);
    assert!(audit.flush(LONG));
    let status = audit.delivery().status();
    assert_eq!((audit.counts(), status.taken, status.failed), ((3, 1), 1, 1));
    assert!(status.error.is_some_and(|error| error.contains("400")) && status.since.is_some());
}

#[test]
fn lines_for_a_collector_alone_are_written_when_it_has_taken_them() {
    let receiver = Receiver::start(&[(200, 0), (400, 0), (200, 0)]);
    let audit = start(&AuditConfig { endpoint: Some(receiver.url.parse().unwrap()), ..AuditConfig::default() });
    let mut told = Vec::new();
    for id in 0..3 {
        write(&audit, id, None);
        assert!(audit.flush(LONG));
        told.push((audit.counts(), audit.delivery().status().error.is_some()));
    }
    assert_eq!(told, [((1, 0), false), ((1, 1), true), ((2, 1), false)]);
}
