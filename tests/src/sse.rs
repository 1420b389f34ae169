//! Server-sent events, as far as MCP uses them: each event's data is one JSON-RPC message.

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use serde_json::Value;

/// A stream of JSON-RPC messages. Dropping it closes the connection.
pub struct Messages {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Messages {
    /// Reads the messages of a response's body.
    #[must_use]
    pub fn new(body: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static) -> Self {
        Self { body: body.boxed(), buffer: Vec::new() }
    }

    /// The next message; none when the stream has ended.
    ///
    /// # Panics
    ///
    /// Where an event's data is no JSON.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(event) = self.take_event() {
                let data: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
                let data = data.join("\n");
                if !data.trim().is_empty() {
                    return Some(serde_json::from_str(&data).unwrap_or_else(|e| panic!("an event that is not a JSON ({e}): {data}")));
                }
            }
            self.buffer.extend_from_slice(&self.body.next().await?.ok()?);
        }
    }

    /// Waits for a message of a method.
    ///
    /// # Panics
    ///
    /// When none comes within 20 s, or the stream ends.
    pub async fn wait_method(&mut self, method: &str) -> Value {
        let search = async {
            loop {
                let message = self.next().await.unwrap_or_else(|| panic!("the stream ended before {method}"));
                if message["method"] == method {
                    return message;
                }
            }
        };
        tokio::time::timeout(crate::secs(20), search).await.unwrap_or_else(|_| panic!("no {method} within 20 s"))
    }

    fn take_event(&mut self) -> Option<String> {
        let (at, gap) = [(b"\n\n".as_slice(), 2), (b"\r\n\r\n".as_slice(), 4)]
            .into_iter()
            .filter_map(|(end, gap)| self.buffer.windows(gap).position(|window| window == end).map(|at| (at, gap)))
            .min()?;
        let event = self.buffer.drain(..at + gap).collect::<Vec<u8>>();
        Some(String::from_utf8(event).expect("events are UTF-8"))
    }
}
