//! The way of a log line to stderr: a bounded queue and a thread of its own, so that a slow or closed stderr never holds up a call.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use super::{flush::flush, kept};
use crate::config::LogFormat;

/// Lines that may wait. With some 200 bytes each this is 3 MiB at most in the usual case; a line more is dropped and counted.
const QUEUE: usize = 16_384;
/// Bytes that are written at once when many lines wait.
const BATCH: usize = 64 << 10;
/// A line that is longer is cut: a plugin decides what is in its lines.
const MAX_LINE: usize = 64 << 10;
/// How long to wait when stderr says that it is full and would not block, as a terminal shared with another program may.
const RETRY: Duration = Duration::from_millis(5);
/// How long what comes after a batch is gathered: each line that wakes this thread takes a CPU from a worker twice.
const GATHER: Duration = Duration::from_millis(1);

enum Message {
    Line(Box<[u8]>),
    /// Tell when everything before this is written.
    Flush(SyncSender<()>),
}

/// The queue, held by whoever flushes it.
pub(super) struct Lines {
    queue: SyncSender<Message>,
    dropped: Arc<Dropped>,
    format: LogFormat,
}

/// The queue, as `tracing` writes to it.
#[derive(Clone)]
pub(super) struct Writer {
    queue: SyncSender<Message>,
    dropped: Arc<Dropped>,
    format: LogFormat,
}

/// Lines that had no place in the queue.
#[derive(Default)]
struct Dropped {
    /// Since it was said last.
    unsaid: AtomicU64,
    /// Since the start.
    all: AtomicU64,
}

impl Lines {
    /// Starts the thread. It ends when all who could write are gone.
    pub(super) fn start(out: impl Write + Send + 'static, format: LogFormat) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let dropped = Arc::<Dropped>::default();
        let counted = dropped.clone();
        thread::Builder::new().name("toolbay-log".to_owned()).spawn(move || write_all(&lines, out, &counted, format))?;
        Ok(Self { queue, dropped, format })
    }

    pub(super) fn writer(&self) -> Writer {
        Writer { queue: self.queue.clone(), dropped: self.dropped.clone(), format: self.format }
    }

    /// Lines that were dropped since the start.
    pub(super) fn lost(&self) -> u64 {
        self.dropped.all.load(Relaxed)
    }

    /// Waits until what was logged up to now is written.
    pub(super) fn flush(&self, limit: Duration) {
        // Whoever ends has nobody left to tell.
        let _: bool = flush(&self.queue, Message::Flush, limit);
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = &'a Writer;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// `tracing-subscriber` writes an event whole, by one call.
impl Write for &Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let message = Message::Line(if line.len() > MAX_LINE { cut(line, self.format) } else { line.into() });
        if self.queue.try_send(message).is_err() {
            self.dropped.unsaid.fetch_add(1, Relaxed);
            self.dropped.all.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(lines: &Receiver<Message>, mut out: impl Write, dropped: &Dropped, format: LogFormat) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut asked = Vec::new();
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    kept::push(&line);
                    batch.extend_from_slice(&line);
                }
                Message::Flush(done) => asked.push(done),
            }
            next = if batch.len() < BATCH { lines.try_recv().ok() } else { None };
        }
        let lost = dropped.unsaid.swap(0, Relaxed);
        if lost > 0 {
            batch.extend_from_slice(confess(lost, format).as_bytes());
        }
        put(&mut out, &batch);
        batch.clear();
        if asked.is_empty() {
            thread::sleep(GATHER);
        }
        for done in asked.drain(..) {
            let _ = done.try_send(());
        }
    }
}

/// Writes, or does without: when nobody reads stderr any more, the server goes on.
fn put(out: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return,
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(_) => return,
        }
    }
    let _ = out.flush();
}

/// The beginning of a line that is too long; in JSON as a text in an object of its own, which stays JSON.
fn cut(line: &[u8], format: LogFormat) -> Box<[u8]> {
    let head = line.get(..MAX_LINE / 2).unwrap_or(line);
    match format {
        LogFormat::Text => [head, b"... (cut)\n"].concat().into(),
        LogFormat::Json => {
            let object = serde_json::json!({
                "level": "WARN",
                "target": "toolbay::telemetry",
                "message": "a log line was too long and is cut",
                "bytes": line.len(),
                "begins": String::from_utf8_lossy(head),
            });
            format!("{object}\n").into_bytes().into()
        }
    }
}

fn confess(lost: u64, format: LogFormat) -> String {
    match format {
        LogFormat::Text => format!("WARN toolbay::telemetry: {lost} log lines were dropped, since stderr was not read fast enough\n"),
        LogFormat::Json => format!(
            "{{\"level\":\"WARN\",\"target\":\"toolbay::telemetry\",\"message\":\"log lines were dropped, since stderr was not read fast enough\",\"dropped\":{lost}}}\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Takes a write when it is let, and says what it took.
    struct Gate {
        open: Receiver<()>,
        out: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.out.send(String::from_utf8(bytes.to_vec()).unwrap()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_stderr_holds_up_nobody_and_what_is_lost_is_counted() {
        let ((open, gate), (out, written)) = (channel(), channel());
        let lines = Lines::start(Gate { open: gate, out }, LogFormat::Json).unwrap();
        let writer = lines.writer();
        let many = 2 * QUEUE;
        for number in 0..many {
            (&writer).write_all(format!("{{\"n\":{number}}}\n").as_bytes()).unwrap();
        }
        lines.flush(Duration::from_millis(1));
        for _ in 0..many {
            let _ = open.send(());
        }
        let (mut seen, mut confessed) = (0, 0);
        while seen + confessed < many {
            for line in written.recv_timeout(Duration::from_secs(20)).unwrap().lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                match line["dropped"].as_u64() {
                    Some(number) => confessed += usize::try_from(number).unwrap(),
                    None => seen += 1,
                }
            }
        }
        // The queue, and one batch that the thread had taken.
        assert!(seen + confessed == many && seen >= QUEUE && confessed > 0, "{seen} seen, {confessed} confessed");
    }

    #[test]
    fn a_closed_stderr_ends_nothing() {
        let ((open, gate), (out, written)) = (channel(), channel());
        drop((open, written));
        let lines = Lines::start(Gate { open: gate, out }, LogFormat::Text).unwrap();
        for _ in 0..10 {
            (&lines.writer()).write_all(b"into the void\n").unwrap();
            lines.flush(Duration::from_secs(10));
        }
        assert_eq!(lines.lost(), 0);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let ((open, gate), (out, written)) = (channel(), channel());
            let lines = Lines::start(Gate { open: gate, out }, format).unwrap();
            assert_eq!((&lines.writer()).write(&vec![b'"'; 10 * MAX_LINE]).unwrap(), 10 * MAX_LINE);
            open.send(()).unwrap();
            let line = written.recv_timeout(Duration::from_secs(20)).unwrap();
            assert!(line.len() < 2 * MAX_LINE);
            match format {
                LogFormat::Text => assert!(line.ends_with("\"\"... (cut)\n")),
                LogFormat::Json => assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["bytes"], 10 * MAX_LINE),
            }
        }
    }
}
