//! Limits for callers: keys of `[role.NAME]`, and of its `limits."PATTERN"`.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::{Value, json};

use super::{
    key::TypeInfo,
    section::{Section, section},
    toml_reader::{Item, Table},
    types::{DAY, HOUR, SECOND, Type, number, optional, text},
};

/// The most that a limit can be. Past it there is none.
pub(super) const MOST: u32 = 1_000_000_000;

section! {
    /// How many calls each caller with the role may make of the tools that fit PATTERN, all of them
    /// together.
    #[derive(Eq, Copy)]
    pub struct LimitConfig {
        /// The most calls in a second, minute, hour or day: `10/s`, `100/m`, `1000/h`.
        rate: Option<CallRate> = None, optional(text("rate", CallRate::parse)) => unset("no limit");
        /// How many calls may come at once after a pause, within `rate`.
        burst: Option<u32> = None, optional(number(1..=MOST)) => unset("the number in `rate`");
        /// The most calls that run at once.
        concurrency: Option<u32> = None, optional(number(1..=MOST)) => unset("no limit");
        /// The most calls in a day, from midnight to midnight UTC.
        daily: Option<u32> = None, optional(number(1..=MOST)) => unset("no limit");
    }
}

/// So many calls in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRate {
    /// Calls.
    pub calls: u32,
    /// In this time.
    pub per: Duration,
}

impl CallRate {
    /// `10/s`, `100/m`, `1000/h`, `5000/d`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a rate; write calls and a time: \"10/s\", \"100/m\", \"1000/h\" or \"5000/d\"");
        let (calls, unit) = text.split_once('/').ok_or_else(wrong)?;
        let per = match unit.trim() {
            "s" => SECOND,
            "m" | "min" => Duration::from_secs(60),
            "h" => HOUR,
            "d" => DAY,
            _ => return Err(wrong()),
        };
        let calls = calls.trim();
        let calls: u32 = calls.parse().ok().filter(|_| !calls.starts_with('+')).ok_or_else(wrong)?;
        match calls {
            0 => Err("a rate of 0 allows no call; use `deny` for that".to_owned()),
            1..=MOST => Ok(Self { calls, per }),
            _ => Err(format!("{calls} is not allowed; it must be 1 to {MOST}")),
        }
    }
}

impl fmt::Display for CallRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            SECOND => "s",
            HOUR => "h",
            DAY => "d",
            _ => "m",
        };
        write!(f, "{}/{unit}", self.calls)
    }
}

impl LimitConfig {
    /// Whether it limits nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Says where a burst stands without its rate.
pub(super) fn check_burst(table: &Table<'_>, rate: Option<CallRate>) {
    if let Some(burst) = table.get("burst").filter(|_| rate.is_none()) {
        burst.fail_key("is how many calls of a `rate` may come at once; set rate = \"10/s\" beside it, or leave it out");
    }
}

/// The tables `limits."PATTERN"`.
pub(super) struct Limits;

impl Type<BTreeMap<String, LimitConfig>> for Limits {
    fn read(&self, item: &Item<'_>) -> Option<BTreeMap<String, LimitConfig>> {
        let mut limits = BTreeMap::new();
        for item in item.table()?.items() {
            if item.key.trim().is_empty() {
                item.fail_key("a pattern cannot be empty; \"*\" is any");
            }
            let Some(table) = item.table() else { continue };
            let mut limit = LimitConfig::default();
            limit.read(&table);
            check_burst(&table, limit.rate);
            table.finish();
            limits.insert(item.key, limit);
        }
        Some(limits)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("tables", json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/LimitSection" } }))
    }

    fn write(&self, _: &BTreeMap<String, LimitConfig>) -> Option<Value> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_it_is_written() {
        for right in ["10/s", "100/m", "1000/h", "5000/d"] {
            assert_eq!(CallRate::parse(right).unwrap().to_string(), right);
        }
        assert_eq!(CallRate::parse(" 5 / min").unwrap().to_string(), "5/m");
        for wrong in ["", "10", "10/", "/s", "10/y", "0/s", "-1/s", "+1/s", "1.5/s", "10/s/s", "99999999999/s", "2000000000/s"] {
            assert!(CallRate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
