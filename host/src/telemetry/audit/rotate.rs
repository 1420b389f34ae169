//! A file of audit lines: for its owner alone, and not without end.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::Access;

/// A file that makes place for the next one when it is full: `audit.jsonl`, `audit.jsonl.1` (the newest of the old ones), `audit.jsonl.2`, …
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    max_size: u64,
    keep: u32,
    open: Option<(File, u64)>,
}

impl RotatingFile {
    pub(super) fn new(path: &Path, max_size: u64, keep: u32) -> Self {
        Self { path: path.to_owned(), max_size, keep, open: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it could be opened. A file that is not there is not made: its folder is asked.
    pub(super) fn probe(&self) -> io::Result<()> {
        match OpenOptions::new().append(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                Ok(rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
            }
            opened => opened.map(drop),
        }
    }

    /// Opens it, where it is not open or is another file by now.
    pub(super) fn open(&mut self) -> io::Result<&mut (File, u64)> {
        let same = |file: &File| -> io::Result<bool> {
            let (opened, there) = (file.metadata()?, fs::metadata(&self.path)?);
            Ok((opened.dev(), opened.ino()) == (there.dev(), there.ino()))
        };
        // Somebody may have moved or removed it: then there is a new one.
        if !self.open.as_ref().is_some_and(|(file, _)| same(file).unwrap_or(false)) {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
            let about = file.metadata()?;
            if about.is_file() && about.mode() & 0o077 != 0 {
                file.set_permissions(Permissions::from_mode(0o600))?;
            }
            self.open = Some((file, about.len()));
        }
        self.open.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Writes lines, each into one file: how many could not be written, and why. What is there of such a line is taken back.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut rest = lines;
        while !rest.is_empty() {
            match self.write_some(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) => return Err((rest.split_inclusive(|byte| *byte == b'\n').count(), error)),
            }
        }
        Ok(())
    }

    /// Writes those for which there is room, or one that is too long for any file. How many bytes of them.
    fn write_some(&mut self, lines: &[u8]) -> io::Result<usize> {
        let (max_size, size) = (self.max_size, self.open()?.1);
        let mut fits = whole_lines(lines, max_size.saturating_sub(size));
        if fits == 0 && size > 0 {
            self.rotate()?;
            self.open()?;
            fits = whole_lines(lines, max_size);
        }
        if fits == 0 {
            fits = lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1);
        }
        let lines = lines.get(..fits).unwrap_or_default();
        let Some((file, size)) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
        match file.write_all(lines) {
            Ok(()) => {
                *size += fits as u64;
                Ok(fits)
            }
            Err(error) => {
                // The disk is full: what is there of the last line would spoil the next one.
                let _ = file.set_len(*size);
                Err(error)
            }
        }
    }

    /// What was written is on disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |(file, _)| file.sync_data())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if self.keep == 0 {
            fs::remove_file(&self.path)?;
        } else {
            for number in (1..self.keep).rev() {
                match fs::rename(numbered(number), numbered(number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::rename(&self.path, numbered(1))?;
        }
        self.open = None;
        Ok(())
    }
}

/// How many bytes of these lines are whole lines within so much room.
fn whole_lines(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if lines.len() <= room {
        return lines.len();
    }
    lines.get(..room).and_then(|fits| fits.iter().rposition(|byte| *byte == b'\n')).map_or(0, |end| end + 1)
}
