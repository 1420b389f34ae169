//! One line: what is known of a decision or a call, and its JSON.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::redact::{self, Redactor};

/// What is known of the arguments.
#[derive(Debug, Default)]
pub enum Arguments {
    /// There are none.
    #[default]
    None,
    /// All of them, as JSON text.
    Text(Box<str>),
    /// Only their SHA-256: they are too long.
    Digest([u8; 32]),
}

impl Arguments {
    pub(super) fn digest(text: &str) -> Self {
        let mut sum = [0; 32];
        sum.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self::Digest(sum)
    }

    /// Bytes that they take.
    pub(super) fn len(&self) -> usize {
        if let Self::Text(text) = self { text.len() } else { 0 }
    }

    fn sha256(&self) -> Option<[u8; 32]> {
        match self {
            Self::None => None,
            Self::Text(text) => Self::digest(text).sha256(),
            Self::Digest(sum) => Some(*sum),
        }
    }
}

/// A decision, or a call that has ended.
#[derive(Debug)]
pub struct Record {
    /// When it began.
    pub begin: SystemTime,
    /// `call`, or `authentication` for a request that was not let in.
    pub event: &'static str,
    /// The log's id of the call.
    pub id: Option<u64>,
    /// The id of the call that made this one.
    pub parent: Option<u64>,
    /// The digits of the W3C trace id.
    pub trace: Option<[u8; 32]>,
    /// Who.
    pub caller: Option<Box<str>>,
    /// From which address.
    pub peer: Option<Box<str>>,
    /// By which way: `mcp`, `rest`, `stdio`, `cli`.
    pub front: &'static str,
    /// What was done: `tools/call`.
    pub operation: Option<&'static str>,
    /// Whose tool, resource or prompt.
    pub provider: Option<Arc<str>>,
    /// Which one, by the provider's own name.
    pub name: Option<Box<str>>,
    /// With what.
    pub arguments: Arguments,
    /// How it ended, in a word.
    pub outcome: &'static str,
    /// Why not well: a word, or a code of JSON-RPC.
    pub error: Option<Cow<'static, str>>,
    /// How long it took. None: nothing ran.
    pub took: Option<Duration>,
}

impl Default for Record {
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
            arguments: Arguments::None,
            outcome: "",
            error: None,
            took: None,
        }
    }
}

/// The beginning of a time, which lines of the same second share.
#[derive(Debug, Default)]
pub(super) struct Clock {
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
struct Members<'a>(&'a mut Vec<u8>);

impl Members<'_> {
    fn add(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) {
        self.key(name);
        // Writing to memory cannot fail, and neither can what is written here.
        let _ = serde_json::to_writer(&mut *self.0, value);
    }

    fn add_some(&mut self, name: &'static str, value: Option<&(impl Serialize + ?Sized)>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn key(&mut self, name: &'static str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}

impl Record {
    /// Writes its line, with the newline. Arguments are in it where there is somebody to remove their secrets. The names of members and their order are API.
    pub(super) fn write(&self, to: &mut Vec<u8>, clock: &mut Clock, redactor: Option<&Redactor>) {
        to.extend_from_slice(b"{\"time\":\"");
        clock.write(self.begin, to);
        to.push(b'"');
        let mut members = Members(to);
        members.add("event", self.event);
        members.add_some("id", self.id.as_ref());
        members.add_some("parent", self.parent.as_ref());
        members.add_some("trace", self.trace.as_ref().and_then(|digits| str::from_utf8(digits).ok()));
        // `null`: callers are not told apart.
        members.add("caller", &self.caller);
        members.add_some("peer", self.peer.as_deref());
        members.add("front", self.front);
        members.add_some("operation", self.operation);
        members.add_some("provider", self.provider.as_deref());
        // The address of a resource can hold a key.
        members.add_some("name", self.name.as_deref().map(redact::known).as_deref());
        if let Some(sum) = self.arguments.sha256() {
            members.key("arguments_sha256");
            members.0.push(b'"');
            members.0.extend(sum.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
            members.0.push(b'"');
        }
        if let (Some(redactor), Arguments::Text(text)) = (redactor, &self.arguments) {
            members.add_some("arguments", redactor.arguments(text).as_ref());
        }
        members.add("outcome", self.outcome);
        members.add_some("error", self.error.as_deref());
        members.add_some("duration_ms", self.took.map(|took| took.as_micros() as f64 / 1000.0).as_ref());
        to.extend_from_slice(b"}\n");
    }
}

/// A digit of a hexadecimal number.
fn digit(half: u8) -> u8 {
    if half < 10 { b'0' + half } else { b'a' + half - 10 }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_is_json_whatever_callers_name(
            name in any::<String>(),
            caller in any::<Option<String>>(),
            millis in 0_u64..1 << 42,
            micros in 0_u64..1 << 50,
        ) {
            let begin = SystemTime::UNIX_EPOCH + Duration::from_micros(millis * 1000 + micros % 1000);
            let record = Record {
                begin,
                id: Some(micros),
                trace: Some([b'a'; 32]),
                name: Some(name.as_str().into()),
                caller: caller.as_deref().map(Into::into),
                took: Some(Duration::from_micros(micros)),
                arguments: Arguments::Text("{}".into()),
                ..Record::default()
            };
            let (mut lines, mut clock) = (Vec::new(), Clock::default());
            record.write(&mut lines, &mut clock, None);
            record.write(&mut lines, &mut clock, None);
            let lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
            prop_assert_eq!(lines.len(), 2);
            prop_assert_eq!(lines[0], lines[1]);
            let line: serde_json::Value = serde_json::from_slice(lines[0]).unwrap();
            let time = DateTime::<Utc>::from(begin).to_rfc3339_opts(SecondsFormat::Micros, true);
            prop_assert_eq!(&line["time"], &time);
            prop_assert_eq!(&line["name"], &name);
            prop_assert_eq!(line["caller"].as_str(), caller.as_deref());
            prop_assert_eq!(line["id"].as_u64(), Some(micros));
            prop_assert_eq!(line["duration_ms"].as_f64(), Some(micros as f64 / 1000.0));
        }
    }

    #[test]
    fn members_have_their_names_and_their_order() {
        let record = Record {
            begin: SystemTime::UNIX_EPOCH,
            event: "call",
            id: Some(7),
            parent: Some(6),
            trace: Some([b'1'; 32]),
            caller: Some("ann".into()),
            peer: Some("::1".into()),
            front: "mcp",
            operation: Some("tools/call"),
            provider: Some("p".into()),
            name: Some("t".into()),
            arguments: Arguments::Text("{}".into()),
            outcome: "busy",
            error: Some("busy".into()),
            took: Some(Duration::from_micros(1250)),
        };
        let mut line = Vec::new();
        record.write(&mut line, &mut Clock::default(), Some(&Redactor::new(&[])));
        assert_eq!(
            str::from_utf8(&line).unwrap(),
            concat!(
                r#"{"time":"1970-01-01T00:00:00.000000Z","event":"call","id":7,"parent":6,"trace":"11111111111111111111111111111111","#,
                r#""caller":"ann","peer":"::1","front":"mcp","operation":"tools/call","provider":"p","name":"t","#,
                r#""arguments_sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","arguments":{},"#,
                r#""outcome":"busy","error":"busy","duration_ms":1.25}"#,
                "\n"
            )
        );
    }
}
