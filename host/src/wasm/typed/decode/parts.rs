//! What values are made of: names of fields, flags, pairs and numbers.

use std::fmt;

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use wasmtime::component::Val;

use super::{NOTHING, Seed};
use crate::wasm::typed::{
    diagnostics::{Path, Problems, listed, quoted, shown, unknown},
    names::Names,
    wit_type::{Int, Shape},
};

/// The name of a field or parameter: its position.
pub(super) struct KeySeed<'p> {
    pub(super) names: &'p Names,
    pub(super) path: &'p Path<'p>,
    pub(super) cx: &'p Problems,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        let found = self.names.find(name);
        if found.is_none() {
            // The name is the caller's: of any length, with anything in it.
            let short: String = name.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
            self.cx.add(|| format!("{} is unknown: {}", self.path.name(&short), unknown(self.names, name)));
        }
        Ok(found)
    }
}

/// One flag: its position.
pub(super) struct FlagSeed<'p> {
    pub(super) names: &'p Names,
    pub(super) path: &'p Path<'p>,
    pub(super) cx: &'p Problems,
}

impl<'de> DeserializeSeed<'de> for FlagSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        let text = <&RawValue>::deserialize(json)?.get();
        // Names have nothing in them that JSON would escape, but a caller may escape anything.
        let found = serde_json::from_str::<String>(text).ok().and_then(|name| self.names.find(&name));
        if found.is_none() {
            let known = || listed(self.names.iter().map(|name| &*name.json));
            self.cx.add(|| format!("{}: got {}, expected one of {}", self.path, shown(text), known()));
        }
        Ok(found)
    }
}

/// One `[key, value]`.
pub(super) struct PairSeed<'p> {
    pub(super) shapes: &'p (Shape, Shape),
    pub(super) seed: Seed<'p>,
}

impl<'de> DeserializeSeed<'de> for PairSeed<'_> {
    type Value = (Val, Val);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(Val, Val), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PairSeed<'_> {
    type Value = (Val, Val);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key, value]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(Val, Val), A::Error> {
        let (key, value) = self.shapes;
        let key = self.seed.item(&mut items, key, 0)?;
        let value = if key.is_some() { self.seed.item(&mut items, value, 1)? } else { None };
        let more = drain(&mut items)?;
        match (key, value) {
            (Some(key), Some(value)) if more == 0 => Ok((key, value)),
            _ => Ok(self.wrong("an array of another length")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(Val, Val), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.wrong("an object"))
    }

    fn visit_unit<E: Error>(self) -> Result<(Val, Val), E> {
        Ok(self.wrong("null"))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(Val, Val), E> {
        Ok(self.wrong(&value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(Val, Val), E> {
        Ok(self.wrong(&value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(Val, Val), E> {
        Ok(self.wrong(&value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(Val, Val), E> {
        Ok(self.wrong(&value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(Val, Val), E> {
        Ok(self.wrong(&quoted(value)))
    }
}

impl PairSeed<'_> {
    fn wrong(&self, got: &str) -> (Val, Val) {
        self.seed.problem(|| format!("got {got}, expected [key, value]"));
        (NOTHING, NOTHING)
    }
}

/// Passes over the rest, and says how many there were.
pub(super) fn drain<'de, A: SeqAccess<'de>>(items: &mut A) -> Result<usize, A::Error> {
    let mut count = 0;
    while items.next_element::<IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// The text of a JSON number, if it is one.
pub(super) fn number(json: &str) -> Option<&str> {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit()).then_some(json)
}

/// An integer in range, without rounding: `1.0`, `10e-1` and `1e0` are 1.
pub(super) fn integer(int: Int, json: &str) -> Option<Val> {
    let text = number(json)?;
    // A plain integer in all usual cases.
    let value = match text.parse::<i64>() {
        Ok(value) => i128::from(value),
        Err(_) => exact(text)?,
    };
    Some(match int {
        Int::S8 => Val::S8(value.try_into().ok()?),
        Int::U8 => Val::U8(value.try_into().ok()?),
        Int::S16 => Val::S16(value.try_into().ok()?),
        Int::U16 => Val::U16(value.try_into().ok()?),
        Int::S32 => Val::S32(value.try_into().ok()?),
        Int::U32 => Val::U32(value.try_into().ok()?),
        Int::S64 => Val::S64(value.try_into().ok()?),
        Int::U64 => Val::U64(value.try_into().ok()?),
    })
}

/// The value of a JSON number that is an integer of at most 20 digits; none for any other.
fn exact(text: &str) -> Option<i128> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        // An exponent that is no i64 belongs to 0 or to nothing that fits.
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()),
        None => (text, Some(0)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let zeros = exponent?.checked_add(dropped)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    // A negative number of zeros: there is something after the point.
    let zeros = u32::try_from(zeros).ok().filter(|zeros| *zeros <= 20)?;
    if significant.len() > 20 {
        return None;
    }
    let value = significant.parse::<i128>().ok()?.checked_mul(10i128.checked_pow(zeros)?)?;
    Some(if negative { -value } else { value })
}
