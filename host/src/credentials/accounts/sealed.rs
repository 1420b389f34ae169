//! What is signed and what is encrypted for accounts, by the keys of `[state]` or by one that this process made up.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use serde::{Serialize, de::DeserializeOwned};
use subtle::ConstantTimeEq as _;

use crate::config::StateConfig;

/// Keys, of which the first signs and encrypts, and all are accepted.
pub(super) struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Those of the configuration. Without any, one of this process's own: what it encrypts is lost with it.
    ///
    /// # Errors
    ///
    /// The machine gives out no random numbers.
    pub(super) fn of(config: &StateConfig) -> Result<Self, String> {
        let derived = |key: &[u8]| blake3::derive_key("toolbay 2026 accounts at servers elsewhere", key);
        let mut keys: Vec<_> = config.keys.iter().map(|key| derived(key.0.as_bytes())).collect();
        if keys.is_empty() {
            keys.push(derived(&random::<32>()?));
        }
        Ok(Self(keys))
    }

    fn first(&self) -> &[u8; 32] {
        // There is one in any case.
        self.0.first().unwrap_or(&[0; 32])
    }

    /// Text that says this value, and that nobody else can make.
    pub(super) fn sign<T: Serialize>(&self, value: &T) -> Result<String, String> {
        let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
        let body = BASE64_URL_SAFE_NO_PAD.encode(text);
        let mac = mac(self.first(), "signature", &body);
        Ok(format!("{body}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac)))
    }

    /// The value of a text that was signed here. None: it was not.
    pub(super) fn verify<T: DeserializeOwned>(&self, text: &str) -> Option<T> {
        let (body, signature) = text.split_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.0.iter().find(|key| bool::from(mac(key, "signature", body).ct_eq(&signature)))?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }

    /// A secret that belongs to a signed text, and that can be made again from it: `purpose` says which. By the key that signed it.
    pub(super) fn secret_of(&self, signed: &str, purpose: &str) -> Option<String> {
        let (body, signature) = signed.split_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = self.0.iter().find(|key| bool::from(mac(key, "signature", body).ct_eq(&signature)))?;
        Some(BASE64_URL_SAFE_NO_PAD.encode(mac(key, purpose, body)))
    }

    /// Encrypts a value that is kept under a name.
    pub(super) fn seal<T: Serialize>(&self, name: &str, value: &T) -> Result<Vec<u8>, String> {
        let mut text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
        let nonce: [u8; NONCE_LEN] = random()?;
        let key = cipher(self.first()).ok_or("the key cannot be used")?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name.as_bytes()), &mut text)
            .map_err(|_| "it cannot be encrypted".to_owned())?;
        Ok([&nonce[..], &text].concat())
    }

    /// The value that was kept under a name. None: by another key, or changed.
    pub(super) fn open<T: DeserializeOwned>(&self, name: &str, sealed: &[u8]) -> Option<T> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        self.0.iter().find_map(|key| {
            let mut text = text.to_vec();
            let opened = cipher(key)?.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(name.as_bytes()), &mut text).ok()?;
            serde_json::from_slice(opened).ok()
        })
    }
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    let key = blake3::derive_key("toolbay 2026 accounts encryption", key);
    UnboundKey::new(&CHACHA20_POLY1305, &key).ok().map(LessSafeKey::new)
}

fn mac(key: &[u8; 32], purpose: &str, text: &str) -> [u8; 32] {
    // The purpose has no line end in it.
    *blake3::keyed_hash(key, format!("{purpose}\n{text}").as_bytes()).as_bytes()
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "this machine gives out no random numbers".to_owned())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn keys(texts: &[&str]) -> Keys {
        let keys = texts.iter().map(|text| Secret((*text).to_owned())).collect();
        Keys::of(&StateConfig { keys, ..StateConfig::default() }).unwrap()
    }

    #[test]
    fn what_was_signed_is_known_again_by_any_key_and_nothing_else_is() {
        let (old, new, other) = (keys(&["old"]), keys(&["new", "old"]), keys(&[]));
        let text = old.sign(&("up", "ann")).unwrap();
        assert_eq!(new.verify::<(String, String)>(&text), Some(("up".to_owned(), "ann".to_owned())));
        assert_eq!(new.secret_of(&text, "pkce"), old.secret_of(&text, "pkce"));
        assert_ne!(old.secret_of(&text, "pkce"), old.secret_of(&text, "browser"));
        assert_eq!(other.verify::<(String, String)>(&text), None);
        assert_eq!(other.secret_of(&text, "pkce"), None);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last character of base64 may have bits that mean nothing.
            assert!(at + 1 == text.len() || old.verify::<(String, String)>(&changed).is_none(), "{changed}");
        }
    }

    #[test]
    fn what_is_encrypted_is_read_by_any_key_and_under_its_own_name_only() {
        let (old, new, other) = (keys(&["old"]), keys(&["new", "old"]), keys(&[]));
        let sealed = old.seal("up/ann", &"token").unwrap();
        assert!(!sealed.windows(5).any(|part| part == b"token"));
        assert_eq!(new.open::<String>("up/ann", &sealed).as_deref(), Some("token"));
        assert_eq!((other.open::<String>("up/ann", &sealed), old.open::<String>("up/bob", &sealed)), (None, None));
        assert_eq!(old.open::<String>("up/ann", &sealed[1..]), None);
        assert_ne!(old.seal("up/ann", &"token").unwrap(), sealed, "each has another nonce");
    }
}
