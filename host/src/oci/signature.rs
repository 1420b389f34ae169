//! Whether what was pulled is signed as `[trust]` demands: by cosign, with a key or without a
//! lasting one, in a tag beside it (`sha256-….sig`, `sha256-….att`) or as a bundle that refers to it.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::{
    artifact::{self, Found, RawManifest},
    cache::{Cache, blocking},
    client::Registry,
    error::RegistryError,
};
use crate::{
    config::{OciReference, SignedRule},
    sigstore::{Evidence, SIGNATURE, Signer, Subject},
    unix_time,
    wildcard::fits,
};

/// The document that `cosign sign` signs up to version 2.
const DOCUMENT: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The envelope of `cosign attest`.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// How the types of bundles begin.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// What else `cosign` writes beside a signature begins like this.
const BESIDE: &str = "dev.sigstore.cosign/";
/// Largest document, envelope and bundle.
const MAX_PAYLOAD: u64 = 4 << 20;
/// So many signatures are looked at.
const MOST: usize = 64;
/// So many reasons are told.
const REASONS: usize = 3;
/// How the cache calls what it keeps of them.
const NOTE: &str = "signatures";

/// A signature, and what it is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Signed {
    #[serde(default)]
    form: Form,
    /// In base64.
    payload: String,
    /// In base64; a bundle has its own.
    #[serde(default)]
    signature: String,
    /// What is written beside it.
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    #[default]
    Document,
    Envelope,
    Bundle,
}

/// The rules that are about a reference.
pub(super) fn demanded(rules: &[SignedRule], reference: &OciReference) -> Vec<SignedRule> {
    let place = reference.place();
    rules.iter().filter(|rule| fits(&place, &rule.source)).cloned().collect()
}

/// The tag beside a manifest under which what is signed about it is: `.sig`, `.att`, or none for
/// what refers to it.
fn tag_of(digest: &str, kind: &str) -> String {
    format!("{}{kind}", digest.replace(':', "-"))
}

/// Gets the signatures of a manifest from its registry; there may be none.
///
/// # Errors
///
/// They cannot be had.
pub(super) async fn get(registry: &Registry, digest: &str) -> Result<Vec<Signed>, RegistryError> {
    let mut found = Vec::new();
    for kind in [".sig", ".att"] {
        if let Some(raw) = or_none(registry.manifest(&tag_of(digest, kind)).await)? {
            layers(registry, &raw, &mut found).await?;
        }
    }
    let bundles = registry.referrers(digest, &tag_of(digest, "")).await?;
    let is_bundle = |kind: &Option<String>| kind.as_ref().is_none_or(|kind| kind.starts_with(BUNDLE));
    for entry in bundles.into_iter().filter(|entry| is_bundle(&entry.artifact_type)).take(MOST) {
        // One that has been deleted says nothing.
        if let Some(raw) = or_none(registry.manifest(&entry.digest).await)? {
            layers(registry, &raw, &mut found).await?;
        }
    }
    Ok(found)
}

fn or_none<T>(result: Result<T, RegistryError>) -> Result<Option<T>, RegistryError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// The signatures in the layers of a manifest.
async fn layers(registry: &Registry, raw: &RawManifest, found: &mut Vec<Signed>) -> Result<(), RegistryError> {
    let Found::Manifest(manifest) = artifact::read(raw)? else {
        return Err(RegistryError::new(format_args!("{} holds a list and no signatures", raw.digest)));
    };
    for layer in &manifest.layers {
        let form = match layer.media_type.as_str() {
            DOCUMENT => Form::Document,
            ENVELOPE => Form::Envelope,
            kind if kind.starts_with(BUNDLE) => Form::Bundle,
            _ => continue,
        };
        let mut annotations = layer.annotations.clone().unwrap_or_default();
        let signature = annotations.remove(SIGNATURE).unwrap_or_default();
        if found.len() >= MOST || (form == Form::Document && signature.is_empty()) {
            continue;
        }
        annotations.retain(|name, _| name.starts_with(BESIDE));
        let payload = STANDARD.encode(registry.blob(layer, MAX_PAYLOAD).await?);
        found.push(Signed { form, payload, signature, annotations });
    }
    Ok(())
}

