//! Has a server tell updates of the resources that somebody wants to hear of: by a request for each in the
//! older era, by a stream for all in the newer; again when a session took the place of one that was forgotten.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt as _, stream};

use super::{
    Change, Era, Uris,
    raw::{write_json, write_key},
    session::{Session, Transport},
};

/// Requests that are under way at once.
const AT_ONCE: usize = 8;

/// Sees to it until dropped. A server that does not tell of updates needs none of it.
pub(crate) async fn run<T: Transport>(session: Arc<Session<T>>) {
    let (mut wanted, mut opened) = (session.wanted.subscribe(), session.opened.subscribe());
    // What the server was told, and in which of its sessions.
    let mut told: (u64, Uris) = (*opened.borrow_and_update(), Uris::default());
    // The stream of the newer era.
    let mut listening: Option<Box<dyn Send>> = None;
    loop {
        let (number, uris) = (*opened.borrow_and_update(), Arc::clone(&wanted.borrow_and_update()));
        let is_new = told.0 != number;
        // Another session knows nothing of what the one before was told.
        let before = if is_new { Uris::default() } else { Arc::clone(&told.1) };
        if before != uris {
            match session.transport.era() {
                Era::Legacy => {
                    requests(&session, "resources/subscribe", uris.difference(&before)).await;
                    requests(&session, "resources/unsubscribe", before.difference(&uris)).await;
                    if is_new {
                        all_updated(&session, &uris);
                    }
                }
                // The stream before ends when this one is there, so that nothing is missed in between.
                Era::Modern => listening = T::listen(&session, &uris).await,
            }
        }
        told = (number, uris);
        let changed = tokio::select! {
            changed = wanted.changed() => changed,
            changed = opened.changed() => changed,
        };
        if changed.is_err() {
            break;
        }
    }
    drop(listening);
}

/// Asks for each. A server that refuses one tells nothing of it.
async fn requests<T: Transport>(session: &Arc<Session<T>>, method: &'static str, uris: impl Iterator<Item = &String>) {
    let ask = |uri: &String| {
        let mut params = String::from("{");
        write_key(&mut params, "uri");
        write_json(&mut params, uri);
        params.push('}');
        T::ask_aside(session, method, params)
    };
    stream::iter(uris.map(ask).collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Any of these may have been updated while nobody listened.
pub(crate) fn all_updated<T: Transport>(session: &Session<T>, uris: &BTreeSet<String>) {
    for uri in uris {
        // Nobody may listen.
        let _ = session.changes.send(Change::Updated(uri.clone()));
    }
}
