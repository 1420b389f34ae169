//! The pieces of a vocabulary: found by their text and by their number, with their scores. Nothing is copied that stands in the file as it is.

use std::cell::OnceCell;

use super::json::{Cursor, Text, unescaped};

/// What is found by text or number.
pub struct Vocabulary<'a> {
    file: &'a [u8],
    /// The text of pieces that are written with escapes.
    plain: Vec<u8>,
    pieces: Vec<Piece>,
    /// Open addressing: the number of a piece plus one, zero for an empty place. Its length is a power of two.
    places: Vec<u32>,
    longest: usize,
    lowest: OnceCell<f64>,
}

#[derive(Clone, Copy)]
struct Piece {
    start: u32,
    end: u32,
    /// Where the score stands in the file.
    score: u32,
    /// Whether `start` and `end` are of `plain` and not of the file.
    unescaped: bool,
}

/// FNV-1a, which is cheap for a byte more: all beginnings of a text are looked up one after the other.
#[derive(Clone, Copy)]
pub struct Hash(u64);

impl Hash {
    pub const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    #[inline]
    pub fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    fn of(bytes: &[u8]) -> Self {
        let mut hash = Self::EMPTY;
        for byte in bytes {
            hash.add(*byte);
        }
        hash
    }

    #[inline]
    fn place(self, mask: usize) -> usize {
        (self.0 ^ (self.0 >> 32)) as usize & mask
    }
}

impl<'a> Vocabulary<'a> {
    /// Reads the array of pieces and scores that the cursor stands before. `None` where it is none, or is too large.
    pub fn read(file: &'a [u8], cursor: &mut Cursor<'a>) -> Option<Self> {
        u32::try_from(file.len()).ok()?;
        let mut plain = Vec::new();
        let mut pieces = Vec::with_capacity(file.len() / 48);
        cursor.array(|cursor| {
            if !cursor.take(b'[') {
                return None;
            }
            let Text { start, end, escaped } = cursor.text()?;
            if !cursor.take(b',') {
                return None;
            }
            cursor.peek()?;
            let score = cursor.position() as u32;
            cursor.word()?;
            let (start, end) = if escaped {
                let at = plain.len();
                plain.extend_from_slice(unescaped(file.get(start..end)?)?.as_bytes());
                (at, plain.len())
            } else {
                (start, end)
            };
            pieces.push(Piece { start: start as u32, end: end as u32, score, unescaped: escaped });
            cursor.take(b']').then_some(())
        })?;
        let places = vec![0; (pieces.len() * 2).next_power_of_two()];
        let mut vocabulary = Self { file, plain, pieces, places, longest: 0, lowest: OnceCell::new() };
        vocabulary.index();
        Some(vocabulary)
    }

    fn index(&mut self) {
        let mask = self.places.len() - 1;
        for number in 0..self.pieces.len() {
            let bytes = self.bytes(number);
            let mut place = Hash::of(bytes).place(mask);
            let length = bytes.len();
            // Of two that are alike the later one counts, as in other readers of the format.
            while self.places[place] != 0 && self.bytes(self.places[place] as usize - 1) != bytes {
                place = (place + 1) & mask;
            }
            self.places[place] = number as u32 + 1;
            self.longest = self.longest.max(length);
        }
    }

    fn bytes(&self, number: usize) -> &[u8] {
        let piece = self.pieces[number];
        let from = if piece.unescaped { &self.plain } else { self.file };
        &from[piece.start as usize..piece.end as usize]
    }

    /// The number of a piece, given its text and the hash of that.
    #[inline]
    pub fn find(&self, bytes: &[u8], hash: Hash) -> Option<u32> {
        let mask = self.places.len() - 1;
        let mut place = hash.place(mask);
        loop {
            let number = self.places[place].checked_sub(1)?;
            if self.bytes(number as usize) == bytes {
                return Some(number);
            }
            place = (place + 1) & mask;
        }
    }

    /// The text of a piece.
    pub fn text(&self, number: u32) -> Option<&str> {
        ((number as usize) < self.pieces.len()).then(|| std::str::from_utf8(self.bytes(number as usize)).ok())?
    }

    /// The logarithm of how likely a piece is.
    pub fn score(&self, number: u32) -> f64 {
        let piece = self.pieces[number as usize];
        let mut cursor = Cursor::new(&self.file[piece.score as usize..]);
        cursor.word().and_then(|word| word.parse().ok()).unwrap_or(f64::NEG_INFINITY)
    }

    /// The score of the least likely piece.
    pub fn lowest(&self) -> f64 {
        *self.lowest.get_or_init(|| (0..self.pieces.len() as u32).map(|number| self.score(number)).fold(f64::INFINITY, f64::min))
    }

    /// Bytes of the longest piece.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }
}
