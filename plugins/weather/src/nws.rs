//! The API of the National Weather Service: what is asked of it, and what of its answers is used.

use std::borrow::Cow;

use json_skim::{Malformed, Reader};
use serde_json::{Map, Value};

use crate::{
    http::{self, Failure},
    place::{Place, State},
};

/// Where the API is, unless the environment says otherwise.
const DEFAULT_BASE: &str = "https://api.weather.gov";

/// The variable that names another place.
const BASE_VARIABLE: &str = "NWS_API_BASE";

/// The members of an alert that are told. There are some thirty more.
const TOLD: [&str; 5] = ["event", "areaDesc", "severity", "description", "instruction"];

/// An alert that is in force: what stands for each of these members. One that is not what the API promises is told as
/// it is, and the others are told all the same.
#[derive(Default)]
pub struct Alert([Value; TOLD.len()]);

impl Alert {
    /// Adds it to the text.
    pub fn tell(&self, told: &mut String) {
        let [event, area, severity, description, instruction] = &self.0;
        for (before, value, otherwise) in [
            ("Event: ", event, "Unknown"),
            ("\nArea: ", area, "Unknown"),
            ("\nSeverity: ", severity, "Unknown"),
            ("\nDescription: ", description, "No description available"),
            ("\nInstructions: ", instruction, "No specific instructions provided"),
        ] {
            told.push_str(before);
            told.push_str(&text(value).unwrap_or(Cow::Borrowed(otherwise)));
        }
    }
}

/// Half a day of a forecast, such as "Tonight".
pub struct Period(Map<String, Value>);

impl Period {
    /// Adds it to the text.
    pub fn tell(&self, told: &mut String) {
        let or = |key, otherwise| self.0.get(key).and_then(text).unwrap_or(Cow::Borrowed(otherwise));
        let wind = format!("{} {}", or("windSpeed", "unknown"), or("windDirection", ""));
        *told += &format!(
            "{}:\nTemperature: {}°{}\nWind: {}\nForecast: {}",
            or("name", "Unknown"),
            or("temperature", "?"),
            or("temperatureUnit", "F"),
            wind.trim_end(),
            or("detailedForecast", "No forecast available"),
        );
    }
}

/// A member as a person would read it. None: there is nothing to read.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    let text = match plain(value) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    };
    Some(text).filter(|text| !text.is_empty())
}

fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        Value::Bool(_) | Value::Number(_) => Cow::Owned(value.to_string()),
        Value::Array(items) => Cow::Owned(items.iter().map(plain).filter(|item| !item.trim().is_empty()).collect::<Vec<_>>().join(", ")),
        // What the service calls a quantitative value: {"unitCode": "wmoUnit:degC", "value": 11}.
        Value::Object(members) => members.get("value").map_or_else(|| Cow::Owned(value.to_string()), plain),
    }
}

/// The alerts in force in a state.
pub fn alerts(state: &State) -> Result<Vec<Alert>, Failure> {
    let answer = http::get(&format!("{}/alerts/active/area/{state}", base()))?;
    let features = features(&answer).ok().flatten().ok_or(Failure::Unintelligible)?;
    known(features, |alert| alert)
}

/// The features of an answer, each as far as it can be told. Most of an answer are outlines of areas and members that nobody asks for: they are stepped over.
/// None: there is no list of features.
fn features(answer: &[u8]) -> Result<Option<Vec<Option<Alert>>>, Malformed> {
    let mut features = None;
    let mut reader = Reader::new(answer);
    reader.object(|key, reader| {
        if !key.is("features") {
            return reader.value().map(drop);
        }
        features = None;
        if reader.peek() != Some(b'[') {
            return reader.value().map(drop);
        }
        let mut list = Vec::new();
        reader.array(|reader| {
            list.push(feature(reader)?);
            Ok::<_, Malformed>(())
        })?;
        features = Some(list);
        Ok(())
    })?;
    reader.end()?;
    Ok(features)
}

fn feature(reader: &mut Reader<'_>) -> Result<Option<Alert>, Malformed> {
    let mut alert = None;
    if reader.peek() != Some(b'{') {
        return reader.value().map(|_| None);
    }
    reader.object(|key, reader| {
        if !key.is("properties") {
            return reader.value().map(drop);
        }
        alert = None;
        if reader.peek() != Some(b'{') {
            return reader.value().map(drop);
        }
        let mut told = Alert::default();
        reader.object(|key, reader| {
            let value = reader.value()?;
            if let Some((_, told)) = TOLD.iter().zip(&mut told.0).find(|(name, _)| key.is(name)) {
                *told = serde_json::from_slice(value).map_err(|_| Malformed)?;
            }
            Ok::<_, Malformed>(())
        })?;
        alert = Some(told);
        Ok(())
    })?;
    Ok(alert)
}

/// The forecast for a place: the service says first which of its offices' forecasts that is.
pub fn forecast(place: &Place) -> Result<Vec<Period>, Failure> {
    let points = get(&format!("{}/points/{place}", base()))?;
    let url = points.pointer("/properties/forecast").and_then(Value::as_str).ok_or(Failure::Unintelligible)?;
    let mut forecast = get(url)?;
    let Some(Value::Array(periods)) = forecast.pointer_mut("/properties/periods").map(Value::take) else {
        return Err(Failure::Unintelligible);
    };
    known(periods, |period| match period {
        Value::Object(members) => Some(Period(members)),
        _ => None,
    })
}

/// Those of a list that can be told. A list of which none can be is no answer.
fn known<V, T>(list: Vec<V>, tell: impl Fn(V) -> Option<T>) -> Result<Vec<T>, Failure> {
    let is_empty = list.is_empty();
    let told: Vec<T> = list.into_iter().filter_map(tell).collect();
    if told.is_empty() && !is_empty { Err(Failure::Unintelligible) } else { Ok(told) }
}

fn base() -> String {
    let set = std::env::var(BASE_VARIABLE).unwrap_or_default();
    let base = set.trim().trim_end_matches('/');
    if base.is_empty() { DEFAULT_BASE.into() } else { base.into() }
}

fn get(url: &str) -> Result<Value, Failure> {
    serde_json::from_slice(&http::get(url)?).map_err(|_| Failure::Unintelligible)
}
