//! Where in a text secrets and personal data are.

use std::borrow::Cow;

use crate::{
    numbers,
    settings::{Kind, Settings},
};

/// One thing: from where to where, in bytes, and what it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub from: usize,
    pub to: usize,
    pub name: Cow<'static, str>,
}

/// Everything that is in a text, in order, and nothing twice.
pub fn all(settings: &Settings, text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for kind in &settings.find {
        match kind {
            Kind::Keys => keys(text, &mut found),
            Kind::PrivateKeys => private_keys(text, &mut found),
            Kind::Email => emails(text, &mut found),
            Kind::Iban => numbers::ibans(text, &mut found),
            Kind::Card => numbers::cards(text, &mut found),
        }
    }
    for (name, pattern) in &settings.patterns {
        let hits = pattern.find_iter(text).filter(|hit| !hit.is_empty());
        found.extend(hits.map(|hit| Found { from: hit.start(), to: hit.end(), name: name.clone().into() }));
    }
    if !settings.keep.is_empty() {
        found.retain(|found| !text.get(found.from..found.to).is_some_and(|text| settings.keep.iter().any(|keep| keep == text)));
    }
    found.sort_by_key(|found| (found.from, std::cmp::Reverse(found.to)));
    let mut end = 0;
    found.retain(|found| {
        let is_first = found.from >= end;
        if is_first {
            end = found.to;
        }
        is_first
    });
    found
}

/// How keys of services begin, how many characters follow at least, and which besides letters and digits.
const KEYS: [(&str, usize, &[u8]); 36] = [
    ("sk-", 20, b"-_"),
    ("sk_live_", 16, b"_"),
    ("sk_test_", 16, b"_"),
    ("rk_live_", 16, b"_"),
    ("whsec_", 20, b"_+/="),
    ("ghp_", 30, b""),
    ("gho_", 30, b""),
    ("ghu_", 30, b""),
    ("ghs_", 30, b""),
    ("ghr_", 30, b""),
    ("github_pat_", 40, b"_"),
    ("glpat-", 20, b"-_"),
    ("gldt-", 20, b"-_"),
    ("AKIA", 16, b""),
    ("ASIA", 16, b""),
    ("AIza", 30, b"-_"),
    ("ya29.", 20, b"-_"),
    ("xoxb-", 20, b"-"),
    ("xoxp-", 20, b"-"),
    ("xoxa-", 20, b"-"),
    ("xoxs-", 20, b"-"),
    ("xapp-", 20, b"-"),
    ("hf_", 30, b""),
    ("npm_", 30, b""),
    ("pypi-", 40, b"-_"),
    ("SG.", 40, b"-_."),
    ("dop_v1_", 40, b""),
    ("shpat_", 30, b""),
    ("sq0atp-", 20, b"-_"),
    ("EAACEdEose0cBA", 10, b""),
    ("AGE-SECRET-KEY-1", 50, b""),
    ("ATATT3x", 40, b"-_="),
    ("lin_api_", 30, b""),
    ("secret_", 40, b""),
    ("ntn_", 40, b""),
    ("tvly-", 20, b"-"),
];

/// By the first byte of what [`key_at`] knows, which second ones there are: most words are nothing of it, and are passed by at the price of one look.
static SECOND: [[u64; 2]; 128] = {
    let mut second = [[0; 2]; 128];
    let mut key = 0;
    while key < KEYS.len() {
        let prefix = KEYS[key].0.as_bytes();
        add(&mut second, prefix[0], prefix[1]);
        key += 1;
    }
    add(&mut second, b'e', b'y');
    let mut case = 0;
    while case < 4 {
        add(&mut second, b"bB"[case & 1], b"eE"[case >> 1]);
        case += 1;
    }
    second
};

const fn add(second: &mut [[u64; 2]; 128], first: u8, then: u8) {
    second[first as usize][then as usize >> 6] |= 1 << (then & 63);
}

fn may_begin(bytes: &[u8]) -> bool {
    let [first @ 0..128, then @ 0..128, ..] = bytes else { return false };
    SECOND[usize::from(*first)][usize::from(*then >> 6)] >> (then & 63) & 1 != 0
}

/// Keys of known forms, bearer tokens and signed tokens.
fn keys(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        // A key begins where a word does.
        if !is_word(bytes[at]) || (at > 0 && is_word(bytes[at - 1])) {
            at += 1;
            continue;
        }
        match may_begin(&bytes[at..]).then(|| key_at(bytes, at)).flatten() {
            Some((to, name)) => {
                found.push(Found { from: at, to, name: name.into() });
                at = to;
            }
            None => at += 1,
        }
    }
}

