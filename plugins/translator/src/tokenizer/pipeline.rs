//! What is done to a text before it is cut: tokens of its own are taken out, it is written in one way, and divided into words.

use serde::Deserialize;
use serde_json::Value;

use super::json::{Cursor, Text};

/// A token with a text of its own.
#[derive(Deserialize)]
pub struct Added {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub special: bool,
    /// Whether blanks before and behind belong to it, and whether it must stand alone.
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

/// One step of writing a text in one way.
#[derive(Debug, PartialEq)]
pub enum Normalizer {
    /// SentencePiece's table.
    Precompiled,
    /// Blanks at the ends go.
    Strip {
        left: bool,
        right: bool,
    },
    /// So many or more of a character become a text.
    Runs {
        of: char,
        at_least: usize,
        become_text: String,
    },
    /// A text becomes another.
    Replace {
        from: String,
        to: String,
    },
    Lowercase,
}

impl Normalizer {
    /// [`Self::Precompiled`] is done by who has the table.
    pub fn apply(&self, text: String) -> String {
        match self {
            Self::Strip { left, right } => {
                let text = if *right { text.trim_end() } else { &text };
                (if *left { text.trim_start() } else { text }).to_owned()
            }
            Self::Runs { of, at_least, become_text } => runs(&text, *of, *at_least, become_text),
            Self::Replace { from, to } => text.replace(from, to),
            Self::Lowercase => text.to_lowercase(),
            Self::Precompiled => text,
        }
    }
}

fn runs(text: &str, of: char, at_least: usize, become_text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(of) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let behind = from.trim_start_matches(of);
        let run = &from[..from.len() - behind.len()];
        out.push_str(if run.len() / of.len_utf8() >= at_least { become_text } else { run });
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// How a text is divided into words that are cut each by itself.
pub struct Splitter {
    /// Stands for a space.
    pub mark: char,
    /// Whether words are first divided at blanks of all kinds.
    whitespace: bool,
    /// Whether the mark is put before a text that does not begin with it.
    prepend: bool,
    /// Whether each mark begins a new word.
    split: bool,
}

impl Splitter {
    /// Gives each word, with its mark.
    pub fn words(&self, text: String, mut each: impl FnMut(&str)) {
        if self.whitespace {
            text.split_whitespace().for_each(|word| self.marked(word, &mut each));
        } else {
            self.marked(&text, &mut each);
        }
    }

    fn marked(&self, text: &str, each: &mut impl FnMut(&str)) {
        if text.is_empty() {
            return;
        }
        let mut marked = String::with_capacity(text.len() + 8);
        if self.prepend && !text.starts_with([' ', self.mark]) {
            marked.push(self.mark);
        }
        marked.extend(text.chars().map(|char| if char == ' ' { self.mark } else { char }));
        if !self.split {
            return each(&marked);
        }
        let mut start = 0;
        for (at, _) in marked.match_indices(self.mark).filter(|(at, _)| *at > 0) {
            each(&marked[start..at]);
            start = at;
        }
        each(&marked[start..]);
    }
}

/// Goes through a text and gives what lies between the added tokens (with `None`) and the tokens themselves.
pub fn around(added: &[Added], text: &str, mut each: impl FnMut(&str, Option<u32>)) {
    let mut start = 0;
    let mut at = 0;
    // Most texts hold no character that such a token begins with.
    let firsts: Vec<u8> = added.iter().filter_map(|added| added.content.bytes().next()).collect();
    while let Some(next) = text.as_bytes()[at..].iter().position(|byte| firsts.contains(byte)).map(|next| at + next) {
        let fits =
            |added: &&Added| text[next..].starts_with(&added.content) && (!added.single_word || alone(text, next, added.content.len()));
        // At one place the longest counts.
        let found = text.is_char_boundary(next).then(|| added.iter().filter(fits).max_by_key(|added| added.content.len())).flatten();
        let Some(found) = found else {
            at = next + 1;
            continue;
        };
        let mut before = &text[start..next];
        let mut end = next + found.content.len();
        if found.lstrip {
            before = before.trim_end();
        }
        if found.rstrip {
            end = text.len() - text[end..].trim_start().len();
        }
        if !before.is_empty() {
            each(before, None);
        }
        each(&text[next..end], Some(found.id));
        (start, at) = (end, end);
    }
    if start < text.len() {
        each(&text[start..], None);
    }
}

/// Whether no letter or digit touches the part of a text.
fn alone(text: &str, at: usize, length: usize) -> bool {
    let word = |char: char| char.is_alphanumeric() || char == '_';
    !text[..at].ends_with(word) && !text[at + length..].starts_with(word)
}

/// Finds the table in the normalizer that the cursor stands before.
pub fn charsmap(mut cursor: Cursor<'_>) -> Option<Text> {
    if cursor.peek() != Some(b'{') {
        return None;
    }
    let mut found = None;
    cursor.object(|cursor, key| match key {
        b"precompiled_charsmap" => {
            found = cursor.text();
            found.map(|_| ())
        }
        b"normalizers" => cursor.array(|cursor| {
            let inner = charsmap(cursor.clone());
            found = found.or(inner);
            cursor.skip()
        }),
        _ => cursor.skip(),
    })?;
    found
}

/// The steps of the normalizer that stands at `place` of the file, the table in it left out.
pub fn normalizers(file: &[u8], place: (usize, usize), charsmap: Option<Text>) -> Result<Vec<Normalizer>, String> {
    let text = match charsmap {
        Some(map) => [&file[place.0..map.start], &file[map.end..place.1]].concat(),
        None => file[place.0..place.1].to_vec(),
    };
    let mut steps = Vec::new();
    if !text.is_empty() {
        collect(&serde_json::from_slice(&text).map_err(|error| format!("its normalizer cannot be read: {error}"))?, &mut steps)?;
    }
    Ok(steps)
}

fn collect(step: &Value, steps: &mut Vec<Normalizer>) -> Result<(), String> {
    let text = |name: &str| step[name].as_str().map(str::to_owned);
    steps.push(match step["type"].as_str() {
        None if step.is_null() => return Ok(()),
        Some("Sequence") => return step["normalizers"].as_array().into_iter().flatten().try_for_each(|step| collect(step, steps)),
        Some("Precompiled") => Normalizer::Precompiled,
        Some("Strip") => Normalizer::Strip { left: step["strip_left"] == true, right: step["strip_right"] == true },
        Some("Lowercase") => Normalizer::Lowercase,
        Some("Replace") => {
            let to = text("content").unwrap_or_default();
            match (step["pattern"]["String"].as_str(), step["pattern"]["Regex"].as_str()) {
                (Some(from), _) => Normalizer::Replace { from: from.to_owned(), to },
                (None, Some(" {2,}")) => Normalizer::Runs { of: ' ', at_least: 2, become_text: to },
                (None, regex) => return Err(format!("its normalizer replaces {regex:?}; known is \" {{2,}}\"")),
            }
        }
        other => return Err(format!("its normalizer {other:?} is not known; known are Precompiled, Strip, Replace and Lowercase")),
    });
    Ok(())
}

/// The pre-tokenizer that this JSON says.
pub fn splitter(json: &[u8]) -> Result<Splitter, String> {
    let value: Value = serde_json::from_slice(json).map_err(|error| format!("its pre_tokenizer cannot be read: {error}"))?;
    let mut splitter = Splitter { mark: '\u{2581}', whitespace: false, prepend: false, split: true };
    let parts: Vec<&Value> = match value["pretokenizers"].as_array() {
        Some(parts) => parts.iter().collect(),
        None => vec![&value],
    };
    let mut spaces = false;
    for part in parts {
        match part["type"].as_str() {
            Some("WhitespaceSplit") if !spaces => splitter.whitespace = true,
            Some("Metaspace") => {
                spaces = true;
                splitter.mark = part["replacement"].as_str().and_then(|mark| mark.chars().next()).unwrap_or(splitter.mark);
                splitter.prepend = match part["prepend_scheme"].as_str() {
                    // Only a text without added tokens has no second part that would be treated otherwise; T5 never says this.
                    Some(scheme) => scheme != "never",
                    None => part["add_prefix_space"] != false,
                };
                splitter.split = part["split"] != false;
            }
            other => return Err(format!("its pre_tokenizer {other:?} is not known; known are WhitespaceSplit and Metaspace")),
        }
    }
    if spaces { Ok(splitter) } else { Err("its pre_tokenizer has no Metaspace, which T5 has".to_owned()) }
}
