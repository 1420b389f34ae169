//! `signed = [{ source = "ghcr.io/acme/*", keys = ["cosign.pub"] }]`: whose signatures plugins from
//! a registry need.

use std::{fmt, fs, path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    key::TypeInfo,
    section::{Section, section},
    toml_reader::Item,
    types::{Type, list, text},
};
use crate::sigstore::{Role, Roots};

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
        /// signature by one of them is enough.
        keys: Vec<PublicKey> = Vec::new(), Keys;
        /// Who may sign without a lasting key (Fulcio and Rekor), held against the roots below. A
        /// signature by one of them is enough.
        identities: Vec<SignerIdentity> = Vec::new(), Identities;
        /// Files `trusted_root.json` of Sigstore, which name authorities and logs with the times in
        /// which they count.
        trusted_root: Roots = Roots::default(), RootFiles(None);
        /// Files of certificates (PEM) of the authorities that give certificates to those who sign.
        fulcio: Roots = Roots::default(), RootFiles(Some(Role::Fulcio));
        /// Files of public keys (PEM) of the transparency logs in which signatures have to be. Where no
        /// log is known, a timestamp has to be there.
        rekor: Roots = Roots::default(), RootFiles(Some(Role::Rekor));
        /// Files of public keys (PEM) of the logs in which certificates have to be (certificate
        /// transparency). Where none is known, that isn't checked.
        ctlog: Roots = Roots::default(), RootFiles(Some(Role::CertificateLog));
        /// Files of certificates (PEM) of authorities that give timestamps (RFC 3161).
        timestamping: Roots = Roots::default(), RootFiles(Some(Role::Timestamping));
        /// The types of statements about a plugin (in-toto attestations) that count as a signature of it.
        predicates: Vec<String> = PREDICATES.map(str::to_owned).to_vec(), list("texts", text("text", any)) => unset("signatures of cosign 3, and SLSA provenance");
        /// All roots together.
        roots: Arc<Roots> = Arc::default();
    }
}

section! {
    /// Somebody who may sign without a lasting key. `*` stands for any characters.
    #[derive(Eq)]
    pub struct SignerIdentity {
        /// A pattern of the subject of the certificate: an email address, or a URI such as
        /// `https://github.com/acme/weather/.github/workflows/release.yml@refs/tags/*`.
        subject: String = String::new(), text("pattern", identity) => required;
        /// A pattern of who vouches for it: `https://token.actions.githubusercontent.com`.
        issuer: String = String::new(), text("pattern", identity) => required;
    }
}

/// What says of a manifest that it is what somebody has released: a signature of cosign 3, and the
/// provenance of a build.
const PREDICATES: [&str; 3] = ["https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2"];

/// What is shown of an identity where it is missing.
const EXAMPLE: &str = "{ subject = \"https://github.com/acme/*\", issuer = \"https://token.actions.githubusercontent.com\" }";

impl SignedRule {
    fn join_roots(&mut self) {
        let mut roots = Roots::default();
        for part in [&self.trusted_root, &self.fulcio, &self.rekor, &self.ctlog, &self.timestamping] {
            roots.add(part);
        }
        self.roots = Arc::new(roots);
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

/// Who may sign.
struct Identities;

impl Type<Vec<SignerIdentity>> for Identities {
    fn read(&self, item: &Item<'_>) -> Option<Vec<SignerIdentity>> {
        let mut identities = Vec::new();
        for item in item.list()? {
            if !item.value.is_table() {
                item.wrong_type(&format!("a table ({EXAMPLE})"));
                continue;
            }
            let Some(table) = item.table() else { continue };
            let mut identity = SignerIdentity::default();
            identity.read(&table);
            for key in ["subject", "issuer"] {
                if table.get(key).is_none() {
                    item.fail(format_args!("an identity has no {key:?}; write {EXAMPLE}"));
                }
            }
            table.finish();
            identities.push(identity);
        }
        Some(identities)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("list of tables", json!({ "type": "array", "items": { "$ref": "#/$defs/SignerSection" } }))
    }

    fn write(&self, value: &Vec<SignerIdentity>) -> Option<Value> {
        value.is_empty().then(|| json!([]))
    }
}

/// Files of roots, read: of PEM for a role, or `trusted_root.json`.
struct RootFiles(Option<Role>);

impl Type<Roots> for RootFiles {
    fn read(&self, item: &Item<'_>) -> Option<Roots> {
        let mut roots = Roots::default();
        for item in item.list()? {
            let Some(path) = item.file_path() else { continue };
            item.source.reads(&path);
            let read = fs::read_to_string(&path).map_err(|error| error.to_string());
            let added = read.and_then(|text| match self.0 {
                None => roots.add_trusted_root(&text),
                Some(role) => roots.add_pem(role, &text),
            });
            if let Err(why) = added {
                item.fail(format_args!("cannot use the roots in {}: {why}", path.display()));
            }
        }
        Some(roots)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("list of paths", json!({ "type": "array", "items": { "type": "string" } }))
    }

    fn write(&self, _: &Roots) -> Option<Value> {
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
            if table.get("source").is_none() {
                item.fail("has no \"source\"; write { source = \"ghcr.io/acme/*\", keys = [\"cosign.pub\"] }");
            }
            match (table.get("keys"), table.get("identities")) {
                (None, None) => item.fail(format_args!(
                    "has neither \"keys\" nor \"identities\", so nobody could sign; write {{ source = \"ghcr.io/acme/*\", keys = [\"cosign.pub\"] }}, or identities = [{EXAMPLE}] with trusted_root = [\"trusted_root.json\"]"
                )),
                (keys, identities) => {
                    let is_empty = |item: &Item<'_>| item.value.as_array().is_some_and(|list| list.is_empty());
                    if let Some(keys) = keys.filter(is_empty) {
                        keys.fail("no key is named, so nothing could be signed by one; name the file of a public key");
                    }
                    if let Some(identities) = identities.filter(is_empty) {
                        identities.fail(format_args!("no identity is named, so nothing could be signed by one; write {EXAMPLE}"));
                    }
                }
            }
            let given = ["trusted_root", "fulcio", "rekor", "ctlog", "timestamping", "predicates"].map(|key| table.get(key));
            let given: Vec<_> = given.into_iter().flatten().collect();
            rule.join_roots();
            match (rule.identities.is_empty(), given.first()) {
                (true, Some(first)) if table.get("identities").is_none() && first.key != "predicates" => {
                    first.fail("means nothing without \"identities\"; with `keys` a signature is held against these alone");
                }
                (false, _) if given.iter().all(|item| item.key == "predicates") => {
                    item.fail("has \"identities\" and no roots to hold them against; name `trusted_root`, or `fulcio` and `rekor`");
                }
                (false, _) => {
                    if let Err(why) = rule.roots.check() {
                        item.fail(why);
                    }
                }
                _ => {}
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

fn any(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn identity(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a pattern cannot be empty; \"*\" is anybody".to_owned()) } else { Ok(text.to_owned()) }
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
