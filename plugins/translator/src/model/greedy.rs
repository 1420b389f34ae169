//! The likeliest token, again and again: for several texts at once.

use super::Model;
use crate::settings::Settings;

pub fn generate(model: &Model, sources: &[Vec<u32>], settings: &Settings) -> Result<Vec<Vec<u32>>, String> {
    let (mut decoding, logits) = model.start(sources, settings.start)?;
    let rows: Vec<usize> = (0..sources.len()).collect();
    let mut last = logits.best();
    let mut answers: Vec<Vec<u32>> = last.iter().map(|token| vec![*token]).collect();
    let ended = |answer: &Vec<u32>| answer.last().is_none_or(|token| settings.ends.contains(token));
    // The start counts, as in transformers. A row that has ended goes on for nothing until the others have: taking it out would cost more.
    for _ in 2..settings.max_length {
        if answers.iter().all(ended) {
            break;
        }
        last = decoding.step(&last, &rows)?.best();
        for (answer, token) in answers.iter_mut().zip(&last) {
            if !ended(answer) {
                answer.push(*token);
            }
        }
    }
    if answers.len() == sources.len() { Ok(answers) } else { Err("the model gives fewer rows than it was given".to_owned()) }
}
