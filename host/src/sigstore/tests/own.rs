//! Bundles of our own: right ones, and some forty ways to be wrong.

use std::collections::BTreeMap;

use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PublicKeyData as _, SanType};
use serde_json::{Value, json};

use super::made::{DAY, ISSUER, MANIFEST, Made, NOON, Plan, SIGN, WHO, authority, base64, hex, pem, sha256, signer};
use crate::sigstore::{Evidence, Role, Roots, Signer, Subject};

fn who() -> Signer {
    Signer { subjects: vec![WHO.to_owned()], issuer: ISSUER.to_owned() }
}

#[test]
fn a_right_bundle_tells_who_has_signed() {
    let made = Made::new();
    assert_eq!(signer(&made.bundle(&Plan::default()), &made.roots()), Ok(who()));
    let stamped = Plan { stamped: Some(NOON + 60), ..Plan::default() };
    assert_eq!(signer(&made.bundle(&stamped), &made.roots()), Ok(who()));
    // The same roots as one file.
    let mut roots = Roots::default();
    roots.add_trusted_root(&made.trusted_root().to_string()).unwrap();
    assert_eq!(signer(&made.bundle(&stamped), &roots), Ok(who()));
    let mail = Plan { subject: SanType::Rfc822Name("a@example.com".try_into().unwrap()), ..Plan::default() };
    assert_eq!(signer(&made.bundle(&mail), &made.roots()).unwrap().subjects, ["a@example.com"]);
    // The log's time alone, and a timestamp alone, are each enough.
    let mut bundle = made.bundle(&stamped);
    bundle["verificationMaterial"]["tlogEntries"][0].as_object_mut().unwrap().remove("inclusionPromise");
    assert_eq!(signer(&bundle, &made.roots()), Ok(who()));
    // Without a log that is known, a timestamp is enough; without a log of certificates no promise is asked for.
    let mut roots = Roots::default();
    roots.add_pem(Role::Fulcio, &made.fulcio.pem()).unwrap();
    roots.add_pem(Role::Timestamping, &made.stamping.pem()).unwrap();
    bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    assert_eq!(signer(&bundle, &roots), Ok(who()));
    let plain = Plan { has_promise: false, ..stamped };
    assert_eq!(signer(&made.bundle(&plain), &roots), Ok(who()));
}

type Change = fn(&mut Value);

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

fn flip(text: &mut Value) {
    // Of base64, so that it stays that.
    let old = text.as_str().unwrap();
    let (head, tail) = old.split_at(old.len() / 2);
    let other = if tail.starts_with('A') { "B" } else { "A" };
    *text = format!("{head}{other}{}", &tail[1..]).into();
}

