//! The likeliest way to cut a word into pieces.

use super::vocabulary::{Hash, Vocabulary};

/// How much less likely than the least likely piece a character is that no piece has.
const UNKNOWN_PENALTY: f64 = 10.0;

/// The best way to come to a place in the word.
#[derive(Clone, Copy)]
struct Way {
    score: f64,
    /// Where its last piece begins.
    from: usize,
    piece: u32,
}

/// Appends the numbers of the pieces. Unknown characters beside each other are one `unknown`.
pub fn cut(vocabulary: &Vocabulary<'_>, unknown: u32, word: &str, out: &mut Vec<u32>) {
    let bytes = word.as_bytes();
    let mut ways: Vec<Option<Way>> = vec![None; bytes.len() + 1];
    ways[0] = Some(Way { score: 0.0, from: 0, piece: unknown });
    for (from, char) in word.char_indices() {
        // Every character can be left by itself, so that every beginning of one is reached.
        let Some(here) = ways[from].map(|way| way.score) else { continue };
        let mut reach = |to: usize, score: f64, piece: u32| {
            if ways[to].is_none_or(|way| score > way.score) {
                ways[to] = Some(Way { score, from, piece });
            }
        };
        let mut hash = Hash::EMPTY;
        let mut known_alone = false;
        for to in from + 1..=bytes.len().min(from + vocabulary.longest()) {
            hash.add(bytes[to - 1]);
            if !word.is_char_boundary(to) {
                continue;
            }
            if let Some(piece) = vocabulary.find(&bytes[from..to], hash) {
                reach(to, here + vocabulary.score(piece), piece);
                known_alone |= to - from == char.len_utf8();
            }
        }
        if !known_alone {
            reach(from + char.len_utf8(), here + vocabulary.lowest() - UNKNOWN_PENALTY, unknown);
        }
    }
    let first = out.len();
    let mut at = bytes.len();
    while let Some(way) = ways[at].filter(|_| at > 0) {
        if way.piece != unknown || out.len() == first || out.last() != Some(&unknown) {
            out.push(way.piece);
        }
        at = way.from;
    }
    out[first..].reverse();
}
