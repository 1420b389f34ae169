//! The tools, one file for each.

mod change_case;
mod diff_text;
mod edit_distance;
mod explain_characters;
mod morse_code;
mod qr_code;
mod slugify;
mod sort_lines;
mod word_count;

use crate::tool::Entry;

/// All of them, in the order in which they are listed.
pub static ALL: [Entry; 9] = [
    word_count::ENTRY,
    change_case::ENTRY,
    slugify::ENTRY,
    sort_lines::ENTRY,
    diff_text::ENTRY,
    edit_distance::ENTRY,
    explain_characters::ENTRY,
    qr_code::ENTRY,
    morse_code::ENTRY,
];
