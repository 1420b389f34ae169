//! Protocol Buffers, as far as OTLP needs them: messages are written into one buffer from their beginning to their end, without a tree of them in memory.

/// A message that is being written.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn number(&mut self, number: u32, value: u64) {
        self.key(number, 0);
        self.varint(value);
    }

    pub(crate) fn fixed(&mut self, number: u32, value: u64) {
        self.key(number, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// The same, to be set when it is known. Where it is.
    pub(crate) fn fixed_later(&mut self, number: u32) -> usize {
        self.fixed(number, 0);
        self.0.len() - 8
    }

    /// Sets what [`Self::fixed_later`] left open.
    pub(crate) fn set_fixed(&mut self, at: usize, value: u64) {
        if let Some(place) = self.0.get_mut(at..at + 8) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    pub(crate) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.open(number, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// The head of a field of so many bytes, which are written next.
    pub(crate) fn open(&mut self, number: u32, length: usize) {
        self.key(number, 2);
        self.varint(length as u64);
    }

    /// Bytes of a field of so many bytes with its head, where its number is below 16.
    pub(crate) fn size(length: usize) -> usize {
        1 + Self::digits(length as u64) + length
    }

    /// Bytes of a number.
    pub(crate) fn digits(number: u64) -> usize {
        (u64::BITS - number.leading_zeros()).max(1).div_ceil(7) as usize
    }

    /// Makes room for so many bytes more.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    pub(crate) fn text(&mut self, number: u32, text: &str) {
        self.bytes(number, text.as_bytes());
    }

    /// Many numbers of eight bytes each.
    pub(crate) fn packed(&mut self, number: u32, values: impl ExactSizeIterator<Item = u64>) {
        self.key(number, 2);
        self.varint(values.len() as u64 * 8);
        values.for_each(|value| self.0.extend_from_slice(&value.to_le_bytes()));
    }

    /// A text of several parts.
    pub(crate) fn joined(&mut self, number: u32, parts: &[&str]) {
        self.key(number, 2);
        self.varint(parts.iter().map(|part| part.len()).sum::<usize>() as u64);
        parts.iter().for_each(|part| self.0.extend_from_slice(part.as_bytes()));
    }

    /// Fields of a message that were written elsewhere.
    pub(crate) fn append(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// A message within this one.
    pub(crate) fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.key(number, 2);
        // Nearly all lengths have one byte; others need more, and what is behind it moves.
        self.0.push(0);
        let begin = self.0.len();
        write(self);
        let length = self.0.len() - begin;
        match (u8::try_from(length), self.0.get_mut(begin - 1)) {
            (Ok(length @ ..0x80), Some(place)) => *place = length,
            _ => {
                let mut prefix = Self::default();
                prefix.varint(length as u64);
                self.0.splice(begin - 1..begin, prefix.0);
            }
        }
    }

    fn key(&mut self, number: u32, wire: u32) {
        self.varint(u64::from(number << 3 | wire));
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(crate) fn number(self) -> Option<u64> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

/// The fields of a message with their numbers, up to the first that is none.
pub(crate) fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let key = varint(&mut rest)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut rest)?),
            1 => Field::Number(u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Field::Bytes(take(&mut rest, length)?)
            }
            5 => Field::Number(u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?).into()),
            _ => return None,
        };
        Some((key >> 3, field))
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << place;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(numbers in proptest::collection::vec(any::<u64>(), 0..9), text in ".{0,300}", depth in 0_usize..4) {
            fn write(message: &mut Message, numbers: &[u64], text: &str, depth: usize) {
                numbers.iter().for_each(|number| message.number(3, *number));
                message.joined(2000, &[text, "", text]);
                let open = message.fixed_later(5);
                message.set_fixed(open, 77);
                if depth > 0 {
                    message.message(7, |inner| write(inner, numbers, text, depth - 1));
                }
                message.bytes(1, b"end");
            }
            let mut message = Message::default();
            write(&mut message, &numbers, &text, depth);
            let mut level = message.as_bytes();
            for below in (0..=depth).rev() {
                let all: Vec<(u64, Field<'_>)> = fields(level).collect();
                let read: Vec<u64> = all.iter().filter(|(number, _)| *number == 3).filter_map(|(_, field)| field.number()).collect();
                prop_assert_eq!(&read, &numbers);
                let of = |wanted: u64| all.iter().find(|(number, _)| *number == wanted).map(|(_, field)| *field);
                let joined = text.repeat(2);
                prop_assert_eq!(of(2000), Some(Field::Bytes(joined.as_bytes())));
                let mut sized = Message::default();
                sized.bytes(15, joined.as_bytes());
                prop_assert_eq!(sized.as_bytes().len(), Message::size(joined.len()));
                prop_assert_eq!((of(5), of(1)), (Some(Field::Number(77)), Some(Field::Bytes(b"end"))));
                prop_assert_eq!(of(7).is_some(), below > 0);
                level = of(7).and_then(Field::bytes).unwrap_or_default();
            }
        }
    }
}
