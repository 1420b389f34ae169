//! What was turned away before anything ran for it, by reason.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{Out, Source, family};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $word:literal,)+) => {
        /// Why something was turned away.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All of them, each at its own place.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The label's value. These are API: they are not renamed.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }

        const COUNT: usize = [$($word,)+].len();
    };
}

reasons! {
    /// No credentials, or wrong ones.
    Authentication => "authentication",
    /// By a name that is not this host's, or from a foreign page.
    Origin => "origin",
    /// Too many connections.
    Connections => "connections",
    /// A body that is too large.
    BodyTooLarge => "body_too_large",
    /// The bodies of all requests hold too much.
    Bodies => "bodies",
    /// Too many sessions.
    Sessions => "sessions",
    /// The queue is full, or nothing became free in time.
    Queue => "queue",
    /// What is called is still being started, or cannot be.
    Unavailable => "unavailable",
    /// There is no such tool.
    UnknownTool => "unknown_tool",
    /// There is no such resource.
    UnknownResource => "unknown_resource",
    /// There is no such prompt.
    UnknownPrompt => "unknown_prompt",
    /// The caller may not do it.
    Denied => "denied",
    /// A policy denies it.
    Policy => "policy",
    /// What counts the limits of all hosts is not there.
    Shared => "shared",
    /// What another instance has handed on came a second time.
    Replay => "replay",
    /// The caller does it too often.
    RateLimit => "rate_limit",
}

/// How many, by reason.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; COUNT]);

impl Refusals {
    pub(super) fn count(&self, reason: Reason) {
        if let Some(count) = self.0.get(reason as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How many, by the word of the reason.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Reason::ALL.iter().zip(&self.0).map(|(reason, count)| (reason.as_str(), count.load(Relaxed)))
    }
}

impl Source for Refusals {
    fn collect(&self, out: &mut Out<'_>) -> fmt::Result {
        let mut samples = out.family(&family::REFUSALS)?;
        for (reason, count) in Reason::ALL.iter().zip(&self.0) {
            samples.add([reason.as_str()], count.load(Relaxed))?;
        }
        Ok(())
    }
}
