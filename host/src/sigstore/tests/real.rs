//! Bundles that others have made, with the roots of then (see `data/README.md`).

use serde_json::Value;

use crate::sigstore::{Evidence, Roots, Signer, Subject};

const NOW: u64 = 1_790_000_000;
const ATTESTATION: &str = include_str!("data/cosign-attestation.json");
const OTHER_NAME: &str = include_str!("data/othername.json");
/// What cosign's attestation is about, and of which type.
const DIGEST: &str = "sha256:732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4";
const PREDICATE: &str = "https://cosign.sigstore.dev/attestation/v1";

fn roots(text: &str) -> Roots {
    let mut roots = Roots::default();
    roots.add_trusted_root(text).unwrap();
    roots.check().unwrap();
    roots
}

fn attested(bundle: &str, roots: &Roots) -> Result<Signer, String> {
    let subject = Subject { digest: DIGEST, bytes: b"" };
    Evidence::of_bundle(bundle.as_bytes())?.signer(&subject, &[PREDICATE.to_owned()], roots, NOW)
}

#[test]
fn an_attestation_of_cosign_in_the_public_instance_is_verified() {
    let public = roots(include_str!("data/public-good.json"));
    assert!(public.checks_certificate_logs());
    let signer = attested(ATTESTATION, &public).unwrap();
    assert_eq!(signer.subjects.len(), 1, "{signer:?}");
    assert!(signer.subjects[0].contains('@') && signer.issuer.starts_with("https://"), "{signer:?}");
    let why = attested(ATTESTATION, &roots(include_str!("data/scaffolding.json"))).unwrap_err();
    assert!(why.contains("trusted"), "another instance: {why}");
    // Every text of it that is changed makes it count for nothing, but for what is not used.
    let bundle: Value = serde_json::from_str(ATTESTATION).unwrap();
    let mut places = Vec::new();
    texts(&bundle, String::new(), &mut places);
    assert!(places.len() > 20, "{places:?}");
    for place in places {
        let mut changed = bundle.clone();
        let text = changed.pointer_mut(&place).unwrap();
        let old = text.as_str().unwrap().to_owned();
        let at = old.len() / 2;
        let other = if old.is_char_boundary(at) && old[at..].starts_with('1') { '2' } else { '1' };
        *text = format!("{}{other}{}", &old[..at], &old[at + 1..]).into();
        let is_unused = place.ends_with("/kind") || place.ends_with("/version") || place.ends_with("/keyid");
        assert_eq!(attested(&changed.to_string(), &public).is_err(), !is_unused, "{place}");
    }
}

fn texts(value: &Value, place: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| texts(value, format!("{place}/{name}"), found)),
        Value::Array(list) => list.iter().enumerate().for_each(|(number, value)| texts(value, format!("{place}/{number}"), found)),
        Value::String(text) if !text.is_empty() => found.push(place),
        _ => {}
    }
}

#[test]
fn a_user_name_in_a_private_instance_is_read() {
    let private = roots(include_str!("data/scaffolding.json"));
    let bundle: Value = serde_json::from_str(OTHER_NAME).unwrap();
    // The artifact itself is not at hand; by its digest in the entry everything but the signature is verified.
    let evidence = Evidence::of_bundle(bundle.to_string().as_bytes()).unwrap();
    let why = evidence.signer(&Subject { digest: "sha256:00", bytes: b"another" }, &[], &private, NOW).unwrap_err();
    assert!(why.contains("about another signature"), "{why}");
    let certificate = crate::sigstore::certificate::Certificate::read(&evidence.certificates[0]).unwrap();
    assert_eq!(certificate.subjects(), ["foo!oidc.local"]);
}
