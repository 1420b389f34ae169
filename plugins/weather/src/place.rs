//! Where the weather is asked for: a state, or a point on the map, each known to be one.

use std::fmt;

/// Two letters, upper case.
pub struct State(String);

impl State {
    pub fn parse(text: &str) -> Result<Self, String> {
        let code = text.trim();
        if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Ok(Self(code.to_ascii_uppercase()));
        }
        let shown: String = code.chars().take(40).collect();
        Err(format!("\"{shown}\" is not the code of a state: give two letters, such as CA or NY."))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A point on the map.
pub struct Place {
    latitude: f64,
    longitude: f64,
}

impl Place {
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, String> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(format!("The latitude {latitude} is not on the globe: give degrees from -90 to 90."));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(format!("The longitude {longitude} is not on the globe: give degrees from -180 to 180."));
        }
        Ok(Self { latitude, longitude })
    }
}

impl fmt::Display for Place {
    /// As the service wants it, which answers a redirect to anything else: at most four decimals, and no zeros at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded first; adding 0.0 makes 0 of -0.
        let four = |degrees: f64| (degrees * 10_000.0).round() / 10_000.0 + 0.0;
        write!(f, "{},{}", four(self.latitude), four(self.longitude))
    }
}
