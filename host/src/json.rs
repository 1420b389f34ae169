//! JSON text: what can be said of it without parsing it, and writing it.

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
    fn depth_is_counted_outside_of_strings_only() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_too_deep(nested(MAX_DEPTH).as_bytes()));
        assert!(is_too_deep(nested(MAX_DEPTH + 1).as_bytes()));
        assert!(!is_too_deep(format!("\"\\\"{}\"", "[".repeat(1000)).as_bytes()));
        assert!(!is_too_deep("[]".repeat(1000).as_bytes()));
        assert!(is_too_deep("[".repeat(1000).as_bytes()));
    }
}
