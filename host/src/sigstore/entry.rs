//! An entry of a transparency log (Rekor): that the log has it, since when, and that it is about
//! this signature and no other.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::SHA256;
use serde_json::Value;

use super::{
    checkpoint::Proof,
    key::{algorithm, hash},
    roots::{Log, bytes, pem},
};

/// What a log has of a signature.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// What was written down, to the last byte.
    pub(super) body: Vec<u8>,
    /// The log, by its key's hash.
    pub(super) log: Vec<u8>,
    pub(super) index: u64,
    /// When, in seconds since 1970. Only `promise` makes it true.
    pub(super) time: u64,
    /// The log's signature that it will hold the entry (signed entry timestamp).
    pub(super) promise: Option<Vec<u8>>,
    pub(super) proof: Option<Proof>,
}

/// The signature that an entry has to be about.
pub(super) struct About<'a> {
    pub(super) certificate: &'a [u8],
    pub(super) signature: &'a [u8],
    /// What is signed.
    pub(super) message: &'a [u8],
    /// The payload of an envelope (DSSE), and the envelope as it was sent, where that is known.
    pub(super) payload: Option<&'a [u8]>,
    pub(super) envelope: Option<&'a [u8]>,
}

/// What an entry has shown.
pub(super) struct Seen<'l> {
    pub(super) logs: Vec<&'l Log>,
    pub(super) time: Option<u64>,
}

impl Entry {
    /// Holds an entry against the logs that are trusted.
    pub(super) fn check<'l>(&self, about: &About<'_>, logs: &'l [Log], needs_proof: bool) -> Result<Seen<'l>, String> {
        let text: Value = serde_json::from_slice(&self.body).map_err(|_| "its entry in the log is not JSON")?;
        about.is_in(&text)?;
        let mut seen = Seen { logs: Vec::new(), time: None };
        if let Some(proof) = &self.proof {
            seen.logs.push(proof.log(&self.body, logs)?);
        } else if needs_proof {
            return Err("it has no proof that the log holds its entry".to_owned());
        }
        if let Some(promise) = &self.promise {
            seen.logs.push(self.promised_by(promise, logs)?);
            seen.time = Some(self.time);
        }
        if seen.logs.is_empty() {
            return Err("neither a promise of the log nor a proof is with its entry".to_owned());
        }
        Ok(seen)
    }

    fn promised_by<'l>(&self, promise: &[u8], logs: &'l [Log]) -> Result<&'l Log, String> {
        let mut known = logs.iter().filter(|log| log.key.id() == self.log).peekable();
        if known.peek().is_none() {
            return Err("its entry is in a log that is not trusted".to_owned());
        }
        // Canonical JSON (RFC 8785): these names in this order, and no text that needs an escape.
        let log: String = self.log.iter().map(|byte| format!("{byte:02x}")).collect();
        let body = STANDARD.encode(&self.body);
        let signed = format!(r#"{{"body":"{body}","integratedTime":{},"logID":"{log}","logIndex":{}}}"#, self.time, self.index);
        known
            .find(|log| log.key.has_signed(signed.as_bytes(), promise) && log.valid.contains(self.time))
            .ok_or_else(|| "the log has not signed the time of its entry (SET)".to_owned())
    }
}

