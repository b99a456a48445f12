//! Protobuf on the wire: a cursor over fields that borrows from the message. It knows no schema.

use std::fmt;

/// Bytes that are not the message they are taken for. Texts follow those of Go's generated decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    #[error("unexpected EOF")]
    UnexpectedEnd,
    #[error("proto: integer overflow")]
    Overflow,
    #[error("proto: illegal wireType {0}")]
    IllegalWireType(u8),
    #[error("proto: illegal tag {0}")]
    IllegalTag(u64),
    #[error("proto: wrong wireType = {wire_type} for field {field}")]
    WrongWireType { wire_type: u8, field: &'static str },
}

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// One field: its number in the schema, and its value.
pub type Field<'a> = (u32, Value<'a>);

/// The fields of a message, in order. After an error there are no more.
#[derive(Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of a whole message.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The value of the next field, if it has this one-byte key (number and wire type 2).
    #[inline]
    pub fn next_bytes_of(&mut self, key: u8) -> Option<Result<&'a [u8], WireError>> {
        let (first, after) = self.rest.split_first()?;
        if *first != key {
            return None;
        }
        self.rest = after;
        Some(self.bytes())
    }

    fn field(&mut self) -> Result<Field<'a>, WireError> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| WireError::IllegalTag(key >> 3))?;
        if number == 0 {
            return Err(WireError::IllegalTag(0));
        }
        let value = match (key & 7) as u8 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Value::Bytes(self.bytes()?),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            wire_type => return Err(WireError::IllegalWireType(wire_type)),
        };
        Ok((number, value))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        if let Some((&byte, after)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = after;
            return Ok(u64::from(byte));
        }
        let mut number = 0_u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            if index == 9 && byte > 1 {
                return Err(WireError::Overflow);
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(number);
            }
        }
        Err(WireError::UnexpectedEnd)
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let size = usize::try_from(self.varint()?).map_err(|_| WireError::UnexpectedEnd)?;
        let (bytes, after) = self.rest.split_at_checked(size).ok_or(WireError::UnexpectedEnd)?;
        self.rest = after;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (bytes, after) = self.rest.split_first_chunk().ok_or(WireError::UnexpectedEnd)?;
        self.rest = after;
        Ok(*bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields").field("rest_size_bytes", &self.rest.len()).finish()
    }
}

impl<'a> Value<'a> {
    /// A nested message or a string.
    ///
    /// # Errors
    /// The field is of another kind.
    #[inline]
    pub fn bytes(self, field: &'static str) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong(field)),
        }
    }

    #[inline]
    /// A number of up to 64 bits.
    ///
    /// # Errors
    /// The field is of another kind.
    pub fn integer(self, field: &'static str) -> Result<i64, WireError> {
        match self {
            Self::Varint(number) => Ok(number.cast_signed()),
            _ => Err(self.wrong(field)),
        }
    }

    /// A number in zigzag form.
    ///
    /// # Errors
    /// The field is of another kind.
    pub fn signed(self, field: &'static str) -> Result<i64, WireError> {
        match self {
            Self::Varint(number) => Ok(zigzag(number)),
            _ => Err(self.wrong(field)),
        }
    }

    /// A double.
    ///
    /// # Errors
    /// The field is of another kind.
    #[inline]
    pub fn double(self, field: &'static str) -> Result<f64, WireError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.wrong(field)),
        }
    }

    /// Adds one number in zigzag form, or all of a packed list.
    ///
    /// # Errors
    /// The field is of another kind, or the list is cut off.
    pub fn push_signed(self, field: &'static str, out: &mut Vec<i64>) -> Result<(), WireError> {
        match self {
            Self::Bytes(packed) => {
                let mut fields = Fields::new(packed);
                while !fields.rest.is_empty() {
                    out.push(zigzag(fields.varint()?));
                }
            }
            _ => out.push(self.signed(field)?),
        }
        Ok(())
    }

    /// Adds one double, or all of a packed list.
    ///
    /// # Errors
    /// The field is of another kind, or the list is cut off.
    pub fn push_doubles(self, field: &'static str, out: &mut Vec<f64>) -> Result<(), WireError> {
        match self {
            Self::Bytes(packed) => {
                let mut fields = Fields::new(packed);
                while !fields.rest.is_empty() {
                    out.push(f64::from_le_bytes(fields.array()?));
                }
            }
            _ => out.push(self.double(field)?),
        }
        Ok(())
    }

    fn wrong(self, field: &'static str) -> WireError {
        let wire_type = match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Fixed32(_) => 5,
        };
        WireError::WrongWireType { wire_type, field }
    }
}

fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(message: &[u8], expected: &[Result<Field<'_>, WireError>]) {
        let fields: Vec<_> = Fields::new(message).collect();
        assert_eq!(fields, expected, "{message:?}");
    }

    #[test]
    fn fields_are_read_and_ends_are_noticed() {
        use Value::{Bytes, Fixed32, Fixed64, Varint};
        check(&[], &[]);
        check(&[0x08, 0x96, 0x01], &[Ok((1, Varint(150)))]);
        check(&[0x12, 2, b'a', b'b', 0x08, 1], &[Ok((2, Bytes(b"ab"))), Ok((1, Varint(1)))]);
        check(&[0x09, 1, 0, 0, 0, 0, 0, 0, 0], &[Ok((1, Fixed64(1)))]);
        check(&[0x0d, 1, 0, 0, 0], &[Ok((1, Fixed32(1)))]);
        check(&[0x12, 3, b'a'], &[Err(WireError::UnexpectedEnd)]);
        check(&[0x09, 1], &[Err(WireError::UnexpectedEnd)]);
        check(&[0x08, 0xff], &[Err(WireError::UnexpectedEnd)]);
        check(&[0x00, 1], &[Err(WireError::IllegalTag(0))]);
        check(&[0x0b, 1], &[Err(WireError::IllegalWireType(3))]);
        let minus_one = [0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        check(&minus_one, &[Ok((1, Varint(u64::MAX)))]);
        check(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], &[Err(WireError::Overflow)]);
    }

    #[test]
    fn lists_are_read_packed_and_not() {
        let mut numbers = Vec::new();
        Value::Bytes(&[0, 1, 2, 3]).push_signed("x", &mut numbers).unwrap();
        Value::Varint(4).push_signed("x", &mut numbers).unwrap();
        assert_eq!(numbers, [0, -1, 1, -2, 2]);
        let mut doubles = Vec::new();
        Value::Bytes(&1.5_f64.to_le_bytes()).push_doubles("x", &mut doubles).unwrap();
        Value::Fixed64(2.0_f64.to_bits()).push_doubles("x", &mut doubles).unwrap();
        assert_eq!(doubles, [1.5, 2.0]);
        assert!(Value::Bytes(&[1, 2]).push_doubles("x", &mut doubles).is_err());
        assert_eq!(
            Value::Fixed32(1).signed("Schema").unwrap_err().to_string(),
            "proto: wrong wireType = 5 for field Schema"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let count = Fields::new(&bytes).count();
            prop_assert!(count <= bytes.len());
        }
    }
}
