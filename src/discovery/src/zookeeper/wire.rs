//! The wire format of ZooKeeper: numbers, texts and lists, big-endian, in frames with a length. Pure.
//! Compat: `zookeeper.jute` of Apache ZooKeeper 3.4 and later.

/// Larger frames are refused. Compat: `jute.maxbuffer` is 1 MiB; lists of children may be configured larger.
pub(super) const FRAME_SIZE_BYTES_MAX: usize = 16 << 20;

const SIZE_BYTES: usize = 4;

/// A frame that is written.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

/// What is left to read of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'f>(&'f [u8]);

/// Bytes that are no frame, or not the one that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadFrame {
    #[error("a frame states a size of {0} bytes")]
    Size(i32),
    #[error("a frame ends too early")]
    Short,
    #[error("a text is not UTF-8")]
    Text,
}

impl Frame {
    pub(super) fn new() -> Self {
        Self(vec![0; SIZE_BYTES])
    }

    pub(super) fn i32(mut self, value: i32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn i64(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn bool(mut self, value: bool) -> Self {
        self.0.push(value.into());
        self
    }

    /// Bytes with their count; texts are written so, too.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self = self.i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.0.extend_from_slice(bytes);
        self
    }

    /// The whole frame.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let size = i32::try_from(self.0.len() - SIZE_BYTES).unwrap_or(i32::MAX);
        self.0[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
        self.0
    }
}

impl<'f> Fields<'f> {
    pub(super) fn of(frame: &'f [u8]) -> Self {
        Self(frame)
    }

    pub(super) fn i32(&mut self) -> Result<i32, BadFrame> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, BadFrame> {
        self.array().map(i64::from_be_bytes)
    }

    /// Bytes with their count; less than none are none.
    pub(super) fn bytes(&mut self) -> Result<&'f [u8], BadFrame> {
        let size_bytes = usize::try_from(self.i32()?).unwrap_or(0);
        let (bytes, rest) = self.0.split_at_checked(size_bytes).ok_or(BadFrame::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'f str, BadFrame> {
        std::str::from_utf8(self.bytes()?).map_err(|_| BadFrame::Text)
    }

    /// No memory is taken for what is only stated.
    pub(super) fn texts(&mut self) -> Result<Vec<String>, BadFrame> {
        let count = self.i32()?;
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.text()?.to_owned());
        }
        Ok(texts)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadFrame> {
        let (array, rest) = self.0.split_first_chunk().ok_or(BadFrame::Short)?;
        self.0 = rest;
        Ok(*array)
    }
}

/// Cuts the first whole frame out of what was read.
pub(super) fn cut(read: &mut Vec<u8>) -> Result<Option<Vec<u8>>, BadFrame> {
    let Some(size) = read.first_chunk().copied().map(i32::from_be_bytes) else { return Ok(None) };
    let size_bytes = usize::try_from(size).ok().filter(|size| *size <= FRAME_SIZE_BYTES_MAX);
    let end = SIZE_BYTES + size_bytes.ok_or(BadFrame::Size(size))?;
    if read.len() < end {
        return Ok(None);
    }
    let rest = read.split_off(end);
    let mut frame = std::mem::replace(read, rest);
    frame.drain(..SIZE_BYTES);
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_stated_and_not_there_is_refused() {
        for (bytes, expected) in [
            (&[][..], Ok(None)),
            (&[0, 0, 0], Ok(None)),
            (&[0, 0, 0, 2, 7], Ok(None)),
            (&[0, 0, 0, 2, 7, 8, 9], Ok(Some(vec![7, 8]))),
            (&[0xff, 0, 0, 0], Err(BadFrame::Size(-16_777_216))),
            (&[0x7f, 0, 0, 0], Err(BadFrame::Size(0x7f00_0000))),
        ] {
            assert_eq!(cut(&mut bytes.to_vec()), expected, "{bytes:?}");
        }
        assert_eq!(Fields::of(&[0x7f, 0, 0, 0, 1]).bytes(), Err(BadFrame::Short));
        assert_eq!(Fields::of(&[0x7f, 0, 0, 0, 0, 0]).texts(), Err(BadFrame::Short));
        assert_eq!(Fields::of(&[0, 0, 0, 1, 0xff]).text(), Err(BadFrame::Text));
        assert_eq!(Fields::of(&[0xff; 4]).bytes(), Ok(&[][..]));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(a: i32, b: i64, text in ".{0,20}", bytes: Vec<u8>) {
            let frame = Frame::new().i32(a).i64(b).bytes(text.as_bytes()).bytes(&bytes).finish();
            let mut read = [&frame[..], &[1, 2]].concat();
            let frame = cut(&mut read).unwrap().unwrap();
            let mut fields = Fields::of(&frame);
            prop_assert_eq!(fields.i32().unwrap(), a);
            prop_assert_eq!(fields.i64().unwrap(), b);
            prop_assert_eq!(fields.text().unwrap(), text);
            prop_assert_eq!(fields.bytes().unwrap(), bytes);
            prop_assert_eq!(read, [1, 2]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            drop(cut(&mut bytes.clone()));
            drop(Fields::of(&bytes).texts());
        }
    }
}
