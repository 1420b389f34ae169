//! A T5 that the host runs: an encoder, a decoder for the first step, and one for every step after it.
//!
//! The decoder's memory of what it has seen stays on the host: from step to step only handles of it go round, one token in and its logits out. Where ways
//! of a beam search change places, the host is told which row goes on from which (`beam_idx`); one that does not know that input gets the rows from here.

mod beams;
mod greedy;
mod logits;
mod memory;

pub use beams::Stopping;

use std::cell::Cell;

use crate::{
    settings::Settings,
    wasi::nn::{
        errors::Error,
        graph::{self, Graph},
        inference::{GraphExecutionContext, NamedTensor},
        tensor::{Tensor, TensorType},
    },
};
use logits::Logits;
use memory::Memory;

/// The graphs, by the names that Hugging Face Optimum gives their files.
const ENCODER: &str = "encoder_model";
const FIRST_STEP: &str = "decoder_model";
const NEXT_STEP: &str = "decoder_with_past_model";
/// The same with a mask over the past: callers at different steps are then one batch for the host. It need not be there.
const NEXT_STEP_RAGGED: &str = "decoder_with_past_model_ragged";

/// The graphs of one model.
pub struct Model {
    encoder: Step,
    first: Step,
    next: Step,
    /// Whether `next` takes a mask over the past.
    ragged: bool,
    /// Whether the host puts the rows of the memory into another order. It is believed to, until it has refused.
    reorders: Cell<bool>,
}

struct Step {
    context: GraphExecutionContext,
    _graph: Graph,
}

impl Step {
    fn open(model: &str, name: &str) -> Result<Self, String> {
        let graph = graph::load_by_name(&format!("{model}/{name}")).map_err(|error| said(&error))?;
        Ok(Self { context: graph.init_execution_context().map_err(|error| said(&error))?, _graph: graph })
    }

    fn run(&self, inputs: Vec<NamedTensor>) -> Result<Vec<NamedTensor>, String> {
        self.context.compute(inputs).map_err(|error| said(&error))
    }
}

fn said(error: &Error) -> String {
    let text = error.data();
    if text.is_empty() { format!("{:?}", error.code()) } else { text }
}

impl Model {
    /// Opens the graphs of a model that the host has.
    ///
    /// An error is what the host says: there is no such model, it is not granted, or there is nothing to run it.
    pub fn open(name: &str) -> Result<Self, String> {
        let (next, ragged) = match Step::open(name, NEXT_STEP_RAGGED) {
            Ok(step) => (step, true),
            Err(_) => (Step::open(name, NEXT_STEP)?, false),
        };
        Ok(Self { encoder: Step::open(name, ENCODER)?, first: Step::open(name, FIRST_STEP)?, next, ragged, reorders: Cell::new(true) })
    }

    /// The tokens that the model answers to those of each text, the end included. One beam answers all texts together.
    pub fn generate(&self, sources: &[Vec<u32>], beams: usize, settings: &Settings) -> Result<Vec<Vec<u32>>, String> {
        if beams > 1 {
            sources.iter().map(|source| beams::generate(self, source, beams, settings)).collect()
        } else {
            greedy::generate(self, sources, settings)
        }
    }

    /// Reads the texts, each into a row, and takes the first step: the logits of the first tokens.
    fn start(&self, sources: &[Vec<u32>], start: u32) -> Result<(Decoding<'_>, Logits), String> {
        let sources: Vec<Vec<i64>> = sources.iter().map(|source| source.iter().copied().map(i64::from).collect()).collect();
        let rows = (0..sources.len()).collect();
        let mut decoding = Decoding { model: self, sources, start: i64::from(start), memory: Memory::default(), seen: 1, rows };
        let logits = decoding.read()?;
        Ok((decoding, logits))
    }
}

/// Texts that are being answered, in one row for each way that is followed.
struct Decoding<'a> {
    model: &'a Model,
    sources: Vec<Vec<i64>>,
    start: i64,
    memory: Memory,
    /// How many tokens the decoder has seen.
    seen: usize,
    /// By row: the text that it answers.
    rows: Vec<usize>,
}

