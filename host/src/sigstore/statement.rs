//! What is signed, and whether it says anything of a manifest.

use std::borrow::Cow;

use serde::Deserialize;

use super::key::{algorithm, hash};

/// What a document of `cosign sign` says of itself.
const DOCUMENT: &str = "cosign container image signature";
/// What an envelope holds.
const STATEMENT: &str = "application/vnd.in-toto+json";

/// The manifest that a signature has to be about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `sha256:…`, of the bytes.
    pub digest: &'a str,
    /// As it was sent.
    pub bytes: &'a [u8],
}

/// What a signature is of.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A document that names a manifest ("simple signing").
    Document(Vec<u8>),
    /// A statement about a manifest, in an envelope.
    Envelope {
        /// What the payload is.
        kind: String,
        payload: Vec<u8>,
        /// The envelope as it was sent, where it stands alone.
        raw: Option<Vec<u8>>,
    },
    /// The manifest itself.
    Manifest {
        /// What the bundle says of it.
        digest: Option<(String, Vec<u8>)>,
    },
}

#[derive(Deserialize)]
struct Document {
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

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Named>,
    #[serde(rename = "predicateType")]
    predicate: String,
}

#[derive(Deserialize)]
struct Named {
    digest: Digests,
}

#[derive(Deserialize)]
struct Digests {
    sha256: Option<String>,
}

impl Content {
    /// What the signature is over.
    pub(super) fn message<'a>(&'a self, manifest: &Subject<'a>) -> Cow<'a, [u8]> {
        match self {
            Self::Document(document) => document.into(),
            Self::Manifest { .. } => manifest.bytes.into(),
            // Pre-authentication encoding (DSSE).
            Self::Envelope { kind, payload, .. } => {
                let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
                [head.as_bytes(), payload].concat().into()
            }
        }
    }

    /// Whether it says of this manifest that it is what it is. To be asked once the signature is
    /// known to be right: nobody's text is read before it is known whose it is.
    pub(super) fn is_about(&self, manifest: &Subject<'_>, predicates: &[String]) -> Result<(), String> {
        let wanted = manifest.digest.strip_prefix("sha256:").ok_or("its digest is not a SHA-256")?;
        let elsewhere = || "it is a signature of something else".to_owned();
        match self {
            Self::Document(document) => {
                let Document { critical } = serde_json::from_slice(document).map_err(|_| elsewhere())?;
                let named = critical.image.digest.strip_prefix("sha256:");
                if critical.kind == DOCUMENT && named == Some(wanted) { Ok(()) } else { Err(elsewhere()) }
            }
            Self::Envelope { kind, payload, .. } => {
                let statement: Statement = serde_json::from_slice(payload).map_err(|_| elsewhere())?;
                if kind != STATEMENT
                    || !matches!(statement.kind.as_str(), "https://in-toto.io/Statement/v1" | "https://in-toto.io/Statement/v0.1")
                {
                    return Err("its envelope holds no in-toto statement".to_owned());
                }
                if !statement.subject.iter().any(|subject| subject.digest.sha256.as_deref() == Some(wanted)) {
                    return Err(elsewhere());
                }
                if !predicates.contains(&statement.predicate) {
                    return Err(format!("its statement is of the type {:?}, which is not among `predicates`", statement.predicate));
                }
                Ok(())
            }
            Self::Manifest { digest: None } => Ok(()),
            Self::Manifest { digest: Some((name, digest)) } => {
                let right = algorithm(name).is_some_and(|algorithm| hash(algorithm, &[manifest.bytes]) == *digest);
                if right { Ok(()) } else { Err(elsewhere()) }
            }
        }
    }
}
