//! Upper case, lower case, and the cases that programmers have for names.

use serde::Deserialize;

use crate::{
    answer,
    exports::toolbay::plugin::tools::CallResult,
    tool::{Entry, arguments},
};

pub const ENTRY: Entry = Entry {
    name: "change_case",
    title: "Change case",
    description: "Rewrites a text in another case: UPPER, lower, Title Case, Sentence case, camelCase, PascalCase, snake_case, kebab-case or CONSTANT_CASE.",
    input: r#"{
        "type": "object",
        "properties": {
            "text": { "type": "string", "description": "The text to rewrite." },
            "style": {
                "enum": ["upper", "lower", "title", "sentence", "camel", "pascal", "snake", "kebab", "constant"],
                "description": "The case to write it in. The last five keep letters and digits only."
            }
        },
        "required": ["text", "style"],
        "additionalProperties": false
    }"#,
    output: None,
    run,
};

#[derive(Deserialize)]
struct Arguments {
    text: String,
    style: Style,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Style {
    Upper,
    Lower,
    Title,
    Sentence,
    Camel,
    Pascal,
    Snake,
    Kebab,
    Constant,
}

fn run(json: &str) -> Result<CallResult, String> {
    let Arguments { text, style } = arguments(json)?;
    Ok(answer::plain(match style {
        Style::Upper => text.to_uppercase(),
        Style::Lower => text.to_lowercase(),
        Style::Title => text.split_inclusive(char::is_whitespace).map(capitalized).collect(),
        Style::Sentence => capitalized(&text),
        Style::Camel => words(&text).iter().enumerate().map(|(at, word)| if at == 0 { word.clone() } else { capitalized(word) }).collect(),
        Style::Pascal => words(&text).iter().map(|word| capitalized(word)).collect(),
        Style::Snake => words(&text).join("_"),
        Style::Kebab => words(&text).join("-"),
        Style::Constant => words(&text).join("_").to_uppercase(),
    }))
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + &chars.as_str().to_lowercase()).unwrap_or_default()
}

/// The words of a text or of a name, in lower case: they end where something is no letter or digit, and where a capital follows a small letter.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for c in text.chars() {
        if !c.is_alphanumeric() || (after_small && c.is_uppercase()) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
        after_small = c.is_lowercase() || c.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}
