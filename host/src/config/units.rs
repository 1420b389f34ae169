//! Sizes and durations, as people write them.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes from `64MiB`, `1GB`, `1.5 GiB` or plain `4096`. Upper and lower case are the same.
///
/// # Errors
///
/// A sentence that says what is wrong and what is allowed.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write bytes (4096) or a number and a unit: \"64KiB\", \"1.5GiB\", \"10MB\"");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let factor = match unit {
        "" => 1,
        _ => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor).ok_or_else(|| {
            format!("{text:?} is no size: there is no unit {unit:?}; use B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)")
        })?,
    };
    if factor == 1 && number.contains('.') {
        return Err(format!("{text:?} is no size: a byte is not divided"));
    }
    scale(number, factor).ok_or_else(wrong)?.ok_or_else(|| format!("{text:?} is too large for a size"))
}

/// A time from `250ms`, `30s`, `1.5m`, `1h` or `1d`. A number without a unit is none, as nobody can know what was meant.
///
/// # Errors
///
/// A sentence that says what is wrong and what is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write one number and one unit: \"250ms\", \"30s\", \"5m\", \"1h\", \"1d\"");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    if unit.is_empty() {
        return Err(format!("{text:?} has no unit; write \"{number}s\" or \"{number}ms\""));
    }
    let factor = DURATIONS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(wrong)?;
    let millis = scale(number, factor).ok_or_else(wrong)?.ok_or_else(|| format!("{text:?} is too long for a duration"))?;
    Ok(Duration::from_millis(millis))
}

/// A size by the largest unit that leaves no rest.
pub(super) fn format_size(bytes: u64) -> String {
    let fits = SIZES.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    fits.map_or_else(|| format!("{bytes}B"), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// A duration by the largest unit that leaves no rest.
pub(super) fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = DURATIONS.iter().find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor));
    fits.map_or_else(|| "0s".to_owned(), |(name, factor)| format!("{}{name}", millis / factor))
}

/// `1.5 GiB` → (`1.5`, `GiB`).
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    (!number.is_empty()).then_some((number, unit.trim_start()))
}

/// None: no number. `Some(None)`: too large.
#[expect(clippy::option_option, reason = "the two are told apart one line later")]
fn scale(number: &str, factor: u64) -> Option<Option<u64>> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 {
        return None;
    }
    let exact = || {
        let divisor = 10_u128.pow(u32::try_from(part.len()).ok()?);
        let number = whole.parse::<u128>().ok()?.checked_mul(divisor)?.checked_add(part.parse().ok()?)?;
        u64::try_from(number.checked_mul(u128::from(factor))? / divisor).ok()
    };
    Some(exact())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("64MiB", 67_108_864),
            ("1GB", 1_000_000_000),
            ("1.5GiB", 1_610_612_736),
            ("0.1KiB", 102),
            ("2TiB", 2 << 40),
            (" 1KB ", 1000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        let no_size = "is no size; write bytes (4096) or a number and a unit: \"64KiB\", \"1.5GiB\", \"10MB\"";
        for (text, message) in [
            ("", format!("\"\" {no_size}")),
            ("lots", format!("\"lots\" {no_size}")),
            ("-1", format!("\"-1\" {no_size}")),
            ("1.2.3MB", format!("\"1.2.3MB\" {no_size}")),
            (".5MB", format!("\".5MB\" {no_size}")),
            ("1.", "\"1.\" is no size: a byte is not divided".to_owned()),
            ("1.5", "\"1.5\" is no size: a byte is not divided".to_owned()),
            (
                "64M",
                "\"64M\" is no size: there is no unit \"M\"; use B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)"
                    .to_owned(),
            ),
            ("18446744073709551616", "\"18446744073709551616\" is too large for a size".to_owned()),
            (
                "99999999999999999999999999999999999999TiB",
                "\"99999999999999999999999999999999999999TiB\" is too large for a size".to_owned(),
            ),
        ] {
            assert_eq!(parse_size(text), Err(message), "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("1.5s", 1500),
            ("0s", 0),
            ("2 m", 120_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let none = "is no duration; write one number and one unit: \"250ms\", \"30s\", \"5m\", \"1h\", \"1d\"";
        for (text, message) in [
            ("", format!("\"\" {none}")),
            ("soon", format!("\"soon\" {none}")),
            ("1h30m", format!("\"1h30m\" {none}")),
            ("-5s", format!("\"-5s\" {none}")),
            ("5 parsecs", format!("\"5 parsecs\" {none}")),
            ("30", "\"30\" has no unit; write \"30s\" or \"30ms\"".to_owned()),
            ("99999999999999999999d", "\"99999999999999999999d\" is too long for a duration".to_owned()),
        ] {
            assert_eq!(parse_duration(text), Err(message), "{text}");
        }
    }

    #[test]
    fn what_is_formatted_parses_to_the_same() {
        for bytes in [0, 1, 1000, 1024, 1536, 4 << 20, 128 << 20, 1 << 30, 5_000_000_000] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
        for millis in [0, 1, 250, 1000, 1500, 60_000, 90_000, 3_600_000] {
            assert_eq!(parse_duration(&format_duration(Duration::from_millis(millis))), Ok(Duration::from_millis(millis)));
        }
        assert_eq!((format_size(128 << 20), format_duration(Duration::from_secs(1800))), ("128MiB".to_owned(), "30m".to_owned()));
    }
}
