//! Whether what was pulled is signed as `[trust]` demands: by cosign, with a key, in the tag `sha256-….sig` beside it.
//!
//! The signature is of a small document (cosign's "simple signing") that names the digest of the manifest, which names everything else.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::{
    artifact::{self, Found},
    cache::{Cache, blocking},
    client::Registry,
    error::RegistryError,
};
use crate::{
    config::{OciReference, PublicKey, SignedRule},
    wildcard::fits,
};

/// The document that is signed.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The signature of it, in base64.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// What the document says of itself.
const KIND: &str = "cosign container image signature";
/// Largest document.
const MAX_PAYLOAD: u64 = 64 << 10;
/// So many signatures are looked at.
const MOST: usize = 64;
/// How the cache calls what it keeps of them.
const NOTE: &str = "signatures";

/// A signature, and what it is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Signed {
    payload: String,
    signature: String,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// The rules that are about a reference.
pub(super) fn demanded(rules: &[SignedRule], reference: &OciReference) -> Vec<SignedRule> {
    let place = reference.place();
    rules.iter().filter(|rule| fits(&place, &rule.source)).cloned().collect()
}

/// The tag beside a manifest under which its signatures are.
fn tag_of(digest: &str) -> String {
    format!("{}.sig", digest.replace(':', "-"))
}

/// Gets the signatures of a manifest from its registry.
///
/// # Errors
///
/// There are none ([`RegistryError::is_missing`]), or they cannot be had.
pub(super) async fn get(registry: &Registry, digest: &str) -> Result<Vec<Signed>, RegistryError> {
    let tag = tag_of(digest);
    let raw = registry.manifest(&tag).await?;
    let Found::Manifest(manifest) = artifact::read(&raw)? else {
        return Err(RegistryError::new(format_args!("the tag {tag} holds a list and no signatures")));
    };
    let mut found = Vec::new();
    for layer in manifest.layers.iter().filter(|layer| layer.media_type == PAYLOAD).take(MOST) {
        let Some(signature) = layer.annotations.as_ref().and_then(|all| all.get(SIGNATURE)) else { continue };
        let payload = registry.blob(layer, MAX_PAYLOAD).await?;
        found.push(Signed { payload: STANDARD.encode(payload), signature: signature.clone() });
    }
    Ok(found)
}

/// The same for one that has to be signed; they are kept.
pub(super) async fn fetch(registry: &Registry, cache: &Arc<Cache>, digest: &str) -> Result<Vec<Signed>, RegistryError> {
    let found = match get(registry, digest).await {
        Ok(found) => found,
        Err(error) if error.is_missing => {
            return Err(RegistryError::new(format_args!(
                "it has to be signed ([trust] signed), and the registry has no signature of {digest} (the tag {}); sign it by `cosign sign --key`",
                tag_of(digest)
            )));
        }
        Err(error) => return Err(error),
    };
    let (kept, about) = (found.clone(), digest.to_owned());
    blocking(cache, move |cache| cache.set_note(NOTE, &about, &kept)).await??;
    Ok(found)
}

/// The signatures of a manifest that were fetched before. Blocks.
pub(super) fn kept(cache: &Cache, digest: &str) -> Vec<Signed> {
    cache.note(NOTE, digest).unwrap_or_default()
}

/// Holds a manifest against the rules about it.
pub(super) fn check(rules: &[SignedRule], signatures: &[Signed], digest: &str) -> Result<(), RegistryError> {
    for rule in rules {
        if !signatures.iter().any(|signed| rule.keys.iter().any(|key| signed.is_by(key, digest))) {
            let keys: Vec<_> = rule.keys.iter().map(|key| key.path.display().to_string()).collect();
            let found = match signatures.len() {
                0 => "it has no signature".to_owned(),
                1 => "its signature is by another key, or of something else".to_owned(),
                count => format!("its {count} signatures are by other keys, or of something else"),
            };
            return Err(RegistryError::new(format_args!(
                "{digest} has to be signed with {} (the rule for {:?} in [trust] signed), and {found}",
                keys.join(" or "),
                rule.source
            )));
        }
    }
    Ok(())
}

impl Signed {
    /// Whether this is a signature of that manifest, by that key.
    fn is_by(&self, key: &PublicKey, digest: &str) -> bool {
        let signature: String = self.signature.split_whitespace().collect();
        let (Ok(payload), Ok(signature)) = (STANDARD.decode(&self.payload), STANDARD.decode(signature)) else { return false };
        if UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key.point).verify(&payload, &signature).is_err() {
            return false;
        }
        // Only now: nobody's text is read before it is known whose it is.
        let Ok(Payload { critical }) = serde_json::from_slice::<Payload>(&payload) else { return false };
        critical.kind == KIND && critical.image.digest == digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        (SignedRule { source: "*".to_owned(), keys }, Signed { payload: STANDARD.encode(payload), signature })
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
            let changed = Signed { payload, signature: signature.unwrap_or_else(|| signed.signature.clone()) };
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
        let rule = |source: &str| SignedRule { source: source.to_owned(), keys: Vec::new() };
        let rules = ["ghcr.io/acme/*", "*", "ghcr.io/other/*", "ghcr.io/acme/weather"].map(rule);
        let found = demanded(&rules, &OciReference::parse("oci://ghcr.io/acme/weather:1").unwrap());
        assert_eq!(found.iter().map(|rule| rule.source.as_str()).collect::<Vec<_>>(), ["ghcr.io/acme/*", "*", "ghcr.io/acme/weather"]);
        assert_eq!(tag_of("sha256:ab"), "sha256-ab.sig");
    }
}
