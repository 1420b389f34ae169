//! The likeliest token, again and again.

use super::Model;
use crate::settings::Settings;

pub fn generate(model: &Model, source: &[u32], settings: &Settings) -> Result<Vec<u32>, String> {
    let (mut decoding, logits) = model.start(source, settings.start)?;
    let mut tokens = vec![logits.best()];
    // The start counts, as in transformers.
    while tokens.len() + 1 < settings.max_length {
        match tokens.last() {
            Some(last) if !settings.ends.contains(last) => tokens.push(decoding.step(&[*last], &[0])?.best()),
            _ => break,
        }
    }
    Ok(tokens)
}
