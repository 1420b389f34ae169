//! Characters that do something to a terminal, or to the text around them, in place of being seen.

/// Whether a character steers: control characters, marks that turn the direction of text or are not seen, separators of lines.
#[must_use]
pub fn steers(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
