//! `toolbay audit`: the audit file, for people.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{Failure, Outcome, print};
use crate::{app::ConfigSource, provider::without_steering};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Prints one line for each call and decision: when, how it ended, who, what, how long. --json prints the lines of the file
as they are, which is for jq. --follow waits for more, also past a rotation, until Ctrl-C.

  toolbay audit --follow
  toolbay audit /var/log/toolbay/audit.jsonl --caller ci --outcome tool_error,internal
  toolbay audit --tool 'get_*' --json | jq .arguments_sha256"#;

/// How often the file is looked at for more.
const LOOK: Duration = Duration::from_millis(200);

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Audit {
    /// The audit file; by default `file` in [audit] of the configuration
    file: Option<PathBuf>,
    /// The configuration file; by default ./toolbay.toml, if it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Wait for more lines
    #[arg(long, short)]
    follow: bool,
    /// Only calls of this tool, resource or prompt; * stands for anything
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Only what this caller did
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// Only what ended like this: ok, tool_error, internal, busy, denied …, several with commas
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    outcome: Vec<String>,
    /// The lines as they are in the file
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(super) fn run(self) -> Outcome {
        let path = match &self.file {
            Some(path) => path.clone(),
            None => {
                let config = ConfigSource { path: self.config.clone(), ..ConfigSource::default() }.load().config?;
                config.audit.file.ok_or_else(|| Failure::usage("no audit file: name one, or set `file` in [audit] of toolbay.toml"))?
            }
        };
        let mut reader = open(&path)?;
        loop {
            self.rest(&mut reader)?;
            if !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
            while let Some(Newer { next, has_gap }) = newer(&reader, &path) {
                // What was written to the old one up to its renaming.
                self.rest(&mut reader)?;
                if has_gap {
                    eprintln!(
                        "lines may be missing here: the file that was read is gone already; a larger max_size or keep in [audit] leaves more time"
                    );
                }
                reader = next;
                self.rest(&mut reader)?;
            }
            thread::sleep(LOOK);
        }
    }

    /// Prints what there is up to the end. A line that is not whole yet is left.
    fn rest(&self, reader: &mut BufReader<File>) -> Result<(), Failure> {
        let cannot = |error: std::io::Error| Failure::failed(format!("cannot read the audit file: {error}"));
        let (mut line, mut text) = (Vec::new(), String::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(cannot)?;
            if read == 0 || line.last() != Some(&b'\n') {
                // The rest of it is still to come.
                reader.seek(SeekFrom::Current(-(read as i64))).map_err(cannot)?;
                break;
            }
            let Ok(entry) = serde_json::from_slice::<Value>(&line) else { continue };
            if self.wants(&entry) {
                text.push_str(&if self.json { String::from_utf8_lossy(&line).into_owned() } else { readable(&entry) });
            }
        }
        if text.is_empty() { Ok(()) } else { print(&text) }
    }

    fn wants(&self, entry: &Value) -> bool {
        let is = |key: &str| entry.get(key).and_then(Value::as_str);
        self.tool.as_deref().is_none_or(|tool| is("name").is_some_and(|name| glob(tool, name)))
            && self.caller.as_deref().is_none_or(|caller| is("caller") == Some(caller))
            && (self.outcome.is_empty() || is("outcome").is_some_and(|outcome| self.outcome.iter().any(|word| word == outcome)))
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let file = File::open(path).map_err(|error| Failure::failed(format!("cannot open the audit file {}: {error}", path.display())))?;
    Ok(BufReader::new(file))
}

/// A file that was begun later than the one that is read.
struct Newer {
    next: BufReader<File>,
    /// Others may have been between them.
    has_gap: bool,
}

/// The file that was begun after the one that is read, if there is one: `FILE`, or `FILE.2` after `FILE.3`.
fn newer(reader: &BufReader<File>, path: &Path) -> Option<Newer> {
    /// As many as the configuration may keep.
    const MOST: u32 = 1000;
    let read = reader.get_ref().metadata().ok()?;
    let is_it = |about: std::io::Result<std::fs::Metadata>| about.is_ok_and(|about| (about.dev(), about.ino()) == (read.dev(), read.ino()));
    let numbered = |number: u32| match number {
        0 => path.to_owned(),
        number => PathBuf::from(format!("{}.{number}", path.display())),
    };
    loop {
        if is_it(std::fs::metadata(path)) {
            return None;
        }
        let place = (1..=MOST).find(|number| is_it(std::fs::metadata(numbered(*number))));
        // One that is in none of these places was deleted: the oldest of those that were written since is the next.
        let is_later = |number: &u32| std::fs::metadata(numbered(*number)).is_ok_and(|about| about.modified().ok() >= read.modified().ok());
        let oldest = || (1..=MOST).take_while(is_later).last().unwrap_or(0);
        let next = open(&numbered(place.map_or_else(oldest, |place| place - 1))).ok()?;
        // They may just have been renamed again.
        if place.is_none_or(|place| is_it(std::fs::metadata(numbered(place)))) {
            return Some(Newer { next, has_gap: place.is_none() });
        }
    }
}

/// Whether a name fits a pattern in which * stands for anything.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// `2026-11-29T16:50:01.123456Z  ok          ann  calculator add  1.2 ms  (mcp, #12)`.
fn readable(entry: &Value) -> String {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let shown = |text: &str| without_steering(text, '\u{fffd}');
    let mut line = format!("{}  {:<12}", text("time").unwrap_or_default(), text("outcome").unwrap_or_default());
    let who = text("caller").or_else(|| text("peer")).unwrap_or("-");
    line.push_str(&format!("  {:<10}", shown(who)));
    let what = match text("event") {
        Some("call") | None => {
            let names = [text("provider"), text("name")];
            let names: Vec<String> = names.into_iter().flatten().map(shown).collect();
            let operation = text("operation").filter(|operation| *operation != "tools/call");
            operation.into_iter().map(str::to_owned).chain(names).collect::<Vec<_>>().join(" ")
        }
        Some(event) => event.to_owned(),
    };
    line.push_str(&format!("  {what}"));
    if let Some(error) = text("error").filter(|error| Some(*error) != text("outcome")) {
        line.push_str(&format!(": {}", shown(error)));
    }
    if let Some(duration) = entry.get("duration_ms").and_then(Value::as_f64) {
        line.push_str(&format!("  {duration} ms"));
    }
    if let Some(arguments) = entry.get("arguments") {
        line.push_str(&format!("  {}", shown(&arguments.to_string())));
    }
    let mut more = vec![text("front").unwrap_or_default().to_owned()];
    more.extend(entry.get("id").map(|id| format!("#{id}")));
    more.extend(text("trace").map(|trace| format!("trace {}", shown(trace))));
    line.push_str(&format!("  ({})\n", more.join(", ")));
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, fits) in [
            ("add", "add", true),
            ("add", "adds", false),
            ("*", "", true),
            ("get_*", "get_alerts", true),
            ("get_*", "forget_", false),
            ("*_a*s", "get_alerts", true),
            ("*_a*s", "get_alert", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn who_falls_behind_reads_on_in_the_oldest_file_that_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let file = |number: u32| if number == 0 { path.clone() } else { PathBuf::from(format!("{}.{number}", path.display())) };
        // Of a time when more of them were kept.
        std::fs::write(file(3), "stale").unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().append(true).open(file(3)).unwrap().set_modified(long_ago).unwrap();
        std::fs::write(file(0), "0").unwrap();
        let mut reader = open(&path).unwrap();
        assert!(newer(&reader, &path).is_none());
        // Three rotations, of which two files are kept.
        std::fs::remove_file(file(0)).unwrap();
        for (number, text) in [(2, "2"), (1, "1"), (0, "newest")] {
            std::fs::write(file(number), text).unwrap();
        }
        let mut read = Vec::new();
        while let Some(Newer { mut next, has_gap }) = newer(&reader, &path) {
            let mut text = String::new();
            next.read_line(&mut text).unwrap();
            read.push((text, has_gap));
            reader = next;
        }
        assert_eq!(read, [("2".to_owned(), true), ("1".to_owned(), false), ("newest".to_owned(), false)]);
    }

    #[test]
    fn a_line_is_short_and_harmless() {
        let entry = json!({
            "time": "2026-11-29T16:50:01.123456Z", "event": "call", "id": 12, "caller": "ann\u{202e}[31m", "front": "mcp",
            "operation": "tools/call", "provider": "calculator", "name": "divide", "outcome": "tool_error", "error": "tool_error",
            "duration_ms": 1.25
        });
        let ann = "ann\u{fffd}[31m";
        assert_eq!(
            readable(&entry),
            format!("2026-11-29T16:50:01.123456Z  tool_error    {ann:<10}  calculator divide: tool_error  1.25 ms  (mcp, #12)\n")
                .replace(": tool_error  1.25", "  1.25")
        );
        let entry = json!({
            "time": "t", "event": "authentication", "caller": null, "peer": "127.0.0.1", "front": "http", "outcome": "denied",
            "error": "invalid"
        });
        assert_eq!(readable(&entry), "t  denied        127.0.0.1   authentication: invalid  (http)\n");
    }
}
