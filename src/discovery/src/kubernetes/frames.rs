//! Cuts a stream of JSON objects, one after the other with or without white space between them, into its
//! objects. Pure; whether an object means anything is not known here.

/// Larger objects are refused. Compat: an object in etcd has 1.5 MiB at most.
pub(super) const FRAME_SIZE_BYTES_MAX: usize = 8 << 20;

/// The part of a stream that has not been cut yet.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// Up to here the bytes were looked at.
    scanned: usize,
    depth: u32,
    in_string: bool,
    is_escaped: bool,
}

/// An object that is too large, or no object at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadFrame {
    #[error("an event is larger than {FRAME_SIZE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the stream of events is not JSON")]
    NoObject,
}

impl Frames {
    /// Takes the next bytes; the caller takes out all objects before it adds more.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), BadFrame> {
        if self.bytes.len() + bytes.len() > FRAME_SIZE_BYTES_MAX {
            return Err(BadFrame::TooLarge);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole object.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, BadFrame> {
        while let Some(&byte) = self.bytes.get(self.scanned) {
            self.scanned += 1;
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' if self.depth > 0 => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' => self.depth += 1,
                b'}' if self.depth > 1 => self.depth -= 1,
                b'}' if self.depth == 1 => {
                    self.depth = 0;
                    let rest = self.bytes.split_off(self.scanned);
                    self.scanned = 0;
                    return Ok(Some(std::mem::replace(&mut self.bytes, rest)));
                }
                _ if self.depth > 0 || byte.is_ascii_whitespace() => {}
                _ => return Err(BadFrame::NoObject),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(stream: &[u8], piece_size_bytes: usize) -> Result<Vec<String>, BadFrame> {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for piece in stream.chunks(piece_size_bytes) {
            frames.push(piece)?;
            while let Some(frame) = frames.next()? {
                found.push(String::from_utf8_lossy(&frame).trim().to_owned());
            }
        }
        Ok(found)
    }

    #[test]
    fn objects_are_cut_wherever_the_pieces_end() {
        let stream = br#"{"a":1}
{"b":{"c":"}\"{\\"}}{} {"d":
[{}]}  {"half": "#;
        let expected = ["{\"a\":1}", r#"{"b":{"c":"}\"{\\"}}"#, "{}", "{\"d\":\n[{}]}"];
        for size_bytes in 1..stream.len() {
            assert_eq!(cut(stream, size_bytes).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_stream_of_objects_is_refused() {
        assert_eq!(cut(b"<html>", 10), Err(BadFrame::NoObject));
        assert_eq!(cut(b"{}]", 10), Err(BadFrame::NoObject));
        assert_eq!(cut(b"\"a\"", 10), Err(BadFrame::NoObject));
        let endless = [b"{\"a\":\"".to_vec(), vec![b'x'; FRAME_SIZE_BYTES_MAX]].concat();
        assert_eq!(cut(&endless, 64 << 10), Err(BadFrame::TooLarge));
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for size_bytes in [1, 7, 200] {
                drop(cut(&bytes, size_bytes));
            }
        }
    }
}
