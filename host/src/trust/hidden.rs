//! Characters that nobody sees, or that turn the order of others around: a text with them may say another
//! thing to a model than to the person who reads it.

use serde_json::{Map, Value};

use crate::provider::{Definition, Offer, Provider};

/// Characters that are told of one text.
const TOLD: usize = 5;
/// Sentences that are told of one provider.
const SENTENCES: usize = 20;

/// Whether a character is not seen, or is seen in another place than it stands. Joiners and variation selectors are part of emoji and of some scripts: there
/// each stands behind something that is seen and is no ASCII, but for keycaps. A row of them carries what nobody sees.
fn is_hidden(before: Option<char>, c: char) -> bool {
    match (c, before) {
        // After an emoji that has its colours by a selector.
        ('\u{200d}', Some('\u{fe0e}' | '\u{fe0f}')) => return false,
        ('\u{fe0e}' | '\u{fe0f}', Some('0'..='9' | '#' | '*')) => return false,
        _ => {}
    }
    match c {
        '\t' | '\n' | '\r' => false,
        '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => {
            before.is_none_or(|before| before.is_ascii() || matches!(before, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}'))
        }
        c if c.is_control() => true,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' => true,
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' => true,
        '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' => true,
        // Tags, which spell out ASCII unseen, and the rest of the variation selectors, which can carry bytes.
        '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

fn hidden(text: &str) -> impl Iterator<Item = char> {
    let before = std::iter::once(None).chain(text.chars().map(Some));
    before.zip(text.chars()).filter(|(before, c)| is_hidden(*before, *c)).map(|(_, c)| c)
}

/// A text with its hidden characters written out.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        if is_hidden(before, c) {
            shown.extend(c.escape_unicode())
        } else {
            shown.push(c)
        }
        before = Some(c);
    }
    shown
}

/// Whether nothing can be hidden in what a definition says. JSON writes control characters as escapes, and all others as they are.
fn is_plain(definition: &Definition) -> bool {
    !definition.text().contains("\\u") && hidden(definition.text()).next().is_none()
}

/// What is hidden in all that a provider says of itself, in sentences. `definitions`: what its source says of its tools.
pub(super) fn in_provider(provider: &dyn Provider, definitions: &[(String, Definition)]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(instructions) = provider.own_instructions() {
        tell("its instructions", instructions, &mut found);
    }
    for (name, definition) in definitions {
        let what = format!("tool {:?}", visible(name));
        tell(&format!("the name of {what}"), name, &mut found);
        // Most are, and there may be many.
        if is_plain(definition) {
            continue;
        }
        walk(&what, "", &definition.value(), &mut found);
    }
    let offers = provider.offers();
    for (kind, all) in [("prompt", &offers.prompts), ("resource", &offers.resources), ("resource template", &offers.templates)] {
        for offer in all {
            of_offer(kind, offer, &mut found);
        }
    }
    let more = found.len().saturating_sub(SENTENCES);
    found.truncate(SENTENCES);
    if more > 0 {
        found.push(format!("and {more} more texts with hidden characters"));
    }
    found
}

fn of_offer(kind: &str, offer: &Offer, found: &mut Vec<String>) {
    let members: Map<String, Value> =
        offer.json.iter().filter(|(name, _)| *name != "_meta").map(|(name, value)| (name.clone(), value.clone())).collect();
    walk(&format!("{kind} {:?}", visible(&offer.key)), "", &Value::Object(members), found);
}

fn walk(what: &str, place: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => tell(&format!("{place:?} of {what}"), text, found),
        Value::Array(items) => items.iter().for_each(|item| walk(what, place, item, found)),
        Value::Object(members) => {
            for (name, member) in members {
                tell(&format!("a member of {what}"), name, found);
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                walk(what, &place, member, found);
            }
        }
        _ => {}
    }
}

fn tell(what: &str, text: &str, found: &mut Vec<String>) {
    let mut characters: Vec<String> = Vec::new();
    for c in hidden(text).map(|c| format!("U+{:04X}", u32::from(c))) {
        if !characters.contains(&c) {
            characters.push(c);
        }
    }
    if characters.is_empty() {
        return;
    }
    let more = if characters.len() > TOLD { ", …" } else { "" };
    characters.truncate(TOLD);
    found.push(format!(
        "{} has characters that people do not see ({}{more}): it may tell a model something else",
        visible(what),
        characters.join(", ")
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_found_and_what_people_write_is_not() {
        for text in [
            "zero\u{200b}width",
            "bidi \u{202e}txet",
            "isolate \u{2066}x\u{2069}",
            "tag \u{e0041}\u{e0042}",
            "soft\u{ad}hyphen",
            "bom \u{feff}",
            "escape \u{1b}[31m",
            "joiner a\u{200d}b",
            "selector a\u{fe0f}",
            "hangul \u{3164}",
            "bytes \u{e0101}",
            "nul \0",
            "joiners behind a full stop.\u{200c}\u{200d}\u{200c}",
            "a joiner behind a space \u{200d}",
            "\u{200d}at the start",
            "joiners in a row \u{e9}\u{200c}\u{200d}\u{200d}\u{200c}",
            "selectors in a row \u{1f600}\u{fe00}\u{fe07}\u{fe03}",
            "a selector behind a digit 1\u{fe00}",
            "a selector behind a joiner \u{1f600}\u{200d}\u{fe0f}",
            "a line\u{2028}",
            "a blank of Braille \u{2800}",
            "shorthand \u{1bca0}",
        ] {
            assert!(hidden(text).next().is_some(), "{text:?}");
            assert!(hidden(&visible(text)).next().is_none() && visible(text).contains("\\u{"), "{text:?}");
        }
        for text in [
            "plain\n\ttext\r\n",
            "❤️ heart",
            "👩‍💻 at work",
            "❤️‍🔥 🏳️‍🌈 👁️‍🗨️ 👩🏽‍❤️‍💋‍👨🏿",
            "keycaps 1️⃣ #️⃣ *️⃣",
            "నిర్‌వహణ ബ്‍",
            "naïve café Größe",
            "日本語のツール",
            "क्‍ष",
            "می‌خواهم",
            "שלום",
            "→ “quoted” – dash…",
        ] {
            assert!(hidden(text).next().is_none(), "{text:?}");
            assert_eq!(visible(text), text);
        }
    }
}
