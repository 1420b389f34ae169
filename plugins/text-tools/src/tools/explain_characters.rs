//! Which characters a text is made of, for those that look alike or cannot be seen.

use serde::Deserialize;

use crate::{
    answer,
    exports::toolbay::plugin::tools::CallResult,
    tool::{Entry, arguments},
    toolbay::plugin::types::{Content, ResourceLink},
};

pub const ENTRY: Entry = Entry {
    name: "explain_characters",
    title: "Explain characters",
    description: "Lists the distinct characters of a text with code points, UTF-8 bytes and how often they occur, and links each that is not ASCII to its \
                  entry in Unicode's database. Finds look-alikes, invisible characters and stray controls.",
    input: r#"{
        "type": "object",
        "properties": { "text": { "type": "string", "maxLength": 100000, "description": "The text to look at." } },
        "required": ["text"],
        "additionalProperties": false
    }"#,
    output: None,
    run,
};

/// Links in an answer: more, nobody would follow.
const MAX_LINKS: usize = 20;

#[derive(Deserialize)]
struct Arguments {
    text: String,
}

fn run(json: &str) -> Result<CallResult, String> {
    let Arguments { text } = arguments(json)?;
    let mut chars: Vec<char> = text.chars().collect();
    chars.sort_unstable();
    let mut table = String::from("character | code point | UTF-8 | times\n");
    let mut links = Vec::new();
    for run in chars.chunk_by(char::eq) {
        let Some(&c) = run.first() else { continue };
        let bytes = c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ");
        table.push_str(&format!("{} | U+{:04X} | {bytes} | {}\n", shown(c), u32::from(c), run.len()));
        if !c.is_ascii() && links.len() < MAX_LINKS {
            links.push(link(c));
        }
    }
    let mut content = vec![answer::text(table)];
    content.extend(links);
    Ok(answer::blocks(content))
}

/// The character, or an escape for one that would not be seen.
fn shown(c: char) -> String {
    let invisible =
        c.is_control() || c.is_whitespace() || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}');
    if invisible { c.escape_unicode().to_string() } else { c.to_string() }
}

fn link(c: char) -> Content {
    let code = format!("{:04X}", u32::from(c));
    Content::ResourceLink(ResourceLink {
        uri: format!("https://util.unicode.org/UnicodeJsps/character.jsp?a={code}"),
        name: format!("U+{code}"),
        title: Some(format!("U+{code} in Unicode's database")),
        description: None,
        mime_type: Some("text/html".into()),
        size: None,
        icons: Vec::new(),
        annotations: answer::for_people(),
        meta: None,
    })
}
