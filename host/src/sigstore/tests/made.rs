//! A Sigstore of our own: authority, logs and timestamps, and bundles by it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PublicKeyData as _, SanType, SerialNumber, SigningKey as _, date_time_ymd,
};
use ring::digest::SHA256;
use serde_json::{Value, json};

use crate::sigstore::{
    Evidence, Role, Roots, Signer, Subject,
    der::{Reader, SEQUENCE, encode},
    key::hash,
};

pub(super) const MANIFEST: &[u8] = b"{\"schemaVersion\":2}";
pub(super) const ISSUER: &str = "https://token.example.com";
pub(super) const WHO: &str = "https://github.com/acme/weather/.github/workflows/release.yml@refs/tags/v1";
pub(super) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// Noon of 2 January 2026. The certificate is valid from the 2nd to the 3rd.
pub(super) const NOON: u64 = 1_767_355_200;
pub(super) const DAY: u64 = 24 * 3600;

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    hash(&SHA256, &[bytes])
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64(der))
}

/// An authority, the logs and who gives timestamps.
pub(super) struct Made {
    pub(super) fulcio: CertifiedIssuer<'static, KeyPair>,
    pub(super) rekor: KeyPair,
    pub(super) ctlog: KeyPair,
    pub(super) stamping: CertifiedIssuer<'static, KeyPair>,
}

/// What is to be in a bundle.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) subject: SanType,
    pub(super) issuer: Option<&'static str>,
    pub(super) purpose: ExtendedKeyUsagePurpose,
    pub(super) has_promise: bool,
    /// Of the manifest.
    pub(super) digest: String,
    pub(super) predicate: &'static str,
    pub(super) payload_type: &'static str,
    /// When the log says that it was signed.
    pub(super) at: u64,
    /// When the timestamp says so.
    pub(super) stamped: Option<u64>,
    /// What is signed by another key than the certificate's.
    pub(super) is_foreign: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            subject: SanType::URI(WHO.try_into().unwrap()),
            issuer: Some(ISSUER),
            purpose: ExtendedKeyUsagePurpose::CodeSigning,
            has_promise: true,
            digest: hex(&sha256(MANIFEST)),
            predicate: SIGN,
            payload_type: "application/vnd.in-toto+json",
            at: NOON,
            stamped: None,
            is_foreign: false,
        }
    }
}

