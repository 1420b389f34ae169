//! The life of a connection: its tasks, and how it ends.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::AsyncRead,
    sync::{mpsc, oneshot, watch},
};
use tokio_util::task::AbortOnDropHandle;

use super::{super::launch::Running, connection::StdioConnection};

/// What a server that has ended wrote before is read for so long: something else may hold its output open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A server that closed its output has so long to end by itself, so that how it ended can be told. A container engine tells it 0.2 to 0.4 s later, and on a
/// busy machine more than a second.
const LAST_BREATH: Duration = Duration::from_secs(3);

/// A server that is of no more use gets so long, twice.
const USELESS: Duration = Duration::from_millis(500);

/// Owns a server, and all tasks of its connection. Dropping it kills the server.
pub(super) struct Life {
    link: Arc<StdioConnection>,
    stop: Mutex<Option<oneshot::Sender<Duration>>>,
    gone: watch::Receiver<bool>,
    _task: AbortOnDropHandle<()>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.link.close("the connection was closed by the host");
    }
}

/// Why it ends.
enum End {
    Exited(String),
    Output(Option<String>),
    Input(String),
    Doomed(String),
    Stopped(Duration),
}

impl Life {
    pub(super) fn begin(
        link: &Arc<StdioConnection>,
        running: Box<dyn Running>,
        stdout: Box<dyn AsyncRead + Send + Unpin>,
        stderr: Box<dyn AsyncRead + Send + Unpin>,
        doomed: mpsc::Receiver<String>,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (gone, is_gone) = watch::channel(false);
        let reader = AbortOnDropHandle::new(tokio::spawn({
            let link = Arc::clone(link);
            async move { link.read(stdout).await }
        }));
        let listener = AbortOnDropHandle::new(tokio::spawn({
            let link = Arc::clone(link);
            async move { link.transport.stderr.follow(&link.server, &link.log, stderr).await }
        }));
        let task = tokio::spawn({
            let link = Arc::clone(link);
            async move {
                live(link, running, (reader, listener), doomed, stopped).await;
                let _ = gone.send(true);
            }
        });
        Self { link: Arc::clone(link), stop: Mutex::new(Some(stop)), gone: is_gone, _task: AbortOnDropHandle::new(task) }
    }

    /// Ends the server and waits until it is gone.
    pub(super) async fn stop(&self, grace: Duration) {
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = stop.send(grace);
        }
        let _ = self.gone.clone().wait_for(|gone| *gone).await;
    }
}

async fn live(
    link: Arc<StdioConnection>,
    mut running: Box<dyn Running>,
    (mut reader, mut listener): (AbortOnDropHandle<Result<(), String>>, AbortOnDropHandle<()>),
    mut doomed: mpsc::Receiver<String>,
    stopped: oneshot::Receiver<Duration>,
) {
    let end = tokio::select! {
        status = running.ended() => End::Exited(status),
        how = &mut reader => End::Output(odd(how)),
        how = link.transport.out.run() => End::Input(how),
        Some(why) = doomed.recv() => End::Doomed(why),
        Ok(grace) = stopped => End::Stopped(grace),
    };
    // How it ended may take a while to be told. A replica that fails every call at once would be the least busy one meanwhile.
    link.end();
    let (why, grace) = match end {
        End::Exited(status) => {
            let how = tokio::time::timeout(LAST_WORDS, &mut reader).await.ok().and_then(odd);
            (ended(&status, how), Duration::ZERO)
        }
        End::Output(how) => match tokio::time::timeout(LAST_BREATH, running.ended()).await {
            Ok(status) => (ended(&status, how), Duration::ZERO),
            Err(_) => (format!("{} and kept running; it was stopped", how.unwrap_or_else(|| "it closed its output".to_owned())), USELESS),
        },
        End::Input(how) => match tokio::time::timeout(LAST_BREATH, running.ended()).await {
            Ok(status) => (ended(&status, None), Duration::ZERO),
            Err(_) => (format!("{how}, and it was stopped"), USELESS),
        },
        End::Doomed(why) => (format!("{why}; it was stopped"), USELESS),
        End::Stopped(grace) => {
            link.transport.out.close();
            running.stop(grace).await;
            return link.close("the server was stopped");
        }
    };
    // Its last words are on their way, unless something that it started holds its stderr open.
    if grace.is_zero() {
        let _ = tokio::time::timeout(LAST_WORDS, &mut listener).await;
    }
    let last = link.transport.stderr.last_words();
    link.close(&format!("{why}{last}"));
    running.stop(grace).await;
}

/// What was odd about the end of a server's output.
fn odd(read: Result<Result<(), String>, tokio::task::JoinError>) -> Option<String> {
    match read {
        Ok(how) => how.err(),
        Err(error) => Some(format!("its reader failed: {error}")),
    }
}

fn ended(status: &str, how: Option<String>) -> String {
    format!("it ended ({status}){}", how.map(|how| format!("; {how}")).unwrap_or_default())
}