impl About<'_> {
    /// Whether an entry is about this.
    fn is_in(&self, entry: &Value) -> Result<(), String> {
        let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
        let (kind, version) = (text("/kind").unwrap_or_default(), text("/apiVersion").unwrap_or_default());
        let parts = match (kind, version) {
            ("hashedrekord", "0.0.1") => {
                self.is_hash(text("/spec/data/hash/algorithm"), text("/spec/data/hash/value"), self.message)
                    && self.is_signature(text("/spec/signature/content"))
                    && self.is_certificate_pem(text("/spec/signature/publicKey/content"))
            }
            ("hashedrekord", "0.0.2") => {
                let spec = "/spec/hashedRekordV002";
                let at = |rest: &str| entry.pointer(&format!("{spec}{rest}")).and_then(Value::as_str);
                self.is_digest(at("/data/algorithm"), at("/data/digest"), self.message)
                    && self.is_signature(at("/signature/content"))
                    && self.is_certificate(at("/signature/verifier/x509Certificate/rawBytes"))
            }
            ("dsse", "0.0.1") => {
                self.is_payload(|payload| self.is_hash(text("/spec/payloadHash/algorithm"), text("/spec/payloadHash/value"), payload))
                    && only(entry, "/spec/signatures")
                    && self.is_signature(text("/spec/signatures/0/signature"))
                    && self.is_certificate_pem(text("/spec/signatures/0/verifier"))
            }
            ("dsse", "0.0.2") => {
                let spec = "/spec/dsseV002";
                let at = |rest: &str| entry.pointer(&format!("{spec}{rest}")).and_then(Value::as_str);
                self.is_payload(|payload| self.is_digest(at("/payloadHash/algorithm"), at("/payloadHash/digest"), payload))
                    && only(entry, &format!("{spec}/signatures"))
                    && self.is_signature(at("/signatures/0/content"))
                    && self.is_certificate(at("/signatures/0/verifier/x509Certificate/rawBytes"))
            }
            ("intoto", "0.0.2") => {
                // Base64 twice, as an envelope has it once.
                let signature = text("/spec/content/envelope/signatures/0/sig").and_then(|text| bytes(text).ok());
                let signature = signature.and_then(|text| String::from_utf8(text).ok());
                self.is_payload(|payload| {
                    self.is_hash(text("/spec/content/payloadHash/algorithm"), text("/spec/content/payloadHash/value"), payload)
                }) && only(entry, "/spec/content/envelope/signatures")
                    && self.is_signature(signature.as_deref())
                    && self.is_certificate_pem(text("/spec/content/envelope/signatures/0/publicKey"))
            }
            // It names the envelope by its hash only.
            ("intoto", "0.0.1") => {
                self.envelope
                    .is_some_and(|envelope| self.is_hash(text("/spec/content/hash/algorithm"), text("/spec/content/hash/value"), envelope))
                    && self.is_certificate_pem(text("/spec/publicKey"))
            }
            _ => return Err(format!("its entry in the log is of a kind that is not supported: {kind:?} {version:?}")),
        };
        if parts { Ok(()) } else { Err("its entry in the log is about another signature".to_owned()) }
    }

    fn is_payload(&self, is: impl FnOnce(&[u8]) -> bool) -> bool {
        self.payload.is_some_and(is)
    }

    /// A digest in hexadecimal.
    fn is_hash(&self, name: Option<&str>, value: Option<&str>, of: &[u8]) -> bool {
        let digest = name.and_then(algorithm).map(|algorithm| hash(algorithm, &[of]));
        let digest = digest.map(|digest| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        digest.is_some() && digest.as_deref() == value
    }

    /// A digest in base64.
    fn is_digest(&self, name: Option<&str>, value: Option<&str>, of: &[u8]) -> bool {
        let digest = name.and_then(algorithm).map(|algorithm| hash(algorithm, &[of]));
        digest.is_some() && digest == value.and_then(|value| bytes(value).ok())
    }

    fn is_signature(&self, value: Option<&str>) -> bool {
        value.and_then(|value| bytes(value).ok()).is_some_and(|bytes| bytes == self.signature)
    }

    fn is_certificate(&self, value: Option<&str>) -> bool {
        value.and_then(|value| bytes(value).ok()).is_some_and(|bytes| bytes == self.certificate)
    }

    /// PEM in base64.
    fn is_certificate_pem(&self, value: Option<&str>) -> bool {
        let text = value.and_then(|value| bytes(value).ok()).and_then(|text| String::from_utf8(text).ok());
        let found = text.and_then(|text| pem(&text, "CERTIFICATE").ok());
        found.is_some_and(|found| matches!(found.as_slice(), [one] if one == self.certificate))
    }
}

fn only(entry: &Value, pointer: &str) -> bool {
    entry.pointer(pointer).and_then(Value::as_array).is_some_and(|list| list.len() == 1)
}

/// By what a log's key is called where only its hash is known.
pub(super) fn log_of(hex: &str) -> Option<Vec<u8>> {
    if hex.len() != 2 * SHA256.output_len() || !hex.is_ascii() {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}
