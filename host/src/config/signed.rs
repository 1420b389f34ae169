//! `signed = [{ source = "ghcr.io/acme/*", keys = ["cosign.pub"] }]`: whose signatures plugins from
//! a registry need.

use std::{fmt, fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    key::TypeInfo,
    section::{Section, section},
    toml_reader::Item,
    types::{Type, text},
};

/// What a public key on the curve P-256 has before its point (RFC 5480): so these are all there are.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
    0x07, 0x03, 0x42, 0x00,
];

/// An uncompressed point: 4, x, y.
const POINT: usize = 65;

section! {
    /// Which plugins from a registry need a signature by cosign, and by whom. Each rule that fits has
    /// to be met.
    #[derive(Eq)]
    pub struct SignedRule {
        /// A pattern of registry and repository: `ghcr.io/acme/*`. `*` stands for any characters.
        source: String = String::new(), text("pattern", pattern) => required;
        /// Files of public keys, as `cosign generate-key-pair` writes them (PEM, ECDSA P-256). A
        /// signature by one of them is needed.
        keys: Vec<PublicKey> = Vec::new(), Keys => required;
    }
}

/// A public key, and the file that it is from.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its file.
    pub path: PathBuf,
    /// The point on P-256, uncompressed.
    pub point: Vec<u8>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), STANDARD.encode(&self.point))
    }
}

/// The files of keys, read.
struct Keys;

impl Type<Vec<PublicKey>> for Keys {
    fn read(&self, item: &Item<'_>) -> Option<Vec<PublicKey>> {
        let mut keys = Vec::new();
        for item in item.list()? {
            let Some(path) = item.file_path() else { continue };
            item.source.reads(&path);
            let read = fs::read_to_string(&path).map_err(|error| error.to_string());
            match read.and_then(|text| point(&text)) {
                Ok(point) => keys.push(PublicKey { path, point }),
                Err(why) => item.fail(format_args!("cannot use the public key {}: {why}", path.display())),
            }
        }
        Some(keys)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("list of paths", json!({ "type": "array", "items": { "type": "string" } }))
    }

    fn write(&self, _: &Vec<PublicKey>) -> Option<Value> {
        None
    }
}

/// The list of rules.
pub(super) struct Rules;

impl Type<Vec<SignedRule>> for Rules {
    fn read(&self, item: &Item<'_>) -> Option<Vec<SignedRule>> {
        let mut rules = Vec::new();
        for item in item.list()? {
            if !item.value.is_table() {
                item.wrong_type("a table ({ source = \"ghcr.io/acme/*\", keys = [\"cosign.pub\"] })");
                continue;
            }
            let Some(table) = item.table() else { continue };
            let mut rule = SignedRule::default();
            rule.read(&table);
            for key in ["source", "keys"] {
                if table.get(key).is_none() {
                    item.fail(format_args!("has no {key:?}; write {{ source = \"ghcr.io/acme/*\", keys = [\"cosign.pub\"] }}"));
                }
            }
            if let Some(keys) = table.get("keys").filter(|keys| keys.value.as_array().is_some_and(|list| list.is_empty())) {
                keys.fail("no key is named, so nothing could be signed by one; name the file of a public key");
            }
            table.finish();
            rules.push(rule);
        }
        Some(rules)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("list of tables", json!({ "type": "array", "items": { "$ref": "#/$defs/SignedSection" } }))
    }

    fn write(&self, value: &Vec<SignedRule>) -> Option<Value> {
        value.is_empty().then(|| json!([]))
    }
}

fn pattern(text: &str) -> Result<String, String> {
    if text.starts_with("oci://") || text.contains('@') {
        return Err(format!("{text:?} is not a pattern of registry and repository; write it without oci:// and digest: ghcr.io/acme/*"));
    }
    if text.trim().is_empty() { Err("a pattern cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The point in the PEM text of a public key.
fn point(pem: &str) -> Result<Vec<u8>, String> {
    const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
    if pem.contains("PRIVATE KEY-----") {
        return Err("it holds a private key, which does not belong on this machine; name the public one (cosign.pub)".to_owned());
    }
    let body = pem.split_once(BEGIN).and_then(|(_, rest)| rest.split_once("-----END PUBLIC KEY-----"));
    let (body, _) = body.ok_or_else(|| format!("it has no {BEGIN}; `cosign generate-key-pair` writes cosign.pub"))?;
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|error| format!("it is broken: {error}"))?;
    match der.strip_prefix(P256) {
        Some(point) if point.len() == POINT && point.first() == Some(&4) => Ok(point.to_owned()),
        _ => Err("it is not an ECDSA key on the curve P-256, which is what cosign makes and Toolbay verifies".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSIGN: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENptdY/l3nB0yqkXLBWkZWQwo6+cu
OSWS1X9vPavpiQOoTTGC0xX57OojUadxF1cdQmrsiReWg2Wn4FneJfa8xw==
-----END PUBLIC KEY-----";

    #[test]
    fn a_key_of_cosign_is_read_and_others_are_refused() {
        assert_eq!(point(COSIGN).unwrap().len(), POINT);
        assert_eq!(point(&COSIGN.replace('\n', "\r\n")), point(COSIGN));
        for (text, says) in [
            ("", "BEGIN PUBLIC KEY"),
            ("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nabc\n", "private key"),
            (&COSIGN.replace("MFkw", "MFkx"), "P-256"),
            (&COSIGN.replace("MFkw", "!"), "broken"),
        ] {
            let error = point(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
