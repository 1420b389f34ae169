//! How far two texts are apart. Long texts take a while: it says how far it has come.

use serde::{Deserialize, Serialize};

use crate::{
    answer,
    exports::toolbay::plugin::tools::CallResult,
    tool::{Entry, arguments},
    toolbay::plugin::progress,
};

pub const ENTRY: Entry = Entry {
    name: "edit_distance",
    title: "Edit distance",
    description: "Counts the characters to be inserted, deleted or replaced to turn one text into the other (Levenshtein distance). \
                  Long texts take seconds; progress is reported.",
    input: r#"{
        "type": "object",
        "properties": {
            "a": { "type": "string", "maxLength": 50000 },
            "b": { "type": "string", "maxLength": 50000 }
        },
        "required": ["a", "b"],
        "additionalProperties": false
    }"#,
    output: Some(
        r#"{
        "type": "object",
        "properties": {
            "distance": { "type": "integer", "minimum": 0 },
            "similarity": { "type": "number", "minimum": 0, "maximum": 1, "description": "1 for equal texts, 0 for texts that share nothing." }
        },
        "required": ["distance", "similarity"],
        "additionalProperties": false
    }"#,
    ),
    run,
};

/// How many times at most the client hears of it.
const REPORTS: usize = 20;

#[derive(Deserialize)]
struct Arguments {
    a: String,
    b: String,
}

#[derive(Serialize)]
struct Apart {
    distance: usize,
    similarity: f64,
}

fn run(json: &str) -> Result<CallResult, String> {
    let Arguments { a, b } = arguments(json)?;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let wanted = progress::wanted();
    let between_reports = a.len().div_ceil(REPORTS).max(1);
    let done = |rows: usize| progress::report(rows as f64, Some(a.len() as f64), Some("characters compared"));

    // One row of the table after the other: row[j] is the distance between what was read of `a` and b[..j].
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        if wanted && i % between_reports == 0 {
            done(i);
        }
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    if wanted {
        done(a.len());
    }
    let distance = row[b.len()];
    let longest = a.len().max(b.len()).max(1);
    let similarity = 1.0 - distance as f64 / longest as f64;
    answer::structured(&Apart { distance, similarity }, format!("Edits: {distance}; likeness: {:.0} %.", similarity * 100.0))
}