#[test]
fn what_was_changed_in_a_bundle_is_refused_with_the_reason() {
    let made = Made::new();
    let roots = made.roots();
    let right = made.bundle(&Plan { stamped: Some(NOON), ..Plan::default() });
    assert!(signer(&right, &roots).is_ok());
    let changes: [(Change, &str); 26] = [
        (|b| flip(&mut b["dsseEnvelope"]["signatures"][0]["sig"]), "about another signature"),
        (|b| flip(&mut b["dsseEnvelope"]["payload"]), "about another signature"),
        (|b| b["dsseEnvelope"]["payloadType"] = "application/json".into(), "it is wrong, or of something else"),
        (|b| b["dsseEnvelope"]["signatures"] = json!([]), "0 signatures and not one"),
        (|b| b["dsseEnvelope"] = Value::Null, "neither exactly one message signature nor exactly one envelope"),
        (|b| b["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.9+json".into(), "no bundle of a version that is supported"),
        (|b| b["verificationMaterial"]["certificate"] = Value::Null, "has no certificate"),
        (|b| flip(&mut b["verificationMaterial"]["certificate"]["rawBytes"]), ""),
        (|b| b["verificationMaterial"]["tlogEntries"] = json!([]), "it is in no transparency log"),
        (|b| entry(b)["logIndex"] = "-1".into(), "is not a whole number"),
        (|b| entry(b)["logIndex"] = "9003".into(), "has not signed the time of its entry"),
        (|b| entry(b)["integratedTime"] = (NOON + 1).to_string().into(), "has not signed the time of its entry"),
        (|b| entry(b)["logId"]["keyId"] = base64([7; 32]).into(), "in a log that is not trusted"),
        (|b| flip(&mut entry(b)["inclusionPromise"]["signedEntryTimestamp"]), "has not signed the time of its entry"),
        (|b| flip(&mut entry(b)["canonicalizedBody"]), ""),
        (|b| entry(b)["inclusionProof"] = Value::Null, "no proof that the log holds its entry"),
        (|b| entry(b)["inclusionProof"]["checkpoint"] = Value::Null, "has no checkpoint"),
        (|b| entry(b)["inclusionProof"]["hashes"] = json!([]), "its proof that the log holds it is wrong"),
        (|b| entry(b)["inclusionProof"]["logIndex"] = "1".into(), "its proof that the log holds it is wrong"),
        (|b| entry(b)["inclusionProof"]["treeSize"] = "4".into(), "its proof that the log holds it is wrong"),
        (|b| flip(&mut entry(b)["inclusionProof"]["rootHash"]), "its proof that the log holds it is wrong"),
        (|b| replace(entry(b), "\n3\n", "\n4\n"), "is of another state of the log"),
        (|b| replace(entry(b), "rekor.example.com - 17", "rekor.example.net - 17"), "not signed by a log that is trusted"),
        (|b| replace(entry(b), "\n\n", "\nmore\n\n"), "not signed by a log that is trusted"),
        (
            |b| {
                let chain = json!({ "certificates": [] });
                b["verificationMaterial"]["certificate"] = Value::Null;
                b["verificationMaterial"]["x509CertificateChain"] = chain;
            },
            "empty chain",
        ),
        (|b| flip(&mut b["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"][0]["signedTimestamp"]), "a timestamp"),
    ];
    for (number, (change, says)) in changes.into_iter().enumerate() {
        let mut bundle = right.clone();
        change(&mut bundle);
        let why = signer(&bundle, &roots).expect_err(&format!("change {number} is let in"));
        assert!(why.contains(says), "change {number}: {why}");
    }
}

fn replace(entry: &mut Value, from: &str, to: &str) {
    let envelope = &mut entry["inclusionProof"]["checkpoint"]["envelope"];
    let new = envelope.as_str().unwrap().replacen(from, to, 1);
    assert_ne!(*envelope, new);
    *envelope = new.into();
}

#[test]
fn what_was_signed_wrongly_is_refused_with_the_reason() {
    let made = Made::new();
    let plans = [
        (Plan { digest: hex(&sha256(b"another")), ..Plan::default() }, "a signature of something else"),
        (Plan { predicate: "https://example.com/scan", ..Plan::default() }, "not among `predicates`"),
        (Plan { payload_type: "application/json", ..Plan::default() }, "no in-toto statement"),
        (Plan { is_foreign: true, ..Plan::default() }, "it is wrong, or of something else"),
        (Plan { issuer: None, ..Plan::default() }, "does not say who vouches"),
        (Plan { has_promise: false, ..Plan::default() }, "no promise of a certificate transparency log"),
        (Plan { purpose: ExtendedKeyUsagePurpose::ServerAuth, ..Plan::default() }, "leads to no authority that is trusted"),
        (Plan { at: NOON - DAY, ..Plan::default() }, "was not valid when it was made"),
        (Plan { at: NOON + DAY, ..Plan::default() }, "was not valid when it was made"),
        (Plan { at: NOON + 400 * DAY, ..Plan::default() }, "in the future"),
        (Plan { stamped: Some(NOON + DAY), ..Plan::default() }, "was not valid when it was made"),
        (Plan { stamped: Some(NOON - 300 * DAY), ..Plan::default() }, "leads to no authority"),
    ];
    for (number, (plan, says)) in plans.into_iter().enumerate() {
        let why = signer(&made.bundle(&plan), &made.roots()).expect_err(&format!("plan {number} is let in"));
        assert!(why.contains(says), "plan {number}: {why}");
    }
}

#[test]
fn another_sigstore_than_the_given_one_counts_for_nothing() {
    let (made, other) = (Made::new(), Made::new());
    let bundle = made.bundle(&Plan { stamped: Some(NOON), ..Plan::default() });
    // Each part of another, with the rest of the right one.
    let (fulcio, stamping) = (authority("fulcio"), authority("timestamps"));
    let key = || pem("PUBLIC KEY", &KeyPair::generate().unwrap().subject_public_key_info());
    let right = [
        (Role::Fulcio, made.fulcio.pem()),
        (Role::Rekor, pem("PUBLIC KEY", &made.rekor.subject_public_key_info())),
        (Role::CertificateLog, pem("PUBLIC KEY", &made.ctlog.subject_public_key_info())),
        (Role::Timestamping, made.stamping.pem()),
    ];
    let wrong = [
        (fulcio.pem(), "leads to no authority that is trusted"),
        (key(), "not signed by a log that is trusted"),
        (key(), "in no certificate transparency log that is trusted"),
        (stamping.pem(), "a timestamp's certificate leads to no authority that is trusted"),
    ];
    for (at, (text, says)) in wrong.iter().enumerate() {
        let mut roots = Roots::default();
        for (number, (role, right)) in right.iter().enumerate() {
            roots.add_pem(*role, if number == at { text } else { right }).unwrap();
        }
        let why = signer(&bundle, &roots).expect_err(says);
        assert!(why.contains(says), "{why}");
    }
    assert!(signer(&bundle, &other.roots()).is_err());
    // In a trusted root everything has its time.
    for (part, says) in [
        ("/tlogs/0/publicKey/validFor", "the log"),
        ("/ctlogs/0/publicKey/validFor", "no certificate transparency log"),
        ("/certificateAuthorities/0/validFor", "not in use at that time"),
        ("/timestampAuthorities/0/validFor", "not in use at that time"),
    ] {
        for range in [json!({ "start": "2026-01-03T00:00:00Z" }), json!({ "start": "2025-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z" })]
        {
            let mut root = made.trusted_root();
            *root.pointer_mut(part).unwrap() = range;
            let mut roots = Roots::default();
            roots.add_trusted_root(&root.to_string()).unwrap();
            let why = signer(&bundle, &roots).expect_err(part);
            assert!(why.contains(says), "{part}: {why}");
        }
    }
}

#[test]
fn an_entry_about_another_signature_and_another_certificate_prove_nothing() {
    let made = Made::new();
    let (one, two) = (made.bundle(&Plan::default()), made.bundle(&Plan::default()));
    for part in ["/verificationMaterial/tlogEntries", "/verificationMaterial/certificate", "/dsseEnvelope"] {
        let mut bundle = one.clone();
        *bundle.pointer_mut(part).unwrap() = two.pointer(part).unwrap().clone();
        let why = signer(&bundle, &made.roots()).expect_err(part);
        assert!(why.contains("about another signature"), "{part}: {why}");
    }
    // A timestamp of another signature.
    let stamped = Plan { stamped: Some(NOON), ..Plan::default() };
    let (mut bundle, other) = (made.bundle(&stamped), made.bundle(&stamped));
    let part = "timestampVerificationData";
    bundle["verificationMaterial"][part] = other["verificationMaterial"][part].clone();
    assert!(signer(&bundle, &made.roots()).unwrap_err().contains("of another signature"));
    // A root that the bundle brings itself.
    let own = Made::new();
    let mut bundle = own.bundle(&Plan::default());
    let leaf = bundle["verificationMaterial"]["certificate"].take();
    bundle["verificationMaterial"]["x509CertificateChain"] = json!({ "certificates": [leaf, { "rawBytes": base64(own.fulcio.der()) }] });
    assert!(signer(&bundle, &made.roots()).unwrap_err().contains("root certificate of its own"));
}

/// As `cosign sign` up to version 2 writes it: a document, and the rest in annotations.
fn document(made: &Made, digest: &str, at: u64) -> (Vec<u8>, BTreeMap<String, String>) {
    let plan = Plan { at, ..Plan::default() };
    let key = KeyPair::generate().unwrap();
    let certificate = pem("CERTIFICATE", &made.certificate(&plan, &key));
    let document = json!({ "critical": { "identity": { "docker-reference": "r.example/a" }, "image": { "docker-manifest-digest": digest },
        "type": "cosign container image signature" }, "optional": null })
    .to_string();
    let signature = rcgen::SigningKey::sign(&key, document.as_bytes()).unwrap();
    let body = json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": { "hash": { "algorithm": "sha256", "value": hex(&sha256(document.as_bytes())) } },
        "signature": { "content": base64(&signature), "publicKey": { "content": base64(&certificate) } } } })
    .to_string();
    let log = hex(&sha256(&made.rekor.subject_public_key_info()));
    let bundle = json!({ "SignedEntryTimestamp": base64(made.promise(body.as_bytes(), at, 5)),
        "Payload": { "body": base64(&body), "integratedTime": at, "logIndex": 5, "logID": log } });
    let annotations = [
        ("dev.cosignproject.cosign/signature", base64(&signature)),
        ("dev.sigstore.cosign/certificate", certificate),
        ("dev.sigstore.cosign/chain", made.fulcio.pem()),
        ("dev.sigstore.cosign/bundle", bundle.to_string()),
    ];
    (document.into_bytes(), annotations.map(|(name, text)| (name.to_owned(), text)).into())
}

