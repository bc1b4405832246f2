//! Lines of bounded length from a byte stream.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// One line, without its line end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole one.
    Whole(Vec<u8>),
    /// The beginning of one that is longer than allowed; the rest of it is skipped.
    TooLong(Vec<u8>),
}

/// Reads lines, holding at most one and what the reader buffers.
pub(crate) struct Lines<R> {
    reader: R,
    max: usize,
    /// In the rest of a line that was too long.
    skipping: bool,
    partial: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// Lines of up to `max` bytes.
    pub(crate) fn new(reader: R, max: usize) -> Self {
        Self { reader, max, skipping: false, partial: Vec::new() }
    }

    /// The next line that is not empty; `None` at the end. Cancel safe: a line that is half read is kept.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let buffer = self.reader.fill_buf().await?;
            if buffer.is_empty() {
                let last = std::mem::take(&mut self.partial);
                return Ok((!last.is_empty()).then_some(Line::Whole(last)));
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let piece = &buffer[..end.unwrap_or(buffer.len())];
            let used = end.map_or(buffer.len(), |end| end + 1);
            let room = self.max - self.partial.len();
            // One more for a carriage return, which is not part of the line.
            let too_long = !self.skipping && piece.strip_suffix(b"\r").unwrap_or(piece).len() > room;
            if !self.skipping {
                self.partial.extend_from_slice(piece.get(..room).unwrap_or(piece));
            }
            self.reader.consume(used);
            if too_long {
                self.skipping = end.is_none();
                return Ok(Some(Line::TooLong(std::mem::take(&mut self.partial))));
            }
            if end.is_none() {
                continue;
            }
            self.skipping = false;
            let mut line = std::mem::take(&mut self.partial);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !line.is_empty() {
                return Ok(Some(Line::Whole(line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::BufReader;

    use super::*;

    async fn read(input: &[u8], max: usize, buffer: usize) -> Vec<Line> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, input), max);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.into())
    }

    #[tokio::test]
    async fn lines_end_in_any_way() {
        let lines = read(b"one\r\n\n\r\ntwo\nthree", 10, 64).await;
        assert_eq!(lines, [whole("one"), whole("two"), whole("three")]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_told_once_and_skipped() {
        for buffer in [1, 2, 3, 7, 64] {
            let lines = read(b"12345\n1234567890\nok\n", 5, buffer).await;
            assert_eq!(
                lines,
                [whole("12345"), Line::TooLong("12345".into()), whole("ok")],
                "buffer {buffer}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_allowed(
            input in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'x')], 0..200),
            max in 1_usize..20,
            buffer in 1_usize..20,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for line in runtime.block_on(read(&input, max, buffer)) {
                let (Line::Whole(line) | Line::TooLong(line)) = line;
                prop_assert!(line.len() <= max);
                prop_assert!(!line.contains(&b'\n'));
            }
        }
    }
}
