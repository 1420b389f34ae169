//! When a signature was there, as a timestamping authority has signed it (RFC 3161).

use ring::digest::{Algorithm, SHA256, SHA384, SHA512};

use super::{
    certificate::Certificate,
    chain::{TIMESTAMPING, issued_by},
    der::{self, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, SET, context},
    key::{Key, hash},
    roots::Roots,
};

const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const TIMESTAMP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const ALGORITHMS: [(&[u8], &Algorithm); 3] = [
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01], &SHA256),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02], &SHA384),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03], &SHA512),
];

/// The parts of a timestamp.
struct Token<'a> {
    /// What is signed: the `TSTInfo`.
    info: &'a [u8],
    certificates: Vec<&'a [u8]>,
    /// The signer's certificate: its issuer and serial, or its key's identifier.
    signer: Signer<'a>,
    digest: &'static Algorithm,
    /// The content of the signed attributes.
    attributes: &'a [u8],
    signature: &'a [u8],
}

enum Signer<'a> {
    Issued { issuer: &'a [u8], serial: &'a [u8] },
    Key(&'a [u8]),
}

/// The time at which an authority that is trusted has seen a signature.
pub(super) fn time(response: &[u8], signature: &[u8], roots: &Roots) -> Result<u64, String> {
    let token = Token::read(response).ok_or("a timestamp cannot be read")?;
    let time = token.info_about(signature)?;
    token.check_attributes()?;
    let signed = der::encode(SET, token.attributes);
    let mut last = "a timestamp is by nobody whose certificate is known".to_owned();
    for authority in &roots.timestamping {
        let known = authority.chain.iter().map(Vec::as_slice);
        for leaf in token.certificates.iter().copied().chain(known) {
            let Ok(certificate) = Certificate::read(leaf) else { continue };
            if !token.signer.is(&certificate) {
                continue;
            }
            let others: Vec<_> = token.certificates.iter().map(|one| (*one).to_owned()).collect();
            if let Err(why) = issued_by(leaf, &others, authority, time, TIMESTAMPING) {
                last = format!("a timestamp's certificate leads to no authority that is trusted: {why}");
                continue;
            }
            if Key::read(certificate.key).is_ok_and(|key| key.has_signed(&signed, token.signature)) {
                return Ok(time);
            }
            "a timestamp's signature is wrong".clone_into(&mut last);
        }
    }
    Err(last)
}

impl Signer<'_> {
    fn is(&self, certificate: &Certificate<'_>) -> bool {
        match self {
            Self::Issued { issuer, serial } => certificate.issuer == *issuer && certificate.serial == *serial,
            Self::Key(identifier) => certificate.key_identifier() == Some(*identifier),
        }
    }
}

impl<'a> Token<'a> {
    fn read(response: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::only(response, SEQUENCE)?;
        // The answer of an authority has a status in front; 0 and 1 are granted.
        let status = outer.inside(SEQUENCE)?.expect(INTEGER)?;
        if !matches!(status, [0 | 1]) {
            return None;
        }
        let mut content = outer.inside(SEQUENCE)?;
        if content.expect(OID)? != SIGNED_DATA {
            return None;
        }
        let mut data = content.inside(context(0))?.inside(SEQUENCE)?;
        data.expect(INTEGER)?;
        data.expect(SET)?;
        let mut encapsulated = data.inside(SEQUENCE)?;
        if encapsulated.expect(OID)? != TIMESTAMP {
            return None;
        }
        let info = encapsulated.inside(context(0))?.expect(OCTET_STRING)?;
        let mut certificates = Vec::new();
        let mut list = Reader::new(data.optional(context(0)).unwrap_or_default());
        while !list.is_empty() {
            certificates.push(list.element()?.whole);
        }
        data.optional(context(1));
        let mut signers = data.inside(SET)?;
        let mut signer = signers.inside(SEQUENCE)?;
        if !signers.is_empty() {
            return None;
        }
        signer.expect(INTEGER)?;
        let named = signer.element()?;
        let named = match named.tag {
            SEQUENCE => {
                let mut reader = Reader::new(named.content);
                Signer::Issued { issuer: reader.element()?.whole, serial: reader.expect(INTEGER)? }
            }
            0x80 => Signer::Key(named.content),
            _ => return None,
        };
        let digest = algorithm(signer.inside(SEQUENCE)?.expect(OID)?)?;
        let attributes = signer.expect(context(0))?;
        signer.expect(SEQUENCE)?;
        Some(Self { info, certificates, signer: named, digest, attributes, signature: signer.expect(OCTET_STRING)? })
    }

    /// When it was made, if it is of this signature.
    fn info_about(&self, signature: &[u8]) -> Result<u64, String> {
        let parts = || {
            let mut info = Reader::only(self.info, SEQUENCE)?;
            info.expect(INTEGER)?;
            info.expect(OID)?;
            let mut imprint = info.inside(SEQUENCE)?;
            let algorithm = algorithm(imprint.inside(SEQUENCE)?.expect(OID)?)?;
            let imprint = imprint.expect(OCTET_STRING)?;
            info.expect(INTEGER)?;
            Some((algorithm, imprint, der::time(&info.element()?)?))
        };
        let (algorithm, imprint, time) = parts().ok_or("a timestamp cannot be read")?;
        if hash(algorithm, &[signature]) == imprint { Ok(time) } else { Err("a timestamp is of another signature".to_owned()) }
    }

    /// Whether what is signed is about the rest of it.
    fn check_attributes(&self) -> Result<(), String> {
        let value = |wanted: &[u8]| {
            let (mut all, mut found) = (Reader::new(self.attributes), None);
            while !all.is_empty() {
                let mut attribute = all.inside(SEQUENCE)?;
                if attribute.expect(OID)? == wanted {
                    let mut values = attribute.inside(SET)?;
                    let value = values.element()?;
                    if found.is_some() || !values.is_empty() {
                        return None;
                    }
                    found = Some(value.content);
                }
            }
            found
        };
        let is_timestamp = value(CONTENT_TYPE) == Some(TIMESTAMP);
        if is_timestamp && value(MESSAGE_DIGEST) == Some(hash(self.digest, &[self.info]).as_slice()) {
            Ok(())
        } else {
            Err("a timestamp's signature is of something else".to_owned())
        }
    }
}

fn algorithm(id: &[u8]) -> Option<&'static Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == id).map(|(_, algorithm)| *algorithm)
}
