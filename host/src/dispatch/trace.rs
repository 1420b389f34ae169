//! W3C Trace Context, as far as a call brings it.

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The trace id in a `traceparent`. None: it is not well-formed, so that it is to be ignored (Trace Context, 3.2.2).
pub(super) fn trace_id(parent: &str) -> Option<&str> {
    let mut parts = parent.split('-');
    let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_set = |text: &str| text.bytes().any(|byte| byte != b'0');
    // Later versions may have more behind it.
    let fits = if version == "00" { parent.len() == LENGTH } else { version != "ff" };
    let is_whole = is_hex(version, 2) && is_hex(id, 32) && is_hex(span, 16) && is_hex(flags, 2);
    (fits && is_whole && is_set(id) && is_set(span)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_taken_from_what_is_one() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for (parent, is_one) in [
            (format!("00-{id}-b7ad6b7169203331-01"), true),
            (format!("01-{id}-b7ad6b7169203331-01-more"), true),
            (format!("00-{id}-b7ad6b7169203331-01-more"), false),
            (format!("ff-{id}-b7ad6b7169203331-01"), false),
            (format!("00-{id}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), false),
            (format!("00-{}-b7ad6b7169203331-01", id.to_uppercase()), false),
            (format!("00-{id}0-b7ad6b7169203331-01"), false),
            (format!("00-{id}"), false),
            ("x\r\ny: z".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(trace_id(&parent), is_one.then_some(id), "{parent}");
        }
    }
}
