//! W3C Trace Context: which trace a request belongs to.

use http::HeaderMap;

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// Who asks, as `traceparent` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    /// Whether it records its part.
    pub(super) sampled: bool,
}

impl Parent {
    pub(super) fn parse(text: &str) -> Option<Self> {
        trace_id(text)?;
        let mut parts = text.split('-').skip(1);
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace: bytes(trace)?, span: bytes(span)?, sampled })
    }
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The trace id in a `traceparent`. None: it is not well-formed, so that it is to be ignored (Trace Context, 3.2.2).
#[must_use]
pub fn trace_id(parent: &str) -> Option<&str> {
    let mut parts = parent.split('-');
    let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_set = |text: &str| text.bytes().any(|byte| byte != b'0');
    // Later versions may have more behind it.
    let fits = if version == "00" { parent.len() == LENGTH } else { version != "ff" };
    let is_whole = is_hex(version, 2) && is_hex(id, 32) && is_hex(span, 16) && is_hex(flags, 2);
    (fits && is_whole && is_set(id) && is_set(span)).then_some(id)
}

/// The `traceparent` of a request's head. None: there is none, or there are several, of which nobody knows which one holds.
#[must_use]
pub fn trace_parent(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all("traceparent").iter();
    let one = all.next()?.to_str().ok()?.trim();
    (all.next().is_none() && trace_id(one).is_some()).then_some(one)
}

/// The digits of the trace id in a `traceparent` that is well-formed.
#[must_use]
pub fn trace_digits(parent: &str) -> Option<[u8; 32]> {
    parent.as_bytes().get(3..35)?.try_into().ok()
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
            assert_eq!(Parent::parse(&parent).is_some(), is_one, "{parent}");
        }
    }

    #[test]
    fn a_head_has_one_parent_or_none() {
        let parent = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("traceparent", http::HeaderValue::from_static(value));
            }
            trace_parent(&headers).map(str::to_owned)
        };
        const ONE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(parent(&[ONE]).as_deref(), Some(ONE));
        for none in [&[][..], &["x"], &[""], &[ONE, ONE], &[ONE, "x"]] {
            assert_eq!(parent(none), None, "{none:?}");
        }
    }

    #[test]
    fn whether_the_caller_records_is_in_the_last_bit_of_its_flags() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let parent = Parent::parse(&format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}")).unwrap();
            assert_eq!((parent.sampled, parent.trace[0], parent.span[7]), (sampled, 0x0a, 0x31));
        }
    }
}
