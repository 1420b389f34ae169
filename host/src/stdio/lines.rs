//! Lines of the input and the output.

use std::io;

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::mpsc,
};

/// What one line of the input is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A message, without the end of its line.
    Message(Bytes),
    /// A line with more bytes than a message may have. None of it is kept.
    TooLong,
}

/// The lines of an input. Empty ones are passed over.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(input: R, limit: usize) -> Self {
        Self { reader: BufReader::with_capacity(64 << 10, input), limit }
    }

    /// The next line. None: the input has ended.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let (mut line, mut too_long) = (Vec::new(), false);
            let ended = loop {
                let chunk = self.reader.fill_buf().await?;
                if chunk.is_empty() {
                    break true;
                }
                let end = chunk.iter().position(|byte| *byte == b'\n');
                let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
                if line.len() + part.len() > self.limit {
                    (too_long, line) = (true, Vec::new());
                } else if !too_long {
                    line.extend_from_slice(part);
                }
                let used = part.len() + usize::from(end.is_some());
                self.reader.consume(used);
                if end.is_some() {
                    break false;
                }
            };
            if too_long {
                return Ok(Some(Line::TooLong));
            }
            // Windows clients end lines by CR LF, and some write a byte order mark first.
            let text = line.trim_ascii();
            let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
            if !text.is_empty() {
                return Ok(Some(Line::Message(Bytes::copy_from_slice(text))));
            }
            if ended {
                return Ok(None);
            }
        }
    }
}

/// What is to be written.
#[derive(Debug)]
pub(super) enum Out {
    Message(Vec<u8>),
    /// Nothing more.
    End,
}

/// Writes messages until the end, each on a line. A reader that has gone is the end too, and no error.
pub(super) async fn write(mut output: impl AsyncWrite + Unpin, mut messages: mpsc::Receiver<Out>) -> io::Result<()> {
    let done = async {
        while let Some(Out::Message(mut message)) = messages.recv().await {
            // Between the tokens of JSON a line break is a blank; inside a string there is none.
            message.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
            message.push(b'\n');
            output.write_all(&message).await?;
            if messages.is_empty() {
                output.flush().await?;
            }
        }
        output.flush().await
    };
    match done.await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &'static [u8], limit: usize) -> Vec<Line> {
        let mut lines = Lines::new(input, limit);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        found
    }

    #[tokio::test]
    async fn lines_end_in_any_way_and_one_that_is_too_long_costs_only_itself() {
        let message = |text: &'static str| Line::Message(Bytes::from_static(text.as_bytes()));
        let input = b"\xEF\xBB\xBF{\"a\":1}\r\n\n   \n0123456789abcdef\n{}\n{\"last\":1}";
        assert_eq!(lines(input, 12).await, [message("{\"a\":1}"), Line::TooLong, message("{}"), message("{\"last\":1}")]);
    }

    #[tokio::test]
    async fn a_message_is_one_line_and_the_end_is_the_end() {
        let (sender, receiver) = mpsc::channel(4);
        for out in [Out::Message(b"{\n\"a\":\r\n1}".to_vec()), Out::End, Out::Message(b"late".to_vec())] {
            sender.send(out).await.unwrap();
        }
        let mut written = Vec::new();
        write(&mut written, receiver).await.unwrap();
        assert_eq!(written, b"{ \"a\":  1}\n");
    }
}
