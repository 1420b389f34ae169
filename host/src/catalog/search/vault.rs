//! The vectors of one model, by the digests of the texts that they are of: in memory, and in a file from one start to the next.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use blake3::Hash;

use super::vectors::Vector;
use crate::whole_file;

/// How a file begins.
const MAGIC: &[u8] = b"toolbay vectors 1\n";
/// Bytes of a digest.
const DIGEST: usize = 32;
/// A larger file is none of ours.
const LARGEST: u64 = 1 << 30;
/// What nobody has asked for so long is forgotten, where there is more of it than of the rest. A server may be away for a while, and at the start of a host all
/// of them are.
const FORGET: Duration = Duration::from_secs(24 * 3600);
/// Beyond so many vectors, that is forgotten at once: servers that change what they say all the time take no more memory than that.
const MOST: usize = 100_000;
/// What is new is kept on disk so often at most.
const SAVE: Duration = Duration::from_secs(60);

/// What is known of one model.
pub(super) struct Vault {
    folder: Option<PathBuf>,
    version: Option<Hash>,
    /// With the beginning of the round in which it was asked for last.
    known: HashMap<Hash, (Vector, Instant)>,
    /// When the round began.
    round: Instant,
    dirty: bool,
    saved: Option<Instant>,
}

impl Vault {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, version: None, known: HashMap::new(), round: Instant::now(), dirty: false, saved: None }
    }

    /// Takes what is on disk of this model, where it is another one than before.
    pub(super) async fn open(&mut self, version: Hash) {
        if self.version == Some(version) {
            return;
        }
        (self.version, self.dirty) = (Some(version), false);
        self.known.clear();
        let Some(path) = self.path() else { return };
        let read = tokio::task::spawn_blocking(move || (read(&path, version), path)).await;
        match read {
            Ok((Ok(known), _)) => {
                let now = Instant::now();
                self.known = known.into_iter().map(|(digest, vector)| (digest, (vector, now))).collect();
            }
            Ok((Err(error), _)) if error.kind() == io::ErrorKind::NotFound => {}
            Ok((Err(error), path)) => tracing::warn!("vectors of tools are made anew, since {} cannot be read: {error}", path.display()),
            Err(error) => tracing::warn!("vectors of tools are made anew: {error}"),
        }
    }

    fn path(&self) -> Option<PathBuf> {
        let name = self.version?.to_hex();
        Some(self.folder.as_ref()?.join(name.get(..16)?))
    }

    /// A round begins.
    pub(super) fn begin(&mut self) {
        self.round = Instant::now();
    }

    /// A round has looked at all that there is. Of the rest, as much is kept again: what went may come back.
    pub(super) fn end(&mut self) {
        self.forget(FORGET, MOST);
    }

    fn forget(&mut self, after: Duration, most: usize) {
        let (round, before) = (self.round, self.known.len());
        let asked = self.known.values().filter(|(_, last)| *last >= round).count();
        if before > 2 * asked + 1000 {
            let limit = if before > most { Duration::ZERO } else { after };
            self.known.retain(|_, (_, last)| *last >= round || round.saturating_duration_since(*last) < limit);
            self.dirty |= self.known.len() < before;
        }
    }

    pub(super) fn get(&mut self, digest: &Hash) -> Option<Vector> {
        let (vector, last) = self.known.get_mut(digest)?;
        *last = self.round;
        Some(vector.clone())
    }

    pub(super) fn put(&mut self, digest: Hash, vector: Vector) {
        self.known.insert(digest, (vector, self.round));
        self.dirty = true;
    }

    /// The same in the middle of a round, where that takes long: the host may end before it does.
    pub(super) async fn save_meanwhile(&mut self) {
        if self.round.elapsed() >= SAVE {
            self.save().await;
        }
    }

    /// Puts all of it on disk, where there is something new and some time has passed. Where that fails, it is made again at the next start.
    pub(super) async fn save(&mut self) {
        if !self.dirty || self.saved.is_some_and(|saved| saved.elapsed() < SAVE) {
            return;
        }
        self.saved = Some(Instant::now());
        let (Some(path), Some(version)) = (self.path(), self.version) else { return };
        let bytes = to_bytes(version, self.known.iter().map(|(digest, (vector, _))| (digest, vector)));
        self.dirty = false;
        let written = tokio::task::spawn_blocking(move || (write(&path, &bytes), path)).await;
        if let Ok((Err(error), path)) = written {
            tracing::warn!("vectors of tools cannot be kept in {}, and are made again at the next start: {error}", path.display());
        }
    }
}

