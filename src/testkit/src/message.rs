//! Protobuf messages, put together field by field as a program would encode them. It knows no schema.

/// A message that grows field by field; fields are named by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The message behind its size, as in a stream of messages.
    pub fn delimited(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 5);
        push_varint(&mut out, self.bytes.len() as u64);
        out.extend_from_slice(&self.bytes);
        out
    }

    pub fn integer(mut self, field: u64, number: u64) -> Self {
        push_varint(&mut self.bytes, field << 3);
        push_varint(&mut self.bytes, number);
        self
    }

    /// In zigzag form.
    pub fn signed(self, field: u64, number: i64) -> Self {
        self.integer(field, zigzag(number))
    }

    pub fn double(mut self, field: u64, number: f64) -> Self {
        push_varint(&mut self.bytes, field << 3 | 1);
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.bytes)
    }

    pub fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        push_varint(&mut self.bytes, field << 3 | 2);
        push_varint(&mut self.bytes, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A packed list in zigzag form.
    pub fn signed_list(self, field: u64, numbers: &[i64]) -> Self {
        let mut packed = Vec::new();
        numbers.iter().for_each(|number| push_varint(&mut packed, zigzag(*number)));
        self.bytes(field, &packed)
    }

    /// A packed list.
    pub fn double_list(self, field: u64, numbers: &[f64]) -> Self {
        let packed: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.bytes(field, &packed)
    }

    /// A `google.protobuf.Timestamp`.
    pub fn time(self, field: u64, ms: i64) -> Self {
        let seconds = ms.div_euclid(1_000).cast_unsigned();
        let nanos = ms.rem_euclid(1_000).cast_unsigned() * 1_000_000;
        self.message(field, &Self::new().integer(1, seconds).integer(2, nanos))
    }

    /// A message with a name and a value, both texts: a label.
    pub fn label(self, field: u64, name: &str, value: &str) -> Self {
        self.message(field, &Self::new().text(1, name).text(2, value))
    }
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}
