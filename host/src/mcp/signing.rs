//! What clients carry for us between requests, signed: it comes back as it was given out, and any process with the key can read it.

use std::{
    collections::HashSet,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use rmcp::model::{RequestStateCodec, RequestStateError, SealOptions};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{Notify, futures::Notified};

use crate::{
    cluster::{LIFETIME, Proof, Seal},
    config::StateConfig,
};

/// Signs, and checks signatures.
pub(super) struct Signer {
    /// None: this machine gives out no random numbers to make a key of.
    codec: ArcSwapOption<RequestStateCodec>,
    /// The key that signs where none is configured. It is accepted as long as the process lives, also when keys are configured later: it has never left it.
    random: OnceLock<Option<Vec<u8>>>,
    /// How often the keys may have changed.
    version: AtomicU64,
    /// Wakes who keeps what was signed.
    changed: Notify,
}

/// Why something cannot be signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("the host has no key to sign with: set [state] keys")]
    NoKey,
    #[error("it cannot be written: {0}")]
    Unwritable(RequestStateError),
}

/// Why something is not taken for what was signed.
#[derive(Debug)]
pub(super) enum OpenError {
    /// It was good for so long and no longer.
    Expired,
    /// Another copy may have given it out, or this one before it was started again.
    UnknownKey,
    /// It was changed, or made by somebody else.
    Forged,
}

impl Signer {
    /// With the configured keys, of which the first signs, or with a random one.
    pub(super) fn new(config: &StateConfig) -> Self {
        let signer = Self { codec: ArcSwapOption::empty(), random: OnceLock::new(), version: AtomicU64::new(0), changed: Notify::new() };
        signer.reconfigure(config);
        signer
    }

    /// Goes by other keys from now on. What was signed by a key that is not among them is not taken any more.
    pub(super) fn reconfigure(&self, config: &StateConfig) {
        self.take_keys(config);
        self.version.fetch_add(1, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Another number after each change of the keys: what was signed may not be taken any more.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Wakes when the keys have changed.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn take_keys(&self, config: &StateConfig) {
        // Keys of a configuration that was read are long enough; others would be taken for a mistake and not be used.
        let mut keys: Vec<Vec<u8>> = config.keys.iter().map(|key| key.0.as_bytes().to_vec()).collect();
        if !keys.is_empty() {
            keys.extend(self.random.get().cloned().flatten());
            if let Some(codec) = codec(keys) {
                return self.codec.store(Some(Arc::new(codec)));
            }
            tracing::error!("the keys of [state] cannot be used: each needs {} bytes; a random key signs instead", StateConfig::LEAST_KEY);
        }
        let random = self.random.get_or_init(|| random::<{ StateConfig::LEAST_KEY }>().map(|key| key.to_vec()));
        self.codec.store(random.clone().and_then(|key| codec(vec![key])).map(Arc::new));
    }

    /// The text of a value. `purpose`: what the signature is for, so that it is good for nothing else.
    pub(super) fn seal<T: Serialize>(&self, purpose: &[u8], value: &T, ttl: Duration) -> Result<String, SignError> {
        let codec = self.codec.load();
        let codec = codec.as_ref().ok_or(SignError::NoKey)?;
        codec.seal_json_with(value, &SealOptions::new().associated_data(purpose).ttl(ttl)).map_err(SignError::Unwritable)
    }

    /// The value of a text.
    pub(super) fn open<T: DeserializeOwned>(&self, purpose: &[u8], text: &str) -> Result<T, OpenError> {
        let codec = self.codec.load();
        let codec = codec.as_ref().ok_or(OpenError::UnknownKey)?;
        codec.open_json_with(text, purpose).map_err(|error| match error {
            RequestStateError::Expired => OpenError::Expired,
            RequestStateError::UnknownKeyId => OpenError::UnknownKey,
            _ => OpenError::Forged,
        })
    }
}

/// What the signature of a request that is handed on is for.
const HANDED_ON: &[u8] = b"toolbay/handedOn/1";

impl Seal for Signer {
    fn seal(&self, proof: &Proof) -> Option<String> {
        Self::seal(self, HANDED_ON, proof, Duration::from_secs(LIFETIME)).ok()
    }

    fn open(&self, text: &str) -> Option<Proof> {
        Self::open(self, HANDED_ON, text).ok()
    }
}

/// A key's id is a digest of it, so that copies agree on it without being told.
fn codec(keys: Vec<Vec<u8>>) -> Option<RequestStateCodec> {
    let id = |key: &[u8]| {
        blake3::derive_key("toolbay 2026 requestState key id", key).iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let first = id(keys.first()?);
    let mut seen = HashSet::new();
    let keys: Vec<_> = keys.into_iter().map(|key| (id(&key), key)).filter(|(id, _)| seen.insert(id.clone())).collect();
    RequestStateCodec::new_with_keyring(first, keys).ok()
}

/// Bytes that nobody can guess. None: this machine has none.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes)
}
