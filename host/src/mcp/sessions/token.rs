//! A session's id: everything that an instance has to know of a session, signed, so that any with the same keys goes on with it.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    mcp::signing::{OpenError, SignError, Signer, random},
    provider::Principal,
};

/// What the signature is for, so that it is good for nothing else. The last part is the format's number: an instance of
/// another version that does not know it takes the id for forged, and the client begins again.
const PURPOSE: &str = "toolbay/session/1/";

/// What an id says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::mcp) struct Claims {
    /// The revision that was agreed on.
    #[serde(rename = "v")]
    pub(in crate::mcp) revision: String,
    /// What the client can, as far as somebody may ask: JSON text of an object.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub(in crate::mcp) capabilities: Option<String>,
    /// Digest of whoever opened it. None: nobody in particular.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Where the instance that opened it is reached by others.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(in crate::mcp) home: Option<String>,
    /// Digests of the lists that were on offer.
    #[serde(rename = "l")]
    pub(super) lists: Digests,
    /// Tells two sessions of one client apart.
    #[serde(rename = "n")]
    number: String,
}

/// Digests of the lists of tools, prompts and resources: the same at all instances that offer the same.
pub(super) type Digests = [u32; 3];

impl Claims {
    pub(super) fn new(
        revision: &str,
        capabilities: Option<String>,
        caller: Option<&Principal>,
        home: Option<&str>,
        lists: Digests,
    ) -> Result<Self, SignError> {
        let number = random::<9>().ok_or(SignError::NoKey)?.iter().map(|byte| format!("{byte:02x}")).collect();
        let (revision, home) = (revision.to_owned(), home.map(str::to_owned));
        Ok(Self { revision, capabilities, subject: caller.map(subject), home, lists, number })
    }

    /// Whether this caller opened it.
    pub(super) fn is_of(&self, caller: Option<&Principal>) -> bool {
        self.subject == caller.map(subject)
    }
}

/// By whom a session was opened, without its name.
fn subject(caller: &Principal) -> String {
    blake3::derive_key("toolbay 2026 session subject", caller.subject().as_bytes())
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Makes and reads the ids of one endpoint.
pub(super) struct Tokens {
    signer: Arc<Signer>,
    /// A session of one endpoint is none of another.
    purpose: Box<[u8]>,
}

impl Tokens {
    /// `endpoint`: the provider's name, or none for the endpoint of everything.
    pub(super) fn new(signer: Arc<Signer>, endpoint: Option<&str>) -> Self {
        let purpose = format!("{PURPOSE}{}", endpoint.unwrap_or_default()).into_bytes().into();
        Self { signer, purpose }
    }

    pub(super) fn seal(&self, claims: &Claims, ttl: Duration) -> Result<String, SignError> {
        self.signer.seal(&self.purpose, claims, ttl)
    }

    pub(super) fn open(&self, id: &str) -> Result<Claims, OpenError> {
        self.signer.open(&self.purpose, id)
    }

    /// What makes them good, and tells of its changes.
    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Secret, StateConfig};

    fn signer(keys: &[&str]) -> Arc<Signer> {
        let keys = keys.iter().map(|key| Secret(key.repeat(8))).collect();
        Arc::new(Signer::new(&StateConfig { keys, ..StateConfig::default() }))
    }

    fn claims(caller: Option<&Principal>) -> Claims {
        let able = Some(r#"{"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true},"sampling":{"tools":{}}}"#.to_owned());
        Claims::new("2025-11-25", able, caller, Some("http://10.255.255.17:65535"), [u32::MAX; 3]).unwrap()
    }

    #[test]
    fn any_instance_with_the_keys_reads_an_id_also_while_they_rotate() {
        let [old, both, new, other] = [&["old-"][..], &["new-", "old-"], &["new-"], &["none"]].map(|keys| Tokens::new(signer(keys), None));
        let ann = Principal::new("ann");
        let claims = claims(Some(&ann));
        let hour = Duration::from_secs(3600);
        let id = old.seal(&claims, hour).unwrap();
        assert!(id.len() < 700 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{} {id}", id.len());
        assert_eq!(both.open(&id).unwrap(), claims);
        assert!(claims.is_of(Some(&ann)) && !claims.is_of(Some(&Principal::new("bob"))) && !claims.is_of(None));
        let later = both.seal(&claims, hour).unwrap();
        assert!(new.open(&later).is_ok() && old.open(&later).is_err());
        assert!(new.open(&id).is_err() && other.open(&id).is_err());
        let brief = old.seal(&claims, Duration::from_millis(1)).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        assert!(matches!(both.open(&brief), Err(OpenError::Expired)));
    }

    #[test]
    fn an_id_is_good_at_its_own_endpoint_and_as_it_was_given_out() {
        let signer = signer(&["key-"]);
        let whole = Tokens::new(Arc::clone(&signer), None);
        let id = whole.seal(&claims(None), Duration::from_secs(3600)).unwrap();
        assert!(Tokens::new(Arc::clone(&signer), Some("weather")).open(&id).is_err());
        // Every change of one character, and what other servers give out.
        for at in 0..id.len() {
            let mut changed = id.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(whole.open(std::str::from_utf8(&changed).unwrap()).is_err(), "character {at}");
        }
        for other in
            ["", ".", "rs2", "1868a90c7f3d4b0a9d5e6f7081920a1b", "0195c2d0-7a4e-7f6b-8c1d-2e3f4a5b6c7d", &id[1..], &format!("{id}A")]
        {
            assert!(whole.open(other).is_err(), "{other}");
        }
        // What is signed for something else is no session.
        let task = signer.seal(b"toolbay/taskId/1", &claims(None), Duration::from_secs(60)).unwrap();
        assert!(whole.open(&task).is_err());
    }
}
