//! What is asked of anything that can be started and then speaks MCP on its stdin and stdout: a program, a container.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::provider::ImageStatus;

/// Starts one more of a kind.
pub trait Launch: Send + Sync {
    /// What has to be done once before the first start and may take long: pulling an image. Its time is not counted to a start.
    fn prepare(&self) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async { Ok(()) })
    }
    /// Starts one. Dropping the future leaves nothing behind.
    fn launch(&self) -> BoxFuture<'_, Result<Launched, LaunchError>>;
    /// What is started, in words for a log: `npx -y some-server`, `image acme/server:1`. Never a secret.
    fn what(&self) -> String;
    /// The image of what was started last, if it is one.
    fn image(&self) -> Option<ImageStatus> {
        None
    }
}

/// One that runs. Dropping it kills it.
pub struct Launched {
    /// Its stdin.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its stdout.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its stderr.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// The thing itself.
    pub running: Box<dyn Running>,
    /// What to do about what it says.
    pub advice: Option<Advice>,
}

/// What an operator can do about a line or an answer of a server, in a sentence. None: nothing.
pub type Advice = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A running program or container. Dropping it kills it, with everything that it started, and reaps it.
pub trait Running: Send {
    /// For a log: `pid 4711`, `container 1a2b3c4d`.
    fn name(&self) -> String;
    /// Waits until it has ended by itself: `exit status 1`, `killed by signal 9`, `over its memory limit (256 MiB)`.
    fn ended(&mut self) -> BoxFuture<'_, String>;
    /// Ends it: its input was closed; after `grace` it is asked to (SIGTERM), after as long again killed. Returns when nothing of it is left.
    fn stop(self: Box<Self>, grace: Duration) -> BoxFuture<'static, ()>;
}

/// Why nothing runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LaunchError(pub String);

impl fmt::Debug for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launched").field("running", &self.running.name()).finish_non_exhaustive()
    }
}
