//! What to say of text that is no TOML, without showing a secret that stands in it.

use std::path::Path;

use super::{
    error::{Problem, place},
    key::Vocabulary,
};

/// One problem for each line that is wrong: what the parser says after the first error of a line is
/// mostly a consequence of it.
pub(super) fn problems(file: &Path, text: &str, errors: &[toml::de::Error], vocabulary: &Vocabulary) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for error in errors {
        let place = place(file, text, error.span().map_or(0, |span| span.start));
        if problems.iter().any(|problem| problem.place.line == place.line) {
            continue;
        }
        let shown = shown_line(text, place.line, vocabulary);
        let margin = place.line.to_string();
        let mark = if shown.chars().count() + 1 >= place.column {
            format!("\n{0:1$} | {0:2$}^", "", margin.len(), place.column - 1)
        } else {
            String::new()
        };
        let excerpt = Some(format!("{margin} | {shown}{mark}"));
        problems.push(Problem { place, message: format!("this is not TOML: {}", error.message()), excerpt });
    }
    problems.sort_by_key(|problem| problem.place.line);
    problems
}

/// A line of the file. The part that may be a secret is cut off: in broken text nobody knows what
/// belongs to what, so only lines that surely are none are shown whole.
fn shown_line(text: &str, number: usize, vocabulary: &Vocabulary) -> String {
    let mut in_secrets = false;
    let mut line = "";
    for current in text.lines().take(number) {
        line = current;
        let start = current.trim_start();
        if start.starts_with('[') {
            in_secrets = vocabulary.words_of_secret_tables().any(|word| start.contains(word));
        }
    }
    let Some((key, value)) = line.split_once('=') else {
        let header = line.trim().strip_prefix('[').is_some_and(|rest| {
            vocabulary.sections().any(|section| rest.trim_start_matches('[').starts_with(section))
                && rest.chars().all(|c| c.is_ascii_alphanumeric() || "[-_. \"']".contains(c))
        });
        let word = !line.trim().is_empty() && vocabulary.is_plain_key(line.trim());
        return if line.trim().is_empty() || header || (word && !in_secrets) { line.to_owned() } else { "…".to_owned() };
    };
    let name = key.trim().trim_matches(['"', '\'']);
    // A second `=` is a second key, which may be one that holds a secret: two lines that ran into
    // one.
    if !in_secrets && vocabulary.is_plain_key(name) && !value.contains('=') {
        line.to_owned()
    } else {
        // Not even what stands before the `=`: base64 in a text of many lines ends in one.
        "…".to_owned()
    }
}
