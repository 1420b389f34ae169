//! Characters that do something to a terminal, or to the text around them, in place of being seen.

use std::fmt::{self, Write as _};

/// Whether a character steers: control characters, marks that turn the direction of text or are not seen, separators of lines.
#[must_use]
pub fn steers(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A text on its way to people, with the characters written out that steer.
pub struct Harmless<'a>(pub &'a str);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| if steers(letter) { write!(f, "{}", letter.escape_debug()) } else { f.write_char(letter) })
    }
}

/// A text with this in place of each character that steers, so that it is no longer than it was.
#[must_use]
pub fn without_steering(text: &str, shown: char) -> String {
    text.chars().map(|letter| if steers(letter) { shown } else { letter }).collect()
}

/// As much of what somebody else says as people are shown of it: so many characters, without those that steer.
#[must_use]
pub fn shown(said: &str, most: usize) -> String {
    said.chars().filter(|letter| !steers(*letter)).take(most).collect()
}
