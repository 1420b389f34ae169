//! Has the server tell updates of the resources that somebody wants to hear of: by a request for each in the older era, by a stream for all in the newer.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::{
    link::{Link, Session},
    listen::follow,
};
use crate::{
    provider::CallContext,
    upstream::{
        Change, ChannelError, Era, Uris,
        handshake::{resource_subscription, subscribes},
        raw::{write_json, write_key},
    },
};

/// Requests that are under way at once.
const AT_ONCE: usize = 8;

/// One that is not answered by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sees to it until dropped.
pub(super) async fn run(link: Arc<Link>) {
    let (mut wanted, mut sessions) = (link.wanted.subscribe(), link.sessions());
    // What the server was told, and in which session.
    let mut told: Option<(Arc<Session>, Uris)> = None;
    let mut listening: Option<AbortOnDropHandle<()>> = None;
    loop {
        sessions.borrow_and_update();
        let (session, uris) = (link.session(), wanted.borrow_and_update().clone());
        let before = told.take();
        // Another session knows nothing of what the one before was told.
        let known = before.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &session)).map(|(_, uris)| Arc::clone(uris)).unwrap_or_default();
        if subscribes(&session.server) && known != uris {
            match session.speech.era {
                Era::Legacy => {
                    requests(&link, "resources/subscribe", uris.difference(&known)).await;
                    requests(&link, "resources/unsubscribe", known.difference(&uris)).await;
                    if before.is_some_and(|(of, _)| !Arc::ptr_eq(&of, &session)) {
                        all_updated(&link, &uris);
                    }
                }
                // The stream before ends when this one is there, so that nothing is missed in between.
                Era::Modern => listening = listen(&link, &uris).await,
            }
        }
        told = Some((session, uris));
        let changed = tokio::select! {
            changed = wanted.changed() => changed,
            changed = sessions.changed() => changed,
        };
        if changed.is_err() {
            break;
        }
    }
    drop(listening);
}

/// Asks for each. A server that refuses one tells nothing of it; one that is away is greeted again, and then asked again.
async fn requests(link: &Arc<Link>, method: &'static str, uris: impl Iterator<Item = &String>) {
    let ask = |uri: &String| {
        let mut params = String::from("{");
        write_key(&mut params, "uri");
        write_json(&mut params, uri);
        params.push('}');
        async move {
            let context = CallContext::default();
            let failed = match tokio::time::timeout(PATIENCE, link.request(method, &params, &context, None)).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => error,
                Err(_) => ChannelError::Timeout(PATIENCE),
            };
            tracing::debug!(server = %link.http.id, method, params, "{failed}");
        }
    };
    stream::iter(uris.map(ask).collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// A stream of updates, when it is open or could not be opened in time: it is tried again and again.
async fn listen(link: &Arc<Link>, uris: &BTreeSet<String>) -> Option<AbortOnDropHandle<()>> {
    resource_subscription(&link.session().server, uris)?;
    let (open, is_open) = oneshot::channel();
    let (link, uris) = (Arc::clone(link), uris.clone());
    let task = tokio::spawn(async move {
        let open = std::sync::Mutex::new(Some(open));
        let opened = |_: &Session, again: bool| {
            if let Some(open) = open.lock().ok().and_then(|mut open| open.take()) {
                // Nobody may wait any more.
                let _ = open.send(());
            }
            if again {
                all_updated(&link, &uris);
            }
        };
        follow(&link, &|session| resource_subscription(&session.server, &uris), &opened).await;
    });
    let _ = tokio::time::timeout(PATIENCE, is_open).await;
    Some(AbortOnDropHandle::new(task))
}

/// Any of these may have been updated while nobody listened.
fn all_updated(link: &Link, uris: &BTreeSet<String>) {
    for uri in uris {
        // Nobody may listen.
        let _ = link.changes.send(Change::Updated(uri.clone()));
    }
}
