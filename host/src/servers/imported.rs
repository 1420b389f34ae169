//! Entries of another program's file: those that cannot be served, as servers that say why, and what
//! there is to say of the others.

use std::time::SystemTime;

use futures::future::BoxFuture;

use super::Member;
use crate::{
    config::ImportedServer,
    provider::{OfferNames, ProviderState, ProviderStatus},
};

/// An entry that cannot be served.
pub(super) struct Unserved {
    name: String,
    source: String,
    error: String,
    notes: Vec<String>,
    since: SystemTime,
}

impl Unserved {
    /// The entry under this name. None: it is served.
    pub(super) fn of(name: &str, imported: &ImportedServer) -> Option<Self> {
        let error = imported.error.clone()?;
        let source = imported.place.to_string();
        tracing::warn!(server = name, "the entry {:?} at {source} is not served: {error}", imported.name);
        Some(Self { name: name.to_owned(), source, error, notes: imported.notes.clone(), since: SystemTime::now() })
    }
}

impl Member for Unserved {
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn status(&self) -> ProviderStatus {
        ProviderStatus {
            name: self.name.clone(),
            kind: "bridge",
            state: ProviderState::Broken,
            source: self.source.clone(),
            digest: None,
            tools: Vec::new(),
            offers: OfferNames::default(),
            error: Some(self.error.clone()),
            warnings: self.notes.clone(),
            imports: Vec::new(),
            in_flight: 0,
            queued: 0,
            replicas: None,
            since: self.since,
            next_try: None,
        }
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A server with what there is to say of its entry among its warnings.
pub(super) fn with_notes(member: Box<dyn Member>, name: &str, notes: Vec<String>) -> Box<dyn Member> {
    if notes.is_empty() {
        return member;
    }
    for note in &notes {
        tracing::warn!(server = name, "{note}");
    }
    Box::new(Noted { member, notes })
}

struct Noted {
    member: Box<dyn Member>,
    notes: Vec<String>,
}

impl Member for Noted {
    fn settled(&self) -> BoxFuture<'_, ()> {
        self.member.settled()
    }

    fn status(&self) -> ProviderStatus {
        let mut status = self.member.status();
        status.warnings.splice(0..0, self.notes.iter().cloned());
        status
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.member.stop()
    }
}
