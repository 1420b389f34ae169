//! SentencePiece's table of what is written in which other way (`ﬁ` as `fi`, a tab as a space), read where it lies: in base64, inside of
//! `tokenizer.json`. A text looks at a few of its 300,000 bytes, so that nothing of it is decoded in advance.

use unicode_segmentation::UnicodeSegmentation;

/// The table: the length of a trie in bytes, the trie (a double array, 32-bit units), and the replacements, each with a zero at its end.
pub struct Charsmap<'a> {
    base64: &'a [u8],
    /// How many bytes the trie has.
    trie: usize,
}

/// A cluster of this many bytes or more is not looked up as a whole: so do the tokenizers whose answers we want to equal.
const LONG_CLUSTER: usize = 6;

impl<'a> Charsmap<'a> {
    /// `None` where that is no table.
    pub fn new(base64: &'a [u8]) -> Option<Self> {
        let mut map = Self { base64, trie: 0 };
        map.trie = map.unit_at(0)? as usize;
        map.byte(4 + map.trie.checked_sub(4)?)?;
        Some(map)
    }

    /// One byte of what the base64 says.
    fn byte(&self, at: usize) -> Option<u8> {
        let (group, place) = (at / 3 * 4, at % 3);
        let six = |index: usize| sextet(*self.base64.get(group + index)?);
        let (high, low) = (six(place)?, six(place + 1)?);
        Some((high << (2 * place + 2)) | (low >> (4 - 2 * place)))
    }

    fn unit_at(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes([self.byte(at)?, self.byte(at + 1)?, self.byte(at + 2)?, self.byte(at + 3)?]))
    }

    /// One unit of the trie.
    fn unit(&self, index: usize) -> Option<u32> {
        let at = index.checked_mul(4).filter(|at| *at < self.trie)?;
        self.unit_at(4 + at)
    }

    /// Where the replacement for the shortest known beginning of a text lies.
    fn find(&self, text: &str) -> Option<usize> {
        // A unit holds the label of the way into it, whether a value hangs on it, and how far off its children are.
        let offset = |unit: u32| ((unit >> 10) << ((unit & 0x200) >> 6)) as usize;
        let mut position = offset(self.unit(0)?);
        for byte in text.bytes() {
            position ^= usize::from(byte);
            let unit = self.unit(position)?;
            if byte == 0 || unit & 0x8000_00ff != u32::from(byte) {
                return None;
            }
            position ^= offset(unit);
            if unit & 0x100 != 0 {
                return Some((self.unit(position)? & 0x7fff_ffff) as usize);
            }
        }
        None
    }

    /// Appends the replacement, if there is one.
    fn replace(&self, text: &str, out: &mut Vec<u8>) -> bool {
        let Some(found) = self.find(text) else { return false };
        let start = 4 + self.trie + found;
        out.extend((start..).map_while(|at| self.byte(at).filter(|byte| *byte != 0)));
        true
    }

    /// The text as the tokenizer wants it written.
    pub fn normalize(&self, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len() + 8);
        for cluster in text.graphemes(true) {
            if cluster.len() < LONG_CLUSTER && self.replace(cluster, &mut out) {
                continue;
            }
            for char in cluster.chars() {
                let mut bytes = [0; 4];
                let char = char.encode_utf8(&mut bytes);
                if !self.replace(char, &mut out) {
                    out.extend_from_slice(char.as_bytes());
                }
            }
        }
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
