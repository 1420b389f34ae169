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

/// The units of time, each as people type it, in microseconds.
const DURATIONS: [(&[&str], u64); 6] = [
    (&["d", "day", "days"], 86_400_000_000),
    (&["h", "hr", "hour", "hours"], 3_600_000_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000),
    (&["ms", "millisecond", "milliseconds"], 1_000),
    (&["us", "µs", "microsecond", "microseconds"], 1),
];

/// Bytes from `64MiB`, `1GB`, `1.5 GiB` or plain `4096`. Upper and lower case are the same.
///
/// # Errors
///
/// A sentence that says what is wrong and what is allowed.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size; write bytes (4096) or a number and a unit: \"64KiB\", \"1.5GiB\", \"10MB\"");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let factor = match unit {
        "" => 1,
        _ => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor).ok_or_else(|| {
            format!("{text:?} is not a size: there is no unit {unit:?}; use B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)")
        })?,
    };
    if factor == 1 && number.contains('.') {
        return Err(format!("{text:?} is not a size: a byte is not divided"));
    }
    scale(number, factor).ok_or_else(wrong)?.ok_or_else(|| format!("{text:?} is too large for a size"))
}

/// A time from `500ms`, `90s`, `1.5m`, `1h30m` or `1d 12h`. A number without a unit is in seconds.
///
/// # Errors
///
/// A sentence that says what is wrong and what is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a duration; write a number and a unit, or several: \"500ms\", \"90s\", \"5m\", \"1h30m\", \"1d\"");
    let too_long = || format!("{text:?} is too long for a duration");
    if let Some((number, "")) = split(text).filter(|(number, _)| !number.contains('.')) {
        let seconds = scale(number, 1).ok_or_else(wrong)?.ok_or_else(too_long)?;
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text.trim();
    let (mut micros, mut last) = (0_u64, u64::MAX);
    while !rest.is_empty() {
        let (number, after) = split(rest).ok_or_else(wrong)?;
        let end = after.find(|c: char| c.is_ascii_digit() || c.is_whitespace() || c == '.').unwrap_or(after.len());
        let (unit, behind) = after.split_at_checked(end).ok_or_else(wrong)?;
        if unit.is_empty() {
            return Err(format!("{text:?} is not a duration: {number} has no unit; use us, ms, s, m, h or d"));
        }
        let factor = DURATIONS.iter().find(|(names, _)| names.contains(&unit)).map(|(_, factor)| *factor);
        let factor = factor.ok_or_else(|| format!("{text:?} is not a duration: there is no unit {unit:?}; use us, ms, s, m, h or d"))?;
        if factor >= last {
            return Err(format!("{text:?} is not a duration: write each unit once, the largest first: \"1h30m\""));
        }
        last = factor;
        let part = scale(number, factor).ok_or_else(wrong)?.ok_or_else(too_long)?;
        micros = micros.checked_add(part).ok_or_else(too_long)?;
        rest = behind.trim_start();
    }
    if last == u64::MAX { Err(wrong()) } else { Ok(Duration::from_micros(micros)) }
}

/// What [`parse_size`] takes, as a regular expression of JSON Schema.
pub(super) fn size_pattern() -> String {
    format!("^\\s*{NUMBER}\\s*([kKmMgGtT][iI]?[bB]|[bB])?\\s*$")
}

/// What [`parse_duration`] takes, as a regular expression of JSON Schema; in it, units may come in
/// any order.
pub(super) fn duration_pattern() -> String {
    let units = DURATIONS.iter().flat_map(|(names, _)| *names).copied().collect::<Vec<_>>().join("|");
    format!("^\\s*([0-9]+|({NUMBER}\\s*({units})\\s*)+)\\s*$")
}

/// A number as it stands before a unit.
const NUMBER: &str = "[0-9]+(\\.[0-9]{1,9})?";

