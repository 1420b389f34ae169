//! HTTP as bytes on a socket, for what no HTTP client would send.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends bytes, closes the sending half, and returns all that comes back.
///
/// # Panics
///
/// Where the server does not listen, or does not end the connection within 30 s.
pub async fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    // A server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    read(stream).await
}

/// Sends a whole request with `Connection: close`, and answers all that comes back. Unlike [`exchange`] it keeps its side open: one that closes it says that it has
/// gone, and the server may stop working for it.
pub async fn ask(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(request).await.expect("the server takes the request");
    read(stream).await
}

async fn read(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(crate::secs(30), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection stays open after {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer; none where there was no HTTP answer.
#[must_use]
pub fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// A connection on which requests are sent without waiting for the answers in between, for who has very many to send.
pub struct Pipeline {
    address: String,
    stream: Option<TcpStream>,
    read: Vec<u8>,
}

impl Pipeline {
    /// Of a server at this address. It connects when it has something to send.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), stream: None, read: Vec::new() }
    }

    /// Sends requests that are answered one by one, none of them `HEAD`, and answers their statuses. Where the server closes the connection, what it has not
    /// answered is sent on another; one that it answers by nothing but that has the status 0.
    ///
    /// # Panics
    ///
    /// Where the server does not listen, or an answer does not come within 60 s.
    pub async fn ask(&mut self, requests: &[Vec<u8>]) -> Vec<u16> {
        let mut statuses = Vec::with_capacity(requests.len());
        while let Some(rest) = requests.get(statuses.len()..).filter(|rest| !rest.is_empty()) {
            let mut stream = match self.stream.take() {
                Some(stream) => stream,
                None => TcpStream::connect(&self.address).await.expect("the server listens"),
            };
            let (mut from, mut to) = stream.split();
            let (all, read, before) = (rest.concat(), &mut self.read, statuses.len());
            let answers = async {
                let mut piece = vec![0; 64 << 10];
                while statuses.len() < requests.len() {
                    if let Some((status, length)) = answer(read) {
                        read.drain(..length);
                        statuses.push(status);
                        continue;
                    }
                    match from.read(&mut piece).await {
                        Ok(count @ 1..) => read.extend_from_slice(&piece[..count]),
                        _ => return false,
                    }
                }
                true
            };
            // It may be closed before all is sent.
            let sent_and_read = futures::future::join(to.write_all(&all), answers);
            let (_, is_open) = tokio::time::timeout(crate::secs(60), sent_and_read).await.expect("all are answered in time");
            if is_open {
                self.stream = Some(stream);
            } else {
                self.read.clear();
                if statuses.len() == before {
                    statuses.push(0);
                }
            }
        }
        statuses
    }
}

/// The status of the answer at the beginning of these bytes, and how many of them it has. None: it is not whole.
fn answer(bytes: &[u8]) -> Option<(u16, usize)> {
    let find = |what: &[u8], from: usize| bytes.get(from..)?.windows(what.len()).position(|at| at == what).map(|at| from + at + what.len());
    let body = find(b"\r\n\r\n", 0)?;
    let head = String::from_utf8_lossy(&bytes[..body]);
    let (status, head) = (status(&head)?, head.to_ascii_lowercase());
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::trim));
    let end = match header("content-length") {
        Some(length) => body + length.parse::<usize>().ok()?,
        None if header("transfer-encoding").is_some() => find(b"\r\n0\r\n\r\n", body - 2)?,
        None => body,
    };
    (end <= bytes.len()).then_some((status, end))
}
