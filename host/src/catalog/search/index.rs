//! The tools of one view, ranked by the words of a question (BM25), and by its meaning where that is known.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use super::{
    lexicon::Lexicon,
    meanings::{Meaning, Meanings},
    related,
    terms::{Terms, is_for_models},
    words,
};
use crate::catalog::Entry;

/// How soon a word that stands there again counts no more.
const SATURATION: f32 = 1.2;
/// How much a long text counts less than a short one.
const LENGTH: f32 = 0.5;
/// What the best words are worth beside the same meaning: enough for names, which mean little to a model.
const WORDS_SHARE: f32 = 0.1;
/// What is less alike than this, and shares no word, is about something else.
const FAR: f32 = 0.15;
/// What the very name of a tool is worth: it comes first.
const NAMED: f32 = 1000.0;

/// How much a word counts at least that a tool says of itself, and not of a parameter.
const SAYS: f32 = 1.0;
/// A question of fewer words can mean much, whatever says them.
const CLEAR: usize = 2;

/// How much two words side by side count beside each of them.
const PAIR: f32 = 0.5;

/// Words of a question that count, and bytes of it that are read.
const WORDS: usize = 32;
const QUESTION: usize = 1000;

/// The tools of one view, to be searched. Making one costs a look-up for each tool: their words are kept with the provider.
pub struct Index {
    parts: Vec<Part>,
    count: f32,
    average: f32,
}

/// The tools of one provider.
struct Part {
    terms: Arc<Terms>,
    /// At its place among all tools of the provider, each that may be found.
    entries: Vec<Option<Arc<Entry>>>,
}

impl Part {
    /// The tools that may be found and have a word, each with its place and how much it counts.
    fn having(&self, word: &str) -> impl Iterator<Item = (usize, f32)> {
        self.terms.counted().having(word).filter(|(place, _)| self.entries.get(*place).is_some_and(Option::is_some))
    }

    /// Whether one of the tools says all of these words of itself.
    fn says_all(&self, words: &[String]) -> bool {
        let says = |word: &str| -> Vec<usize> { self.having(word).filter(|(_, weight)| *weight >= SAYS).map(|(place, _)| place).collect() };
        let Some((first, others)) = words.split_first() else { return false };
        let mut places = says(first);
        for word in others {
            if places.is_empty() {
                break;
            }
            let these = says(word);
            // In the order of the tools.
            places.retain(|place| these.binary_search(place).is_ok());
        }
        !places.is_empty()
    }
}

/// The words of a question.
pub struct Wanted {
    words: Vec<String>,
    /// Two of them that stand side by side, as one.
    pairs: Vec<String>,
    is_clear: bool,
}

impl Wanted {
    /// Whether nobody needs to ask what the question means: some tool says each of its words, of which there are several, of itself.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.is_clear
    }
}

/// What words say for each tool, at its place.
pub type Scores = Vec<Vec<f32>>;

/// A tool that fits a question.
#[derive(Clone)]
pub struct Found {
    /// The tool.
    pub entry: Arc<Entry>,
    /// How well it fits.
    pub score: f32,
}

impl Index {
    /// Of these tools.
    #[must_use]
    pub fn new(tools: &[Arc<Entry>], lexicon: &Lexicon) -> Self {
        let mut parts: BTreeMap<&str, Part> = BTreeMap::new();
        let (mut count, mut length) = (0.0, 0.0);
        for entry in tools.iter().filter(|entry| is_for_models(entry.tool().meta.as_ref())) {
            let id = entry.provider().id();
            let Some(terms) = lexicon.get(id) else { continue };
            let counted = terms.counted();
            let Some(place) = counted.place(entry.own_name()) else { continue };
            let part = parts.entry(id.as_str()).or_insert_with(|| Part { terms: Arc::clone(terms), entries: vec![None; counted.len()] });
            if let Some(at) = part.entries.get_mut(place) {
                *at = Some(Arc::clone(entry));
                count += 1.0;
                length += counted.length(place);
            }
        }
        Self { parts: parts.into_values().collect(), count, average: if count > 0.0 { length / count } else { 1.0 } }
    }

    /// The tools that fit a question best, the best first, at most `most` of them. `meaning`: that of the question. It counts if it is known of all tools.
    #[must_use]
    pub fn search(&self, question: &str, meaning: Option<&Meaning>, most: usize) -> Vec<Found> {
        self.rank(question, self.weigh(&self.read(question)), meaning, most)
    }

    /// Takes a question apart.
    #[must_use]
    pub fn read(&self, question: &str) -> Wanted {
        let mut words: Vec<String> = Vec::new();
        words::each(Self::looked_at(question), |word| {
            if words.len() < WORDS && !words.iter().any(|known| known == word) {
                words.push(word.to_owned());
            }
        });
        let is_clear = words.len() >= CLEAR && self.parts.iter().any(|part| part.says_all(&words));
        let mut pairs: Vec<String> = Vec::new();
        words::pairs(Self::looked_at(question), |pair| {
            if pairs.len() < WORDS && !pairs.iter().chain(&words).any(|known| known == pair) {
                pairs.push(pair.to_owned());
            }
        });
        Wanted { words, pairs, is_clear }
    }

