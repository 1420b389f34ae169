//! How a model wants to be used, as the files beside it say: `config.json` and `generation_config.json`.

use std::path::Path;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::model::Stopping;

/// What this plugin does, by its name in `task_specific_params`.
const TASK: &str = "translation_en_to_fr";

/// The prefix of T5's own training, for a model that does not say one.
const DEFAULT_PREFIX: &str = "translate English to French: ";

/// The longest answer of a model that says no other; that of T5's.
const DEFAULT_MAX_LENGTH: usize = 300;

/// The longest source of a model that says no other; that of T5's.
const DEFAULT_POSITIONS: usize = 512;

/// How a model wants to be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Stands before every text.
    pub prefix: String,
    /// Ways that are followed where the caller says nothing; 1: greedy.
    pub beams: usize,
    /// Tokens of an answer, with the one that starts it.
    pub max_length: usize,
    /// Tokens of a source.
    pub positions: usize,
    pub length_penalty: f64,
    pub stopping: Stopping,
    /// The token that starts an answer.
    pub start: u32,
    /// Tokens that end one; the first ends a source too.
    pub ends: Vec<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.to_owned(),
            beams: 1,
            max_length: DEFAULT_MAX_LENGTH,
            positions: DEFAULT_POSITIONS,
            length_penalty: 1.0,
            stopping: Stopping::Heuristic,
            start: 0,
            ends: vec![1],
        }
    }
}

/// Keys that stand in `config.json`, in its part for a task, and in `generation_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys {
    model_type: Option<String>,
    prefix: Option<String>,
    num_beams: Option<usize>,
    max_length: Option<usize>,
    n_positions: Option<usize>,
    length_penalty: Option<f64>,
    early_stopping: Option<Stopping>,
    decoder_start_token_id: Option<u32>,
    eos_token_id: Option<OneOrMore>,
    task_specific_params: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(u32),
    More(Vec<u32>),
    #[allow(dead_code)]
    Other(IgnoredAny),
}

impl Settings {
    /// Reads them from a model's folder.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let config = std::fs::read(folder.join("config.json")).map_err(|error| format!("its config.json cannot be read: {error}"))?;
        // It came later than the format: a model need not have one.
        let generation = std::fs::read(folder.join("generation_config.json")).unwrap_or_else(|_| b"{}".to_vec());
        Self::parse(&config, &generation)
    }

    fn parse(config: &[u8], generation: &[u8]) -> Result<Self, String> {
        let config: Keys = serde_json::from_slice(config).map_err(|error| format!("its config.json cannot be read: {error}"))?;
        let generation: Keys =
            serde_json::from_slice(generation).map_err(|error| format!("its generation_config.json cannot be read: {error}"))?;
        if let Some(kind) = config.model_type.as_deref().filter(|kind| !kind.contains("t5")) {
            return Err(format!("it is a {kind} model, and this plugin knows T5"));
        }
        let task = config.task_specific_params.as_ref().map(|params| params[TASK].clone()).filter(Value::is_object);
        let task: Keys = match task {
            Some(task) => serde_json::from_value(task).map_err(|error| format!("its config.json cannot be read ({TASK}): {error}"))?,
            None => Keys::default(),
        };
        let mut settings = Self::default();
        // What is said for the task counts most.
        for keys in [config, generation, task] {
            settings.take(keys);
        }
        if settings.ends.is_empty() || settings.max_length < 2 {
            return Err("its config.json has no eos_token_id, or a max_length below 2".to_owned());
        }
        Ok(settings)
    }

    fn take(&mut self, keys: Keys) {
        fn set<T>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        set(&mut self.prefix, keys.prefix);
        set(&mut self.beams, keys.num_beams.map(|beams| beams.clamp(1, crate::MAX_BEAMS)));
        set(&mut self.max_length, keys.max_length);
        set(&mut self.positions, keys.n_positions);
        set(&mut self.length_penalty, keys.length_penalty);
        set(&mut self.stopping, keys.early_stopping);
        set(&mut self.start, keys.decoder_start_token_id);
        match keys.eos_token_id {
            Some(OneOrMore::One(id)) => self.ends = vec![id],
            Some(OneOrMore::More(ids)) => self.ends = ids,
            Some(OneOrMore::Other(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_for_the_task_counts_most() {
        let config = br#"{"model_type": "t5", "n_positions": 512, "decoder_start_token_id": 0, "eos_token_id": 1, "max_length": 20,
            "task_specific_params": {"translation_en_to_fr": {"early_stopping": true, "max_length": 300, "num_beams": 4, "prefix": "to French: "}}}"#;
        let settings = Settings::parse(config, br#"{"eos_token_id": [1, 7], "max_length": 30, "num_beams": 2}"#).expect("settings");
        let expected =
            Settings { prefix: "to French: ".to_owned(), beams: 4, stopping: Stopping::Early, ends: vec![1, 7], ..Settings::default() };
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_model_that_says_little_has_what_t5_has() {
        assert_eq!(Settings::parse(b"{}", b"{}"), Ok(Settings::default()));
        let stopping = |text: &str| Settings::parse(text.as_bytes(), b"{}").map(|settings| settings.stopping);
        assert_eq!(stopping(r#"{"early_stopping": "never"}"#), Ok(Stopping::Never));
        assert_eq!(stopping(r#"{"early_stopping": null, "prefix": null}"#), Ok(Stopping::Heuristic));
        assert!(stopping(r#"{"early_stopping": "soon"}"#).is_err());
    }

    #[test]
    fn another_kind_of_model_is_named() {
        let why = Settings::parse(br#"{"model_type": "bert"}"#, b"{}").expect_err("it is refused");
        assert!(why.contains("bert"), "{why}");
    }
}
