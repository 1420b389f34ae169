//! What `cosign` up to version 2 writes beside a signature: its certificate, the log's promise and
//! a timestamp, as annotations of a layer.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    bundle::Envelope,
    entry::{Entry, log_of},
    evidence::Evidence,
    roots::{bytes, pem},
    statement::Content,
};

/// The signature, in base64.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// The log's promise.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Promise {
    signed_entry_timestamp: String,
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    body: String,
    integrated_time: u64,
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Timestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed: String,
}

impl Evidence {
    /// Reads a document of `cosign sign` ("simple signing") and what is written beside it.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn of_document(document: &[u8], annotations: &BTreeMap<String, String>) -> Result<Self, String> {
        let signature = annotations.get(SIGNATURE).ok_or("the signature has no text")?;
        let signature = bytes(&signature.split_whitespace().collect::<String>())?;
        Self::new(Content::Document(document.to_owned()), signature).with(annotations)
    }

    /// Reads an envelope of `cosign attest`, and what is written beside it.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn of_envelope(envelope: &[u8], annotations: &BTreeMap<String, String>) -> Result<Self, String> {
        let read: Envelope = serde_json::from_slice(envelope).map_err(|error| format!("the envelope cannot be read: {error}"))?;
        read.evidence(Some(envelope))?.with(annotations)
    }

    fn with(mut self, annotations: &BTreeMap<String, String>) -> Result<Self, String> {
        for (name, many) in [(CERTIFICATE, false), (CHAIN, true)] {
            let Some(text) = annotations.get(name).filter(|text| !text.trim().is_empty()) else { continue };
            let found = pem(text, "CERTIFICATE").map_err(|why| format!("{name} cannot be used: {why}"))?;
            self.certificates.extend(found.into_iter().take(if many { usize::MAX } else { 1 }));
        }
        // What stands in the chain is nobody's by itself.
        if annotations.get(CERTIFICATE).is_none_or(|text| text.trim().is_empty()) {
            self.certificates.clear();
        }
        if let Some(text) = annotations.get(BUNDLE).filter(|text| !text.trim().is_empty()) {
            let wrong = |why: &dyn std::fmt::Display| format!("{BUNDLE} cannot be used: {why}");
            let Promise { signed_entry_timestamp, payload } = serde_json::from_str(text).map_err(|error| wrong(&error))?;
            self.entries.push(Entry {
                body: bytes(&payload.body).map_err(|why| wrong(&why))?,
                log: log_of(&payload.log_id).ok_or_else(|| wrong(&"its log is not named by a SHA-256"))?,
                index: payload.log_index,
                time: payload.integrated_time,
                promise: Some(bytes(&signed_entry_timestamp).map_err(|why| wrong(&why))?),
                proof: None,
            });
        }
        if let Some(text) = annotations.get(TIMESTAMP).filter(|text| !text.trim().is_empty()) {
            let Timestamp { signed } = serde_json::from_str(text).map_err(|error| format!("{TIMESTAMP} cannot be used: {error}"))?;
            self.timestamps.push(bytes(&signed)?);
        }
        Ok(self)
    }
}
