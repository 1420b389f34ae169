//! The words of one provider's tools, counted once: a provider never changes what it offers.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwapOption;
use blake3::Hash;
use serde_json::{Map, Value};

use super::{vectors::Vectors, words};
use crate::provider::{Provider, ProviderId, Tool};

/// How much a word counts by where it stands.
const NAME: f32 = 3.0;
const TITLE: f32 = 2.0;
const PROVIDER: f32 = 1.0;
const DESCRIPTION: f32 = 1.0;
const PARAMETER: f32 = 0.5;
const ABOUT_PARAMETER: f32 = 0.25;

/// Bytes of a description that count: what a tool does stands at its beginning, and nobody comes first by repeating it.
const LONGEST: usize = 1000;
/// The same of a parameter's.
const LONGEST_PARAMETER: usize = 200;
/// Bytes of a description that a model reads.
const SENTENCE: usize = 600;
/// Parameters of a tool that count.
const PARAMETERS: usize = 64;

/// The words of one provider's tools, counted when they are first looked for, and what the tools mean, where that is known.
pub struct Terms {
    provider: Arc<dyn Provider>,
    made: OnceLock<Counted>,
    /// By the places of the tools.
    vectors: ArcSwapOption<Vectors>,
}

/// The words, by which tools have them and how much.
#[derive(Default)]
pub(super) struct Counted {
    /// Where each tool stands, by its own name.
    places: HashMap<Box<str>, u32>,
    /// How long each tool's text is.
    lengths: Vec<f32>,
    by_word: HashMap<Box<str>, Vec<(u32, f32)>>,
}

impl Terms {
    /// Of this provider.
    #[must_use]
    pub fn of(provider: &Arc<dyn Provider>) -> Self {
        Self { provider: Arc::clone(provider), made: OnceLock::new(), vectors: ArcSwapOption::empty() }
    }

    /// How many tools there are.
    pub(super) fn tools(&self) -> usize {
        self.provider.tools().len()
    }

    /// What each tool says of itself, as a sentence for a model, by its place.
    pub(super) fn sentences(&self) -> Vec<String> {
        self.provider.tools().iter().map(|tool| sentence(self.provider.id(), tool)).collect()
    }

    /// The tools, as `SERVER/TOOL`.
    #[cfg(test)]
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.provider.tools().iter().map(|tool| format!("{}/{}", self.provider.id(), tool.name))
    }

    pub(super) fn put_vectors(&self, vectors: Vectors) {
        self.vectors.store(Some(Arc::new(vectors)));
    }

    /// The vectors that a model has made of all tools.
    pub(super) fn vectors(&self, of: Hash) -> Option<Arc<Vectors>> {
        self.vectors.load_full().filter(|vectors| vectors.version == of)
    }

    pub(super) fn counted(&self) -> &Counted {
        self.made.get_or_init(|| {
            let mut counted = Counted::default();
            for tool in self.provider.tools() {
                counted.add(self.provider.id(), tool);
            }
            counted
        })
    }
}

impl Counted {
    fn add(&mut self, provider: &ProviderId, tool: &Tool) {
        let Ok(place) = u32::try_from(self.lengths.len()) else { return };
        let mut weights: HashMap<String, f32> = HashMap::new();
        let mut length = 0.0;
        let mut count = |text: &str, most: usize, weight: f32| {
            words::each(cut(text, most), |word| {
                length += weight;
                match weights.get_mut(word) {
                    Some(sum) => *sum += weight,
                    None => drop(weights.insert(word.to_owned(), weight)),
                }
            });
        };
        count(tool.name.as_str(), LONGEST, NAME);
        count(provider.as_str(), LONGEST, PROVIDER);
        count(title(tool), LONGEST, TITLE);
        count(tool.description.as_deref().unwrap_or_default(), LONGEST, DESCRIPTION);
        let parameters = tool.input_schema.get("properties").and_then(Value::as_object);
        for (name, schema) in parameters.into_iter().flatten().take(PARAMETERS) {
            count(name, LONGEST_PARAMETER, PARAMETER);
            count(text_of(schema, "description"), LONGEST_PARAMETER, ABOUT_PARAMETER);
        }
        // They are no words of their own, so the text is no longer by them.
        words::pairs(tool.name.as_str(), |pair| {
            weights.entry(pair.to_owned()).or_insert(NAME);
        });
        for (word, weight) in weights {
            match self.by_word.get_mut(word.as_str()) {
                Some(tools) => tools.push((place, weight)),
                None => drop(self.by_word.insert(word.into(), vec![(place, weight)])),
            }
        }
        self.places.insert(tool.name.as_str().into(), place);
        self.lengths.push(length);
    }

    /// Where a tool stands, by its own name.
    pub(super) fn place(&self, own_name: &str) -> Option<usize> {
        self.places.get(own_name).and_then(|place| usize::try_from(*place).ok())
    }

    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    pub(super) fn length(&self, place: usize) -> f32 {
        self.lengths.get(place).copied().unwrap_or_default()
    }

    /// The places of the tools that have a word, and how much it counts there.
    pub(super) fn having(&self, word: &str) -> impl Iterator<Item = (usize, f32)> {
        let tools = self.by_word.get(word).map(Vec::as_slice).unwrap_or_default();
        tools.iter().filter_map(|(place, weight)| Some((usize::try_from(*place).ok()?, *weight)))
    }
}

/// What a model reads of a tool: its name as words, its title, the beginning of its description, and what its parameters are called.
fn sentence(provider: &ProviderId, tool: &Tool) -> String {
    let mut sentence = String::new();
    words::plain(provider.as_str(), &mut sentence);
    sentence.push_str(": ");
    words::plain(tool.name.as_str(), &mut sentence);
    for part in [title(tool), cut(tool.description.as_deref().unwrap_or_default(), SENTENCE)] {
        if !part.is_empty() {
            sentence.push_str(". ");
            sentence.push_str(part);
        }
    }
    sentence
}

/// What people call a tool.
fn title(tool: &Tool) -> &str {
    let hint = || tool.annotations.as_ref().map_or("", |hints| text_of(hints, "title"));
    tool.title.as_deref().unwrap_or_else(hint)
}

fn text_of<'v>(object: &'v Value, member: &str) -> &'v str {
    object.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// Whether a model may call a tool. One that is for apps alone is called by pages (`_meta.ui.visibility`).
pub(super) fn is_for_models(meta: Option<&Map<String, Value>>) -> bool {
    let visibility = meta.and_then(|meta| meta.get("ui")).and_then(|ui| ui.get("visibility")).and_then(Value::as_array);
    visibility.is_none_or(|who| who.iter().any(|who| who == "model"))
}
