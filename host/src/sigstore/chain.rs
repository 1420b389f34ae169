//! Whether a certificate leads to an authority that is trusted.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{certificate::Certificate, key::Key, roots::Authority};

/// For what a certificate may be used: `id-kp-codeSigning`.
pub(super) const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
/// `id-kp-timeStamping`.
pub(super) const TIMESTAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];

/// Whether a certificate leads to an authority at a time, and may be used for a purpose. With it
/// the keys of those who may have issued it.
pub(super) fn issued_by(
    leaf: &[u8],
    others: &[Vec<u8>],
    authority: &Authority,
    time: u64,
    purpose: &'static [u8],
) -> Result<Vec<Key>, String> {
    let Some((root, between)) = authority.chain.split_last() else { return Err("the authority has no certificate".to_owned()) };
    if !authority.valid.contains(time) {
        return Err("the authority was not in use at that time".to_owned());
    }
    if !Certificate::read(root)?.is_valid_at(time) {
        return Err("the authority's own certificate was not valid at that time".to_owned());
    }
    let failed = |error: webpki::Error| error.to_string();
    let root_der = CertificateDer::from(root.as_slice());
    let anchor = anchor_from_trusted_cert(&root_der).map_err(failed)?;
    let leaf_der = CertificateDer::from(leaf);
    let end = EndEntityCert::try_from(&leaf_der).map_err(failed)?;
    let between: Vec<_> = between.iter().chain(others).filter(|one| one.as_slice() != leaf).collect();
    let intermediates: Vec<_> = between.iter().map(|one| CertificateDer::from(one.as_slice())).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(time));
    end.verify_for_usage(ALL_VERIFICATION_ALGS, &[anchor], &intermediates, at, KeyUsage::required(purpose), None, None).map_err(failed)?;
    let issuer = Certificate::read(leaf)?.issuer;
    let issuers = between.into_iter().chain([root]).filter_map(|one| Certificate::read(one).ok());
    Ok(issuers.filter(|one| one.subject == issuer).filter_map(|one| Key::read(one.key).ok()).collect())
}
