//! What was given with a signature, and who has made it by that.

use super::{
    certificate::Certificate,
    chain::{CODE_SIGNING, issued_by},
    entry::{About, Entry},
    key::Key,
    promise,
    roots::Roots,
    statement::{Content, Subject},
    timestamp,
};

/// How far the clocks of logs and authorities may be ahead of ours, in seconds.
const AHEAD: u64 = 300;

/// A signature, and what was given with it.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub(super) content: Content,
    pub(super) signature: Vec<u8>,
    /// The signer's first. Empty: a lasting key has signed.
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) entries: Vec<Entry>,
    pub(super) timestamps: Vec<Vec<u8>>,
    /// Whether each entry has to be proven to be in its log, and not only promised.
    pub(super) needs_proof: bool,
}

/// Who has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// An address or a URI, such as that of a workflow; rarely several.
    pub subjects: Vec<String>,
    /// Who vouches for it.
    pub issuer: String,
}

impl Evidence {
    pub(super) fn new(content: Content, signature: Vec<u8>) -> Self {
        Self { content, signature, certificates: Vec::new(), entries: Vec::new(), timestamps: Vec::new(), needs_proof: false }
    }

    /// Whether a certificate says who has signed.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// Whether a lasting key has signed that this is the manifest. `has_signed` is asked with what
    /// is signed and the signature.
    #[must_use]
    pub fn is_by_key(&self, manifest: &Subject<'_>, predicates: &[String], has_signed: impl Fn(&[u8], &[u8]) -> bool) -> bool {
        has_signed(&self.content.message(manifest), &self.signature) && self.content.is_about(manifest, predicates).is_ok()
    }

    /// Who has signed that this is the manifest. `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// It does not count, and why.
    pub fn signer(&self, manifest: &Subject<'_>, predicates: &[String], roots: &Roots, now: u64) -> Result<Signer, String> {
        let Some((leaf, others)) = self.certificates.split_first() else {
            return Err("it was made with a key, and has no certificate".to_owned());
        };
        let certificate = Certificate::read(leaf).map_err(|why| format!("its certificate cannot be used: {why}"))?;
        let message = self.content.message(manifest);
        let times = self.times(leaf, &message, roots)?;
        for time in times {
            if time > now + AHEAD {
                return Err("it is said to have been made in the future; is this machine's clock right?".to_owned());
            }
            if !certificate.is_valid_at(time) {
                return Err("its certificate was not valid when it was made".to_owned());
            }
            let mut last = None;
            let found = roots
                .authorities
                .iter()
                .find_map(|authority| issued_by(leaf, others, authority, time, CODE_SIGNING).map_err(|why| last = Some(why)).ok());
            let issuers = found.ok_or_else(|| {
                format!("its certificate leads to no authority that is trusted: {}", last.unwrap_or_else(|| "none is given".to_owned()))
            })?;
            if roots.checks_certificate_logs() {
                promise::check(&certificate, &issuers, &roots.certificate_logs)?;
            }
        }
        let key = Key::read(certificate.key).map_err(|why| format!("its certificate's key cannot be used: {why}"))?;
        if !key.has_signed(&message, &self.signature) {
            return Err("it is wrong, or of something else".to_owned());
        }
        self.content.is_about(manifest, predicates)?;
        let issuer = certificate.identity_issuer().ok_or("its certificate does not say who vouches for its subject")?;
        Ok(Signer { subjects: certificate.subjects(), issuer })
    }

    /// All times at which the signature was there, as those who are trusted say; at least one.
    fn times(&self, leaf: &[u8], message: &[u8], roots: &Roots) -> Result<Vec<u64>, String> {
        let (payload, envelope) = match &self.content {
            Content::Envelope { payload, raw, .. } => (Some(payload.as_slice()), raw.as_deref()),
            Content::Document(_) | Content::Manifest { .. } => (None, None),
        };
        let about = About { certificate: leaf, signature: &self.signature, message, payload, envelope };
        let mut times = Vec::new();
        let mut logs = Vec::new();
        // Where no log is trusted, entries in one say nothing.
        if !roots.logs.is_empty() {
            if self.entries.is_empty() {
                return Err("it is in no transparency log".to_owned());
            }
            for entry in &self.entries {
                let seen = entry.check(&about, &roots.logs, self.needs_proof)?;
                times.extend(seen.time);
                logs.extend(seen.logs);
            }
        }
        if !roots.timestamping.is_empty() {
            for timestamp in &self.timestamps {
                times.push(timestamp::time(timestamp, &self.signature, roots)?);
            }
        }
        if times.is_empty() {
            return Err("nobody who is trusted says when it was made: neither a log nor a timestamp".to_owned());
        }
        match logs.iter().all(|log| times.iter().all(|time| log.valid.contains(*time))) {
            true => Ok(times),
            false => Err("its log was not in use when it was made".to_owned()),
        }
    }
}
