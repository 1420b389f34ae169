//! The API of the National Weather Service: what is asked of it, and what of its answers is used.

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

/// An alert that is in force. A member that is not what the API promises is told as it is, and the
/// others are told all the same.
pub struct Alert(Map<String, Value>);

impl Alert {
    pub fn text(&self) -> String {
        let or = |key, otherwise: &str| text(&self.0, key).unwrap_or_else(|| otherwise.to_owned());
        format!(
            "Event: {}\nArea: {}\nSeverity: {}\nDescription: {}\nInstructions: {}",
            or("event", "Unknown"),
            or("areaDesc", "Unknown"),
            or("severity", "Unknown"),
            or("description", "No description available"),
            or("instruction", "No specific instructions provided"),
        )
    }
}

/// Half a day of a forecast, such as "Tonight".
pub struct Period(Map<String, Value>);

impl Period {
    pub fn text(&self) -> String {
        let or = |key, otherwise: &str| text(&self.0, key).unwrap_or_else(|| otherwise.to_owned());
        let wind = format!("{} {}", or("windSpeed", "unknown"), or("windDirection", ""));
        format!(
            "{}:\nTemperature: {}°{}\nWind: {}\nForecast: {}",
            or("name", "Unknown"),
            or("temperature", "?"),
            or("temperatureUnit", "F"),
            wind.trim_end(),
            or("detailedForecast", "No forecast available"),
        )
    }
}

/// A member as a person would read it. None: there is nothing to read.
fn text(members: &Map<String, Value>, key: &str) -> Option<String> {
    let text = plain(members.get(key)?);
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => items.iter().map(plain).filter(|item| !item.trim().is_empty()).collect::<Vec<_>>().join(", "),
        // What the service calls a quantitative value: {"unitCode": "wmoUnit:degC", "value": 11}.
        Value::Object(members) => members.get("value").map_or_else(|| value.to_string(), plain),
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
        let mut told = Map::new();
        reader.object(|key, reader| {
            let value = reader.value()?;
            if let Some(name) = TOLD.iter().find(|name| key.is(name)) {
                told.insert((*name).to_owned(), serde_json::from_slice(value).map_err(|_| Malformed)?);
            }
            Ok::<_, Malformed>(())
        })?;
        alert = Some(Alert(told));
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
