//! Reads what is wanted of JSON text, in one pass, and steps over the rest.
//!
//! What is stepped over is not checked: strings are ended, and brackets are counted.

mod block;

use block::{BRACKETS, ENDS, PRINTED, QUOTES};

/// The text is no JSON, as far as it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Levels of objects and lists within each other, as far as serde_json goes.
const DEPTH: usize = 127;

/// A place in JSON text.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

/// The name of a member, as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// With its quotes.
    text: &'a [u8],
    /// Something in it is escaped.
    is_escaped: bool,
}

impl Key<'_> {
    /// Whether it is this name, with escapes or without.
    pub fn is(self, name: &str) -> bool {
        if self.is_escaped {
            return serde_json::from_slice::<String>(self.text).is_ok_and(|key| key == name);
        }
        self.text.get(1..self.text.len().saturating_sub(1)) == Some(name.as_bytes())
    }
}

impl<'a> Reader<'a> {
    /// At the beginning of the text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The first byte of what comes next, which says what it is. None: the text ends.
    pub fn peek(&mut self) -> Option<u8> {
        // Without indentation it is here already.
        if self.text.get(self.at).is_none_or(|byte| *byte <= b' ') {
            self.at = block::find::<PRINTED>(self.text, self.at);
        }
        self.text.get(self.at).copied()
    }

    /// Reads an object: each member is handed over with the reader at its value, which has to be read or stepped over.
    pub fn object<E: From<Malformed>>(&mut self, mut each: impl FnMut(Key<'a>, &mut Self) -> Result<(), E>) -> Result<(), E> {
        self.list(b'{', b'}', |reader| {
            if reader.peek() != Some(b'"') {
                return Err(Malformed.into());
            }
            let from = reader.at;
            let is_escaped = reader.string()?;
            let key = Key { text: reader.text.get(from..reader.at).unwrap_or_default(), is_escaped };
            if reader.peek() != Some(b':') {
                return Err(Malformed.into());
            }
            reader.at += 1;
            each(key, reader)
        })
    }

    /// Reads a list: the reader is handed over at each element, which has to be read or stepped over.
    pub fn array<E: From<Malformed>>(&mut self, each: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.list(b'[', b']', each)
    }

    fn list<E: From<Malformed>>(&mut self, open: u8, close: u8, mut each: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        if self.peek() != Some(open) || self.depth >= DEPTH {
            return Err(Malformed.into());
        }
        self.at += 1;
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        self.depth += 1;
        loop {
            each(self)?;
            let next = self.peek();
            self.at += 1;
            match next {
                Some(b',') => {}
                Some(byte) if byte == close => {
                    self.depth -= 1;
                    return Ok(());
                }
                _ => return Err(Malformed.into()),
            }
        }
    }

    /// Steps over a value, and returns it as it stands.
    pub fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let first = self.peek();
        let from = self.at;
        match first {
            Some(b'"') => self.string().map(drop)?,
            Some(b'{' | b'[') => self.nested()?,
            Some(b',' | b':' | b']' | b'}') | None => return Err(Malformed),
            Some(_) => self.at = block::find::<ENDS>(self.text, self.at),
        }
        self.text.get(from..self.at).ok_or(Malformed)
    }

    /// That nothing follows but blanks.
    pub fn end(&mut self) -> Result<(), Malformed> {
        if self.peek().is_none() { Ok(()) } else { Err(Malformed) }
    }

    /// From a quote to behind the one that ends the string. Whether something in it is escaped.
    fn string(&mut self) -> Result<bool, Malformed> {
        let mut at = self.at + 1;
        let mut is_escaped = false;
        loop {
            at = block::find::<QUOTES>(self.text, at);
            match self.text.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(is_escaped);
                }
                // Whatever is escaped, it ends nothing.
                Some(_) => {
                    is_escaped = true;
                    at += 2;
                }
                None => return Err(Malformed),
            }
        }
    }

    /// From a bracket to behind the one that closes it.
    fn nested(&mut self) -> Result<(), Malformed> {
        let mut open = 0_usize;
        loop {
            self.at = block::find::<BRACKETS>(self.text, self.at);
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => open += 1,
                Some(_) => open -= 1,
                None => return Err(Malformed),
            }
            self.at += 1;
            if open == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    /// What serde_json makes of it, read by this crate down to the scalars.
    fn read(reader: &mut Reader<'_>) -> Result<Value, Malformed> {
        match reader.peek() {
            Some(b'{') => {
                let mut members = Map::new();
                reader.object(|key, reader| {
                    let name: String = serde_json::from_slice(key.text).map_err(|_| Malformed)?;
                    assert!(key.is(&name));
                    members.insert(name, read(reader)?);
                    Ok::<_, Malformed>(())
                })?;
                Ok(Value::Object(members))
            }
            Some(b'[') => {
                let mut items = Vec::new();
                reader.array(|reader| {
                    items.push(read(reader)?);
                    Ok::<_, Malformed>(())
                })?;
                Ok(Value::Array(items))
            }
            _ => serde_json::from_slice(reader.value()?).map_err(|_| Malformed),
        }
    }

    fn whole(text: &[u8]) -> Result<Value, Malformed> {
        let mut reader = Reader::new(text);
        let value = read(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],: \u{e9}\n\t]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec(("[a-z\"\\\\{}\\[\\] ]{0,20}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(value in documents(), pretty in any::<bool>(), blanks in 0_usize..40) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let text = format!("{0}{text}{0}", " ".repeat(blanks));
            let known: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(whole(text.as_bytes()), Ok(known));
            let mut reader = Reader::new(text.as_bytes());
            prop_assert_eq!(reader.value(), Ok(text.trim().as_bytes()));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn text_that_is_cut_off_is_malformed(value in documents(), cut in 0_usize..400) {
            let text = serde_json::to_string_pretty(&json!({ "a": value })).unwrap();
            let part = &text.as_bytes()[..cut.min(text.len() - 1)];
            prop_assert_eq!(Reader::new(part).value(), Err(Malformed));
            prop_assert_eq!(whole(part), Err(Malformed));
        }

        #[test]
        fn no_text_is_a_panic(text in proptest::collection::vec(prop_oneof![
            Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b','), Just(b':'), Just(b'1'), any::<u8>(),
        ], 0..60)) {
            if let Ok(value) = whole(&text) {
                prop_assert_eq!(serde_json::from_slice::<Value>(&text).ok(), Some(value));
            }
            let _ = Reader::new(&text).value();
        }
    }

    #[test]
    fn levels_are_counted() {
        for (levels, fits) in [(127, true), (128, false), (100_000, false)] {
            let text = "[".repeat(levels) + &"]".repeat(levels);
            assert_eq!(whole(text.as_bytes()).is_ok(), fits, "{levels}");
            assert!(Reader::new(text.as_bytes()).value().is_ok(), "stepping over them takes no stack");
        }
    }

    #[test]
    fn what_nobody_wants_is_not_checked() {
        let mut wanted = None;
        let mut reader = Reader::new(br#"{"a": nonsense, "b": {"]": 01}, "w\u0061nted": [1, 2]}"#);
        reader
            .object(|key, reader| {
                let value = reader.value()?;
                if key.is("wanted") {
                    wanted = Some(value);
                }
                Ok::<_, Malformed>(())
            })
            .unwrap();
        assert_eq!(wanted, Some(&b"[1, 2]"[..]));
    }
}
