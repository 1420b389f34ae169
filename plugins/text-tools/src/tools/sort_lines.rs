//! Lines in order.

use serde::Deserialize;

use crate::{
    answer,
    exports::toolbay::plugin::tools::CallResult,
    tool::{Entry, arguments},
};

pub const ENTRY: Entry = Entry {
    name: "sort_lines",
    title: "Sort lines",
    description: "Sorts the lines of a text, by letters or by the number that each begins with, and drops repeated lines if asked to.",
    input: r#"{
        "type": "object",
        "properties": {
            "text": { "type": "string", "description": "Lines of text." },
            "order": { "enum": ["ascending", "descending"], "default": "ascending" },
            "by": {
                "enum": ["text", "text_ignoring_case", "number", "length"],
                "default": "text",
                "description": "What decides. By number, lines that begin with none come last."
            },
            "unique": { "type": "boolean", "default": false, "description": "Keep one of several equal lines." }
        },
        "required": ["text"],
        "additionalProperties": false
    }"#,
    output: None,
    run,
};

#[derive(Deserialize)]
struct Arguments {
    text: String,
    #[serde(default)]
    order: Order,
    #[serde(default)]
    by: Key,
    #[serde(default)]
    unique: bool,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Ascending,
    Descending,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Key {
    #[default]
    Text,
    TextIgnoringCase,
    Number,
    Length,
}

fn run(json: &str) -> Result<CallResult, String> {
    let Arguments { text, order, by, unique } = arguments(json)?;
    let mut lines: Vec<&str> = text.lines().collect();
    if unique {
        lines.sort_unstable();
        lines.dedup();
    }
    match by {
        Key::Text => lines.sort(),
        Key::TextIgnoringCase => lines.sort_by_cached_key(|line| line.to_lowercase()),
        Key::Number => lines.sort_by(|a, b| leading_number(a).total_cmp(&leading_number(b))),
        Key::Length => lines.sort_by_cached_key(|line| line.chars().count()),
    }
    if order == Order::Descending {
        lines.reverse();
        // Those without a number are last in either order.
        if let Key::Number = by {
            lines.sort_by_key(|line| leading_number(line).is_infinite());
        }
    }
    Ok(answer::plain(lines.join("\n")))
}

/// The number that a line begins with, or infinity.
fn leading_number(line: &str) -> f64 {
    let line = line.trim_start();
    let end = line.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+')).unwrap_or(line.len());
    line[..end].trim_end_matches(['.', '-', '+']).parse().unwrap_or(f64::INFINITY)
}
