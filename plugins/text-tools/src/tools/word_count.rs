//! How long a text is.

use serde::{Deserialize, Serialize};

use crate::{
    answer,
    exports::toolbay::plugin::tools::CallResult,
    tool::{Entry, arguments},
};

pub const ENTRY: Entry = Entry {
    name: "word_count",
    title: "Word count",
    description: "Counts the characters, words, lines and sentences of a text, and says how long it takes to read.",
    input: r#"{
        "type": "object",
        "properties": { "text": { "type": "string", "description": "The text to count." } },
        "required": ["text"],
        "additionalProperties": false
    }"#,
    output: Some(
        r#"{
        "type": "object",
        "properties": {
            "characters": { "type": "integer", "minimum": 0 },
            "words": { "type": "integer", "minimum": 0 },
            "lines": { "type": "integer", "minimum": 0 },
            "sentences": { "type": "integer", "minimum": 0 },
            "reading_seconds": { "type": "integer", "minimum": 0, "description": "At 230 words a minute." }
        },
        "required": ["characters", "words", "lines", "sentences", "reading_seconds"],
        "additionalProperties": false
    }"#,
    ),
    run,
};

/// How fast an adult reads.
const WORDS_A_MINUTE: usize = 230;

#[derive(Deserialize)]
struct Arguments {
    text: String,
}

#[derive(Serialize)]
struct Count {
    characters: usize,
    words: usize,
    lines: usize,
    sentences: usize,
    reading_seconds: usize,
}

fn run(json: &str) -> Result<CallResult, String> {
    let Arguments { text } = arguments(json)?;
    let words = text.split_whitespace().count();
    let count = Count {
        characters: text.chars().count(),
        words,
        lines: text.lines().count(),
        sentences: text.split_inclusive(['.', '!', '?', '…', '。']).filter(|part| part.chars().any(char::is_alphanumeric)).count(),
        reading_seconds: (words * 60).div_ceil(WORDS_A_MINUTE),
    };
    let words = format!(
        "Characters: {}; words: {}; lines: {}; sentences: {}; seconds to read: {}.",
        count.characters, count.words, count.lines, count.sentences, count.reading_seconds
    );
    answer::structured(&count, words)
}
