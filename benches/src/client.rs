//! Answers on the wire: where one ends, and a blocking client for single requests.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, bail};

/// Longer than anything that is asked here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where an answer ends that begins at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) status: u16,
    pub(crate) head: usize,
    pub(crate) end: usize,
}

impl Extent {
    /// Looks for the end of the head, and reads what of it says where the body ends. None: not all is there that has to be seen for it.
    pub(crate) fn of(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(bytes.get(..head).unwrap_or_default()).context("the head of an answer is not text")?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).with_context(|| format!("no status in {first:?}"))?;
        let head = head + 4;
        let end = match header(lines.clone(), "content-length").map(str::parse::<usize>) {
            Some(Ok(length)) => head + length,
            None if status == 202 || status == 204 => head,
            // Chunks end with an empty one. They are few and small here, and nobody looks into them.
            None if header(lines, "transfer-encoding") == Some("chunked") => match bytes.ends_with(b"\r\n0\r\n\r\n") {
                true => bytes.len(),
                false => return Ok(None),
            },
            _ => bail!("an answer that does not say where it ends:\n{text}"),
        };
        Ok(Some(Self { status, head, end }))
    }
}

fn header<'a>(mut lines: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(std::str::from_utf8(&self.head).ok()?.split("\r\n").skip(1), name)
    }
}

/// A connection for one request after the other.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).context("cannot send a request")?;
        let mut bytes = Vec::new();
        let mut chunk = vec![0; 256 << 10];
        let mut extent = None;
        loop {
            if extent.is_none() {
                extent = Extent::of(&bytes)?;
            }
            if let Some(Extent { status, head, end }) = extent
                && bytes.len() >= end
            {
                let body = bytes.split_off(head);
                return Ok(Answer { status, head: bytes, body });
            }
            match self.stream.read(&mut chunk).context("cannot read an answer")? {
                0 => bail!("the server closed the connection before its answer"),
                read => bytes.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            }
        }
    }
}

/// GET, on a connection of its own: the status.
pub(crate) fn get(address: &str, path: &str) -> anyhow::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    Ok(Client::connect(address)?.send(request.as_bytes())?.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(Extent::of(bytes).unwrap(), Some(Extent { status: 200, head: bytes.len() - 3, end: bytes.len() }));
        assert_eq!(Extent::of(bytes.get(..30).unwrap()).unwrap(), None);
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(Extent::of(chunked).unwrap().map(|extent| extent.end), Some(chunked.len()));
        assert_eq!(Extent::of(chunked.get(..58).unwrap()).unwrap(), None);
        assert!(Extent::of(b"HTTP/1.1 200 OK\r\n\r\nabc").is_err());
    }
}