/// The same for one that has to be signed; they are kept.
pub(super) async fn fetch(registry: &Registry, cache: &Arc<Cache>, digest: &str) -> Result<Vec<Signed>, RegistryError> {
    let found = get(registry, digest).await?;
    if found.is_empty() {
        return Err(RegistryError::new(format_args!(
            "it has to be signed ([trust] signed), and the registry has no signature of {digest} (neither in the tag {} nor as a bundle that refers to it); sign it by `cosign sign`",
            tag_of(digest, ".sig")
        )));
    }
    let (kept, about) = (found.clone(), digest.to_owned());
    blocking(cache, move |cache| cache.set_note(NOTE, &about, &kept)).await??;
    Ok(found)
}

/// The signatures of a manifest that were fetched before. Blocks.
pub(super) fn kept(cache: &Cache, digest: &str) -> Vec<Signed> {
    cache.note(NOTE, digest).unwrap_or_default()
}

/// Holds a manifest against the rules about it.
pub(super) fn check(rules: &[SignedRule], signatures: &[Signed], manifest: Subject<'_>) -> Result<(), RegistryError> {
    let evidence: Vec<_> = signatures.iter().map(Signed::evidence).collect();
    for rule in rules {
        let mut reasons = Vec::new();
        let is_met = evidence.iter().any(|evidence| {
            let met = evidence.as_ref().map_err(Clone::clone).and_then(|evidence| meets(evidence, rule, manifest));
            met.map_err(|why| reasons.push(why)).is_ok()
        });
        if !is_met {
            return Err(RegistryError::new(format_args!(
                "{} has to be signed {} (the rule for {:?} in [trust] signed), and {}",
                manifest.digest,
                by_whom(rule),
                rule.source,
                why_not(rule, reasons)
            )));
        }
    }
    Ok(())
}

/// Whether one signature meets a rule.
fn meets(evidence: &Evidence, rule: &SignedRule, manifest: Subject<'_>) -> Result<(), String> {
    let by_key = rule.keys.iter().any(|key| {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key.point);
        evidence.is_by_key(&manifest, &rule.predicates, |message, signature| key.verify(message, signature).is_ok())
    });
    if by_key {
        return Ok(());
    }
    if rule.identities.is_empty() || !evidence.has_certificate() {
        return Err("it is by another key, or of something else".to_owned());
    }
    let now = unix_time::seconds();
    let signer = evidence.signer(&manifest, &rule.predicates, &rule.roots, now)?;
    let is_one = |subject: &String| {
        let mut all = rule.identities.iter();
        all.any(|identity| fits(subject, &identity.subject) && fits(&signer.issuer, &identity.issuer))
    };
    if signer.subjects.iter().any(is_one) {
        return Ok(());
    }
    let Signer { subjects, issuer } = &signer;
    let who = if subjects.is_empty() { "nobody that is named".to_owned() } else { subjects.join(", ") };
    Err(format!("it is by somebody else: {who} of {issuer}"))
}

fn by_whom(rule: &SignedRule) -> String {
    let keys: Vec<_> = rule.keys.iter().map(|key| key.path.display().to_string()).collect();
    let identities: Vec<_> = rule.identities.iter().map(|identity| format!("{} of {}", identity.subject, identity.issuer)).collect();
    let parts = [("with", keys), ("by", identities)];
    let parts = parts.iter().filter(|(_, all)| !all.is_empty()).map(|(how, all)| format!("{how} {}", all.join(" or ")));
    parts.collect::<Vec<_>>().join(", or ")
}

fn why_not(rule: &SignedRule, mut reasons: Vec<String>) -> String {
    let count = reasons.len();
    if rule.identities.is_empty() {
        return match count {
            0 => "it has no signature".to_owned(),
            1 => "its signature is by another key, or of something else".to_owned(),
            count => format!("its {count} signatures are by other keys, or of something else"),
        };
    }
    reasons.dedup();
    let more = if reasons.len() > REASONS { "; …" } else { "" };
    reasons.truncate(REASONS);
    let reasons = reasons.join("; ");
    match count {
        0 => "it has no signature".to_owned(),
        1 => format!("its signature does not count: {reasons}"),
        count => format!("none of its {count} signatures counts: {reasons}{more}"),
    }
}

