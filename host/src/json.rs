//! What can be said of JSON text without parsing it.

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
