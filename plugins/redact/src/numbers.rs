//! Numbers that check themselves: of payment cards (Luhn) and of bank accounts (IBAN, ISO 13616).

use crate::find::Found;

/// Digits of a payment card.
const CARD: std::ops::RangeInclusive<usize> = 13..=19;

pub fn cards(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() || (at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'.')) {
            at += 1;
            continue;
        }
        // Digits, with single spaces or hyphens between them.
        let (mut digits, mut to) = (Vec::new(), at);
        while let Some(byte) = bytes.get(to) {
            let is_between = matches!(byte, b' ' | b'-') && bytes.get(to + 1).is_some_and(u8::is_ascii_digit);
            if byte.is_ascii_digit() {
                digits.push(byte - b'0');
            } else if !is_between {
                break;
            }
            to += 1;
        }
        let ends = bytes.get(to).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if ends && CARD.contains(&digits.len()) && is_issued(&digits) && luhn(&digits) {
            found.push(Found { from: at, to, name: "card".into() });
        }
        at = to.max(at + 1);
    }
}

/// Whether a card network gives out such numbers.
fn is_issued(digits: &[u8]) -> bool {
    let first = |count: usize| digits.iter().take(count).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let count = digits.len();
    match first(1) {
        4 => matches!(count, 13 | 16 | 19),
        5 => count == 16 && (51..=55).contains(&first(2)),
        2 => count == 16 && (2221..=2720).contains(&first(4)),
        3 => match first(2) {
            34 | 37 => count == 15,
            36 | 38 | 39 => count == 14,
            30 => count == 14 && first(3) <= 305,
            35 => count == 16 && (3528..=3589).contains(&first(4)),
            _ => false,
        },
        6 => count >= 16 && (first(4) == 6011 || matches!(first(2), 62 | 65) || (644..=649).contains(&first(3))),
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(*digit) * if place % 2 == 1 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum % 10 == 0
}

/// Lengths by country, as the registry has them.
const COUNTRIES: [(&[u8; 2], usize); 78] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

pub fn ibans(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 4 < bytes.len() {
        let starts = bytes[at].is_ascii_uppercase()
            && bytes[at + 1].is_ascii_uppercase()
            && bytes[at + 2].is_ascii_digit()
            && bytes[at + 3].is_ascii_digit()
            && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric());
        match starts.then(|| iban_at(bytes, at)).flatten() {
            Some(to) => {
                found.push(Found { from: at, to, name: "IBAN".into() });
                at = to;
            }
            None => at += 1,
        }
    }
}

/// Where an IBAN that begins here ends.
fn iban_at(bytes: &[u8], at: usize) -> Option<usize> {
    let (_, length) = COUNTRIES.iter().find(|(country, _)| bytes.get(at..at + 2) == Some(country.as_slice()))?;
    let (mut plain, mut to) = (Vec::with_capacity(*length), at);
    while plain.len() < *length {
        match bytes.get(to)? {
            byte if byte.is_ascii_uppercase() || byte.is_ascii_digit() => plain.push(*byte),
            // In groups of four, as on paper.
            b' ' if plain.len() % 4 == 0 => {}
            _ => return None,
        }
        to += 1;
    }
    let ends = bytes.get(to).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (ends && remainder(&plain) == 1).then_some(to)
}

/// Of the number by 97 that the account stands for.
fn remainder(plain: &[u8]) -> u32 {
    let (head, account) = plain.split_at(4);
    account.iter().chain(head).fold(0, |rest, byte| {
        if byte.is_ascii_digit() { (rest * 10 + u32::from(byte - b'0')) % 97 } else { (rest * 100 + u32::from(byte - b'A') + 10) % 97 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_text(find: fn(&str, &mut Vec<Found>), text: &str) -> Vec<String> {
        let mut found = Vec::new();
        find(text, &mut found);
        found.iter().map(|found| text[found.from..found.to].to_owned()).collect()
    }

    #[test]
    fn cards_are_found_however_they_are_grouped() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5500005555555559",
            "2221000000000009",
            "378282246310005",
            "3782 822463 10005",
            "30569309025904",
            "6011111111111117",
            "3530111333300000",
            "4222222222222",
        ] {
            assert_eq!(in_text(cards, &format!("card {card}, and 12")), [card]);
            assert_eq!(in_text(cards, card), [card]);
        }
        for harmless in [
            "4111111111111112",
            "1234567890123456",
            "0000000000000000",
            "a4111111111111111",
            "4111111111111111b",
            "41111111",
            "3.4111111111111111",
            "1764460800000",
        ] {
            assert_eq!(in_text(cards, harmless), Vec::<String>::new(), "{harmless}");
        }
    }

    #[test]
    fn accounts_are_found_however_they_are_grouped() {
        for iban in [
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "GB29NWBK60161331926819",
            "FR1420041010050500013M02606",
            "NO9386011117947",
            "CH9300762011623852957",
        ] {
            assert_eq!(in_text(ibans, &format!("to {iban}.")), [iban]);
        }
        for harmless in [
            "DE89370400440532013001",
            "XX89370400440532013000",
            "DE8937040044053201300",
            "DE893704004405320130000",
            "de89370400440532013000",
            "DE89",
        ] {
            assert_eq!(in_text(ibans, harmless), Vec::<String>::new(), "{harmless}");
        }
    }
}