fn key_at(bytes: &[u8], at: usize) -> Option<(usize, &'static str)> {
    let rest = &bytes[at..];
    let run = |from: usize, more: &[u8]| {
        let end = rest[from..].iter().position(|byte| !byte.is_ascii_alphanumeric() && !more.contains(byte));
        end.map_or(rest.len(), |end| from + end)
    };
    for (prefix, least, more) in KEYS {
        if rest.starts_with(prefix.as_bytes()) {
            let to = run(prefix.len(), more);
            if to >= prefix.len() + least {
                return Some((at + to, "key"));
            }
        }
    }
    // A JSON Web Token: a header that begins with `{"`, and two more parts.
    if rest.starts_with(b"eyJ") {
        let to = run(0, b"-_.");
        let parts = rest[..to].split(|byte| *byte == b'.').filter(|part| part.len() >= 8).count();
        if parts >= 3 || (parts == 2 && to > 60) {
            return Some((at + to, "token"));
        }
    }
    let is_bearer = rest.len() > 7 && rest[..7].eq_ignore_ascii_case(b"bearer ");
    if is_bearer {
        let to = run(7, b"-_.~+/=");
        if to >= 7 + 20 {
            return Some((at + to, "token"));
        }
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Blocks of PEM with a private key, to their end or that of the text.
fn private_keys(text: &str, found: &mut Vec<Found>) {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    let mut at = 0;
    while let Some(from) = text.get(at..).and_then(|rest| rest.find(BEGIN)).map(|offset| at + offset) {
        let label = text.get(from + BEGIN.len()..).unwrap_or_default();
        let label = label.get(..label.find("-----").unwrap_or(0)).unwrap_or_default();
        at = from + BEGIN.len();
        if label.len() > 60 || !label.contains("PRIVATE KEY") {
            continue;
        }
        let end = text.get(at..).and_then(|rest| rest.find(END)).map(|offset| at + offset + END.len());
        let to = end.and_then(|end| text.get(end..)?.find("-----").map(|offset| end + offset + 5)).unwrap_or(text.len());
        found.push(Found { from, to, name: "private key".into() });
        at = to;
    }
}

fn emails(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let is_local = |byte: &u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(byte) || *byte >= 0x80;
    let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte) || *byte >= 0x80;
    let mut end = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'@') {
        let local = bytes[end..at].iter().rev().take_while(|byte| is_local(byte)).count();
        let host = bytes[at + 1..].iter().take_while(|byte| is_host(byte)).count();
        // A sentence ends behind it.
        let host = text.get(at + 1..at + 1 + host).unwrap_or_default().trim_end_matches(['.', '-']);
        let top = host.rsplit('.').next().unwrap_or_default();
        let is_one = (1..=64).contains(&local)
            && host.contains('.')
            && !host.starts_with('.')
            && !host.contains("..")
            && top.chars().count() >= 2
            && top.chars().all(char::is_alphabetic);
        if is_one {
            let from = at - local;
            end = at + 1 + host.len();
            found.push(Found { from, to: end, name: "email".into() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        let settings = Settings::read("{}").unwrap();
        all(&settings, text).into_iter().map(|found| (text[found.from..found.to].to_owned(), found.name.into_owned())).collect()
    }

    fn only(text: &str, wanted: &str, name: &str) {
        assert_eq!(found(text), [(wanted.to_owned(), name.to_owned())], "{text}");
    }

    #[test]
    fn keys_of_known_forms_are_found_where_a_word_begins() {
        let long = "a1B2".repeat(15);
        for (prefix, least, _) in KEYS {
            let key = format!("{prefix}{}", &long[..least]);
            only(&format!("key: {key}, and more"), &key, "key");
            only(&format!("\"{key}\""), &key, "key");
            assert_eq!(found(&format!("x{key}")), [], "{key} is inside of a word");
            assert_eq!(found(&format!("{prefix}{}", &long[..least - 1])), [], "{key} is too short");
        }
        only("Authorization: Bearer abcdef0123456789abcdef==", "Bearer abcdef0123456789abcdef==", "token");
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJlLWhlcmU";
        only(&format!("t={token};"), token, "token");
        for harmless in ["the bearer of news", "task-force", "sk-short", "AKIA", "eyJ", "sk-", "eyJa.b.c"] {
            assert_eq!(found(harmless), [], "{harmless}");
        }
    }

    #[test]
    fn private_keys_go_with_all_that_is_in_them() {
        let block = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----";
        only(&format!("a\n{block}\nb"), block, "private key");
        only("x -----BEGIN PRIVATE KEY-----\nMIIE", "-----BEGIN PRIVATE KEY-----\nMIIE", "private key");
        assert_eq!(found("-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----"), []);
        assert_eq!(found("-----BEGIN "), []);
    }

    #[test]
    fn addresses_are_found_without_what_is_around_them() {
        for (text, address) in [
            ("Write to ann.b+c@mail.example.com.", "ann.b+c@mail.example.com"),
            ("<ann@example.org>", "ann@example.org"),
            ("mailto:jürgen@müller.de,", "jürgen@müller.de"),
            ("a@b.co", "a@b.co"),
        ] {
            only(text, address, "email");
        }
        assert_eq!(found("a@b.co c@d.eu").len(), 2);
        for harmless in ["@example.com", "a@b", "a@b.c", "user@host.1", "x @ y.com", "a@.com", "a@b..com", "@", "npm i @scope/name@1.2.3"] {
            assert_eq!(found(harmless), [], "{harmless}");
        }
    }

    #[test]
    fn no_text_is_a_panic() {
        let pieces = ["@", "é", "-----BEGIN ", "PRIVATE KEY-----", "sk-", "4111 ", "DE89", ".", " ", "\u{202e}", "eyJ", "bearer "];
        let mut seed = 7_u32;
        for _ in 0..5_000 {
            let mut text = String::new();
            for _ in 0..8 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text.push_str(pieces[(seed >> 16) as usize % pieces.len()]);
            }
            found(&text);
        }
    }
}
