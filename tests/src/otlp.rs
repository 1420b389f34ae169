//! What a host sends to a collector, read by the numbers of OTLP.

/// A message of Protocol Buffers: its numbers, and its texts, bytes and messages.
#[derive(Clone, Debug, Default)]
pub struct Message {
    numbers: Vec<(u64, u64)>,
    parts: Vec<(u64, Vec<u8>)>,
}

impl Message {
    /// Reads one.
    ///
    /// # Panics
    ///
    /// Where it is no such message.
    #[must_use]
    pub fn read(mut rest: &[u8]) -> Self {
        fn varint(rest: &mut &[u8]) -> u64 {
            let (mut number, mut place) = (0, 0);
            loop {
                let byte = rest[0];
                *rest = &rest[1..];
                number |= u64::from(byte & 0x7f) << place;
                place += 7;
                if byte < 0x80 {
                    return number;
                }
            }
        }
        let mut message = Self::default();
        while !rest.is_empty() {
            let key = varint(&mut rest);
            match key & 7 {
                0 => message.numbers.push((key >> 3, varint(&mut rest))),
                1 => {
                    message.numbers.push((key >> 3, u64::from_le_bytes(rest[..8].try_into().expect("eight bytes"))));
                    rest = &rest[8..];
                }
                2 => {
                    let length = usize::try_from(varint(&mut rest)).expect("a length");
                    message.parts.push((key >> 3, rest[..length].to_vec()));
                    rest = &rest[length..];
                }
                other => panic!("OTLP has no field of the kind {other}"),
            }
        }
        message
    }

    /// All messages in this field.
    pub fn all(&self, number: u64) -> impl Iterator<Item = Self> {
        self.parts.iter().filter(move |(field, _)| *field == number).map(|(_, bytes)| Self::read(bytes))
    }

    /// The bytes of this field.
    #[must_use]
    pub fn bytes(&self, number: u64) -> Vec<u8> {
        self.parts.iter().find(|(field, _)| *field == number).map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    }

    /// The text of this field.
    ///
    /// # Panics
    ///
    /// Where it is no such message.
    #[must_use]
    pub fn text(&self, number: u64) -> String {
        String::from_utf8(self.bytes(number)).expect("text")
    }

    /// The number in this field.
    #[must_use]
    pub fn number(&self, number: u64) -> Option<u64> {
        self.numbers.iter().find(|(field, _)| *field == number).map(|(_, value)| *value)
    }
}
