//! The keys by which a client's answers find their questions.

use std::collections::HashSet;

use crate::provider::Question;

/// A key for each question: the provider's own where it is one, else by its place. None is among those that are `taken`, which they all are from now on.
pub(in crate::mcp) fn keys(questions: &[Question], taken: &mut HashSet<String>) -> Vec<String> {
    /// Longer ones are no names.
    const LONGEST: usize = 128;
    let mut keys: Vec<Option<String>> = Vec::new();
    for question in questions {
        let own = question.key.clone().filter(|key| !key.is_empty() && key.len() <= LONGEST);
        keys.push(own.filter(|key| taken.insert(key.clone())));
    }
    let mut number = 0;
    let mut next = || loop {
        number += 1;
        let key = format!("q{number}");
        if taken.insert(key.clone()) {
            return key;
        }
    };
    keys.into_iter().map(|key| key.unwrap_or_else(&mut next)).collect()
}
