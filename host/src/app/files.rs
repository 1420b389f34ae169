//! The files of a configuration: says when any of them may be another.
//!
//! Each file's state, links followed, is compared with the one before, at short intervals. So editors that write another file and rename it, folders that are
//! switched by a link (as Kubernetes does with a ConfigMap), file systems without events and files that come and go are all the same to it.
//! Events of the kernel would come for everything in a file's folder: whenever an instance opens a folder that is granted to it and is in there too, so with
//! each call of such a plugin.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::config::Files;

/// How often the files are looked at.
/// With the settling time it stays below the second within which a change is live.
const POLL: Duration = Duration::from_millis(250);

/// How long the files must have been left alone before they count as complete.
/// Longer than an editor pauses between two writes.
const SETTLE: Duration = Duration::from_millis(120);

/// How long files that change all the time are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches the files of a configuration.
pub(super) struct FileWatch {
    files: Files,
    /// The state in which they were read last.
    before: States,
}

/// The state of each file and folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct States {
    files: BTreeMap<PathBuf, Option<State>>,
    /// The names in each folder.
    folders: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    dev: u64,
    ino: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl State {
    fn of(meta: &Metadata) -> Self {
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl States {
    /// Looks at all of them. Blocks.
    fn look(files: &Files) -> Self {
        let names = |folder: &PathBuf| {
            let listed = fs::read_dir(folder).into_iter().flatten();
            (folder.clone(), listed.filter_map(|entry| Some(entry.ok()?.file_name().into())).collect())
        };
        Self {
            // What cannot be seen is not there: reading it says why.
            files: files.files.iter().map(|path| (path.clone(), fs::metadata(path).ok().as_ref().map(State::of))).collect(),
            folders: files.folders.iter().map(names).collect(),
        }
    }
}

impl FileWatch {
    /// Watches these files, as they are now. Blocks for a moment.
    pub(super) fn start(files: Files) -> Self {
        let before = States::look(&files);
        Self { files, before }
    }

    /// Reads by `read`, which says what it read, in a state that did not change meanwhile. Blocks.
    pub(super) fn read<T>(&mut self, read: impl Fn() -> (T, Files)) -> T {
        /// Whoever writes all the time is read as it is: the next change is noticed.
        const TRIES: usize = 5;
        let mut tries = 1;
        loop {
            self.before = States::look(&self.files);
            let (value, files) = read();
            let same = files == self.files && States::look(&files) == self.before;
            self.files = files;
            if same || tries == TRIES {
                return value;
            }
            tries += 1;
        }
    }

    /// Waits until a file is another, and all of them have been left alone for a moment.
    pub(super) async fn changed(&mut self) {
        loop {
            sleep(POLL).await;
            let mut now = self.look().await;
            if now != self.before {
                let begin = Instant::now();
                loop {
                    sleep(SETTLE).await;
                    let next = self.look().await;
                    if next == now || begin.elapsed() > PATIENCE {
                        return;
                    }
                    now = next;
                }
            }
        }
    }

    async fn look(&self) -> States {
        let files = self.files.clone();
        // An error would be a panic there.
        tokio::task::spawn_blocking(move || States::look(&files)).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::Path};

    use super::*;

    fn files(paths: &[&Path], folders: &[&Path]) -> Files {
        let owned = |paths: &[&Path]| paths.iter().map(|path| (*path).to_owned()).collect();
        Files { files: owned(paths), folders: owned(folders), ..Files::default() }
    }

    async fn changes(watch: &mut FileWatch, what: &str) {
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.unwrap_or_else(|_| panic!("not noticed: {what}"));
        let files = watch.files.clone();
        watch.read(|| ((), files.clone()));
    }

    #[tokio::test]
    async fn every_way_to_change_a_file_is_noticed() {
        let temporary = tempfile::tempdir().unwrap();
        let at = |name: &str| temporary.path().join(name);
        for folder in ["v1", "v2", "conf.d"] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("mounted.toml"), folder).unwrap();
        }
        fs::write(at("a.toml"), "a").unwrap();
        symlink("v1", at("..data")).unwrap();
        symlink("..data/mounted.toml", at("mounted.toml")).unwrap();
        let (own, mounted, missing) = (at("a.toml"), at("mounted.toml"), at("missing"));
        let mut watch = FileWatch::start(files(&[&own, &mounted, &missing], &[&at("conf.d")]));
        fs::write(&own, "b").unwrap();
        changes(&mut watch, "written in place").await;
        fs::write(at(".a.toml.tmp"), "c").unwrap();
        fs::rename(at(".a.toml.tmp"), &own).unwrap();
        changes(&mut watch, "replaced by rename").await;
        symlink("v2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        changes(&mut watch, "a folder switched by a link").await;
        fs::write(at("v2/mounted.toml"), "v3").unwrap();
        changes(&mut watch, "the target of a link").await;
        fs::write(&missing, "x").unwrap();
        changes(&mut watch, "a file that was missing").await;
        fs::remove_file(&missing).unwrap();
        changes(&mut watch, "a file that is gone").await;
        fs::write(at("conf.d/more.toml"), "").unwrap();
        changes(&mut watch, "a file more in a folder").await;
    }

    #[tokio::test]
    async fn other_files_and_reading_are_no_change() {
        let temporary = tempfile::tempdir().unwrap();
        let own = temporary.path().join("a.toml");
        fs::write(&own, "a").unwrap();
        let mut watch = FileWatch::start(files(&[&own], &[]));
        fs::write(temporary.path().join("b.toml"), "b").unwrap();
        fs::read(&own).unwrap();
        assert!(tokio::time::timeout(POLL * 3, watch.changed()).await.is_err());
    }

    #[test]
    fn what_is_written_while_it_is_read_is_read_again() {
        let temporary = tempfile::tempdir().unwrap();
        let (own, other) = (temporary.path().join("a"), temporary.path().join("b"));
        fs::write(&own, "0").unwrap();
        fs::write(&other, "x").unwrap();
        let mut watch = FileWatch::start(files(&[&own], &[]));
        let reads = std::cell::Cell::new(0);
        let text = watch.read(|| {
            let text = fs::read_to_string(&own).unwrap();
            reads.set(reads.get() + 1);
            if reads.get() == 1 {
                fs::write(&own, "another length").unwrap();
            }
            // The first time it says that it read one more.
            (text, files(&[&own, &other], &[]))
        });
        assert_eq!((text.as_str(), reads.get()), ("another length", 2));
    }
}
