//! How an instance knows that a request was handed on by another, and not made up by a client or sent again by who has overheard it: a signature with the
//! keys that all instances have, over whom it is for, when, and all that counts of the request, good for one time.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

use super::replay::Replays;
use crate::unix_time;

/// Says that an instance has handed the request on, so that none goes in circles. By itself it grants nothing.
pub(crate) const HANDED_ON: HeaderName = HeaderName::from_static("toolbay-handed-on");

/// The address of the client, where the instance that handed the request on tells it.
pub(super) const FOR: HeaderName = HeaderName::from_static("toolbay-handed-on-for");

/// A second signature, over what has to be known before the body is read: who the client is, and the proof of its key.
pub(super) const VOUCHED: HeaderName = HeaderName::from_static("toolbay-handed-on-vouched");

/// The signature.
pub(crate) const PROOF: HeaderName = HeaderName::from_static("toolbay-handed-on-proof");

/// In an answer: the instance has not taken the request, and this is the name of its process, which a proof for it has to have.
pub(crate) const START: HeaderName = HeaderName::from_static("toolbay-start");

/// Headers by which a request speaks for its caller. They are signed too, so that a proof is good for nobody else.
const SIGNED: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("dpop"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("mcp-protocol-version"),
];

/// For so many seconds a proof is good: longer than it takes to get from one instance to another, and clocks to differ.
pub(crate) const LIFETIME: u64 = 60;

/// What is signed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// The address of the instance that it is for.
    #[serde(rename = "t")]
    pub(super) to: String,
    /// Of the request.
    #[serde(rename = "d")]
    pub(super) digest: String,
    /// What makes it good for one time. None: by an instance of a version that does not know of that.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(super) once: Option<Once>,
}

/// What makes a proof good for one time, at one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Once {
    /// The process that it is for: one that is started later at the same address has taken nothing yet, and would take all of it again. Empty: whose name is
    /// not known yet.
    #[serde(rename = "s")]
    pub(super) start: String,
    /// The process that it is from.
    #[serde(rename = "f")]
    pub(super) from: String,
    /// That one's number of it.
    #[serde(rename = "n")]
    pub(super) number: u64,
    /// Seconds since 1970, by the clock of who has signed it.
    #[serde(rename = "u")]
    pub(super) until: u64,
}

/// Signs by keys that all instances have, and checks that.
pub(crate) trait Seal: Send + Sync {
    /// The signed text. None: there is no key.
    fn seal(&self, proof: &Proof) -> Option<String>;

    /// What was signed, unless it is too old or signed by nobody who is known.
    fn open(&self, text: &str) -> Option<Proof>;
}

/// Where a request comes from, as far as its headers say it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client.
    Client,
    /// It says that it was handed on, and does not prove it: by an instance of an older version or with other keys, or by
    /// somebody who likes to be taken for one.
    Unproven,
    /// Another instance, if it is the request that was signed.
    Instance(HandedOn),
    /// An instance has signed it for a process that was here before this one, or does not know this one yet.
    Other,
    /// An instance has signed it, and it was here already.
    Again,
}

/// The proof of a request, of which only the request itself is still to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandedOn {
    digest: String,
}

