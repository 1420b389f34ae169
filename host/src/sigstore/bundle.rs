//! A Sigstore bundle, as `cosign` 3, GitHub's attestations and Sigstore's other clients write it
//! (protobuf-specs, version 0.1 to 0.3, in JSON).

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    certificate::Certificate,
    checkpoint::Proof,
    entry::Entry,
    evidence::Evidence,
    roots::{CertificateChain, RawCertificate, bytes},
    statement::Content,
};

/// How all its media types begin.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle";
/// As many entries, and timestamps, as anybody has a use for.
const MOST: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    message_signature: Option<MessageSignature>,
    dsse_envelope: Option<Envelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    certificate: Option<RawCertificate>,
    x509_certificate_chain: Option<CertificateChain>,
    public_key: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    tlog_entries: Vec<LogEntry>,
    timestamp_verification_data: Option<Timestamps>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignature {
    message_digest: Option<MessageDigest>,
    signature: String,
}

#[derive(Deserialize)]
struct MessageDigest {
    algorithm: String,
    digest: String,
}

/// An envelope (DSSE).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogEntry {
    #[serde(deserialize_with = "number")]
    log_index: u64,
    log_id: Option<LogId>,
    #[serde(default, deserialize_with = "number")]
    integrated_time: u64,
    inclusion_promise: Option<Promise>,
    inclusion_proof: Option<InclusionProof>,
    canonicalized_body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promise {
    signed_entry_timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InclusionProof {
    #[serde(default, deserialize_with = "number")]
    log_index: u64,
    root_hash: String,
    #[serde(deserialize_with = "number")]
    tree_size: u64,
    #[serde(default)]
    hashes: Vec<String>,
    checkpoint: Option<Checkpoint>,
}

#[derive(Deserialize)]
struct Checkpoint {
    envelope: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timestamps {
    #[serde(default)]
    rfc3161_timestamps: Vec<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timestamp {
    signed_timestamp: String,
}

/// A number, which JSON of protobuf writes as a text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written<'a> {
        Number(u64),
        #[serde(borrow)]
        Text(std::borrow::Cow<'a, str>),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(number) => Ok(number),
        Written::Text(text) => text.parse().map_err(|_| D::Error::custom(format_args!("{text:?} is not a whole number"))),
    }
}

impl Evidence {
    /// Reads a bundle.
    ///
    /// # Errors
    ///
    /// It is none, or of a kind that is not supported.
    pub fn of_bundle(text: &[u8]) -> Result<Self, String> {
        let bundle: Bundle = serde_json::from_slice(text).map_err(|error| format!("the bundle cannot be read: {error}"))?;
        let Bundle { media_type, verification_material: material, message_signature, dsse_envelope } = bundle;
        // Version 0.1 had no proof that a log holds what it has promised to hold.
        let version = media_type.strip_prefix(MEDIA_TYPE).unwrap_or_default();
        let needs_proof = match version {
            "+json;version=0.1" => false,
            "+json;version=0.2" | "+json;version=0.3" | ".v0.3+json" => true,
            _ => return Err(format!("it is no bundle of a version that is supported: {media_type:?}")),
        };
        let mut evidence = match (message_signature, dsse_envelope) {
            (Some(message), None) => {
                let digest = match message.message_digest {
                    None => None,
                    Some(MessageDigest { algorithm, digest }) => Some((algorithm, bytes(&digest)?)),
                };
                Self::new(Content::Manifest { digest }, bytes(&message.signature)?)
            }
            (None, Some(envelope)) => envelope.evidence(None)?,
            _ => return Err("the bundle has neither exactly one message signature nor exactly one envelope".to_owned()),
        };
        evidence.needs_proof = needs_proof;
        evidence.certificates = match (material.certificate, material.x509_certificate_chain, material.public_key) {
            (Some(one), None, None) => vec![bytes(&one.raw_bytes)?],
            (None, Some(chain), None) => {
                let chain: Result<Vec<_>, _> = chain.certificates.iter().map(|one| bytes(&one.raw_bytes)).collect();
                let chain = chain?;
                if chain.is_empty() {
                    return Err("the bundle has an empty chain of certificates".to_owned());
                }
                chain
            }
            (None, None, _) => Vec::new(),
            _ => return Err("the bundle names its key in several ways".to_owned()),
        };
        for one in &evidence.certificates {
            if Certificate::read(one)?.is_self_issued() {
                return Err("the bundle brings a root certificate of its own; roots are what the operator gives".to_owned());
            }
        }
        let timestamps = material.timestamp_verification_data.unwrap_or_default().rfc3161_timestamps;
        if material.tlog_entries.len() > MOST || timestamps.len() > MOST {
            return Err(format!("the bundle has more than {MOST} log entries or timestamps"));
        }
        evidence.entries = material.tlog_entries.into_iter().map(LogEntry::entry).collect::<Result<_, _>>()?;
        evidence.timestamps = timestamps.iter().map(|one| bytes(&one.signed_timestamp)).collect::<Result<_, _>>()?;
        Ok(evidence)
    }
}

impl Envelope {
    /// What it holds. `raw` is the envelope as it was sent, where it stands alone.
    pub(super) fn evidence(self, raw: Option<&[u8]>) -> Result<Evidence, String> {
        let Self { payload, payload_type, signatures } = self;
        let [signature] = signatures.as_slice() else {
            return Err(format!("its envelope has {} signatures and not one", signatures.len()));
        };
        let signature = bytes(&signature.sig)?;
        Ok(Evidence::new(Content::Envelope { kind: payload_type, payload: bytes(&payload)?, raw: raw.map(<[u8]>::to_owned) }, signature))
    }
}

impl LogEntry {
    fn entry(self) -> Result<Entry, String> {
        let proof = match self.inclusion_proof {
            None => None,
            Some(InclusionProof { checkpoint: None, .. }) => return Err("the proof of its log entry has no checkpoint".to_owned()),
            Some(InclusionProof { log_index, root_hash, tree_size, hashes, checkpoint: Some(checkpoint) }) => Some(Proof {
                index: log_index,
                size: tree_size,
                root: bytes(&root_hash)?,
                hashes: hashes.iter().map(|hash| bytes(hash)).collect::<Result<_, _>>()?,
                checkpoint: checkpoint.envelope,
            }),
        };
        Ok(Entry {
            body: bytes(&self.canonicalized_body)?,
            log: bytes(&self.log_id.map(|id| id.key_id).unwrap_or_default())?,
            index: self.log_index,
            time: self.integrated_time,
            promise: self.inclusion_promise.map(|promise| bytes(&promise.signed_entry_timestamp)).transpose()?,
            proof,
        })
    }
}