pub(super) fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2035, 1, 1));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Made {
    pub(super) fn new() -> Self {
        let key = || KeyPair::generate().unwrap();
        Self { fulcio: authority("fulcio"), rekor: key(), ctlog: key(), stamping: authority("timestamps") }
    }

    /// All of it as files of PEM.
    pub(super) fn roots(&self) -> Roots {
        let mut roots = Roots::default();
        roots.add_pem(Role::Fulcio, &self.fulcio.pem()).unwrap();
        roots.add_pem(Role::Rekor, &pem("PUBLIC KEY", &self.rekor.subject_public_key_info())).unwrap();
        roots.add_pem(Role::CertificateLog, &pem("PUBLIC KEY", &self.ctlog.subject_public_key_info())).unwrap();
        roots.add_pem(Role::Timestamping, &self.stamping.pem()).unwrap();
        roots
    }

    /// The same as a `trusted_root.json`.
    pub(super) fn trusted_root(&self) -> Value {
        let log = |key: &KeyPair| {
            json!({ "baseUrl": "https://rekor.example.com", "hashAlgorithm": "SHA2_256", "publicKey": {
                "rawBytes": base64(key.subject_public_key_info()), "validFor": { "start": "2025-01-01T00:00:00Z" } } })
        };
        let authority = |of: &CertifiedIssuer<'static, KeyPair>| json!({ "certChain": { "certificates": [{ "rawBytes": base64(of.der()) }] }, "validFor": { "start": "2025-01-01T00:00:00Z" } });
        json!({ "mediaType": "application/vnd.dev.sigstore.trustedroot.v0.2+json", "tlogs": [log(&self.rekor)], "ctlogs": [log(&self.ctlog)],
            "certificateAuthorities": [authority(&self.fulcio)], "timestampAuthorities": [authority(&self.stamping)] })
    }

    /// A certificate as Fulcio gives it, with the promise of the log of certificates in it.
    pub(super) fn certificate(&self, plan: &Plan, key: &KeyPair) -> Vec<u8> {
        let mut params = named("");
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![plan.subject.clone()];
        params.extended_key_usages = vec![plan.purpose.clone()];
        params.serial_number = Some(SerialNumber::from(4_711_u64));
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 2), date_time_ymd(2026, 1, 3));
        if let Some(issuer) = plan.issuer {
            let text = encode(0x0c, issuer.as_bytes());
            params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], text));
        }
        let before = params.signed_by(key, &self.fulcio).unwrap();
        if !plan.has_promise {
            return before.der().to_vec();
        }
        let tbs = Reader::only(before.der(), SEQUENCE).unwrap().element().unwrap().whole;
        let (time, length) = ((plan.at * 1000).to_be_bytes(), u32::try_from(tbs.len()).unwrap().to_be_bytes());
        let issuer = sha256(&self.fulcio.key().subject_public_key_info());
        let signed = [&[0, 0][..], &time, &[0, 1], &issuer, &length[1..], tbs, &[0, 0]].concat();
        let signature = self.ctlog.sign(&signed).unwrap();
        let log = sha256(&self.ctlog.subject_public_key_info());
        let one = [&[0][..], &log, &time, &[0, 0], &[4, 3], &counted(&signature)].concat();
        let list = encode(0x04, &counted(&counted(&one)));
        params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], list));
        params.signed_by(key, &self.fulcio).unwrap().der().to_vec()
    }

    /// A bundle of version 0.3 with a statement in an envelope.
    pub(super) fn bundle(&self, plan: &Plan) -> Value {
        let key = KeyPair::generate().unwrap();
        let certificate = self.certificate(plan, &key);
        let payload = json!({ "_type": "https://in-toto.io/Statement/v1", "predicateType": plan.predicate,
            "subject": [{ "digest": { "sha256": plan.digest } }], "predicate": {} })
        .to_string();
        let message = format!("DSSEv1 {} {} {} {payload}", plan.payload_type.len(), plan.payload_type, payload.len());
        let signing = if plan.is_foreign { &KeyPair::generate().unwrap() } else { &key };
        let signature = signing.sign(message.as_bytes()).unwrap();
        let body = json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "payloadHash": { "algorithm": "sha256", "value": hex(&sha256(payload.as_bytes())) },
            "signatures": [{ "signature": base64(&signature), "verifier": base64(pem("CERTIFICATE", &certificate)) }] } });
        let mut bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": { "rawBytes": base64(&certificate) },
                "tlogEntries": [self.entry(body.to_string().as_bytes(), plan.at)],
            },
            "dsseEnvelope": { "payload": base64(&payload), "payloadType": plan.payload_type, "signatures": [{ "sig": base64(&signature) }] },
        });
        if let Some(at) = plan.stamped {
            bundle["verificationMaterial"]["timestampVerificationData"] =
                json!({ "rfc3161Timestamps": [{ "signedTimestamp": base64(self.timestamp(&signature, at)) }] });
        }
        bundle
    }

    /// An entry of the log, the third of three, promised and proven.
    pub(super) fn entry(&self, body: &[u8], at: u64) -> Value {
        let id = sha256(&self.rekor.subject_public_key_info());
        let (first, leaf) = (sha256(b"two entries before it"), hash(&SHA256, &[&[0], body]));
        let root = base64(hash(&SHA256, &[&[1], &first, &leaf]));
        let text = format!("rekor.example.com - 17\n3\n{root}\n");
        let signed = [&id[..4], &self.rekor.sign(text.as_bytes()).unwrap()].concat();
        json!({
            "logIndex": "9002", "logId": { "keyId": base64(&id) }, "kindVersion": { "kind": "dsse", "version": "0.0.1" },
            "integratedTime": at.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": base64(self.promise(body, at, 9002)) },
            "inclusionProof": { "logIndex": "2", "rootHash": root, "treeSize": "3", "hashes": [base64(first)],
                "checkpoint": { "envelope": format!("{text}\n\u{2014} rekor.example.com {}\n", base64(signed)) } },
            "canonicalizedBody": base64(body),
        })
    }

    pub(super) fn promise(&self, body: &[u8], at: u64, index: u64) -> Vec<u8> {
        let id = hex(&sha256(&self.rekor.subject_public_key_info()));
        let signed = format!(r#"{{"body":"{}","integratedTime":{at},"logID":"{id}","logIndex":{index}}}"#, base64(body));
        self.rekor.sign(signed.as_bytes()).unwrap()
    }

    /// A timestamp of a signature (RFC 3161).
    pub(super) fn timestamp(&self, signature: &[u8], at: u64) -> Vec<u8> {
        let sequence = |parts: &[&[u8]]| encode(0x30, &parts.concat());
        let (tst, sha) = ([0x06, 11, 42, 134, 72, 134, 247, 13, 1, 9, 16, 1, 4], [0x06, 9, 96, 134, 72, 1, 101, 3, 4, 2, 1]);
        let key = KeyPair::generate().unwrap();
        let mut params = named("a timestamping unit");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
        params.serial_number = Some(SerialNumber::from(815_u64));
        (params.not_before, params.not_after) = (date_time_ymd(2025, 6, 1), date_time_ymd(2027, 1, 1));
        let certificate = params.signed_by(&key, &self.stamping).unwrap();
        let time = chrono::DateTime::from_timestamp(i64::try_from(at).unwrap(), 0).unwrap().format("%Y%m%d%H%M%SZ").to_string();
        let imprint = sequence(&[&sequence(&[&sha]), &encode(0x04, &sha256(signature))]);
        let info = sequence(&[&[2, 1, 1], &[6, 2, 42, 3], &imprint, &[2, 1, 7], &encode(0x18, time.as_bytes())]);
        let attribute = |id: &[u8], value: &[u8]| sequence(&[id, &encode(0x31, value)]);
        let attributes = [
            attribute(&[6, 9, 42, 134, 72, 134, 247, 13, 1, 9, 3], &tst),
            attribute(&[6, 9, 42, 134, 72, 134, 247, 13, 1, 9, 4], &encode(0x04, &sha256(&info))),
        ]
        .concat();
        let made = key.sign(&encode(0x31, &attributes)).unwrap();
        let read = crate::sigstore::certificate::Certificate::read(certificate.der()).unwrap();
        let signer = sequence(&[
            &[2, 1, 1],
            &sequence(&[read.issuer, &encode(2, read.serial)]),
            &sequence(&[&sha]),
            &encode(0xa0, &attributes),
            &sequence(&[&[6, 8, 42, 134, 72, 206, 61, 4, 3, 2]]),
            &encode(0x04, &made),
        ]);
        let data = sequence(&[
            &[2, 1, 3],
            &encode(0x31, &sequence(&[&sha])),
            &sequence(&[&tst, &encode(0xa0, &encode(0x04, &info))]),
            &encode(0xa0, certificate.der()),
            &encode(0x31, &signer),
        ]);
        let content = sequence(&[&[6, 9, 42, 134, 72, 134, 247, 13, 1, 7, 2], &encode(0xa0, &data)]);
        sequence(&[&sequence(&[&[2, 1, 0]]), &content])
    }
}

/// With its length in two bytes in front.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// Who has signed the manifest by a bundle.
pub(super) fn signer(bundle: &Value, roots: &Roots) -> Result<Signer, String> {
    let digest = format!("sha256:{}", hex(&sha256(MANIFEST)));
    let subject = Subject { digest: &digest, bytes: MANIFEST };
    Evidence::of_bundle(bundle.to_string().as_bytes())?.signer(&subject, &[SIGN.to_owned()], roots, NOON + 300 * DAY)
}
