//! How an instance knows that a request was handed on by another, and not made up by a client: a signature with the
//! keys that all instances have, over whom it is for, when, and all that counts of the request.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

/// Says that an instance has handed the request on, so that none goes in circles. By itself it grants nothing.
pub(crate) const HANDED_ON: HeaderName = HeaderName::from_static("toolbay-handed-on");

/// The address of the client, where the instance that handed the request on tells it.
pub(super) const FOR: HeaderName = HeaderName::from_static("toolbay-handed-on-for");

/// A second signature, over what has to be known before the body is read: who the client is, and the proof of its key.
pub(super) const VOUCHED: HeaderName = HeaderName::from_static("toolbay-handed-on-vouched");

/// The signature.
pub(crate) const PROOF: HeaderName = HeaderName::from_static("toolbay-handed-on-proof");

/// Headers by which a request speaks for its caller. They are signed too, so that a proof is good for nobody else.
const SIGNED: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("dpop"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("mcp-protocol-version"),
];

/// What is signed. It is good for a minute, so that nobody has a use for one that was overheard.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// The address of the instance that it is for.
    #[serde(rename = "t")]
    to: String,
    /// Of the request.
    #[serde(rename = "d")]
    digest: String,
}

/// Signs by keys that all instances have, and checks that.
pub(crate) trait Seal: Send + Sync {
    /// The signed text. None: there is no key.
    fn seal(&self, proof: &Proof) -> Option<String>;

    /// What was signed, unless it is too old or signed by nobody who is known.
    fn open(&self, text: &str) -> Option<Proof>;
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client.
    Client,
    /// It says that it was handed on, and does not prove it: by an instance of an older version or with other keys, or by
    /// somebody who likes to be taken for one.
    Unproven,
    /// Another instance.
    Instance,
}

/// What a request is, as far as that is signed.
pub(super) fn digest(method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("toolbay 2026 request handed on");
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(method.as_str().as_bytes());
    add(path.as_bytes());
    for name in std::iter::once(&HANDED_ON).chain(&SIGNED) {
        // A header that is not there is something else than an empty one.
        match headers.get(name) {
            None => add(&[0]),
            Some(value) => add(&[&[1], value.as_bytes()].concat()),
        }
    }
    add(body);
    hasher.finalize().to_hex().to_string()
}

/// What of a request's head an instance vouches for: the address of its client, and that the proof of its key came to none before.
pub(super) fn vouched(headers: &HeaderMap) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("toolbay 2026 client of a request handed on");
    for name in [&FOR, &header::AUTHORIZATION, &HeaderName::from_static("dpop")] {
        let value = headers.get(name).map(HeaderValue::as_bytes);
        hasher.update(&[u8::from(value.is_some())]);
        let value = value.unwrap_or_default();
        hasher.update(&(value.len() as u64).to_le_bytes()).update(value);
    }
    hasher.finalize().to_hex().to_string()
}

/// Whether an instance that is known vouches for the head of a request that came in here.
pub(super) fn is_vouched(seal: &dyn Seal, own: Option<&str>, headers: &HeaderMap) -> bool {
    let text = headers.get(&VOUCHED).and_then(|value| value.to_str().ok());
    let proof = text.filter(|_| headers.contains_key(&HANDED_ON)).and_then(|text| seal.open(text));
    proof.is_some_and(|Proof { to, digest }| Some(to.as_str()) == own && digest == vouched(headers))
}

/// The proof for an instance at this address.
pub(super) fn proof(seal: &dyn Seal, to: &str, digest: String) -> Option<HeaderValue> {
    HeaderValue::try_from(seal.seal(&Proof { to: to.to_owned(), digest })?).ok()
}

