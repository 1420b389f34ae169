//! The API of the National Weather Service: what is asked of it, and what of its answers is used.

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    http::{self, Failure},
    place::{Place, State},
};

/// Where the API is, unless the environment says otherwise.
const DEFAULT_BASE: &str = "https://api.weather.gov";

/// The variable that names another place.
const BASE_VARIABLE: &str = "NWS_API_BASE";

/// An alert that is in force.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Alert {
    event: Option<String>,
    area_desc: Option<String>,
    severity: Option<String>,
    description: Option<String>,
    instruction: Option<String>,
}

impl Alert {
    pub fn text(&self) -> String {
        format!(
            "Event: {}\nArea: {}\nSeverity: {}\nDescription: {}\nInstructions: {}",
            or(&self.event, "Unknown"),
            or(&self.area_desc, "Unknown"),
            or(&self.severity, "Unknown"),
            or(&self.description, "No description available"),
            or(&self.instruction, "No specific instructions provided"),
        )
    }
}

/// Half a day of a forecast, such as "Tonight".
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Period {
    name: Option<String>,
    temperature: Option<serde_json::Number>,
    temperature_unit: Option<String>,
    wind_speed: Option<String>,
    wind_direction: Option<String>,
    detailed_forecast: Option<String>,
}

impl Period {
    pub fn text(&self) -> String {
        let wind = format!("{} {}", or(&self.wind_speed, "unknown"), or(&self.wind_direction, ""));
        format!(
            "{}:\nTemperature: {}°{}\nWind: {}\nForecast: {}",
            or(&self.name, "Unknown"),
            self.temperature.as_ref().map_or_else(|| "?".into(), ToString::to_string),
            or(&self.temperature_unit, "F"),
            wind.trim_end(),
            or(&self.detailed_forecast, "No forecast available"),
        )
    }
}

fn or<'a>(text: &'a Option<String>, otherwise: &'a str) -> &'a str {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty()).unwrap_or(otherwise)
}

/// The alerts in force in a state.
pub fn alerts(state: &State) -> Result<Vec<Alert>, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        features: Vec<Feature>,
    }
    #[derive(Deserialize)]
    struct Feature {
        #[serde(default)]
        properties: Alert,
    }

    let answer: Answer = get(&format!("{}/alerts/active/area/{state}", base()))?;
    Ok(answer.features.into_iter().map(|feature| feature.properties).collect())
}

/// The forecast for a place: the service says first which of its offices' forecasts that is.
pub fn forecast(place: &Place) -> Result<Vec<Period>, Failure> {
    #[derive(Deserialize)]
    struct Points {
        properties: PointsProperties,
    }
    #[derive(Deserialize)]
    struct PointsProperties {
        forecast: String,
    }
    #[derive(Deserialize)]
    struct Forecast {
        properties: ForecastProperties,
    }
    #[derive(Deserialize)]
    struct ForecastProperties {
        periods: Vec<Period>,
    }

    let points: Points = get(&format!("{}/points/{place}", base()))?;
    let forecast: Forecast = get(&points.properties.forecast)?;
    Ok(forecast.properties.periods)
}

fn base() -> String {
    let set = std::env::var(BASE_VARIABLE).unwrap_or_default();
    let base = set.trim().trim_end_matches('/');
    if base.is_empty() { DEFAULT_BASE.into() } else { base.into() }
}

fn get<T: DeserializeOwned>(url: &str) -> Result<T, Failure> {
    serde_json::from_slice(&http::get(url)?).map_err(|_| Failure::Unintelligible)
}
