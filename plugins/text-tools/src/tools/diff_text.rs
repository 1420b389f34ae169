//! What changed between two texts, line by line, in the unified format.

use serde::Deserialize;

use crate::{
    answer,
    exports::toolbay::plugin::tools::CallResult,
    tool::{Entry, arguments},
};

pub const ENTRY: Entry = Entry {
    name: "diff_text",
    title: "Diff",
    description: "Compares two texts line by line. Answers a summary, and the unified diff as an embedded resource.",
    input: r#"{
        "type": "object",
        "properties": {
            "before": { "type": "string", "description": "The old text." },
            "after": { "type": "string", "description": "The new text." },
            "name": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "default": "text", "description": "What the text is called in the diff." }
        },
        "required": ["before", "after"],
        "additionalProperties": false
    }"#,
    output: None,
    run,
};

/// Lines on either side: the comparison takes memory for each pair.
const MAX_LINES: usize = 3000;

/// Lines around a change that are shown.
const CONTEXT: usize = 3;

#[derive(Deserialize)]
struct Arguments {
    before: String,
    after: String,
    #[serde(default = "default_name")]
    name: String,
}

fn default_name() -> String {
    "text".into()
}

/// What becomes of a line.
#[derive(Clone, Copy, PartialEq)]
enum Edit {
    Keep,
    Remove,
    Add,
}

fn run(json: &str) -> Result<CallResult, String> {
    let Arguments { before, after, name } = arguments(json)?;
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    if old.len().max(new.len()) > MAX_LINES {
        return Err(format!("the texts have {} and {} lines: at most {MAX_LINES} can be compared", old.len(), new.len()));
    }
    let edits = edits(&old, &new);
    let count = |edit| edits.iter().filter(|(kind, _)| *kind == edit).count();
    let (added, removed) = (count(Edit::Add), count(Edit::Remove));
    if added + removed == 0 {
        return Ok(answer::plain("The texts have the same lines."));
    }
    let diff = unified(&edits, &name);
    Ok(answer::blocks(vec![
        answer::text(format!("Lines added: {added}; removed: {removed}.")),
        answer::embedded_text(format!("text-tools://diff/{name}.diff"), "text/x-diff", diff),
    ]))
}

/// The shortest way from one to the other, by the longest common subsequence.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Edit, &'a str)> {
    // common[i][j]: how many lines old[i..] and new[j..] have in common.
    let mut common = vec![vec![0u16; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let mut edits = Vec::with_capacity(old.len().max(new.len()));
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            edits.push((Edit::Keep, old[i]));
            i += 1;
            j += 1;
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            edits.push((Edit::Remove, old[i]));
            i += 1;
        } else {
            edits.push((Edit::Add, new[j]));
            j += 1;
        }
    }
    edits
}

fn unified(edits: &[(Edit, &str)], name: &str) -> String {
    let changes: Vec<usize> = (0..edits.len()).filter(|&at| edits[at].0 != Edit::Keep).collect();
    let mut diff = format!("--- a/{name}\n+++ b/{name}\n");
    // Changes whose surroundings touch are one hunk.
    for near in changes.chunk_by(|a, b| b - a <= 2 * CONTEXT + 1) {
        let (Some(first), Some(last)) = (near.first(), near.last()) else { continue };
        let start = first.saturating_sub(CONTEXT);
        let end = (last + CONTEXT + 1).min(edits.len());
        let lines_of = |range: &[(Edit, &str)], other: Edit| range.iter().filter(|(edit, _)| *edit != other).count();
        let span = |other: Edit| {
            let (skipped, length) = (lines_of(&edits[..start], other), lines_of(&edits[start..end], other));
            // An empty span is named by the line before it.
            format!("{},{length}", if length == 0 { skipped } else { skipped + 1 })
        };
        diff.push_str(&format!("@@ -{} +{} @@\n", span(Edit::Add), span(Edit::Remove)));
        for (edit, line) in &edits[start..end] {
            diff.push(match edit {
                Edit::Keep => ' ',
                Edit::Remove => '-',
                Edit::Add => '+',
            });
            diff.push_str(line);
            diff.push('\n');
        }
    }
    diff
}
