//! A certificate: what is read of it.

use super::der::{self, BIT_STRING, Element, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, UTF8_STRING, context};

const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 1.3.6.1.4.1.57264.1.1, Fulcio's issuer as plain bytes.
const ISSUER: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x01];
/// 1.3.6.1.4.1.57264.1.8, the same as a string of ASN.1.
const ISSUER_V2: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x08];
/// 1.3.6.1.4.1.57264.1.7, a user name that is neither an address nor a URI.
const OTHER_NAME: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x07];
/// 1.3.6.1.4.1.11129.2.4.2, what CT logs have promised.
const SCT_LIST: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02];

/// A certificate, read.
#[derive(Clone, Debug)]
pub(super) struct Certificate<'a> {
    /// What its issuer has signed.
    signed: Vec<Element<'a>>,
    pub(super) serial: &'a [u8],
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    not_before: u64,
    not_after: u64,
    pub(super) key: &'a [u8],
    extensions: Vec<Extension<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Extension<'a> {
    id: &'a [u8],
    value: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads a certificate in DER.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        Self::parse(bytes).ok_or_else(|| "it is not a certificate".to_owned())
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::only(bytes, SEQUENCE)?;
        let mut inner = outer.inside(SEQUENCE)?;
        outer.expect(SEQUENCE)?;
        outer.expect(BIT_STRING)?;
        let mut signed = Vec::new();
        while !inner.is_empty() {
            signed.push(inner.element()?);
        }
        // Version, serial, algorithm, issuer, validity, subject, key; extensions last.
        let [_, serial, _, issuer, validity, subject, key, .., last] = signed.as_slice() else { return None };
        if serial.tag != INTEGER || last.tag != context(3) || !outer.is_empty() {
            return None;
        }
        let mut times = Reader::new(validity.content);
        let (not_before, not_after) = (der::time(&times.element()?)?, der::time(&times.element()?)?);
        let mut list = Reader::only(last.content, SEQUENCE)?;
        let mut extensions = Vec::new();
        while !list.is_empty() {
            let element = list.element()?;
            let mut reader = Reader::new(element.content);
            let id = reader.expect(OID)?;
            reader.optional(0x01);
            extensions.push(Extension { id, value: reader.expect(OCTET_STRING)?, whole: element.whole });
        }
        Some(Self {
            serial: serial.content,
            issuer: issuer.whole,
            subject: subject.whole,
            key: key.whole,
            not_before,
            not_after,
            extensions,
            signed,
        })
    }

    fn extension(&self, id: &[u8]) -> Option<&'a [u8]> {
        self.extensions.iter().find(|extension| extension.id == id).map(|extension| extension.value)
    }

    pub(super) fn is_valid_at(&self, time: u64) -> bool {
        (self.not_before..=self.not_after).contains(&time)
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    pub(super) fn key_identifier(&self) -> Option<&'a [u8]> {
        Reader::new(self.extension(SUBJECT_KEY_IDENTIFIER)?).expect(OCTET_STRING)
    }

    /// Whom it is for: addresses, URIs and Fulcio's user names.
    pub(super) fn subjects(&self) -> Vec<String> {
        const EMAIL: u8 = 0x81;
        const URI: u8 = 0x86;
        const OTHER: u8 = context(0);
        let mut found = Vec::new();
        let Some(mut names) = self.extension(SUBJECT_ALTERNATIVE_NAME).and_then(|value| Reader::only(value, SEQUENCE)) else {
            return found;
        };
        while let Some(name) = names.element() {
            let text = match name.tag {
                EMAIL | URI => Some(name.content),
                OTHER => {
                    let mut reader = Reader::new(name.content);
                    let is_ours = reader.expect(OID) == Some(OTHER_NAME);
                    reader.inside(context(0)).filter(|_| is_ours).and_then(|mut inner| inner.expect(UTF8_STRING))
                }
                _ => None,
            };
            found.extend(text.and_then(|text| String::from_utf8(text.to_owned()).ok()));
        }
        found
    }

    /// Who has said so: the issuer of the identity token.
    pub(super) fn identity_issuer(&self) -> Option<String> {
        let text = match self.extension(ISSUER_V2) {
            Some(value) => Reader::new(value).expect(UTF8_STRING)?,
            None => self.extension(ISSUER)?,
        };
        String::from_utf8(text.to_owned()).ok()
    }

    /// The promises of CT logs (a TLS structure, RFC 6962).
    pub(super) fn promises(&self) -> Option<&'a [u8]> {
        Reader::new(self.extension(SCT_LIST)?).expect(OCTET_STRING)
    }

    /// What CT logs have signed: all that the issuer has, without their own promises.
    pub(super) fn without_promises(&self) -> Vec<u8> {
        let kept: Vec<u8> =
            self.extensions.iter().filter(|extension| extension.id != SCT_LIST).flat_map(|extension| extension.whole).copied().collect();
        let list = der::encode(context(3), &der::encode(SEQUENCE, &kept));
        let mut parts: Vec<&[u8]> = self.signed.iter().map(|element| element.whole).collect();
        parts.pop();
        parts.push(&list);
        der::encode(SEQUENCE, &parts.concat())
    }
}
