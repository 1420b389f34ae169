//! Long lists as they go out compressed: deflated once, and put into the answer of everybody who asks.
//!
//! A list is the same for all clients but for the id of the request. What stands around it is put in as it is, in blocks of their own that nothing is compressed
//! in, so that an answer costs a copy of what was compressed, and nothing that a client sends is compressed together with the list.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};
use http::{HeaderMap, header::ACCEPT_ENCODING};

use crate::threads;

/// Shorter lists go out as they are: they fit into a few packets.
const LEAST: usize = 8 << 10;

/// Lists that are kept compressed: those of so many views. Older ones are compressed again.
const KEPT: usize = 32;

/// As much as a stored block holds.
const STORED: usize = u16::MAX as usize;

/// A gzip header (RFC 1952): deflate, no name, no time, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Lists that somebody asked for.
#[derive(Default)]
pub(crate) struct PackedLists(Mutex<Vec<Entry>>);

struct Entry {
    plain: Bytes,
    /// Empty: it is being made, or was too large for the machine.
    packed: Arc<OnceLock<Packed>>,
}

/// A list deflated.
struct Packed {
    /// Whole blocks, of which none is the last, and which end with a byte.
    blocks: Vec<u8>,
    crc: Crc,
}

impl PackedLists {
    /// An answer around a list, as gzip. None: the list is short, or asked for for the first time. Then it goes out as it is, and is compressed meanwhile.
    pub(crate) fn around(&self, before: &[u8], list: &Bytes, after: &[u8]) -> Option<Vec<u8>> {
        if list.len() < LEAST || before.len() > STORED || after.len() > STORED {
            return None;
        }
        let packed = self.find(list);
        packed.get().map(|packed| gzip(before, packed, after))
    }

    fn find(&self, list: &Bytes) -> Arc<OnceLock<Packed>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|entry| entry.plain.as_ptr() == list.as_ptr() && entry.plain.len() == list.len()) {
            return Arc::clone(&known.packed);
        }
        // Lists that nobody has any more go first, and then those that were asked for earlier.
        kept.retain(|entry| !entry.plain.is_unique());
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        let packed = Arc::<OnceLock<Packed>>::default();
        kept.push(Entry { plain: list.clone(), packed: Arc::clone(&packed) });
        if let Ok(threads) = threads::long() {
            let (list, packed) = (list.clone(), Arc::clone(&packed));
            drop(threads.spawn(async move {
                let made = deflate(&list);
                // Before it is there: whoever finds it may count who holds the list.
                drop(list);
                made.map(|made| packed.set(made))
            }));
        }
        packed
    }
}

/// Whether a client takes gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let takes = |choice: &str| {
        let (name, weight) = choice.split_once(';').unwrap_or((choice, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.trim().parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    };
    headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| value.split(',').any(takes))
}

/// None: there is something wrong with the compressor.
fn deflate(list: &[u8]) -> Option<Packed> {
    let mut compress = Compress::new(Compression::default(), false);
    let mut blocks = Vec::with_capacity(list.len() / 8 + 1024);
    loop {
        let read = usize::try_from(compress.total_in()).ok()?;
        compress.compress_vec(list.get(read..)?, &mut blocks, FlushCompress::Sync).ok()?;
        // With room left, all of it was written.
        if compress.total_in() == list.len() as u64 && blocks.len() < blocks.capacity() {
            break;
        }
        blocks.reserve(blocks.capacity().max(1024));
    }
    blocks.shrink_to_fit();
    let mut crc = Crc::new();
    crc.update(list);
    Some(Packed { blocks, crc })
}

fn gzip(before: &[u8], Packed { blocks, crc }: &Packed, after: &[u8]) -> Vec<u8> {
    let mut to = Vec::with_capacity(HEADER.len() + before.len() + blocks.len() + after.len() + 32);
    to.extend_from_slice(&HEADER);
    stored(&mut to, false, before);
    to.extend_from_slice(blocks);
    stored(&mut to, true, after);
    let mut whole = Crc::new();
    whole.update(before);
    whole.combine(crc);
    whole.update(after);
    to.extend_from_slice(&whole.sum().to_le_bytes());
    to.extend_from_slice(&whole.amount().to_le_bytes());
    to
}

/// A block that is not compressed. It begins and ends with a byte.
fn stored(to: &mut Vec<u8>, last: bool, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or_default();
    to.push(u8::from(last));
    to.extend_from_slice(&length.to_le_bytes());
    to.extend_from_slice(&(!length).to_le_bytes());
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        time::{Duration, Instant},
    };

    use flate2::read::GzDecoder;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
        text
    }

    proptest! {
        #[test]
        fn what_was_packed_is_what_was_meant(
            before in prop::collection::vec(any::<u8>(), 0..300),
            list in prop::collection::vec(0..20u8, 0..60_000),
            noise in prop::collection::vec(any::<u8>(), 0..3000),
            after in prop::collection::vec(any::<u8>(), 0..10),
        ) {
            let list = [list, noise].concat();
            let packed = gzip(&before, &deflate(&list).unwrap(), &after);
            prop_assert_eq!(unpacked(&packed), [before, list, after].concat());
        }
    }

    #[test]
    fn a_long_list_is_packed_after_it_was_asked_for_and_goes_with_it() {
        let lists = PackedLists::default();
        let list = Bytes::from("{\"name\":\"a tool\"},".repeat(20_000));
        assert!(lists.around(b"[", &Bytes::from("short"), b"]").is_none());
        let started = Instant::now();
        let answer = loop {
            if let Some(answer) = lists.around(b"[", &list, b"]") {
                break answer;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "it was never packed");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(unpacked(&answer), [b"[", &list[..], b"]"].concat());
        assert!(answer.len() < list.len() / 50, "{}", answer.len());
        drop(list);
        // The next one that is new finds it unused.
        drop(lists.around(b"", &Bytes::from("x".repeat(LEAST)), b""));
        let kept = lists.0.lock().unwrap();
        assert!(kept.iter().all(|entry| entry.plain.len() == LEAST), "{} lists are kept", kept.len());
    }

    #[test]
    fn gzip_is_for_who_takes_it() {
        for (said, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip, deflate, br, zstd", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("br", false),
            ("*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(said))]);
            assert_eq!(takes_gzip(&headers), takes, "{said}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
