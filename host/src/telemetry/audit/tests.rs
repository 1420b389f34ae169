//! What is written: every line whole, none of them lost without a word, and no secret.

use std::{fs, os::unix::fs::PermissionsExt as _, os::unix::net::UnixDatagram, path::Path};

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

fn record(id: u64, arguments: Arguments) -> Record {
    Record {
        id: Some(id),
        caller: Some("ann".into()),
        front: "mcp",
        operation: Some("tools/call"),
        provider: Some("p".into()),
        name: Some("t".into()),
        arguments,
        outcome: "ok",
        took: Some(Duration::from_micros(1250)),
        ..Record::default()
    }
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
    audit.write(record(7, audit.arguments("{\"a\":1}")));
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
    audit.write(record(1, audit.arguments(&text.to_string())));
    audit.write(record(2, audit.arguments("not json")));
    audit.write(record(3, audit.arguments(&format!("\"{}\"", "x".repeat(COPIED)))));
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
    assert!(lines[1].get("arguments").is_none() && lines[2].get("arguments").is_none());
    assert!(lines.iter().all(|line| line["arguments_sha256"].as_str().unwrap().len() == 64));
    assert_eq!(audit.counts.bytes.load(Relaxed), 0);
}

#[test]
fn a_full_file_makes_place_and_every_line_is_in_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let config = AuditConfig { max_size: 4096, keep: 100, ..config(folder.path()) };
    let audit = start(&config);
    for id in 0..500 {
        audit.write(record(id, Arguments::None));
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
        audit.write(record(id, Arguments::None));
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
    audit.write(record(1, Arguments::None));
    assert!(audit.flush(LONG));
    fs::rename(path, folder.path().join("moved")).unwrap();
    audit.write(record(2, Arguments::None));
    assert!(audit.flush(LONG));
    assert_eq!((lines(&folder.path().join("moved")).len(), lines(path).len()), (1, 1));
}

#[test]
fn what_cannot_be_written_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let config = AuditConfig { file: Some(folder.path().join("no/such/folder")), ..AuditConfig::default() };
    assert!(matches!(Audit::start(&config, true), Err(AuditError::Open { .. })));
    let audit = start(&config);
    audit.write(record(1, Arguments::None));
    assert!(audit.flush(LONG));
    assert_eq!(audit.counts(), (0, 1));
    // It is tried again with the next line.
    fs::create_dir_all(folder.path().join("no/such")).unwrap();
    audit.write(record(2, Arguments::None));
    assert!(audit.flush(LONG));
    assert_eq!(audit.counts(), (1, 1));
    assert!(Audit::start(&AuditConfig::default(), true).unwrap().is_none());
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
    audit.write(record(1, Arguments::None));
    let begin = format!("<110>toolbay[{}]: {{\"time\":", std::process::id());
    assert!(next(&log).starts_with(&begin));
    // It is started again.
    fs::remove_file(&path).unwrap();
    drop(log);
    let log = UnixDatagram::bind(&path).unwrap();
    audit.write(record(2, Arguments::None));
    assert!(next(&log).contains("\"id\":2,"));
    assert!(audit.flush(LONG));
    assert_eq!(audit.counts(), (2, 0));
}

#[test]
fn a_collector_takes_a_line_as_a_record_of_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&[(200, 0), (400, 0)]);
    let headers = [(http::header::AUTHORIZATION, http::HeaderValue::from_static("Bearer s3cr3t"))].into_iter().collect();
    let config =
        AuditConfig { endpoint: Some(receiver.url.parse().unwrap()), headers, service_name: "tools".to_owned(), ..config(folder.path()) };
    let audit = start(&config);
    let trace = Some(*b"0af7651916cd43dd8448eb211c80319c");
    audit.write(Record { trace, ..record(7, audit.arguments("{\"a\":1}")) });
    audit.write(Record { outcome: "denied", error: Some("denied".into()), ..record(8, Arguments::None) });
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
    audit.write(record(9, Arguments::None));
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
        audit.write(record(id, Arguments::None));
        assert!(audit.flush(LONG));
        told.push((audit.counts(), audit.delivery().status().error.is_some()));
    }
    assert_eq!(told, [((1, 0), false), ((1, 1), true), ((2, 1), false)]);
}