    /// What the words of a question say.
    #[must_use]
    pub fn weigh(&self, wanted: &Wanted) -> Scores {
        let Wanted { words, pairs, .. } = wanted;
        let mut scores: Scores = self.parts.iter().map(|part| vec![0.0; part.entries.len()]).collect();
        let mut best = scores.clone();
        for word in words {
            // Of a word and those for the same, the one counts that says most.
            self.score(word, 1.0, &mut best);
            let others = related::to(word).iter().filter(|other| !words.contains(other));
            others.for_each(|other| self.score(other, related::SHARE, &mut best));
            for (score, best) in scores.iter_mut().flatten().zip(best.iter_mut().flatten()) {
                *score += std::mem::take(best);
            }
        }
        pairs.iter().for_each(|pair| self.score(pair, PAIR, &mut best));
        scores.iter_mut().flatten().zip(best.iter().flatten()).for_each(|(score, best)| *score += best);
        scores
    }

    /// The tools that fit best by that, and by the meaning.
    #[must_use]
    pub fn rank(&self, question: &str, mut scores: Scores, meaning: Option<&Meaning>, most: usize) -> Vec<Found> {
        let question = Self::looked_at(question);
        if let Some(meaning) = meaning {
            self.join(meaning, &mut scores);
        }
        for (part, scores) in self.parts.iter().zip(&mut scores) {
            for (entry, score) in part.entries.iter().zip(scores) {
                if entry.as_ref().is_some_and(|entry| is_named(entry, question)) {
                    *score += NAMED;
                }
            }
        }
        self.best(&scores, most)
    }

    /// The part of a question that is looked at.
    #[must_use]
    pub(super) fn looked_at(question: &str) -> &str {
        question.get(..question.floor_char_boundary(QUESTION)).unwrap_or_default().trim()
    }

    /// Whether it is known what all of the tools mean. Otherwise nobody needs to know what the question means.
    pub(super) fn has_meanings(&self, meanings: &Meanings) -> bool {
        meanings.version().is_some_and(|version| self.parts.iter().all(|part| part.terms.vectors(version).is_some()))
    }

    /// Puts the meaning of the tools in place of their words, which keep a share. Nothing happens where it is not known of all of them.
    fn join(&self, meaning: &Meaning, scores: &mut [Vec<f32>]) {
        let Some(vectors) = self.parts.iter().map(|part| part.terms.vectors(meaning.version)).collect::<Option<Vec<_>>>() else { return };
        let best = scores.iter().flatten().fold(0.0_f32, |best, score| best.max(*score));
        for (vectors, scores) in vectors.iter().zip(scores) {
            for (score, cosine) in scores.iter_mut().zip(vectors.cosines(&meaning.vector)) {
                let words = if best > 0.0 { *score / best } else { 0.0 };
                let fits = words > 0.0 || cosine >= FAR;
                *score = if fits { (cosine + WORDS_SHARE * words).max(f32::MIN_POSITIVE) } else { 0.0 };
            }
        }
    }

    /// What one word says for each tool, where that is more than what stands there.
    fn score(&self, word: &str, share: f32, best: &mut [Vec<f32>]) {
        let having: usize = self.parts.iter().map(|part| part.having(word).count()).sum();
        if having == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "so many tools there are not")]
        let having = having as f32;
        let rarity = share * ((self.count - having + 0.5) / (having + 0.5)).ln_1p();
        for (part, best) in self.parts.iter().zip(best) {
            for (place, weight) in part.having(word) {
                let norm = 1.0 - LENGTH + LENGTH * part.terms.counted().length(place) / self.average;
                if let Some(best) = best.get_mut(place) {
                    *best = best.max(rarity * weight * (SATURATION + 1.0) / (weight + SATURATION * norm));
                }
            }
        }
    }

    fn best(&self, scores: &[Vec<f32>], most: usize) -> Vec<Found> {
        let mut found: Vec<(f32, &Arc<Entry>)> = Vec::new();
        for (part, scores) in self.parts.iter().zip(scores) {
            let fitting = part.entries.iter().zip(scores).filter(|(_, score)| **score > 0.0);
            found.extend(fitting.filter_map(|(entry, score)| Some((*score, entry.as_ref()?))));
        }
        // Of those that fit equally well the first by name, so that a question has one answer.
        let order =
            |(a, x): &(f32, &Arc<Entry>), (b, y): &(f32, &Arc<Entry>)| -> Ordering { b.total_cmp(a).then_with(|| x.name().cmp(y.name())) };
        if found.len() > most && most > 0 {
            found.select_nth_unstable_by(most - 1, order);
            found.truncate(most);
        }
        found.sort_unstable_by(order);
        found.into_iter().take(most).map(|(score, entry)| Found { entry: Arc::clone(entry), score }).collect()
    }
}

/// Whether a question is just the name of a tool.
fn is_named(entry: &Entry, question: &str) -> bool {
    entry.name().eq_ignore_ascii_case(question) || entry.own_name().eq_ignore_ascii_case(question)
}
