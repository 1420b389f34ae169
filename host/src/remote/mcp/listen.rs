//! The stream on which a server tells of changes: GET in the older era, `subscriptions/listen` in the newer. A server need not have one.

use std::{sync::Arc, time::Duration};

use http::Method;
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

use super::{
    connection::{Agreed, HttpConnection},
    http::Failure,
};
use crate::{
    provider::CallContext,
    upstream::{
        ChannelError, Era, Uris, all_updated,
        handshake::{resource_subscription, subscription},
        message::{self, Incoming},
        meta,
        sse_decoder::SseDecoder,
    },
};

/// Between two attempts: from the first to the longest, doubled each time, with a random part.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// A stream that held so long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// A stream that is not open by then is not waited for.
const OPENING: Duration = Duration::from_secs(10);

/// How a stream ended.
enum End {
    /// There is none.
    None,
    /// It broke or ended, or could not be had.
    Over,
    /// The server does not know the session.
    Forgotten,
}

/// Listens for changes of lists until dropped.
pub(super) async fn run(link: Arc<HttpConnection>) {
    let changed = |session: &Agreed, again: bool| {
        if again {
            link.all_changed(&session.server);
        }
    };
    follow(&link, &|session| subscription(&session.server), &changed).await;
}

/// Has the server tell updates of these resources, by the rules of the newer era. The stream is open when this
/// returns, or could not be opened in time: it is tried again and again until the task ends.
pub(super) async fn updates(link: Arc<HttpConnection>, uris: Uris) -> JoinHandle<()> {
    let (open, is_open) = oneshot::channel();
    let task = tokio::spawn(async move {
        let open = std::sync::Mutex::new(Some(open));
        let opened = |_: &Agreed, again: bool| {
            if let Some(open) = open.lock().ok().and_then(|mut open| open.take()) {
                // Nobody may wait any more.
                let _ = open.send(());
            }
            if again {
                all_updated(&link, &uris);
            }
        };
        follow(&link, &|agreed| resource_subscription(&agreed.server, &uris), &opened).await;
    });
    let _ = tokio::time::timeout(OPENING, is_open).await;
    task
}

/// Keeps a stream open until dropped. `params`: of `subscriptions/listen`, in the newer era. `opened` is told of each stream, and whether there was one
/// before, so that something may have been missed since.
pub(super) async fn follow(link: &Arc<HttpConnection>, params: &Params<'_>, opened: &Opened<'_>) {
    let mut sessions = link.sessions();
    let mut pause = PAUSE;
    let mut before = false;
    loop {
        sessions.borrow_and_update();
        let session = link.agreed();
        let began = Instant::now();
        let open = || opened(&session, std::mem::replace(&mut before, true));
        let end = tokio::select! {
            end = stream(link, &session, params(&session), open) => end,
            changed = sessions.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match end {
            End::None => {
                if sessions.changed().await.is_err() {
                    return;
                }
                continue;
            }
            End::Forgotten => {
                // What comes of it is seen in the sessions, or in the link being closed.
                let _ = link.reopen(&session).await;
            }
            End::Over => {}
        }
        if began.elapsed() >= GOOD {
            pause = PAUSE;
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Makes the params of a stream. None: there is nothing to listen for.
type Params<'a> = dyn Fn(&Agreed) -> Option<String> + Send + Sync + 'a;

/// Is told of a stream.
type Opened<'a> = dyn Fn(&Agreed, bool) + Send + Sync + 'a;

async fn stream(link: &Arc<HttpConnection>, session: &Arc<Agreed>, params: Option<String>, opened: impl FnOnce()) -> End {
    let speech = &session.speech;
    let mut headers = speech.headers();
    let sent = match speech.era {
        Era::Legacy => link.transport.send(Method::GET, headers, None, None).await,
        Era::Modern => {
            let Some(params) = params else { return End::None };
            let id = link.next_id();
            let meta = meta::outgoing(Era::Modern, &CallContext::default(), id);
            link.transport.params.write(&mut headers, "subscriptions/listen", &params);
            let body = message::request(id, "subscriptions/listen", &params, meta.as_deref());
            link.transport.send(Method::POST, headers, Some(body), None).await
        }
    };
    let mut response = match sent {
        Ok(response) => response,
        Err(Failure::Refused(refusal)) if speech.session.is_some() && refusal.is_of_session() => return End::Forgotten,
        Err(Failure::Refused(refusal)) if refusal.status.is_client_error() => return End::None,
        Err(failure) => {
            tracing::debug!(server = %link.transport.http.id, "no stream of changes: {}", ChannelError::from(failure));
            return End::Over;
        }
    };
    let is_stream =
        response.headers().get(http::header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        return End::None;
    }
    opened();
    let mut events = SseDecoder::new(link.transport.http.limits.max_message);
    loop {
        let Ok(Some(bytes)) = response.chunk().await else { return End::Over };
        if events.push(&bytes).is_err() {
            return End::Over;
        }
        while let Some(data) = events.next() {
            match Incoming::parse(&data) {
                Some(Incoming::Notification { method, params }) => link.notified(&method, params, None),
                Some(Incoming::Request { id, method, params }) => link.requested(id, &method, params, None),
                Some(Incoming::Answer { .. }) | None => {}
            }
        }
    }
}
