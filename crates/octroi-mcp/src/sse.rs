//! Server-sent events (WHATWG HTML §9.2): a bounded incremental parser with byte-exact frames, and a writer.

/// Why a stream was given up: the upstream's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One frame is longer than the parser's bound.
    #[error("an event is longer than {max} bytes")]
    FrameTooLong {
        /// The bound in bytes.
        max: usize,
    },
}

/// One piece of a stream: an event with its blank line, or a comment or blank line between events. The `bytes` of all
/// frames, and then [`Parser::rest`], are the stream byte for byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// The exact bytes, line ends included.
    pub bytes: Vec<u8>,
    /// The joined `data` lines; `None` when there was none (comments, keep-alives).
    pub data: Option<Vec<u8>>,
    /// The last `event` field.
    pub event: Option<Vec<u8>>,
    /// The last `id` field (without NUL, as the standard demands); may be empty.
    pub id: Option<Vec<u8>>,
}

/// An incremental parser that holds at most one frame and the chunk last pushed.
#[derive(Debug)]
pub struct Parser {
    max_frame_bytes: usize,
}

impl Parser {
    /// A parser for one stream whose frames may have up to `max_frame_bytes` bytes.
    #[must_use]
    pub fn new(max_frame_bytes: usize) -> Self {
        Self { max_frame_bytes }
    }

    /// Takes the next bytes of the stream and returns the frames they complete.
    ///
    /// # Errors
    /// [`SseError::FrameTooLong`]; the stream cannot be continued after it.
    pub fn push(&mut self, _chunk: &[u8]) -> Result<Vec<Frame>, SseError> {
        Err(SseError::FrameTooLong { max: self.max_frame_bytes })
    }

    /// The bytes of the frame that is not complete: at the end of a stream, what a client would discard.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        todo!()
    }
}

/// A comment, for keep-alive: `: text` and a blank line. Line ends in `text` become spaces.
#[must_use]
pub fn comment(_text: &str) -> Vec<u8> {
    todo!()
}

/// One event. `data` is split at its line ends; line ends and NUL are dropped from `id` and `event`.
#[must_use]
pub fn event(_data: &[u8], _id: Option<&str>, _event: Option<&str>) -> Vec<u8> {
    todo!()
}