#[test]
fn annotations_of_cosign_count_as_bundles_do() {
    let made = Made::new();
    let digest = format!("sha256:{}", hex(&sha256(MANIFEST)));
    let subject = Subject { digest: &digest, bytes: MANIFEST };
    let signer = |(document, annotations): &(Vec<u8>, BTreeMap<String, String>), roots: &Roots| {
        Evidence::of_document(document, annotations)?.signer(&subject, &[SIGN.to_owned()], roots, NOON + DAY)
    };
    let right = document(&made, &digest, NOON);
    assert_eq!(signer(&right, &made.roots()), Ok(who()));
    // The chain beside it may hold its root, which is not trusted for that.
    assert!(signer(&right, &Made::new().roots()).is_err());
    let cases: [(&str, &str, &str); 7] = [
        ("dev.sigstore.cosign/bundle", "", "in no transparency log"),
        ("dev.sigstore.cosign/bundle", "{}", "dev.sigstore.cosign/bundle cannot be used"),
        ("dev.sigstore.cosign/certificate", "", "has no certificate"),
        ("dev.sigstore.cosign/certificate", "-----BEGIN CERTIFICATE-----", "cannot be used"),
        ("dev.cosignproject.cosign/signature", "", "about another signature"),
        ("dev.cosignproject.cosign/signature", "%", "base64"),
        ("dev.sigstore.cosign/rfc3161timestamp", "{}", "rfc3161timestamp cannot be used"),
    ];
    for (name, text, says) in cases {
        let mut changed = right.clone();
        changed.1.insert(name.to_owned(), text.to_owned());
        let why = signer(&changed, &made.roots()).expect_err(says);
        assert!(why.contains(says), "{name} {text:?}: {why}");
    }
    let other = document(&made, "sha256:00", NOON);
    assert!(signer(&other, &made.roots()).unwrap_err().contains("a signature of something else"));
    let late = document(&made, &digest, NOON + DAY);
    assert!(signer(&late, &made.roots()).unwrap_err().contains("was not valid when it was made"));
    // Each part of another signature that is right by itself.
    let second = document(&made, &digest, NOON + 1);
    for name in ["dev.cosignproject.cosign/signature", "dev.sigstore.cosign/certificate", "dev.sigstore.cosign/bundle"] {
        let mut changed = right.clone();
        changed.1.insert(name.to_owned(), second.1[name].clone());
        assert!(signer(&changed, &made.roots()).unwrap_err().contains("about another signature"), "{name}");
    }
    // An attestation that stands alone.
    let bundle = made.bundle(&Plan::default());
    let envelope = bundle["dsseEnvelope"].to_string();
    let material = &bundle["verificationMaterial"];
    let body = &material["tlogEntries"][0];
    let annotations = [
        ("dev.sigstore.cosign/certificate", certificate_of(material)),
        (
            "dev.sigstore.cosign/bundle",
            json!({ "SignedEntryTimestamp": body["inclusionPromise"]["signedEntryTimestamp"], "Payload": {
                "body": body["canonicalizedBody"], "integratedTime": NOON, "logIndex": 9002,
                "logID": hex(&sha256(&made.rekor.subject_public_key_info())) } })
            .to_string(),
        ),
    ];
    let annotations = annotations.map(|(name, text)| (name.to_owned(), text)).into();
    let attested =
        |text: &str| Evidence::of_envelope(text.as_bytes(), &annotations)?.signer(&subject, &[SIGN.to_owned()], &made.roots(), NOON + DAY);
    assert_eq!(attested(&envelope), Ok(who()));
    assert!(attested("{}").is_err());
}

fn certificate_of(material: &Value) -> String {
    let der = material["certificate"]["rawBytes"].as_str().unwrap();
    format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n")
}

#[test]
fn roots_that_are_none_are_refused() {
    let made = Made::new();
    let mut roots = Roots::default();
    for text in ["", "{}", "[]", r#"{"mediaType":"application/json"}"#] {
        assert!(roots.add_trusted_root(text).is_err(), "{text}");
    }
    let mut root = made.trusted_root();
    root["certificateAuthorities"][0]["certChain"]["certificates"] = json!([]);
    assert!(roots.add_trusted_root(&root.to_string()).unwrap_err().contains("no certificates"));
    assert!(roots.add_pem(Role::Rekor, &made.fulcio.pem()).unwrap_err().contains("BEGIN PUBLIC KEY"));
    assert!(roots.add_pem(Role::Fulcio, &pem("CERTIFICATE", b"x")).is_err());
    assert_eq!(roots, Roots::default());
    assert!(roots.check().unwrap_err().contains("no authority of certificates"));
    roots.add_pem(Role::Fulcio, &made.fulcio.pem()).unwrap();
    assert!(roots.check().unwrap_err().contains("says when a signature was made"));
}
