//! Whom an operator trusts: authorities of certificates and timestamps, and the keys of logs.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{certificate::Certificate, key::Key};

/// All that a signature is held against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// Fulcio: who gives certificates.
    pub(super) authorities: Vec<Authority>,
    /// Rekor: where signatures are written down.
    pub(super) logs: Vec<Log>,
    /// Where certificates are written down.
    pub(super) certificate_logs: Vec<Log>,
    /// Who says when a signature was there.
    pub(super) timestamping: Vec<Authority>,
}

/// An authority: the certificates from the one that issues to the one that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) valid: Period,
}

/// A log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    /// Its host, as checkpoints name it. None: it is known by its key only.
    pub(super) name: Option<String>,
    pub(super) key: Key,
    pub(super) valid: Period,
}

/// From when until when something counts, both inclusive, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Period {
    start: u64,
    end: Option<u64>,
}

impl Period {
    pub(super) fn contains(self, time: u64) -> bool {
        time >= self.start && self.end.is_none_or(|end| time <= end)
    }
}

/// What a file of PEM is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Certificates of Fulcio.
    Fulcio,
    /// Public keys of Rekor.
    Rekor,
    /// Public keys of certificate transparency logs.
    CertificateLog,
    /// Certificates of timestamping authorities.
    Timestamping,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrustedRoot {
    media_type: String,
    #[serde(default)]
    tlogs: Vec<LogInstance>,
    #[serde(default)]
    ctlogs: Vec<LogInstance>,
    #[serde(default)]
    certificate_authorities: Vec<AuthorityInstance>,
    #[serde(default)]
    timestamp_authorities: Vec<AuthorityInstance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogInstance {
    #[serde(default)]
    base_url: String,
    public_key: PublicKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKey {
    raw_bytes: String,
    valid_for: Option<TimeRange>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorityInstance {
    cert_chain: CertificateChain,
    valid_for: Option<TimeRange>,
}

#[derive(Deserialize)]
pub(super) struct CertificateChain {
    pub(super) certificates: Vec<RawCertificate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawCertificate {
    pub(super) raw_bytes: String,
}

#[derive(Deserialize)]
struct TimeRange {
    start: Option<String>,
    end: Option<String>,
}

impl Roots {
    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        self.authorities.extend_from_slice(&other.authorities);
        self.logs.extend_from_slice(&other.logs);
        self.certificate_logs.extend_from_slice(&other.certificate_logs);
        self.timestamping.extend_from_slice(&other.timestamping);
    }

    /// Adds what a `trusted_root.json` names (`TrustedRoot` of Sigstore's protobuf-specs).
    ///
    /// # Errors
    ///
    /// It is not such a file.
    pub fn add_trusted_root(&mut self, text: &str) -> Result<(), String> {
        // All of it or nothing.
        let mut read = Self::default();
        let root: TrustedRoot =
            serde_json::from_str(text).map_err(|error| format!("it is not a trusted_root.json of Sigstore: {error}"))?;
        if !root.media_type.starts_with("application/vnd.dev.sigstore.trustedroot") {
            return Err(format!("its mediaType is {:?} and not application/vnd.dev.sigstore.trustedroot.v0.1+json", root.media_type));
        }
        for (instances, logs) in [(root.tlogs, &mut read.logs), (root.ctlogs, &mut read.certificate_logs)] {
            for instance in instances {
                logs.extend(instance.read()?);
            }
        }
        let authorities = [(root.certificate_authorities, &mut read.authorities), (root.timestamp_authorities, &mut read.timestamping)];
        for (instances, all) in authorities {
            for AuthorityInstance { cert_chain, valid_for } in instances {
                let chain: Result<Vec<_>, _> = cert_chain.certificates.iter().map(|one| bytes(&one.raw_bytes)).collect();
                let chain = chain?;
                if chain.is_empty() {
                    return Err("an authority in it has no certificates".to_owned());
                }
                for one in &chain {
                    Certificate::read(one).map_err(|why| format!("a certificate in it cannot be used: {why}"))?;
                }
                all.push(Authority { chain, valid: period(valid_for.as_ref())? });
            }
        }
        self.add(&read);
        Ok(())
    }

    /// Adds what a file of PEM holds.
    ///
    /// # Errors
    ///
    /// It holds nothing for that.
    pub fn add_pem(&mut self, role: Role, text: &str) -> Result<(), String> {
        match role {
            Role::Fulcio | Role::Timestamping => {
                let found = pem(text, "CERTIFICATE")?;
                let mut is_root = Vec::new();
                for one in &found {
                    is_root.push(Certificate::read(one)?.is_self_issued());
                }
                // Where none has issued itself, the last one is what is trusted.
                if !is_root.contains(&true) {
                    is_root.last_mut().into_iter().for_each(|last| *last = true);
                }
                let of = |wanted: bool| found.iter().zip(&is_root).filter(move |(_, is)| **is == wanted).map(|(one, _)| one.clone());
                let between: Vec<_> = of(false).collect();
                let all = if role == Role::Fulcio { &mut self.authorities } else { &mut self.timestamping };
                all.extend(of(true).map(|root| Authority { chain: [between.clone(), vec![root]].concat(), valid: Period::default() }));
            }
            Role::Rekor | Role::CertificateLog => {
                let logs = if role == Role::Rekor { &mut self.logs } else { &mut self.certificate_logs };
                let keys: Result<Vec<_>, _> = pem(text, "PUBLIC KEY")?.iter().map(|info| Key::read(info)).collect();
                logs.extend(keys?.into_iter().map(|key| Log { name: None, key, valid: Period::default() }));
            }
        }
        Ok(())
    }

    /// What is missing for anything to be verified by these.
    ///
    /// # Errors
    ///
    /// Nothing could be.
    pub fn check(&self) -> Result<(), String> {
        if self.authorities.is_empty() {
            return Err("no authority of certificates is given, so none could be trusted; name a `trusted_root`, or `fulcio`".to_owned());
        }
        if self.logs.is_empty() && self.timestamping.is_empty() {
            return Err("nothing is given that says when a signature was made; name a `trusted_root`, `rekor` or `timestamping`".to_owned());
        }
        Ok(())
    }

    /// Whether promises of certificate transparency are asked for: only where a log is known.
    #[must_use]
    pub fn checks_certificate_logs(&self) -> bool {
        !self.certificate_logs.is_empty()
    }
}

impl LogInstance {
    /// None: its key is of a kind that signs nothing here, such as that of a log that ended long ago.
    fn read(&self) -> Result<Option<Log>, String> {
        // A key that nobody says since when it counts never does.
        let Some(valid_for) = self.public_key.valid_for.as_ref().filter(|range| range.start.is_some()) else { return Ok(None) };
        let Ok(key) = Key::read(&bytes(&self.public_key.raw_bytes)?) else { return Ok(None) };
        let name = self.base_url.split_once("://").map_or(self.base_url.as_str(), |(_, rest)| rest);
        let name = name.split('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(Some(Log { name, key, valid: period(Some(valid_for))? }))
    }
}

fn period(range: Option<&TimeRange>) -> Result<Period, String> {
    let time = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => chrono::DateTime::parse_from_rfc3339(text)
            .ok()
            .and_then(|time| u64::try_from(time.timestamp()).ok())
            .map(Some)
            .ok_or_else(|| format!("{text:?} in it is not a time")),
    };
    match range {
        None => Ok(Period::default()),
        Some(TimeRange { start, end }) => Ok(Period { start: time(start)?.unwrap_or_default(), end: time(end)? }),
    }
}

pub(super) fn bytes(text: &str) -> Result<Vec<u8>, String> {
    // Some write it in lines.
    let joined: Cow<'_, str> = if text.contains('\n') { text.split_whitespace().collect() } else { text.into() };
    STANDARD.decode(joined.as_bytes()).map_err(|error| format!("it has broken base64: {error}"))
}

/// All blocks of PEM with this label; at least one.
pub(super) fn pem(text: &str, label: &str) -> Result<Vec<Vec<u8>>, String> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, after) = after.split_once(&end).ok_or_else(|| format!("{begin} has no end"))?;
        found.push(bytes(&body.split_whitespace().collect::<String>())?);
        rest = after;
    }
    if found.is_empty() { Err(format!("it has no {begin}")) } else { Ok(found) }
}