/// Where a request comes from that came in here.
pub(super) fn origin(seal: &dyn Seal, own: Option<&str>, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Origin {
    if !headers.contains_key(&HANDED_ON) {
        return Origin::Client;
    }
    let proof = headers.get(&PROOF).and_then(|value| value.to_str().ok()).and_then(|text| seal.open(text));
    match proof {
        Some(Proof { to, digest: signed }) if Some(to.as_str()) == own && signed == digest(method, path, headers, body) => Origin::Instance,
        _ => Origin::Unproven,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Signs by saying so.
    pub(crate) struct Plain(pub(crate) &'static str);

    impl Seal for Plain {
        fn seal(&self, proof: &Proof) -> Option<String> {
            Some(format!("{} {}", self.0, serde_json::to_string(proof).unwrap()))
        }

        fn open(&self, text: &str) -> Option<Proof> {
            serde_json::from_str(text.strip_prefix(self.0)?).ok()
        }
    }

    const HERE: &str = "http://10.0.0.7:8000";

    #[test]
    fn a_proof_is_good_for_one_request_at_one_instance() {
        let mut right = HeaderMap::new();
        for (name, value) in [(HANDED_ON, "1"), (header::AUTHORIZATION, "Bearer of-ann"), (SIGNED[2].clone(), "session")] {
            right.insert(name, HeaderValue::from_static(value));
        }
        let made = |seal: &dyn Seal, to: &str, headers: &HeaderMap| {
            let mut headers = headers.clone();
            let digest = digest(&Method::POST, "/mcp", &headers, b"{}");
            headers.insert(PROOF, proof(seal, to, digest).unwrap());
            headers
        };
        let here = |headers: &HeaderMap| origin(&Plain("key"), Some(HERE), &Method::POST, "/mcp", headers, b"{}");
        let good = made(&Plain("key"), HERE, &right);
        assert_eq!(here(&good), Origin::Instance);
        assert_eq!(here(&HeaderMap::new()), Origin::Client);
        // Everything else is a request of somebody who says so.
        assert_eq!(here(&right), Origin::Unproven, "no proof");
        assert_eq!(here(&made(&Plain("other"), HERE, &right)), Origin::Unproven, "another key");
        assert_eq!(here(&made(&Plain("key"), "http://10.0.0.8:8000", &right)), Origin::Unproven, "for another instance");
        assert_eq!(origin(&Plain("key"), None, &Method::POST, "/mcp", &good, b"{}"), Origin::Unproven, "an instance without an address");
        for (method, path, body) in [(Method::GET, "/mcp", "{}"), (Method::POST, "/x/mcp", "{}"), (Method::POST, "/mcp", "{ }")] {
            assert_eq!(
                origin(&Plain("key"), Some(HERE), &method, path, &good, body.as_bytes()),
                Origin::Unproven,
                "{method} {path} {body}"
            );
        }
        for (name, value) in
            [(HANDED_ON, "cancel"), (header::AUTHORIZATION, "Bearer of-bob"), (SIGNED[2].clone(), ""), (SIGNED[1].clone(), "")]
        {
            let mut changed = good.clone();
            changed.insert(&name, HeaderValue::from_static(value));
            assert_eq!(here(&changed), Origin::Unproven, "another {name}");
        }
        let mut less = good.clone();
        less.remove(header::AUTHORIZATION);
        assert_eq!(here(&less), Origin::Unproven);
        let mut broken = good;
        broken.insert(PROOF, HeaderValue::from_static("key {}"));
        assert_eq!(here(&broken), Origin::Unproven);
    }

    #[test]
    fn an_instance_vouches_for_one_client_and_one_proof_at_one_instance() {
        let mut right = HeaderMap::new();
        for (name, value) in [(HANDED_ON, "1"), (header::AUTHORIZATION, "DPoP of-ann"), (SIGNED[1].clone(), "proof"), (FOR, "192.0.2.1")] {
            right.insert(name, HeaderValue::from_static(value));
        }
        let made = |seal: &dyn Seal, to: &str| {
            let mut headers = right.clone();
            headers.insert(VOUCHED, proof(seal, to, vouched(&right)).unwrap());
            headers
        };
        let here = |headers: &HeaderMap| is_vouched(&Plain("key"), Some(HERE), headers);
        let good = made(&Plain("key"), HERE);
        assert!(here(&good));
        assert!(!here(&right) && !here(&made(&Plain("other"), HERE)) && !here(&made(&Plain("key"), "http://10.0.0.8:8000")));
        assert!(!is_vouched(&Plain("key"), None, &good));
        for name in [HANDED_ON, header::AUTHORIZATION, SIGNED[1].clone(), FOR] {
            let mut changed = good.clone();
            changed.remove(&name);
            assert!(!here(&changed), "without {name}");
            changed.insert(&name, HeaderValue::from_static("192.0.2.2"));
            assert_eq!(here(&changed), name == HANDED_ON, "another {name}");
        }
        // What vouches for a head is no proof of the whole request, and the other way round.
        let mut crossed = good.clone();
        crossed.insert(PROOF, good[&VOUCHED].clone());
        assert_eq!(origin(&Plain("key"), Some(HERE), &Method::POST, "/mcp", &crossed, b"{}"), Origin::Unproven);
    }
}
