//! The figures of the last minutes, for a page that is opened: the same as `live`, without single tools and models. They are kept while
//! nobody looks too, in a ring of some hundred kilobytes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{body::Body, extract::State};
use http::{Response, StatusCode};
use tokio::{runtime::Handle, time::MissedTickBehavior};

use super::{Console, live::Live};
use crate::http::answer;

/// Half as often as a page asks, which plots both.
const EVERY: Duration = Duration::from_secs(2);

/// Five minutes, as the page shows.
const SAMPLES: usize = 150;

/// Answers, the oldest first, each as JSON.
#[derive(Default)]
pub(super) struct History(Mutex<VecDeque<String>>);

impl History {
    fn push(&self, sample: String) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    fn json(&self) -> String {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{{\"samples\":[{}]}}", samples.iter().map(String::as_str).collect::<Vec<_>>().join(","))
    }
}

/// Keeps figures for as long as there is a console.
pub(super) fn keep(console: &Arc<Console>) {
    let console = Arc::downgrade(console);
    // Without a runtime nothing is served.
    let Ok(runtime) = Handle::try_current() else { return };
    runtime.spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let Some(console) = console.upgrade() else { return };
            if let Ok(sample) = serde_json::to_string(&Live::of_all(&console)) {
                console.history.push(sample);
            }
        }
    });
}

pub(super) async fn history(State(console): State<Arc<Console>>) -> Response<Body> {
    answer::json_text(StatusCode::OK, console.history.json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_dropped() {
        let history = History::default();
        assert_eq!(history.json(), r#"{"samples":[]}"#);
        (0..SAMPLES + 2).for_each(|n| history.push(n.to_string()));
        let kept: serde_json::Value = serde_json::from_str(&history.json()).unwrap();
        let kept = kept["samples"].as_array().unwrap();
        assert_eq!((kept.len(), kept[0].as_u64()), (SAMPLES, Some(2)));
    }
}
