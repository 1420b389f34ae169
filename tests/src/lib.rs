//! What the end-to-end suites share: a running server with a folder of its own, clients of both eras of MCP on the wire, and servers to call out to.
//!
//! Nothing here is a stand-in for a part of Toolbay: the suites run the real binary, real plugins and real clients. What is stood in for is the world
//! outside, such as the weather service.

pub mod balancer;
pub mod client;
pub mod engine;
pub mod files;
pub mod lab;
mod load;
pub mod models;
pub mod otlp;
pub mod outside;
pub mod proxy;
pub mod raw;
pub mod redis;
pub mod registry;
pub mod server;
pub mod sse;
pub mod stdio;
pub mod wat;
pub mod weather;

use std::{future::Future, time::Duration};

pub use balancer::Balancer;
pub use client::{Client, Reply};
pub use load::Load;
pub use proxy::Proxy;
pub use redis::Redis;
pub use registry::Registry;
pub use serde_json::{Value, json};
pub use server::{Server, Setup};
pub use stdio::StdioClient;

/// Waits until `look` finds something, and returns that. For states that nobody reports.
///
/// # Panics
///
/// When nothing was found for `patience`.
pub async fn eventually<T, F, Fut>(what: &str, patience: Duration, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let end = tokio::time::Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "waited {patience:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Seconds as a duration, to keep tests short to read.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Milliseconds as a duration.
#[must_use]
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
