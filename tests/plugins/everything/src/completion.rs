//! The interface `completion`: values for an argument of a prompt, and for the variable of the template.

use crate::{
    Everything,
    exports::toolbay::plugin::completion::{Completions, Error, Guest, Reference},
};

const WORDS: [&str; 6] = ["paris", "park", "party", "test", "testValue1", "testValue2"];

/// The template has data for any id; these are worth offering.
const IDS: [&str; 3] = ["1", "12", "123"];

impl Guest for Everything {
    fn complete(what: Reference, argument: String, value: String, _others: Vec<(String, String)>) -> Result<Completions, Error> {
        let known: &[&str] = match (&what, argument.as_str()) {
            (Reference::Prompt(name), "arg1" | "arg2") if name == "test_prompt_with_arguments" => &WORDS,
            (Reference::Template(_), "id") => &IDS,
            _ => &[],
        };
        let values: Vec<String> = known.iter().filter(|known| known.starts_with(&value)).map(|known| (*known).into()).collect();
        Ok(Completions { total: u32::try_from(values.len()).ok(), values, has_more: false })
    }
}
