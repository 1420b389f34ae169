//! What was read in conversations, by all hosts together: the rule on what may leave one holds wherever its next call goes.

use std::{sync::LazyLock, time::Duration};

use super::{Fault, Link, Script};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("flow.lua")));

/// Conversations of one caller that are told apart. Past it, all further ones count as one.
const OF_CALLER: usize = 1_000;

/// The bits of what was read, as they are kept. These are in Redis: they are not given another meaning.
const PRIVATE: u8 = 1;
const UNTRUSTED: u8 = 2;

/// What was read in a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HasRead {
    /// Something that is not for everybody.
    pub private: bool,
    /// Something that strangers have written.
    pub untrusted: bool,
}

impl HasRead {
    fn bits(self) -> u8 {
        u8::from(self.private) * PRIVATE | u8::from(self.untrusted) * UNTRUSTED
    }

    fn of(bits: u8) -> Self {
        Self { private: bits & PRIVATE != 0, untrusted: bits & UNTRUSTED != 0 }
    }
}

impl Link {
    /// What all hosts have read in a conversation so far, and adds what is read from now on. `caller`: None where callers are not told apart. `own`: the
    /// caller's name for the conversation. `window`: how long it is remembered after its last call.
    ///
    /// # Errors
    ///
    /// [`Fault`]: nobody knows what was read.
    pub async fn has_read(&self, caller: Option<&str>, own: Option<&str>, adds: HasRead, window: Duration) -> Result<HasRead, Fault> {
        // The first calls of a host come before it is connected.
        self.tried().await;
        let (key, name) =
            (format!("{}:flow:{{{}}}", self.prefix(), digest(caller)), own.map_or_else(|| "*".to_owned(), |own| digest(Some(own))));
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
        let call = SCRIPT.with_keys([key]).arg(name).arg(adds.bits()).arg(window).arg(OF_CALLER);
        self.run::<u8>(&call).await.map(HasRead::of)
    }
}

/// The same at all hosts. Names of people and of conversations are not told to whoever may list keys.
fn digest(text: Option<&str>) -> String {
    let mut hasher = blake3::Hasher::new();
    // A caller without a name is another one than a caller whose name is empty.
    hasher.update(&[u8::from(text.is_some())]).update(text.unwrap_or_default().as_bytes());
    hasher.finalize().to_hex().get(..32).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_kept_as_it_is() {
        for (private, untrusted) in [(false, false), (true, false), (false, true), (true, true)] {
            let read = HasRead { private, untrusted };
            assert_eq!(HasRead::of(read.bits()), read);
        }
        let digests = [None, Some(""), Some("ann"), Some("bob")].map(digest);
        assert!(digests.iter().enumerate().all(|(at, one)| one.len() == 32 && !digests[..at].contains(one)), "{digests:?}");
    }
}
