//! The wire format of protocol buffers, as far as two small messages need it.
//! (<https://protobuf.dev/programming-guides/encoding/>)

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field<'a> {
    /// A varint.
    Number(u64),
    /// Eight octets.
    Fixed64(u64),
    /// Four octets.
    Fixed32(u32),
    /// A text, octets, or a message.
    Octets(&'a [u8]),
}

/// The fields of a message with their numbers. The last one is `None` where the message is broken.
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

/// See [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.varint()?;
        let number = tag >> 3;
        let value = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(*self.take(8)?.first_chunk()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Field::Octets(self.take(length)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(*self.take(4)?.first_chunk()?)),
            _ => return None,
        };
        (number > 0).then_some((number, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for at in 0..10 {
            let (octet, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(octet & 0x7f).checked_shl(7 * at)?;
            if octet & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_kind_are_read() {
        let message =
            [8, 0x96, 1, 17, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 26, 2, b'h', b'i', 37, 1, 0, 0, 0];
        let read: Option<Vec<_>> = fields(&message).collect();
        let expected = vec![
            (1, Field::Number(150)),
            (2, Field::Fixed64(1f64.to_bits())),
            (3, Field::Octets(b"hi")),
            (4, Field::Fixed32(1)),
        ];
        assert_eq!(read, Some(expected));
    }

    #[test]
    fn a_broken_message_ends_with_none() {
        for message in [&[8][..], &[26, 5, 1], &[0xff; 12], &[11], &[0, 1], &[17, 1]] {
            let last = fields(message).last();
            assert_eq!(last, Some(None), "{message:?}");
        }
    }
}
