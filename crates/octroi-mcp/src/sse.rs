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
    /// The bytes of the frame that is not complete.
    buffer: Vec<u8>,
    /// Where the current line starts in `buffer`.
    line: usize,
    /// Up to where `buffer` is known to hold no further line end.
    scanned: usize,
    /// The last byte seen was a CR that ended a line: an LF that follows belongs to it.
    after_cr: bool,
    /// No line was read yet: a byte order mark may come.
    at_start: bool,
    /// A frame was too long: the stream is given up.
    failed: bool,
    event: Event,
}

/// The fields of the event being read.
#[derive(Debug, Default)]
struct Event {
    begun: bool,
    data: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
}

impl Parser {
    /// A parser for one stream whose frames may have up to `max_frame_bytes` bytes.
    #[must_use]
    pub fn new(max_frame_bytes: usize) -> Self {
        Self {
            max_frame_bytes,
            buffer: Vec::new(),
            line: 0,
            scanned: 0,
            after_cr: false,
            at_start: true,
            failed: false,
            event: Event::default(),
        }
    }

    /// Takes the next bytes of the stream and returns the frames they complete.
    ///
    /// Frames come out as early as they can. So when a chunk ends between the CR and the LF of a blank line, the frame is
    /// given at once and the LF leads the bytes of the next one: no byte is lost, and no reader is disturbed by it.
    ///
    /// # Errors
    /// [`SseError::FrameTooLong`], after the frames before the long one were returned; the stream cannot be continued.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Frame>, SseError> {
        let mut frames = Vec::new();
        if !self.failed {
            self.buffer.extend_from_slice(chunk);
            let taken = self.take_frames(&mut frames);
            self.buffer.drain(..taken);
            self.line -= taken;
            self.scanned -= taken;
            self.failed |= self.buffer.len() > self.max_frame_bytes;
        }
        if self.failed && frames.is_empty() {
            return Err(SseError::FrameTooLong { max: self.max_frame_bytes });
        }
        Ok(frames)
    }

    /// The bytes of the frame that is not complete: at the end of a stream, what a client would discard.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.buffer
    }

    /// Collects the complete frames and returns how many bytes they have.
    fn take_frames(&mut self, frames: &mut Vec<Frame>) -> usize {
        let mut taken = 0;
        loop {
            if self.after_cr && self.scanned < self.buffer.len() {
                self.after_cr = false;
                if self.buffer[self.scanned] == b'\n' {
                    self.scanned += 1;
                    self.line = self.scanned;
                }
            }
            let unread = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(offset) = memchr::memchr2(b'\n', b'\r', unread) else {
                self.scanned = self.buffer.len();
                return taken;
            };
            let end = self.scanned + offset;
            let line = self.buffer.get(self.line..end).unwrap_or_default();
            let line = if self.at_start { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
            self.at_start = false;
            let complete = self.event.line(line);
            let crlf = self.buffer.get(end..end + 2) == Some(b"\r\n");
            self.after_cr = self.buffer.get(end..) == Some(b"\r");
            self.line = end + if crlf { 2 } else { 1 };
            self.scanned = self.line;
            if complete {
                if self.line - taken > self.max_frame_bytes {
                    self.failed = true;
                    return taken;
                }
                let bytes = self.buffer.get(taken..self.line).unwrap_or_default().to_vec();
                let Event { data, name, id, .. } = std::mem::take(&mut self.event);
                frames.push(Frame { bytes, data, event: name, id });
                taken = self.line;
            }
        }
    }
}

impl Event {
    /// Takes one line without its end; tells whether it completes a frame. A comment outside an event is a frame of its
    /// own, so that keep-alives are not held back.
    fn line(&mut self, line: &[u8]) -> bool {
        if line.is_empty() || (line[0] == b':' && !self.begun) {
            return true;
        }
        self.begun = true;
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = match value {
            [b':', b' ', text @ ..] | [b':', text @ ..] => text,
            _ => b"",
        };
        match field {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                none => *none = Some(value.to_vec()),
            },
            b"event" => self.name = Some(value.to_vec()),
            b"id" if !value.contains(&0) => self.id = Some(value.to_vec()),
            _ => {}
        }
        false
    }
}

/// A comment, for keep-alive: `: text` and a blank line. Line ends in `text` become spaces.
#[must_use]
pub fn comment(text: &str) -> Vec<u8> {
    let mut out = b": ".to_vec();
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    out.extend_from_slice(b"\n\n");
    out
}

/// One event. `data` is split at its line ends (LF, CRLF, CR), which all read back as LF; line ends and NUL are dropped
/// from `id` and `event`.
#[must_use]
pub fn event(data: &[u8], id: Option<&str>, event: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 16);
    for (field, value) in [("event: ", event), ("id: ", id)] {
        if let Some(value) = value {
            out.extend_from_slice(field.as_bytes());
            out.extend(value.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r' | 0)));
            out.push(b'\n');
        }
    }
    let mut rest = data;
    loop {
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(end);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
        match tail {
            [] => break,
            [b'\r', b'\n', after @ ..] | [_, after @ ..] => rest = after,
        }
    }
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests;