/// A size by the largest unit that leaves no rest.
pub(super) fn format_size(bytes: u64) -> String {
    let fits = SIZES.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    fits.map_or_else(|| format!("{bytes}B"), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// A duration by the largest unit that leaves no rest.
pub(super) fn format_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let fits = DURATIONS.iter().find(|(_, factor)| micros >= *factor && micros.is_multiple_of(*factor));
    let named = fits.and_then(|(names, factor)| Some(format!("{}{}", micros / factor, names.first()?)));
    named.unwrap_or_else(|| "0s".to_owned())
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
        let no_size = "is not a size; write bytes (4096) or a number and a unit: \"64KiB\", \"1.5GiB\", \"10MB\"";
        for (text, message) in [
            ("", format!("\"\" {no_size}")),
            ("lots", format!("\"lots\" {no_size}")),
            ("-1", format!("\"-1\" {no_size}")),
            ("1.2.3MB", format!("\"1.2.3MB\" {no_size}")),
            (".5MB", format!("\".5MB\" {no_size}")),
            ("1.", "\"1.\" is not a size: a byte is not divided".to_owned()),
            ("1.5", "\"1.5\" is not a size: a byte is not divided".to_owned()),
            (
                "64M",
                "\"64M\" is not a size: there is no unit \"M\"; use B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)"
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
    fn durations_are_seconds_or_have_units() {
        for (text, micros) in [
            ("500us", 500),
            ("500µs", 500),
            ("250ms", 250_000),
            ("30s", 30_000_000),
            ("90", 90_000_000),
            ("5m", 300_000_000),
            ("5min", 300_000_000),
            ("1h", 3_600_000_000),
            ("1 hour", 3_600_000_000),
            ("2 days", 172_800_000_000),
            ("1d", 86_400_000_000),
            ("1.5s", 1_500_000),
            ("0s", 0),
            ("0", 0),
            ("2 m", 120_000_000),
            ("1h30m", 5_400_000_000),
            ("1h 30m", 5_400_000_000),
            (" 1d12h 0.5m 1s250ms ", 129_631_250_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        let none = "is not a duration; write a number and a unit, or several: \"500ms\", \"90s\", \"5m\", \"1h30m\", \"1d\"";
        let order = "is not a duration: write each unit once, the largest first: \"1h30m\"";
        let unit = "use us, ms, s, m, h or d";
        for (text, message) in [
            ("", format!("\"\" {none}")),
            ("soon", format!("\"soon\" {none}")),
            ("-5s", format!("\"-5s\" {none}")),
            ("1h-5m", format!("\"1h-5m\" is not a duration: there is no unit \"h-\"; {unit}")),
            ("5 parsecs", format!("\"5 parsecs\" is not a duration: there is no unit \"parsecs\"; {unit}")),
            ("5M", format!("\"5M\" is not a duration: there is no unit \"M\"; {unit}")),
            ("1.5", format!("\"1.5\" is not a duration: 1.5 has no unit; {unit}")),
            ("1h30", format!("\"1h30\" is not a duration: 30 has no unit; {unit}")),
            ("30m1h", format!("\"30m1h\" {order}")),
            ("1h1h", format!("\"1h1h\" {order}")),
            ("99999999999999999999d", "\"99999999999999999999d\" is too long for a duration".to_owned()),
            ("99999999999999999999", "\"99999999999999999999\" is too long for a duration".to_owned()),
            ("213503982d 20000000h", "\"213503982d 20000000h\" is too long for a duration".to_owned()),
        ] {
            assert_eq!(parse_duration(text), Err(message), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_parses_fits_the_schema(text in "([0-9.]{0,4} ?(us|µs|ms|s|m|h|d|hours|[KMGkmgT]i?[bB]|B|x)? ?){0,3}") {
            let fits = |pattern: String| {
                jsonschema::is_valid(&serde_json::json!({ "type": "string", "pattern": pattern }), &serde_json::json!(text))
            };
            proptest::prop_assert!(parse_size(&text).is_err() || fits(size_pattern()), "{text}");
            proptest::prop_assert!(parse_duration(&text).is_err() || fits(duration_pattern()), "{text}");
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
        assert_eq!(parse_duration(&format_duration(Duration::from_micros(1500))), Ok(Duration::from_micros(1500)));
        assert_eq!((format_size(128 << 20), format_duration(Duration::from_secs(1800))), ("128MiB".to_owned(), "30m".to_owned()));
    }
}
