//! MCP on stdin and stdout: what desktop clients speak.
//!
//! One message a line in, one message a line out, by any revision. Each message becomes a request of
//! Streamable HTTP to an [`Endpoint`]: the host in this process, or one that runs elsewhere. So there is one
//! implementation of the protocol, and stdio can do what HTTP can: sessions, questions, tasks, subscriptions.
//!
//! What stdio has and HTTP has not is made up here: a session belongs to the process and is opened again
//! where the other end has lost it, and a call of 2026-07-28 is cancelled by a message.

mod bridge;
mod endpoint;
mod lines;
mod link;
mod message;
mod messages;
mod requests;
mod session;

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

pub use endpoint::{Answer, Endpoint, EndpointError, Host, Remote};

use bridge::Bridge;
use lines::{Line, Lines, Out};

/// Messages that wait for a client that does not read.
const QUEUE: usize = 64;

/// How it goes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of one message from the client.
    pub max_message: usize,
    /// How long requests in flight may take once the input has ended.
    pub drain: Duration,
}

/// Serves one client until its input ends, and then until what it asked for is answered.
///
/// Dropping the future ends everything at once.
///
/// # Errors
///
/// Where stdin cannot be read or stdout cannot be written, by a sentence. A client that closed stdout is none.
pub async fn serve(
    endpoint: Arc<dyn Endpoint>,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    options: Options,
) -> Result<(), String> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let bridge = Bridge::new(endpoint, sender.clone());
    // Also where this future is dropped.
    let _ends = bridge.until_dropped();
    let reading = async {
        let mut lines = Lines::new(input, options.max_message);
        loop {
            match lines.next().await.map_err(|error| format!("cannot read from stdin: {error}"))? {
                Some(Line::Message(message)) => bridge.take(message).await,
                Some(Line::TooLong) => bridge.refuse_long(options.max_message).await,
                None => break,
            }
        }
        // A client that ends its input and wants no answers sends a signal next.
        let _ = tokio::time::timeout(options.drain, bridge.finished()).await;
        bridge.end().await;
        // What was answered by now is written before it.
        let _ = sender.send(Out::End).await;
        Ok::<_, String>(())
    };
    let mut writing = pin!(lines::write(output, receiver));
    let told = |error| format!("cannot write to stdout: {error}");
    tokio::select! {
        read = reading => {
            read?;
            writing.await.map_err(told)
        }
        written = &mut writing => written.map_err(told),
    }
}