impl Decoding<'_> {
    /// Encoder and first step, with one row for each text; fills the memory.
    fn read(&mut self) -> Result<Logits, String> {
        let all: Vec<usize> = (0..self.sources.len()).collect();
        let encoded = self.model.encoder.run(vec![
            ("input_ids".to_owned(), self.padded(&all, |token| token)),
            ("attention_mask".to_owned(), self.padded(&all, |_| 1)),
        ])?;
        let (_, hidden) = encoded
            .into_iter()
            .find(|(name, _)| name == "last_hidden_state")
            .ok_or("its encoder_model gives no last_hidden_state; export it with Optimum")?;
        let outputs = self.model.first.run(vec![
            ("input_ids".to_owned(), integers(&[all.len(), 1], all.iter().map(|_| self.start))),
            ("encoder_attention_mask".to_owned(), self.padded(&all, |_| 1)),
            ("encoder_hidden_states".to_owned(), hidden),
        ])?;
        self.memory.keep(outputs)
    }

    /// Gives each row its next token and answers the logits of the one after it. `order` says which row each row goes on from; there may be more or fewer
    /// than before.
    fn step(&mut self, tokens: &[u32], order: &[usize]) -> Result<Logits, String> {
        let stay = order.iter().copied().eq(0..self.rows.len());
        let by_host = !stay && self.model.reorders.get();
        let outputs = match self.advance(tokens, order, by_host) {
            // The host may not know how to. The first step of a search is one in which rows change, and what was remembered before it is soon made again.
            Err(_) if by_host && self.seen == 1 => {
                self.model.reorders.set(false);
                self.memory = Memory::default();
                self.read()?;
                self.advance(tokens, order, false)?
            }
            outputs => outputs?,
        };
        self.rows = self.texts(order);
        self.seen += 1;
        self.memory.keep(outputs)
    }

    /// By row of the next step: the text that it answers.
    fn texts(&self, order: &[usize]) -> Vec<usize> {
        order.iter().filter_map(|row| self.rows.get(*row).copied()).collect()
    }

    /// Runs the next step, and gives the memory away for it.
    fn advance(&mut self, tokens: &[u32], order: &[usize], by_host: bool) -> Result<Vec<NamedTensor>, String> {
        if self.memory.has_lost_the_source() {
            self.read_again()?;
        }
        let rows = self.texts(order);
        let same_texts = rows == self.rows;
        if !by_host {
            self.memory.reorder(self.rows.len(), order, same_texts)?;
        }
        let mut inputs = self.memory.give();
        if by_host {
            let indices = || integers(&[order.len()], order.iter().map(|row| *row as i64));
            inputs.push(("beam_idx".to_owned(), indices()));
            if !same_texts {
                inputs.push(("encoder_beam_idx".to_owned(), indices()));
            }
        }
        inputs.push(("input_ids".to_owned(), integers(&[rows.len(), 1], tokens.iter().copied().map(i64::from))));
        inputs.push(("encoder_attention_mask".to_owned(), self.padded(&rows, |_| 1)));
        if self.model.ragged {
            let seen = self.seen + 1;
            inputs.push(("decoder_attention_mask".to_owned(), integers(&[rows.len(), seen], std::iter::repeat_n(1, rows.len() * seen))));
        }
        self.model.next.run(inputs)
    }

    /// For a host that takes the source's part of the memory for good, as wasi-nn has it: it is made once more, and kept here.
    fn read_again(&mut self) -> Result<(), String> {
        let past = std::mem::take(&mut self.memory);
        self.read()?;
        let again = std::mem::replace(&mut self.memory, past);
        self.memory.keep_source_of(again, &self.rows)
    }

    /// Something of every token of these texts, and zeros up to the length of the longest of all.
    fn padded(&self, texts: &[usize], of: impl Fn(i64) -> i64) -> Tensor {
        let longest = self.sources.iter().map(Vec::len).max().unwrap_or(0);
        let rows = texts.iter().filter_map(|text| self.sources.get(*text));
        let values = rows.flat_map(|source| source.iter().map(|token| of(*token)).chain(std::iter::repeat_n(0, longest - source.len())));
        integers(&[texts.len(), longest], values)
    }
}

fn integers(dims: &[usize], values: impl IntoIterator<Item = i64>) -> Tensor {
    let dims: Vec<u32> = dims.iter().map(|dim| *dim as u32).collect();
    let bytes: Vec<u8> = values.into_iter().flat_map(i64::to_le_bytes).collect();
    Tensor::new(&dims, TensorType::I64, &bytes)
}
