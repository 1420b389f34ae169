//! DER, as far as certificates and timestamps need it: borrowed, so that what is signed can be
//! taken to the last byte.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The constructed tag `[number]`.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With its tag and length.
    pub(super) whole: &'a [u8],
}

/// What is left to read of a content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The content of the one element that these bytes are.
    pub(super) fn only(bytes: &'a [u8], tag: u8) -> Option<Self> {
        let mut reader = Self(bytes);
        let content = reader.expect(tag)?;
        reader.is_empty().then_some(Self(content))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element. None: there is none, or it is no DER.
    pub(super) fn element(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(bytes, _)| matches!(bytes.len(), 1..=4))?;
            rest = after;
            let length = bytes.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
            // The shortest form is the only one.
            if length < 0x80 || bytes.first() == Some(&0) {
                return None;
            }
            length
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - after.len())?;
        self.0 = after;
        Some(Element { tag, content, whole })
    }

    /// The content of the next element, which has to have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element().filter(|element| element.tag == tag).map(|element| element.content)
    }

    /// The same to read on in.
    pub(super) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Self)
    }

    /// The content of the next element if it has this tag; else nothing is taken.
    pub(super) fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) { self.expect(tag) } else { None }
    }
}

/// An element of this content.
pub(super) fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            bytes.push(0x80 | u8::try_from(length.len()).unwrap_or(8));
            bytes.extend(length);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// Seconds since 1970 of a `UTCTime` or a `GeneralizedTime`; fractions of a second are dropped.
pub(super) fn time(element: &Element<'_>) -> Option<u64> {
    let text = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    let text = match element.tag {
        // Years from 50 on are of the last century (RFC 5280).
        UTC_TIME if text.is_ascii() && text.len() == 12 => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => match text.split_once('.') {
            None => text.to_owned(),
            Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|digit| digit.is_ascii_digit()) => whole.to_owned(),
            Some(_) => return None,
        },
        _ => return None,
    };
    if text.len() != 14 || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let time = chrono::NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%S").ok()?;
    u64::try_from(time.and_utc().timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_have_one_form_and_nothing_reaches_beyond_the_end() {
        for broken in
            [&[0x30][..], &[0x30, 1], &[0x30, 0x80], &[0x30, 0x81, 1, 0], &[0x30, 0x82, 0, 0x80], &[0x30, 0x85, 0, 0, 0, 0, 1], &[0x1f, 0]]
        {
            assert!(Reader::new(broken).element().is_none(), "{broken:?}");
        }
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x1_0000] {
            let content = vec![7; length];
            let bytes = encode(SEQUENCE, &content);
            assert_eq!(Reader::new(&bytes).expect(SEQUENCE), Some(&content[..]));
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let read = |tag, text: &str| time(&Element { tag, content: text.as_bytes(), whole: &[] });
        assert_eq!(read(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(read(UTC_TIME, "240319172626Z"), Some(1_710_869_186));
        assert_eq!(read(GENERALIZED_TIME, "20240319172626Z"), Some(1_710_869_186));
        assert_eq!(read(GENERALIZED_TIME, "20240319172626.25Z"), Some(1_710_869_186));
        for wrong in ["20240319172626", "20240319172626.Z", "2024031917262Z", "20241319172626Z", "+0240319172626Z", ""] {
            assert_eq!(read(GENERALIZED_TIME, wrong), None, "{wrong}");
        }
        assert_eq!(read(OID, "20240319172626Z"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            let mut seen = 0;
            while let Some(element) = reader.element() {
                seen += element.whole.len();
                let _ = time(&element);
            }
            prop_assert!(seen <= bytes.len());
        }
    }
}
