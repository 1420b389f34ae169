//! WordPiece as BERT has it: a text as words, and a word as the longest pieces that the vocabulary knows.

use std::collections::HashMap;

use unicode_general_category::{GeneralCategory as Category, get_general_category as category};
use unicode_normalization::UnicodeNormalization;

/// How a text is made plain before it is taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Normal {
    pub(super) lower: bool,
    pub(super) no_accents: bool,
    /// Whether each Chinese character is a word.
    pub(super) chinese: bool,
}

/// The pieces of words.
pub(super) struct WordPiece {
    pub(super) vocabulary: HashMap<Box<str>, u32>,
    pub(super) unknown: u32,
    /// What a piece begins with that is not the first one of its word.
    pub(super) prefix: String,
    /// Characters of a word. A longer one is unknown.
    pub(super) longest: usize,
}

impl Default for WordPiece {
    fn default() -> Self {
        Self { vocabulary: HashMap::new(), unknown: 0, prefix: "##".to_owned(), longest: 100 }
    }
}

impl WordPiece {
    /// Adds the pieces of a word.
    pub(super) fn split(&self, word: &str, tokens: &mut Vec<u32>) {
        let before = tokens.len();
        if word.chars().count() > self.longest {
            tokens.push(self.unknown);
            return;
        }
        let (mut rest, mut piece) = (word, String::new());
        while !rest.is_empty() {
            let found = rest.char_indices().rev().find_map(|(at, last)| {
                let end = at + last.len_utf8();
                piece.clear();
                if rest.len() < word.len() {
                    piece.push_str(&self.prefix);
                }
                piece.push_str(rest.get(..end)?);
                Some((end, *self.vocabulary.get(piece.as_str())?))
            });
            let Some((end, token)) = found else {
                // One piece that is not known makes the whole word so.
                tokens.truncate(before);
                tokens.push(self.unknown);
                return;
            };
            tokens.push(token);
            rest = rest.get(end..).unwrap_or_default();
        }
    }
}

/// The words of a text; each sign of punctuation is one.
pub(super) fn words(text: &str, normal: Normal) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut take = |letter: char| {
        let is_one = is_punctuation(letter) || (normal.chinese && is_chinese(letter));
        if (is_one || letter.is_whitespace()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if is_one {
            words.push(letter.to_string());
        } else if !letter.is_whitespace() {
            word.push(letter);
        }
    };
    let clean = text.chars().filter(|letter| letter.is_whitespace() || !is_invisible(*letter));
    let mut plain = |letter: char| if normal.lower { letter.to_lowercase().for_each(&mut take) } else { take(letter) };
    if normal.no_accents {
        clean.nfd().filter(|letter| category(*letter) != Category::NonspacingMark).for_each(&mut plain);
    } else {
        clean.for_each(&mut plain);
    }
    take(' ');
    words
}

/// Control and format characters, which no word has, and what stands for a character that cannot be read.
fn is_invisible(letter: char) -> bool {
    letter == '\u{fffd}' || matches!(category(letter), Category::Control | Category::Format | Category::PrivateUse | Category::Unassigned)
}

/// ASCII that is no letter and no digit counts as punctuation, whatever Unicode calls it.
fn is_punctuation(letter: char) -> bool {
    letter.is_ascii_punctuation()
        || matches!(
            category(letter),
            Category::ConnectorPunctuation
                | Category::DashPunctuation
                | Category::OpenPunctuation
                | Category::ClosePunctuation
                | Category::InitialPunctuation
                | Category::FinalPunctuation
                | Category::OtherPunctuation
        )
}

/// The blocks of Chinese characters, as BERT counts them.
fn is_chinese(letter: char) -> bool {
    matches!(
        letter,
        '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{2a6df}' | '\u{2a700}'..='\u{2b73f}' | '\u{2b740}'..='\u{2b81f}'
            | '\u{2b820}'..='\u{2ceaf}' | '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}'
    )
}
