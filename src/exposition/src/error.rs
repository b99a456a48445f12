//! What is wrong with a body, and where.

/// How much a message shows at most: it stays with its target until the next scrape.
const MESSAGE_SIZE_BYTES_MAX: usize = 4 << 10;

/// A body that its format's grammar refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    message: String,
    line: usize,
    column: usize,
}

impl ParseError {
    /// The error at `offset` bytes into `input`.
    pub(crate) fn at(input: &[u8], offset: usize, mut message: String) -> Self {
        if message.len() > MESSAGE_SIZE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_SIZE_BYTES_MAX));
            message.push_str("...");
            message.shrink_to_fit();
        }
        let before = &input[..offset.min(input.len())];
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1) + 1;
        Self { message, line, column }
    }

    /// The text that Prometheus would show as the target's last error.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Counted from 1, in bytes.
    pub fn column(&self) -> usize {
        self.column
    }
}
