//! Weather alerts and forecasts for the United States: checks what is asked, and puts the answers into sentences.

mod http;
mod nws;
mod place;

use place::{Place, State};

wit_bindgen::generate!();

/// Between two alerts, and between two periods.
const SEPARATOR: &str = "\n---\n";

/// How many periods a forecast has: two and a half days.
const PERIODS: usize = 5;

struct Weather;

impl Guest for Weather {
    fn get_alerts(state: String) -> Result<String, String> {
        let state = State::parse(&state)?;
        let alerts = nws::alerts(&state).map_err(|why| format!("Unable to fetch alerts for {state}: {why}."))?;
        if alerts.is_empty() {
            return Ok(format!("No active alerts for {state}."));
        }
        Ok(list(&alerts, nws::Alert::tell))
    }

    fn get_forecast(latitude: f64, longitude: f64) -> Result<String, String> {
        let place = Place::new(latitude, longitude)?;
        let periods = nws::forecast(&place).map_err(|why| format!("Unable to fetch the forecast for {place}: {why}."))?;
        if periods.is_empty() {
            return Ok(format!("There is no forecast for {place} at the moment."));
        }
        Ok(list(periods.iter().take(PERIODS), nws::Period::tell))
    }
}

/// What each of them tells, one after the other.
fn list<'a, T: 'a>(items: impl IntoIterator<Item = &'a T>, tell: impl Fn(&T, &mut String)) -> String {
    let mut told = String::new();
    for item in items {
        if !told.is_empty() {
            told.push_str(SEPARATOR);
        }
        tell(item, &mut told);
    }
    told
}

export!(Weather);
