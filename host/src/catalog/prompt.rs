//! One prompt on offer: who fills it in, how it is published, and its JSON in a list.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::{Kind, names::Named};
use crate::provider::{Offer, Provider};

/// A prompt on offer.
pub struct PromptEntry {
    provider: Arc<dyn Provider>,
    offer: Arc<Offer>,
    name: String,
    json: OnceLock<Box<str>>,
}

impl PromptEntry {
    /// Who fills it in.
    #[must_use]
    pub fn provider(&self) -> &Arc<dyn Provider> {
        &self.provider
    }

    /// The provider's own name for it, which a request has to carry.
    #[must_use]
    pub fn own_name(&self) -> &str {
        &self.offer.key
    }

    /// The published name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The prompt as an object of JSON, as `prompts/list` has it. Made once.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| {
            let mut object = self.offer.json.clone();
            object.insert("name".to_owned(), self.name.as_str().into());
            Value::Object(object).to_string().into_boxed_str()
        })
    }
}

impl Named for PromptEntry {
    const KIND: Kind = Kind::Prompt;
    type Source = Offer;

    fn own_name_of(offer: &Offer) -> &str {
        &offer.key
    }

    fn under(provider: Arc<dyn Provider>, offer: &Arc<Offer>, name: &str) -> Option<Self> {
        Some(Self { provider, offer: Arc::clone(offer), name: name.to_owned(), json: OnceLock::new() })
    }

    fn json(&self) -> &str {
        self.json()
    }

    fn looks_like(&self, other: &Self) -> bool {
        self.name == other.name && (Arc::ptr_eq(&self.offer, &other.offer) || self.offer.json == other.offer.json)
    }
}
