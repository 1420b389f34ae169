//! Whether a certificate is written down in a log of certificates: the promises in it (RFC 6962,
//! signed certificate timestamps).

use super::{certificate::Certificate, key::Key, roots::Log};

/// Holds a certificate against the logs that are known. `issuers` are the keys that may have
/// issued it.
pub(super) fn check(certificate: &Certificate<'_>, issuers: &[Key], logs: &[Log]) -> Result<(), String> {
    let list = certificate.promises().ok_or("its certificate has no promise of a certificate transparency log (SCT)")?;
    let signed = certificate.without_promises();
    for promise in read(list).ok_or("the promises of certificate transparency logs in its certificate cannot be read")? {
        for log in logs.iter().filter(|log| log.key.id() == promise.log && log.valid.contains(promise.time / 1000)) {
            if issuers.iter().any(|issuer| log.key.has_signed(&promise.message(issuer, &signed), promise.signature)) {
                return Ok(());
            }
        }
    }
    Err("its certificate is in no certificate transparency log that is trusted".to_owned())
}

struct Promise<'a> {
    log: &'a [u8],
    /// Milliseconds since 1970.
    time: u64,
    extensions: &'a [u8],
    signature: &'a [u8],
}

impl Promise<'_> {
    /// What the log has signed.
    fn message(&self, issuer: &Key, certificate: &[u8]) -> Vec<u8> {
        let length = |count: usize, bytes: usize| count.to_be_bytes().into_iter().skip(size_of::<usize>() - bytes).collect::<Vec<u8>>();
        // Version 1, the timestamp of a certificate; then an entry for a certificate that was not yet issued.
        let (version, entry) = ([0, 0], [0, 1]);
        let time = self.time.to_be_bytes();
        [
            &version[..],
            &time,
            &entry,
            &issuer.id(),
            &length(certificate.len(), 3),
            certificate,
            &length(self.extensions.len(), 2),
            self.extensions,
        ]
        .concat()
    }
}

/// All promises of version 1 in a list.
fn read(list: &[u8]) -> Option<Vec<Promise<'_>>> {
    let mut all = list;
    let mut list = counted(&mut all)?;
    let mut found = Vec::new();
    while !list.is_empty() {
        let mut one = counted(&mut list)?;
        let version = taken(&mut one, 1)?;
        if version != [0] {
            continue;
        }
        let (log, time, extensions) = (taken(&mut one, 32)?, taken(&mut one, 8)?, counted(&mut one)?);
        // The algorithm is the key's.
        taken(&mut one, 2)?;
        let signature = counted(&mut one)?;
        found.push(Promise { log, time: u64::from_be_bytes(time.try_into().ok()?), extensions, signature });
    }
    all.is_empty().then_some(found)
}

fn taken<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// What two bytes say the length of.
fn counted<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = taken(bytes, 2)?;
    taken(bytes, usize::from(u16::from_be_bytes(length.try_into().ok()?)))
}
