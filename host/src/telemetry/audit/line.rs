//! One line: what is known of a decision or a call, and its JSON.
//!
//! It is written by who has it to tell, when all of it is known, into room that its thread keeps: a copy of everything for another thread costs a call more
//! than the text.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};

use super::redact;
use crate::provider::steers;

/// Bytes of a name that a caller made up.
const NAME: usize = 200;

/// Bytes of room that a thread keeps for its lines.
const ROOM: usize = 4 << 10;

/// What is known of a decision or a call.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// When it began.
    pub begin: SystemTime,
    /// `call`, or `authentication` for a request that was not let in.
    pub event: &'static str,
    /// The log's id of the call.
    pub id: Option<u64>,
    /// The id of the call that made this one.
    pub parent: Option<u64>,
    /// The W3C trace id.
    pub trace: Option<&'a str>,
    /// Who.
    pub caller: Option<&'a str>,
    /// From which address.
    pub peer: Option<&'a str>,
    /// By which way: `mcp`, `rest`, `stdio`, `cli`.
    pub front: &'static str,
    /// What was done: `tools/call`.
    pub operation: Option<&'static str>,
    /// Whose tool, resource or prompt.
    pub provider: Option<&'a str>,
    /// Which one, by the provider's own name.
    pub name: Option<&'a str>,
}

impl Default for Facts<'_> {
    fn default() -> Self {
        Self {
            begin: SystemTime::now(),
            event: "call",
            id: None,
            parent: None,
            trace: None,
            caller: None,
            peer: None,
            front: "",
            operation: None,
            provider: None,
            name: None,
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// In a word.
    pub outcome: &'static str,
    /// Why not well: a word, or a code of JSON-RPC.
    pub error: Option<&'a str>,
    /// How long it took. None: nothing ran.
    pub took: Option<Duration>,
}

/// What is told of arguments, which the call itself takes.
#[derive(Debug, Default)]
pub struct Arguments {
    /// SHA-256 of their JSON text.
    digest: Option<[u8; 32]>,
    /// They themselves, where they are to be in the line when their secrets have been removed.
    pub(super) kept: Option<Kept>,
}

impl Arguments {
    pub(super) fn of(text: &str, kept: Option<Kept>) -> Self {
        Self { digest: digest(&SHA256, text.as_bytes()).as_ref().try_into().ok(), kept }
    }
}

/// A copy of arguments, as long as it is needed.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) text: Box<str>,
    /// Bytes of all of them.
    held: Arc<AtomicUsize>,
}

impl Kept {
    pub(super) fn new(text: &str, held: &Arc<AtomicUsize>) -> Self {
        held.fetch_add(text.len(), Relaxed);
        Self { text: text.into(), held: Arc::clone(held) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.held.fetch_sub(self.text.len(), Relaxed);
    }
}

/// Hands a whole line with its newline to `take`, without the arguments that were kept, and the place where these belong.
pub(super) fn written<T>(facts: &Facts<'_>, arguments: &Arguments, end: &End<'_>, take: impl FnOnce(&[u8], usize) -> T) -> T {
    SCRATCH.with_borrow_mut(|Scratch { clock, text }| {
        text.clear();
        text.shrink_to(ROOM);
        let place = write(facts, arguments, end, clock, text);
        take(text, place)
    })
}

/// The names of members and their order are API.
fn write(facts: &Facts<'_>, arguments: &Arguments, end: &End<'_>, clock: &mut Clock, text: &mut Vec<u8>) -> usize {
    text.extend_from_slice(b"{\"time\":\"");
    clock.write(facts.begin, text);
    text.push(b'"');
    let mut members = Members(text);
    members.text("event", facts.event);
    members.number("id", facts.id);
    members.number("parent", facts.parent);
    members.some("trace", facts.trace);
    match facts.caller {
        Some(caller) => members.text("caller", caller),
        // Callers are not told apart.
        None => members.raw("caller", b"null"),
    }
    members.some("peer", facts.peer);
    members.text("front", facts.front);
    members.some("operation", facts.operation);
    members.some("provider", facts.provider);
    // What a tool is called is known of what is loaded. Callers make up all else, and the address of a resource can hold a key.
    let is_loaded = facts.provider.is_some() && facts.operation == Some("tools/call");
    match facts.name {
        Some(name) if !is_loaded => members.text("name", &redact::known(name)),
        name => members.some("name", name),
    }
    if let Some(digest) = &arguments.digest {
        members.digest("arguments_sha256", digest);
    }
    let place = members.0.len();
    members.text("outcome", end.outcome);
    members.some("error", end.error);
    if let Some(took) = end.took {
        members.millis("duration_ms", took);
    }
    text.extend_from_slice(b"}\n");
    place
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What the lines of one thread are written with.
#[derive(Default)]
struct Scratch {
    clock: Clock,
    text: Vec<u8>,
}

/// The beginning of a time, which lines of the same second share.
#[derive(Default)]
struct Clock {
    second: Option<u64>,
    /// `2026-01-31T23:59:59`
    text: String,
}

impl Clock {
    /// Writes a time as RFC 3339 has it, in microseconds.
    fn write(&mut self, at: SystemTime, to: &mut Vec<u8>) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            self.text = DateTime::<Utc>::from(at).format("%Y-%m-%dT%H:%M:%S").to_string();
        }
        to.extend_from_slice(self.text.as_bytes());
        to.push(b'.');
        let micros = since.subsec_micros();
        let digits = [100_000, 10_000, 1_000, 100, 10, 1].map(|unit| b'0' + (micros / unit % 10) as u8);
        to.extend_from_slice(&digits);
        to.push(b'Z');
    }
}

/// The members of an object of JSON that is being written.
pub(super) struct Members<'a>(pub(super) &'a mut Vec<u8>);

