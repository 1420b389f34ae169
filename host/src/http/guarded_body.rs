//! Long answers that wait to be read: how many bytes of them are held at once, and whose are given up for others.
//!
//! A client asks for megabytes in some hundred bytes, and may never read them. All long answers together have a limit. Past it, the one that has been read
//! from least recently goes: its client does not read, or reads so slowly that others wait for it. Small answers are not counted; there is one at most for
//! each request that is open.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Bytes of an answer that is not counted, and of each piece in which a longer one is handed on.
pub(super) const PIECE: usize = 64 << 10;

/// Room for the long answers of all connections.
#[derive(Debug)]
pub(super) struct Room {
    max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Of all answers that are held.
    bytes: usize,
    /// The number of the next reading.
    next: u64,
    /// What is held, by when it was read from.
    held: BTreeMap<u64, Bytes>,
    /// Given up for others, since the server began.
    given_up: u64,
}

/// One answer. Dropping it makes room.
#[derive(Debug)]
pub(super) struct GuardedBody {
    room: Arc<Room>,
    key: u64,
}

/// The answer was not read while others needed its room.
#[derive(Debug, thiserror::Error)]
#[error("the answer was not read in time, and others needed its room; `max_answers` in [http] allows more")]
pub(super) struct GivenUp;

impl Room {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, table: Mutex::default() })
    }

    /// Keeps an answer until it is read, and gives up others where there is no room. One answer always has room, however long it is.
    pub(super) fn hold(self: &Arc<Self>, answer: Bytes) -> GuardedBody {
        let mut gone = Vec::new();
        let mut table = self.lock();
        while table.bytes + answer.len() > self.max
            && let Some((_, longest_unread)) = table.held.pop_first()
        {
            table.bytes -= longest_unread.len();
            table.given_up += 1;
            gone.push(longest_unread);
        }
        table.bytes += answer.len();
        let key = table.next();
        table.held.insert(key, answer);
        let given_up = table.given_up;
        drop(table);
        if !gone.is_empty() && given_up.is_power_of_two() {
            tracing::warn!(
                given_up,
                "responses that their clients do not read were dropped to make room; max_answers in [http] limits their bytes"
            );
        }
        GuardedBody { room: Arc::clone(self), key }
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl GuardedBody {
    /// The next piece. None: there is nothing more.
    ///
    /// # Errors
    ///
    /// [`GivenUp`].
    pub(super) fn piece(&mut self) -> Result<Option<Bytes>, GivenUp> {
        let mut table = self.room.lock();
        let mut answer = table.held.remove(&self.key).ok_or(GivenUp)?;
        let piece = if answer.len() > PIECE {
            answer.split_to(PIECE)
        } else {
            // The last one may wait long in the buffers below, and must not keep all the others in memory.
            Bytes::copy_from_slice(&std::mem::take(&mut answer))
        };
        table.bytes -= piece.len();
        self.key = table.next();
        table.held.insert(self.key, answer);
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Bytes that were not read. None: it was given up.
    pub(super) fn left(&self) -> Option<usize> {
        self.room.lock().held.get(&self.key).map(Bytes::len)
    }
}

impl Drop for GuardedBody {
    fn drop(&mut self) {
        let mut table = self.room.lock();
        let answer = table.held.remove(&self.key);
        table.bytes -= answer.as_ref().map_or(0, Bytes::len);
        drop(table);
        // Megabytes are freed without the lock.
        drop(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pieces: usize) -> Bytes {
        vec![7; pieces * PIECE].into()
    }

    #[test]
    fn an_answer_is_read_in_pieces_and_leaves_nothing() {
        let room = Room::new(100 * PIECE);
        let mut held = room.hold(vec![7; 3 * PIECE + 5].into());
        let mut read = 0;
        while let Some(piece) = held.piece().unwrap() {
            assert!(piece.len() <= PIECE);
            read += piece.len();
            assert_eq!(held.left(), Some(3 * PIECE + 5 - read));
        }
        assert_eq!((read, room.bytes()), (3 * PIECE + 5, 0));
        drop(room.hold(answer(2)));
        assert_eq!(room.bytes(), 0);
    }

    #[test]
    fn who_does_not_read_makes_room_for_who_does() {
        let room = Room::new(10 * PIECE);
        let mut reads = Some(room.hold(answer(4)));
        let mut unread: Vec<GuardedBody> = (0..50)
            .map(|_| {
                let held = room.hold(answer(3));
                assert!(room.bytes() <= 10 * PIECE);
                if let Some(held) = &mut reads {
                    assert!(held.piece().unwrap().is_some());
                    if held.left() == Some(0) {
                        reads = None;
                    }
                }
                held
            })
            .collect();
        assert!(matches!(unread[0].piece(), Err(GivenUp)));
        assert!(unread.last_mut().unwrap().piece().unwrap().is_some());
        assert!(reads.is_none(), "it was read to its end");
        drop(unread);
        assert_eq!(room.bytes(), 0);
    }

    #[test]
    fn an_answer_longer_than_all_may_be_is_held_alone() {
        let room = Room::new(2 * PIECE);
        let small = room.hold(answer(1));
        let mut large = room.hold(answer(5));
        assert_eq!(small.left(), None);
        assert!(large.piece().unwrap().is_some());
        drop((small, large));
        assert_eq!(room.bytes(), 0);
    }
}
