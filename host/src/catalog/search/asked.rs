//! The vectors of the questions that were asked last: models ask for the same things again and again, and each costs milliseconds.

use std::collections::{HashMap, VecDeque};

use blake3::Hash;

use super::vectors::Vector;

/// Questions that are kept: at most some 2 MB.
const MOST: usize = 1_000;

/// What a model has made of questions.
#[derive(Default)]
pub(super) struct Asked {
    version: Option<Hash>,
    vectors: HashMap<Box<str>, Vector>,
    /// The one that came first is the first to go.
    order: VecDeque<Box<str>>,
}

impl Asked {
    /// The vector that this version of the model has made of a question.
    pub(super) fn get(&self, version: Hash, question: &str) -> Option<Vector> {
        self.vectors.get(question).filter(|_| self.version == Some(version)).cloned()
    }

    /// Keeps one. Those of another version go.
    pub(super) fn put(&mut self, version: Hash, question: &str, vector: &Vector) {
        if self.version != Some(version) {
            *self = Self { version: Some(version), ..Self::default() };
        }
        if self.vectors.insert(question.into(), vector.clone()).is_none() {
            self.order.push_back(question.into());
        }
        if self.order.len() > MOST
            && let Some(first) = self.order.pop_front()
        {
            self.vectors.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_questions_are_kept_of_one_version_of_the_model() {
        let (one, other) = (blake3::hash(b"1"), blake3::hash(b"2"));
        let vector = |number: f32| Vector::of(&[1.0, number]).unwrap();
        let mut asked = Asked::default();
        for number in 0..3 * MOST {
            asked.put(one, &format!("question {number}"), &vector(number as f32));
        }
        assert_eq!((asked.vectors.len(), asked.order.len()), (MOST, MOST));
        assert_eq!(asked.get(one, &format!("question {}", 3 * MOST - 1)), Some(vector((3 * MOST - 1) as f32)));
        assert_eq!(asked.get(one, "question 0"), None);
        asked.put(other, "question 1", &vector(7.0));
        assert_eq!((asked.get(other, "question 1"), asked.vectors.len()), (Some(vector(7.0)), 1));
        assert_eq!(asked.get(one, "question 1"), None);
    }
}
