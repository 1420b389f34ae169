//! Nonces for proofs (RFC 9449, 9): a client has to put one that this host gave it into each proof, so that none can be made long before it is used.
//!
//! A nonce says when it was given, signed with the keys of `[state]`: any host with these accepts it, and nothing is remembered.

use std::sync::OnceLock;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;

use crate::config::Secret;

/// How long a nonce counts, in seconds: a client asks again that often.
const LIFE: u64 = 300;
/// How far the clocks of the hosts may be apart, in seconds.
const APART: u64 = 5;

/// Bytes of the signature.
const SIGNATURE: usize = 16;

/// What gives nonces and knows its own again.
pub(super) struct Nonces {
    /// The first signs, and all are accepted.
    keys: Vec<[u8; 32]>,
}

impl Nonces {
    /// By the keys of `[state]`; without any, by one of this process's own.
    pub(super) fn new(keys: &[Secret]) -> Self {
        let derived = |key: &[u8]| blake3::derive_key("toolbay 2026 nonces of DPoP proofs", key);
        let mut keys: Vec<_> = keys.iter().map(|key| derived(key.0.as_bytes())).collect();
        if keys.is_empty() {
            keys.extend(own().map(|key| derived(key)));
        }
        Self { keys }
    }

    /// One for a client. None: the machine gives out no random numbers.
    pub(super) fn give(&self, now: u64) -> Option<String> {
        let time = now.to_be_bytes();
        let signature = sign(self.keys.first()?, &time);
        Some(BASE64_URL_SAFE_NO_PAD.encode([&time[..], &signature].concat()))
    }

    /// Whether it was given here, or by a host with the same keys, not long ago.
    pub(super) fn accepts(&self, nonce: &str, now: u64) -> bool {
        let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let Some((time, signature)) = bytes.split_first_chunk::<8>() else { return false };
        let given = u64::from_be_bytes(*time);
        let is_ours = self.keys.iter().any(|key| bool::from(sign(key, time).as_slice().ct_eq(signature)));
        is_ours && given <= now.saturating_add(APART) && now < given.saturating_add(LIFE)
    }
}

fn sign(key: &[u8; 32], time: &[u8; 8]) -> [u8; SIGNATURE] {
    let mut signature = [0; SIGNATURE];
    blake3::Hasher::new_keyed(key).update(time).finalize_xof().fill(&mut signature);
    signature
}

/// The key of this process, the same for all configurations.
fn own() -> Option<&'static [u8; 32]> {
    static OWN: OnceLock<Option<[u8; 32]>> = OnceLock::new();
    let make = || {
        let mut key = [0; 32];
        SystemRandom::new().fill(&mut key).ok().map(|()| key)
    };
    OWN.get_or_init(make).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &[&str]) -> Nonces {
        Nonces::new(&keys.iter().map(|key| Secret((*key).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn a_nonce_counts_for_its_time_at_every_host_with_the_key() {
        let (one, other, stranger) = (of(&["new", "old"]), of(&["old"]), of(&["another"]));
        let (nonce, older) = (one.give(1_000).unwrap(), other.give(1_000).unwrap());
        for now in [995, 1_000, 1_299] {
            assert!(one.accepts(&nonce, now) && one.accepts(&older, now), "{now}");
        }
        for now in [0, 994, 1_300, u64::MAX] {
            assert!(!one.accepts(&nonce, now), "{now}");
        }
        assert!(!stranger.accepts(&nonce, 1_000) && !of(&[]).accepts(&nonce, 1_000));
        let (own, again) = (of(&[]), of(&[]));
        assert!(again.accepts(&own.give(7).unwrap(), 7), "a change of the configuration forgets none");
        for wrong in ["", "x", "AAAA", &nonce[1..], &format!("{nonce}A"), &format!("{}AAAA", &nonce[..nonce.len() - 4])] {
            assert!(!one.accepts(wrong, 1_000), "{wrong}");
        }
        // What says another time is not signed.
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&nonce).unwrap();
        bytes[7] ^= 1;
        assert!(!one.accepts(&BASE64_URL_SAFE_NO_PAD.encode(bytes), 1_000));
    }
}