impl HandedOn {
    /// Whether it is for this request.
    pub(crate) fn is_for(&self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> bool {
        self.digest == digest(method, path, headers, body)
    }
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
    proof.is_some_and(|Proof { to, digest, .. }| Some(to.as_str()) == own && digest == vouched(headers))
}

/// What vouches for a request's head, for an instance at this address.
pub(super) fn vouch(seal: &dyn Seal, to: &str, headers: &HeaderMap) -> Option<HeaderValue> {
    // Good for more than one time: the proof of a client's key is not, and nothing else is granted by it.
    HeaderValue::try_from(seal.seal(&Proof { to: to.to_owned(), digest: vouched(headers), once: None })?).ok()
}

/// The name of a process, which no other one has. None: this machine gives out no random numbers.
pub(super) fn name() -> Option<String> {
    let mut bytes = [0; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What a receiver goes by.
pub(super) struct Receiver<'a> {
    pub(super) seal: &'a dyn Seal,
    /// Its address.
    pub(super) own: Option<&'a str>,
    /// Its name.
    pub(super) start: Option<&'a str>,
    pub(super) replays: &'a Replays,
}

impl Receiver<'_> {
    /// Where a request with these headers comes from. Each proof is taken once.
    pub(super) fn origin(&self, headers: &HeaderMap) -> Origin {
        if !headers.contains_key(&HANDED_ON) {
            return Origin::Client;
        }
        let proof = headers.get(&PROOF).and_then(|value| value.to_str().ok()).and_then(|text| self.seal.open(text));
        let Some(Proof { to, digest, once: Some(once) }) = proof else { return Origin::Unproven };
        let now = unix_time::seconds();
        // By a clock that is far ahead: what is remembered of it could not be forgotten.
        if self.own != Some(to.as_str()) || once.until < now || once.until > now + 2 * LIFETIME {
            return Origin::Unproven;
        }
        match self.start {
            None => Origin::Unproven,
            Some(start) if start != once.start => Origin::Other,
            Some(_) if self.replays.take(&once.from, once.number, once.until, now) => Origin::Instance(HandedOn { digest }),
            Some(_) => Origin::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{super::tests::Plain, *};

    const HERE: &str = "http://10.0.0.7:8000";
    const START: &str = "this-process";

    /// A proof for a request at that instance.
    fn made(key: &'static str, to: &str, once: Option<Once>, headers: &HeaderMap) -> HeaderMap {
        let mut headers = headers.clone();
        let proof = Proof { to: to.to_owned(), digest: digest(&Method::POST, "/mcp", &headers, b"{}"), once };
        headers.insert(PROOF, HeaderValue::try_from(Plain(key).seal(&proof).unwrap()).unwrap());
        headers
    }

    fn once(number: u64) -> Once {
        Once { start: START.to_owned(), from: "another".to_owned(), number, until: unix_time::seconds() + LIFETIME }
    }

    fn right() -> HeaderMap {
        let mut right = HeaderMap::new();
        for (name, value) in [(HANDED_ON, "1"), (header::AUTHORIZATION, "Bearer of-ann"), (SIGNED[2].clone(), "session")] {
            right.insert(name, HeaderValue::from_static(value));
        }
        right
    }

    #[test]
    fn a_proof_is_good_for_one_request_at_one_instance() {
        let replays = Replays::default();
        let receiver = |own, start| Receiver { seal: &Plain("key"), own, start, replays: &replays };
        let right = right();
        let here = |headers: &HeaderMap| receiver(Some(HERE), Some(START)).origin(headers);
        let Origin::Instance(on) = here(&made("key", HERE, Some(once(1)), &right)) else { panic!("it is right") };
        assert!(on.is_for(&Method::POST, "/mcp", &right, b"{}"));
        assert_eq!(here(&HeaderMap::new()), Origin::Client);
        // Everything else is a request of somebody who says so.
        assert_eq!(here(&right), Origin::Unproven, "no proof");
        assert_eq!(here(&made("other", HERE, Some(once(2)), &right)), Origin::Unproven, "another key");
        assert_eq!(here(&made("key", "http://10.0.0.8:8000", Some(once(2)), &right)), Origin::Unproven, "for another instance");
        assert_eq!(here(&made("key", HERE, None, &right)), Origin::Unproven, "an older version");
        let good = made("key", HERE, Some(once(2)), &right);
        assert_eq!(receiver(None, Some(START)).origin(&good), Origin::Unproven, "an instance without an address");
        assert_eq!(receiver(Some(HERE), None).origin(&good), Origin::Unproven, "an instance without a name");
        for until in [0, unix_time::seconds() - 1, unix_time::seconds() + 3 * LIFETIME] {
            assert_eq!(here(&made("key", HERE, Some(Once { until, ..once(2) }), &right)), Origin::Unproven, "{until}");
        }
        let mut broken = good.clone();
        broken.insert(PROOF, HeaderValue::from_static("key {}"));
        assert_eq!(here(&broken), Origin::Unproven);
        // Nothing of that has used it up.
        assert!(matches!(here(&good), Origin::Instance(_)));
        // And it is for this very request.
        for (method, path, body) in [(Method::GET, "/mcp", "{}"), (Method::POST, "/x/mcp", "{}"), (Method::POST, "/mcp", "{ }")] {
            assert!(!on.is_for(&method, path, &right, body.as_bytes()), "{method} {path} {body}");
        }
        for (name, value) in
            [(HANDED_ON, "cancel"), (header::AUTHORIZATION, "Bearer of-bob"), (SIGNED[2].clone(), ""), (SIGNED[1].clone(), "")]
        {
            let mut changed = right.clone();
            changed.insert(&name, HeaderValue::from_static(value));
            assert!(!on.is_for(&Method::POST, "/mcp", &changed, b"{}"), "another {name}");
        }
        let mut less = right;
        less.remove(header::AUTHORIZATION);
        assert!(!on.is_for(&Method::POST, "/mcp", &less, b"{}"));
    }

    #[test]
    fn a_proof_is_taken_once_by_one_process() {
        let replays = Replays::default();
        let process = |start, replays| Receiver { seal: &Plain("key"), own: Some(HERE), start: Some(start), replays };
        let good = made("key", HERE, Some(once(1)), &right());
        assert!(matches!(process(START, &replays).origin(&good), Origin::Instance(_)));
        assert_eq!(process(START, &replays).origin(&good), Origin::Again);
        // It is started again, and has taken nothing yet.
        let anew = Replays::default();
        assert_eq!(process("the next", &anew).origin(&good), Origin::Other);
        let unknown = made("key", HERE, Some(Once { start: String::new(), ..once(2) }), &right());
        assert_eq!(process("the next", &anew).origin(&unknown), Origin::Other);
        let known = made("key", HERE, Some(Once { start: "the next".to_owned(), ..once(3) }), &right());
        assert!(matches!(process("the next", &anew).origin(&known), Origin::Instance(_)));
    }

    #[test]
    fn an_instance_vouches_for_one_client_and_one_proof_at_one_instance() {
        let mut right = HeaderMap::new();
        for (name, value) in [(HANDED_ON, "1"), (header::AUTHORIZATION, "DPoP of-ann"), (SIGNED[1].clone(), "proof"), (FOR, "192.0.2.1")] {
            right.insert(name, HeaderValue::from_static(value));
        }
        let made = |seal: &dyn Seal, to: &str| {
            let mut headers = right.clone();
            headers.insert(VOUCHED, vouch(seal, to, &right).unwrap());
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
        // What vouches for a head is no proof of the whole request.
        let mut crossed = good.clone();
        crossed.insert(PROOF, good[&VOUCHED].clone());
        let replays = Replays::default();
        let receiver = Receiver { seal: &Plain("key"), own: Some(HERE), start: Some(START), replays: &replays };
        assert_eq!(receiver.origin(&crossed), Origin::Unproven);
    }
}
