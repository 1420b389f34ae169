//! JSON text: what can be said of it, and mended in it, without parsing it, and writing it.

pub(crate) mod raw;

use std::borrow::Cow;

use serde::Serialize;

/// Levels of arrays and objects that a request may have. serde_json stops at 128, which has to hold for what
/// is wrapped around arguments too.
pub(crate) const MAX_DEPTH: usize = 100;

/// Whether a request has more levels than parsers take.
pub(crate) fn is_too_deep(body: &[u8]) -> bool {
    is_deeper_than(body, MAX_DEPTH)
}

/// Whether objects and arrays stand in each other on more levels than these. Says nothing of text that is no JSON.
pub(crate) fn is_deeper_than(json: &[u8], levels: usize) -> bool {
    // Most texts have fewer opening brackets, those in strings included. Counting them takes many bytes at a time.
    if json.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() <= levels {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > levels {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The text with U+FFFD for each escaped half of a character (`\ud83d`) that has no other half. Says nothing of text that is no JSON.
pub(crate) fn whole_characters(json: &str) -> Cow<'_, str> {
    let unit = |at: usize| -> Option<u16> {
        let escape = json.get(at..at + 6)?.strip_prefix("\\u")?;
        escape.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(escape, 16).ok())?
    };
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(next) = json.get(at..).and_then(|rest| rest.find('\\')) {
        at += next;
        match unit(at) {
            // A whole character, or no half.
            Some(0xd800..0xdc00) if unit(at + 6).is_some_and(|low| (0xdc00..0xe000).contains(&low)) => at += 12,
            Some(0xd800..0xe000) => {
                out.push_str(json.get(copied..at).unwrap_or_default());
                out.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            // Any other escape has at least one character behind its backslash.
            _ => at += 1 + json.get(at + 1..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8),
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(json.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// Appends a value as JSON.
pub(crate) fn write_json<T: Serialize + ?Sized>(to: &mut Vec<u8>, value: &T) {
    // Strings and values always are JSON, and a Vec takes every byte.
    if serde_json::to_writer(&mut *to, value).is_err() {
        to.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_characters_are_replaced_and_nothing_else() {
        let whole = |text: &'static str| whole_characters(text).into_owned();
        assert_eq!(whole(r#"{"a":"x\ud83d \ud83d\ude00 \ude00"}"#), r#"{"a":"x\ufffd \ud83d\ude00 \ufffd"}"#);
        assert_eq!(whole(r#"["\ud83d\ud83d\ude00"]"#), r#"["\ufffd\ud83d\ude00"]"#);
        // A backslash of its own before the letters.
        for same in [r#"["\\ud83d"]"#, r#"["\n\u00e9"]"#, r#"["\\\\ud83d"]"#, "{}", "\\"] {
            assert!(matches!(whole_characters(same), Cow::Borrowed(_)), "{same}");
        }
        assert_eq!(whole(r#"["\\\ud83d"]"#), r#"["\\\ufffd"]"#);
    }

    #[test]
    fn depth_is_counted_outside_of_strings_only() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_too_deep(nested(MAX_DEPTH).as_bytes()));
        assert!(is_too_deep(nested(MAX_DEPTH + 1).as_bytes()));
        assert!(!is_too_deep(format!("\"\\\"{}\"", "[".repeat(1000)).as_bytes()));
        assert!(!is_too_deep("[]".repeat(1000).as_bytes()));
        assert!(is_too_deep("[".repeat(1000).as_bytes()));
    }
}