impl Signed {
    fn evidence(&self) -> Result<Evidence, String> {
        let payload = STANDARD.decode(&self.payload).map_err(|_| "it cannot be read".to_owned())?;
        let with_signature = || {
            let mut annotations = self.annotations.clone();
            annotations.insert(SIGNATURE.to_owned(), self.signature.clone());
            annotations
        };
        match self.form {
            Form::Document => Evidence::of_document(&payload, &with_signature()),
            Form::Envelope => Evidence::of_envelope(&payload, &self.annotations),
            Form::Bundle => Evidence::of_bundle(&payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PublicKey;

    const DIGEST: &str = "sha256:f3cfc9d0dbf931d3db4685ec659b7ac68e2a578219da4aae65427886e649b06b";
    const KEY: &str =
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENptdY/l3nB0yqkXLBWkZWQwo6+cuOSWS1X9vPavpiQOoTTGC0xX57OojUadxF1cdQmrsiReWg2Wn4FneJfa8xw==";

    /// A key and a signature that cosign itself has made, from the tests of sigstore-rs.
    fn of_cosign() -> (SignedRule, Signed) {
        let payload = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"registry-testing.svc.lan/busybox"}},"image":{{"docker-manifest-digest":"{DIGEST}"}},"type":"cosign container image signature"}},"optional":null}}"#
        );
        let signature = "MEUCIQD6q/COgzOyW0YH1Dk+CCYSt4uAhm3FDHUwvPI55zwnlwIgE0ZK58ZOWpZw8YVmBapJhBqCfdPekIknimuO0xH8Jh8=".to_owned();
        let point = STANDARD.decode(KEY).unwrap().split_off(26);
        let keys = vec![PublicKey { path: "cosign.pub".into(), point }];
        let rule = SignedRule { source: "*".to_owned(), keys, ..SignedRule::default() };
        (rule, Signed { form: Form::Document, payload: STANDARD.encode(payload), signature, annotations: BTreeMap::new() })
    }

    fn check(rules: &[SignedRule], signatures: &[Signed], digest: &str) -> Result<(), RegistryError> {
        super::check(rules, signatures, Subject { digest, bytes: b"the manifest" })
    }

    #[test]
    fn a_signature_of_cosign_counts_for_its_manifest_and_key_only() {
        let (rule, signed) = of_cosign();
        let rules = [rule.clone()];
        check(&rules, std::slice::from_ref(&signed), DIGEST).unwrap();
        let error = check(&rules, std::slice::from_ref(&signed), &DIGEST.replace('f', "e")).unwrap_err().to_string();
        assert!(error.contains("cosign.pub") && error.contains("of something else"), "{error}");
        assert!(check(&rules, &[], DIGEST).unwrap_err().to_string().contains("it has no signature"));
        for (payload, signature) in [
            (STANDARD.encode(String::from_utf8(STANDARD.decode(&signed.payload).unwrap()).unwrap().replace("busybox", "busybux")), None),
            ("%".to_owned(), None),
            (signed.payload.clone(), Some("MEUCIQ".to_owned())),
            (signed.payload.clone(), Some(String::new())),
        ] {
            let changed = Signed { payload, signature: signature.unwrap_or_else(|| signed.signature.clone()), ..signed.clone() };
            assert!(check(&rules, &[changed], DIGEST).is_err());
        }
        let mut other = rule.clone();
        // Another point, which is on no curve.
        other.keys[0].point[10] ^= 1;
        assert!(check(&[rule.clone(), other.clone()], std::slice::from_ref(&signed), DIGEST).is_err(), "each rule has to be met");
        let mut either = rule;
        either.keys.insert(0, other.keys[0].clone());
        check(&[either], &[signed], DIGEST).unwrap();
    }

    #[test]
    fn rules_are_found_by_registry_and_repository() {
        let rule = |source: &str| SignedRule { source: source.to_owned(), ..SignedRule::default() };
        let rules = ["ghcr.io/acme/*", "*", "ghcr.io/other/*", "ghcr.io/acme/weather"].map(rule);
        let found = demanded(&rules, &OciReference::parse("oci://ghcr.io/acme/weather:1").unwrap());
        assert_eq!(found.iter().map(|rule| rule.source.as_str()).collect::<Vec<_>>(), ["ghcr.io/acme/*", "*", "ghcr.io/acme/weather"]);
        assert_eq!(tag_of("sha256:ab", ".sig"), "sha256-ab.sig");
    }
}
