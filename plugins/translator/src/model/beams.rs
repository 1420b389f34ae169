//! Several ways at once, of which the likeliest is taken: beam search as transformers has it, so that answers are the same.

use serde::Deserialize;
use serde_json::Value;

use super::Model;
use crate::settings::Settings;

use super::logits::Candidate;

/// When the search ends, once there are as many finished answers as beams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub enum Stopping {
    /// At once.
    Early,
    /// Once the best that goes on is worse, at its length now, than the worst that is finished.
    Heuristic,
    /// Once it could not become better at any length.
    Never,
}

impl TryFrom<Value> for Stopping {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Bool(true) => Ok(Self::Early),
            Value::Bool(false) | Value::Null => Ok(Self::Heuristic),
            Value::String(text) if text == "never" => Ok(Self::Never),
            other => Err(format!("early_stopping is true, false or \"never\", not {other}")),
        }
    }
}

/// A search that goes on: which ways are followed, and which have come to an end. It knows nothing of the model.
pub struct Search<'a> {
    beams: usize,
    settings: &'a Settings,
    /// The best first.
    running: Vec<Way>,
    /// The best first; never more than beams.
    finished: Vec<Way>,
}

struct Way {
    /// Of a running way the sum of the logarithms, of a finished one that by its length.
    score: f32,
    tokens: Vec<u32>,
}

impl<'a> Search<'a> {
    pub fn new(beams: usize, settings: &'a Settings) -> Self {
        Self { beams, settings, running: vec![Way { score: 0.0, tokens: Vec::new() }], finished: Vec::new() }
    }

    /// How many candidates a step looks at: should one in each beam be an end, there are still enough to go on with.
    fn candidates(&self) -> usize {
        self.beams * (1 + self.settings.ends.len()).max(2)
    }

    /// Takes the best ways on. Answers the rows that go on and their tokens, or nothing when the search is over.
    fn advance(&mut self, candidates: &[Candidate]) -> Option<(Vec<usize>, Vec<u32>)> {
        let length = self.running.first().map_or(0, |way| way.tokens.len()) + 1;
        let full = length + 1 >= self.settings.max_length;
        let mut running = Vec::with_capacity(self.beams);
        let mut rows = Vec::with_capacity(self.beams);
        for (rank, candidate) in candidates.iter().enumerate() {
            let mut tokens = self.running.get(candidate.row).map(|way| way.tokens.clone()).unwrap_or_default();
            tokens.push(candidate.token);
            if !full && !self.settings.ends.contains(&candidate.token) {
                if running.len() < self.beams {
                    running.push(Way { score: candidate.score, tokens });
                    rows.push(candidate.row);
                }
            } else if rank < self.beams {
                let score = candidate.score / self.penalty(length);
                let place = self.finished.partition_point(|other| other.score >= score);
                self.finished.insert(place, Way { score, tokens });
                self.finished.truncate(self.beams);
            }
        }
        self.running = running;
        if self.is_over(length) {
            return None;
        }
        let last = self.running.iter().filter_map(|way| way.tokens.last().copied()).collect();
        Some((rows, last))
    }

    fn is_over(&self, length: usize) -> bool {
        let Some(best) = self.running.first() else { return true };
        if self.finished.len() < self.beams {
            return false;
        }
        let hoped = match self.settings.stopping {
            Stopping::Early => return true,
            Stopping::Never if self.settings.length_penalty > 0.0 => self.settings.max_length - 1,
            Stopping::Never | Stopping::Heuristic => length,
        };
        self.finished.last().is_some_and(|worst| best.score / self.penalty(hoped) <= worst.score)
    }

    fn penalty(&self, length: usize) -> f32 {
        (length as f64).powf(self.settings.length_penalty) as f32
    }

    fn scores(&self) -> Vec<f32> {
        self.running.iter().map(|way| way.score).collect()
    }

    /// The best that there is.
    fn result(self) -> Vec<u32> {
        self.finished.into_iter().chain(self.running).next().map(|way| way.tokens).unwrap_or_default()
    }
}

pub fn generate(model: &Model, source: &[u32], beams: usize, settings: &Settings) -> Result<Vec<u32>, String> {
    let mut search = Search::new(beams, settings);
    let (mut decoding, mut logits) = model.start(&[source.to_vec()], settings.start)?;
    while let Some((rows, tokens)) = search.advance(&logits.best_of(&search.scores(), search.candidates())) {
        logits = decoding.step(&tokens, &rows)?;
    }
    Ok(search.result())
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u32 = 1;

    fn settings(stopping: Stopping, length_penalty: f64, max_length: usize) -> Settings {
        Settings { stopping, length_penalty, max_length, ends: vec![END], ..Settings::default() }
    }

    fn candidates(of: &[(f32, usize, u32)]) -> Vec<Candidate> {
        of.iter().map(|(score, row, token)| Candidate { score: *score, row: *row, token: *token }).collect()
    }

    #[test]
    fn an_end_below_the_best_beams_is_dropped_and_the_others_go_on() {
        let settings = settings(Stopping::Early, 1.0, 50);
        let mut search = Search::new(2, &settings);
        let on = search.advance(&candidates(&[(-0.1, 0, 5), (-0.2, 0, 6), (-0.3, 0, END), (-0.4, 0, 7)]));
        assert_eq!(on, Some((vec![0, 0], vec![5, 6])));
        assert!(search.finished.is_empty());
        let on = search.advance(&candidates(&[(-0.3, 1, END), (-0.5, 0, 8), (-0.6, 1, 9), (-0.9, 0, END)]));
        assert_eq!(on, Some((vec![0, 1], vec![8, 9])));
        assert_eq!(search.finished.len(), 1);
        assert_eq!(search.result(), [6, END]);
    }

    #[test]
    fn early_stopping_ends_with_as_many_answers_as_beams_and_else_the_score_decides() {
        for (stopping, over) in [(Stopping::Early, true), (Stopping::Heuristic, false), (Stopping::Never, false)] {
            let settings = settings(stopping, 1.0, 50);
            let mut search = Search::new(2, &settings);
            search.advance(&candidates(&[(-0.1, 0, 5), (-0.2, 0, 6), (-9.0, 0, 7), (-9.0, 0, 8)]));
            let on = search.advance(&candidates(&[(-3.0, 0, END), (-4.0, 1, END), (-0.5, 0, 8), (-0.6, 1, 9)]));
            assert_eq!(on.is_none(), over, "{stopping:?}");
        }
    }

    #[test]
    fn at_the_greatest_length_every_way_ends() {
        let settings = settings(Stopping::Never, 1.0, 2);
        let mut search = Search::new(2, &settings);
        assert!(search.advance(&candidates(&[(-0.1, 0, 5), (-0.2, 0, 6), (-0.3, 0, 7), (-0.4, 0, 8)])).is_none());
        assert_eq!(search.result(), [5]);
    }
}