impl Members<'_> {
    fn text(&mut self, name: &'static str, text: &str) {
        self.key(name);
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            self.0.push(b'"');
            self.0.extend_from_slice(text.as_bytes());
            self.0.push(b'"');
            return;
        }
        // People read these lines on terminals too, whatever callers and servers have made up.
        for letter in serde_json::to_string(text).unwrap_or_default().chars() {
            if steers(letter) {
                self.0.extend_from_slice(format!("\\u{:04x}", u32::from(letter)).as_bytes());
            } else {
                self.0.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    fn some(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn number(&mut self, name: &'static str, number: Option<u64>) {
        if let Some(number) = number {
            self.raw(name, itoa::Buffer::new().format(number).as_bytes());
        }
    }

    /// A time in milliseconds, to the microsecond.
    fn millis(&mut self, name: &'static str, took: Duration) {
        let micros = took.as_micros();
        self.raw(name, itoa::Buffer::new().format(micros / 1000).as_bytes());
        let rest = micros % 1000;
        let digits = [100, 10, 1].map(|unit| b'0' + (rest / unit % 10) as u8);
        let shown = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
        self.0.push(b'.');
        self.0.extend_from_slice(digits.get(..shown).unwrap_or_default());
    }

    fn digest(&mut self, name: &'static str, sum: &[u8; 32]) {
        self.key(name);
        let mut digits = [b'"'; 2 * 32 + 2];
        for (place, byte) in digits.iter_mut().skip(1).zip(sum.iter().flat_map(|byte| [byte >> 4, byte & 15])) {
            *place = if byte < 10 { b'0' + byte } else { b'a' + byte - 10 };
        }
        self.0.extend_from_slice(&digits);
    }

    /// A member whose value is JSON already.
    pub(super) fn raw(&mut self, name: &'static str, value: &[u8]) {
        self.key(name);
        self.0.extend_from_slice(value);
    }

    fn key(&mut self, name: &'static str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}

/// The beginning of a name that a caller may have made up.
#[must_use]
pub fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    fn line(facts: &Facts<'_>, end: &End<'_>) -> Vec<u8> {
        written(facts, &Arguments::of("{}", None), end, |text, _| text.to_vec())
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut("add"), "add");
        assert_eq!(cut(&"ä".repeat(1000)).len(), NAME);
        assert_eq!(cut(&format!("x{}", "ä".repeat(1000))).len(), NAME - 1);
    }

    proptest! {
        #[test]
        fn a_line_is_json_whatever_callers_name(
            name in any::<String>(),
            caller in any::<Option<String>>(),
            peer in "[\u{0}-\u{a0}\u{2000}-\u{2070}\u{feff}]{0,9}",
            millis in 0_u64..1 << 42,
            micros in 0_u64..1 << 50,
        ) {
            let begin = SystemTime::UNIX_EPOCH + Duration::from_micros(millis * 1000 + micros % 1000);
            let trace = "a".repeat(32);
            let facts = Facts {
                begin,
                id: Some(micros),
                trace: Some(&trace),
                name: Some(&name),
                caller: caller.as_deref(),
                peer: Some(&peer),
                ..Facts::default()
            };
            let end = End { outcome: "ok", error: Some(&name), took: Some(Duration::from_micros(micros)) };
            let lines = [line(&facts, &end), line(&facts, &end)];
            prop_assert_eq!(&lines[0], &lines[1]);
            prop_assert_eq!(lines[0].iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert!(!str::from_utf8(&lines[0]).unwrap().trim_end_matches('\n').contains(steers));
            let line: serde_json::Value = serde_json::from_slice(&lines[0]).unwrap();
            let time = DateTime::<Utc>::from(begin).to_rfc3339_opts(SecondsFormat::Micros, true);
            prop_assert_eq!(&line["time"], &time);
            prop_assert_eq!((&line["name"], &line["error"], &line["peer"]), (&name.as_str().into(), &name.as_str().into(), &peer.as_str().into()));
            prop_assert_eq!(line["caller"].as_str(), caller.as_deref());
            prop_assert_eq!(line["id"].as_u64(), Some(micros));
            prop_assert_eq!(line["duration_ms"].as_f64(), Some(micros as f64 / 1000.0));
        }
    }

    #[test]
    fn members_have_their_names_and_their_order() {
        let facts = Facts {
            begin: SystemTime::UNIX_EPOCH,
            event: "call",
            id: Some(7),
            parent: Some(6),
            trace: Some("11111111111111111111111111111111"),
            caller: Some("ann"),
            peer: Some("::1"),
            front: "mcp",
            operation: Some("tools/call"),
            provider: Some("p"),
            name: Some("t"),
        };
        let line = line(&facts, &End { outcome: "busy", error: Some("busy"), took: Some(Duration::from_micros(1250)) });
        assert_eq!(
            str::from_utf8(&line).unwrap(),
            concat!(
                r#"{"time":"1970-01-01T00:00:00.000000Z","event":"call","id":7,"parent":6,"trace":"11111111111111111111111111111111","#,
                r#""caller":"ann","peer":"::1","front":"mcp","operation":"tools/call","provider":"p","name":"t","#,
                r#""arguments_sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
                r#""outcome":"busy","error":"busy","duration_ms":1.25}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_time_has_as_many_digits_as_it_needs() {
        for (micros, shown) in [(0, "0.0"), (7, "0.007"), (120, "0.12"), (1000, "1.0"), (12_345_600, "12345.6")] {
            let line = line(&Facts::default(), &End { outcome: "ok", error: None, took: Some(Duration::from_micros(micros)) });
            let line = str::from_utf8(&line).unwrap();
            assert!(line.ends_with(&format!("\"duration_ms\":{shown}}}\n")), "{line}");
        }
    }
}
