//! Where audit lines go by themselves: a file, stdout, the system's log.

use std::{
    io::{self, Write as _},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use super::rotate::RotatingFile;
use crate::config::AuditConfig;

/// Facility 13, which is for audit, and severity 6, information (RFC 5424).
const PRIORITY: u32 = 13 * 8 + 6;

/// Lines that could not be written: how many, where to, and why.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) lines: usize,
    pub(super) what: String,
    pub(super) error: io::Error,
}

/// All of them that are configured.
#[derive(Debug)]
pub(super) struct Outputs {
    file: Option<RotatingFile>,
    stdout: bool,
    syslog: Option<Syslog>,
}

impl Outputs {
    pub(super) fn new(config: &AuditConfig) -> Self {
        Self {
            file: config.file.as_deref().map(|path| RotatingFile::new(path, config.max_size as u64, config.keep)),
            stdout: config.stdout,
            syslog: config.syslog.as_deref().map(Syslog::new),
        }
    }

    /// Whether lines go nowhere.
    pub(super) fn is_none(&self) -> bool {
        self.file.is_none() && !self.stdout && self.syslog.is_none()
    }

    /// Opens what has to be opened.
    ///
    /// # Errors
    ///
    /// What cannot be, and why.
    pub(super) fn open(&mut self) -> Result<(), (String, io::Error)> {
        if let Some(file) = &mut self.file
            && let Err(error) = file.open()
        {
            return Err((format!("the file {}", file.path().display()), error));
        }
        if let Some(syslog) = &mut self.syslog
            && let Err(error) = syslog.open()
        {
            return Err((format!("the socket {}", syslog.path.display()), error));
        }
        Ok(())
    }

    /// What could not be opened: the key, what it is, and why. Nothing is written or made.
    pub(super) fn probe(mut self) -> Vec<(&'static str, String, io::Error)> {
        let mut unusable = Vec::new();
        if let Some(file) = &self.file
            && let Err(error) = file.probe()
        {
            unusable.push(("[audit] file", format!("the file {}", file.path().display()), error));
        }
        if let Some(syslog) = &mut self.syslog
            && let Err(error) = syslog.open()
        {
            unusable.push(("[audit] syslog", format!("the socket {}", syslog.path.display()), error));
        }
        unusable
    }

    /// Writes lines, each with its newline, to all of them. `count`: how many they are.
    ///
    /// # Errors
    ///
    /// The lines that one of them has not taken, of the one that has taken fewest.
    pub(super) fn write(&mut self, lines: &[u8], count: usize) -> Result<(), Lost> {
        let mut lost: Option<Lost> = None;
        let mut add = |one: Lost| {
            if lost.as_ref().is_none_or(|most| one.lines > most.lines) {
                lost = Some(one);
            }
        };
        if let Some(file) = &mut self.file
            && let Err((lines, error)) = file.write(lines)
        {
            add(Lost { lines, what: format!("the file {}", file.path().display()), error });
        }
        if self.stdout {
            let mut stdout = io::stdout().lock();
            if let Err(error) = stdout.write_all(lines).and_then(|()| stdout.flush()) {
                add(Lost { lines: count, what: "stdout".to_owned(), error });
            }
        }
        if let Some(syslog) = &mut self.syslog
            && let Err((lines, error)) = syslog.write(lines)
        {
            add(Lost { lines, what: format!("the socket {}", syslog.path.display()), error });
        }
        lost.map_or(Ok(()), Err)
    }

    /// What was written is on disk.
    pub(super) fn sync(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.sync()
        {
            tracing::warn!("the audit file cannot be synced: {error}");
        }
    }
}

/// The socket of the system's log, `/dev/log`.
#[derive(Debug)]
struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), socket: None }
    }

    fn open(&mut self) -> io::Result<&UnixDatagram> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(&self.path)?;
                socket
            }
        };
        Ok(self.socket.insert(socket))
    }

    /// Sends each line. One that is not taken, since it is too long, holds up none of the others. How many were not.
    fn write(&mut self, lines: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut message = format!("<{PRIORITY}>toolbay[{}]: ", std::process::id()).into_bytes();
        let begin = message.len();
        let mut lost: Option<(usize, io::Error)> = None;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            message.truncate(begin);
            message.extend_from_slice(line);
            if let Err(error) = self.send(&message) {
                lost = Some((lost.map_or(1, |(count, _)| count + 1), error));
            }
        }
        lost.map_or(Ok(()), Err)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        // The log may have been started again meanwhile.
        if self.open()?.send(message).is_err() {
            self.socket = None;
            self.open()?.send(message)?;
        }
        Ok(())
    }
}
