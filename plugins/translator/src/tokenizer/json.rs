//! Walks over JSON text without building anything: a tokenizer of 32,000 pieces is read anew in every call.

/// Where we are in a JSON text. Every method leaves it behind what it read; `None` is text that is not what was expected.
#[derive(Clone)]
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

/// A string as it stands in the text.
#[derive(Clone, Copy)]
pub struct Text {
    /// The first byte after the opening quote.
    pub start: usize,
    /// The closing quote.
    pub end: usize,
    /// Whether there are backslashes in it.
    pub escaped: bool,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    fn blank(&mut self) {
        while self.text.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The next byte that is not blank, which stays.
    pub fn peek(&mut self) -> Option<u8> {
        self.blank();
        self.text.get(self.at).copied()
    }

    /// Takes the byte if it is the next.
    pub fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// A string.
    pub fn text(&mut self) -> Option<Text> {
        if !self.take(b'"') {
            return None;
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.text.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
        let end = self.at;
        self.at += 1;
        Some(Text { start, end, escaped })
    }

    /// A number, `true`, `false` or `null`, as it is written.
    pub fn word(&mut self) -> Option<&'a str> {
        self.blank();
        let start = self.at;
        while self.text.get(self.at).is_some_and(|byte| !matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.text.get(start..self.at).filter(|word| !word.is_empty()).and_then(|word| std::str::from_utf8(word).ok())
    }

    /// Goes past one value of any kind.
    pub fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.text()?;
                }
                b'[' | b'{' => {
                    self.at += 1;
                    depth += 1;
                    continue;
                }
                b']' | b'}' => {
                    self.at += 1;
                    depth = depth.checked_sub(1)?;
                }
                b',' | b':' => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    self.word()?;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Goes through an object: `each` is given the key and must go past the value.
    pub fn object(&mut self, mut each: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        if !self.take(b'{') {
            return None;
        }
        if self.take(b'}') {
            return Some(());
        }
        loop {
            let key = self.text()?;
            if !self.take(b':') {
                return None;
            }
            each(self, self.text.get(key.start..key.end)?)?;
            if !self.take(b',') {
                return self.take(b'}').then_some(());
            }
        }
    }

    /// Goes through an array: `each` must go past one element.
    pub fn array(&mut self, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if !self.take(b'[') {
            return None;
        }
        if self.take(b']') {
            return Some(());
        }
        loop {
            each(self)?;
            if !self.take(b',') {
                return self.take(b']').then_some(());
            }
        }
    }
}

/// What an escaped string says. `None` where it is no JSON string.
pub fn unescaped(raw: &[u8]) -> Option<String> {
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_walked_past_values_of_every_kind() {
        let text = br#" { "a" : [1, {"x": "]}"}, "\"\\"], "b":-1.5e3 , "c" : "d\u00e9" , "e": {} , "f": [] } "#;
        let mut cursor = Cursor::new(text);
        let mut seen = Vec::new();
        cursor
            .object(|cursor, key| {
                seen.push(String::from_utf8_lossy(key).into_owned());
                match key {
                    b"b" => assert_eq!(cursor.word(), Some("-1.5e3")),
                    b"c" => {
                        let text_at = cursor.text()?;
                        assert!(text_at.escaped);
                        assert_eq!(unescaped(&text[text_at.start..text_at.end]).as_deref(), Some("dé"));
                    }
                    _ => cursor.skip()?,
                }
                Some(())
            })
            .expect("it is an object");
        assert_eq!(seen, ["a", "b", "c", "e", "f"]);
    }

    #[test]
    fn text_that_breaks_off_is_no_json() {
        for text in ["", "{", "{\"a\"", "{\"a\":", "{\"a\":[", "{\"a\":\"b", "{\"a\":\"\\", "{\"a\":1", "{\"a\" 1}", "[1", "}"] {
            assert!(Cursor::new(text.as_bytes()).object(|cursor, _| cursor.skip()).is_none(), "{text}");
        }
    }
}