pub(super) fn to_bytes<'a>(version: Hash, all: impl Iterator<Item = (&'a Hash, &'a Vector)>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(version.as_bytes());
    let mut vector_bytes = Vec::new();
    for (digest, vector) in all {
        vector_bytes.clear();
        vector.write(&mut vector_bytes);
        // So long a vector there is not.
        let Ok(length) = u32::try_from(vector_bytes.len()) else { continue };
        bytes.extend_from_slice(digest.as_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&vector_bytes);
    }
    let sum = blake3::hash(&bytes);
    bytes.extend_from_slice(sum.as_bytes());
    bytes
}

fn read(path: &Path, version: Hash) -> io::Result<Vec<(Hash, Vector)>> {
    if fs::metadata(path)?.len() > LARGEST {
        return Err(io::Error::other("it is too large"));
    }
    of_bytes(&fs::read(path)?, version).ok_or_else(|| io::Error::other("it is cut off, or of another model"))
}

/// What is in a file, where it is whole.
pub(super) fn of_bytes(bytes: &[u8], version: Hash) -> Option<Vec<(Hash, Vector)>> {
    let (content, sum) = bytes.split_last_chunk::<DIGEST>()?;
    if blake3::hash(content) != Hash::from_bytes(*sum) {
        return None;
    }
    let (of, mut rest) = content.strip_prefix(MAGIC)?.split_first_chunk::<DIGEST>()?;
    if version != Hash::from_bytes(*of) {
        return None;
    }
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (digest, after) = rest.split_first_chunk::<DIGEST>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let (vector, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        all.push((Hash::from_bytes(*digest), Vector::read(vector)?));
        rest = after;
    }
    Some(all)
}

/// As a whole: another host may read it at any time.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    whole_file::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_away_for_a_while_is_kept_and_what_is_kept_has_an_end() {
        let mut vault = Vault::new(None);
        let digest = |number: u32| blake3::hash(&number.to_le_bytes());
        (0..3_000).for_each(|number| vault.put(digest(number), Vector::of(&[1.0]).unwrap()));
        // A start at which no server is there yet, and one of them comes.
        vault.begin();
        vault.end();
        vault.begin();
        assert!(vault.get(&digest(7)).is_some());
        vault.end();
        assert_eq!(vault.known.len(), 3_000);
        // Too many of them, and what nobody has asked for in a day.
        for (after, most) in [(FORGET, 2_999), (Duration::ZERO, MOST)] {
            let mut vault = Vault { known: vault.known.clone(), ..Vault::new(None) };
            vault.begin();
            assert!(vault.get(&digest(8)).is_some());
            vault.forget(after, most);
            assert_eq!(vault.known.len(), 1);
            assert!(vault.get(&digest(8)).is_some() && vault.dirty);
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_read_again_and_nothing_of_it_that_is_broken(
            all in proptest::collection::vec((any::<[u8; 32]>(), proptest::collection::vec(0.1_f32..1.0, 1..9)), 0..9),
            at in any::<proptest::sample::Index>(),
            flip in 1_u8..,
        ) {
            let version = blake3::hash(b"model");
            let all: Vec<_> = all.into_iter().map(|(digest, numbers)| (Hash::from_bytes(digest), Vector::of(&numbers).unwrap())).collect();
            let mut bytes = to_bytes(version, all.iter().map(|(digest, vector)| (digest, vector)));
            prop_assert_eq!(of_bytes(&bytes, version).unwrap(), all);
            prop_assert!(of_bytes(&bytes, blake3::hash(b"another")).is_none());
            let at = at.index(bytes.len());
            prop_assert!(of_bytes(&bytes[..at], version).is_none());
            bytes[at] ^= flip;
            prop_assert!(of_bytes(&bytes, version).is_none());
        }
    }
}
