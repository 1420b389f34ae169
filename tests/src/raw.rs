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
    // A client that closes its side says that it has gone, and a server may stop working for it. So only where the server would otherwise wait for more.
    if !bytes.windows(17).any(|part| part.eq_ignore_ascii_case(b"connection: close")) {
        let _ = stream.shutdown().await;
    }
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
