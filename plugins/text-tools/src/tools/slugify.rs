//! A text as a piece of a URL.

use serde::Deserialize;

use crate::{
    answer,
    exports::toolbay::plugin::tools::CallResult,
    tool::{Entry, arguments},
};

pub const ENTRY: Entry = Entry {
    name: "slugify",
    title: "Slug",
    description: "Makes a slug for a URL or a file name of a text: lower-case ASCII letters and digits, joined by hyphens.",
    input: r#"{
        "type": "object",
        "properties": {
            "text": { "type": "string", "description": "A title, for instance." },
            "max_length": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 80, "description": "Longest slug; it ends after a whole word." }
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
    #[serde(default = "default_length")]
    max_length: usize,
}

fn default_length() -> usize {
    80
}

fn run(json: &str) -> Result<CallResult, String> {
    let Arguments { text, max_length } = arguments(json)?;
    let plain: String = text.to_lowercase().chars().flat_map(plain_letters).collect();
    let mut slug = String::new();
    for word in plain.split('-').filter(|word| !word.is_empty()) {
        if slug.is_empty() {
            // The first word stays, if need be cut off. Every character is ASCII here.
            slug.push_str(&word[..word.len().min(max_length)]);
        } else if slug.len() + 1 + word.len() <= max_length {
            slug.push('-');
            slug.push_str(word);
        } else {
            break;
        }
    }
    if slug.is_empty() {
        return Err("no letter or digit of this text can be written in ASCII: there is nothing to make a slug of".into());
    }
    Ok(answer::plain(slug))
}

/// A lower-case letter as ASCII writes it, or a hyphen.
fn plain_letters(c: char) -> std::str::Chars<'static> {
    const ASCII: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
    let same = ASCII.find(c).and_then(|at| ASCII.get(at..=at));
    let plain = same.unwrap_or(match c {
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ä' | 'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ę' | 'ě' => "e",
        'ğ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'ı' => "i",
        'ł' | 'ľ' => "l",
        'ñ' | 'ń' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' | 'ō' | 'ő' => "o",
        'ö' | 'œ' => "oe",
        'ř' => "r",
        'ß' => "ss",
        'ś' | 'š' | 'ş' | 'ș' => "s",
        'ť' | 'ţ' | 'ț' => "t",
        'þ' => "th",
        'ù' | 'ú' | 'û' | 'ū' | 'ů' | 'ű' => "u",
        'ü' => "ue",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        // An apostrophe joins: "don't" is one word. So does the dot that is left of a Turkish capital İ.
        '\'' | '’' | '\u{307}' => "",
        _ => "-",
    });
    plain.chars()
}
