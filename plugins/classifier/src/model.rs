//! A picture to labels: through a graph that the host runs, `pixel_values` in and `logits` out, as Hugging Face Optimum exports it.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    picture::Input,
    wasi::nn::{
        errors::Error,
        graph::{self, Graph},
        inference::GraphExecutionContext,
        tensor::{Tensor, TensorType},
    },
};

/// The graph, by the name that Optimum gives its file.
const GRAPH: &str = "model";

/// A graph that the host has.
pub struct Model {
    context: GraphExecutionContext,
    _graph: Graph,
}

/// What a picture may show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    pub label: String,
    /// From 0 to 1; over all labels it is 1.
    pub score: f64,
}

impl Model {
    /// Opens a model's graph.
    ///
    /// An error is what the host says: there is no such model, it is not granted, or there is nothing to run it.
    pub fn open(name: &str) -> Result<Self, String> {
        let graph = graph::load_by_name(&format!("{name}/{GRAPH}")).map_err(said)?;
        Ok(Self { context: graph.init_execution_context().map_err(said)?, _graph: graph })
    }

    /// How much the model is for each label.
    pub fn logits(&self, input: &Input) -> Result<Vec<f32>, String> {
        let bytes: Vec<u8> = input.numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let tensor = Tensor::new(&[1, 3, input.height as u32, input.width as u32], TensorType::Fp32, &bytes);
        let outputs = self.context.compute(vec![("pixel_values".to_owned(), tensor)]).map_err(said)?;
        let (_, logits) = outputs.into_iter().find(|(name, _)| name == "logits").ok_or("it gives no logits; export it with Optimum")?;
        if !matches!(logits.ty(), TensorType::Fp32) {
            return Err(format!("its logits are {:?}; export it with float32 logits", logits.ty()));
        }
        let data = logits.data();
        let (numbers, _) = data.as_chunks::<4>();
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

fn said(error: Error) -> String {
    let text = error.data();
    if text.is_empty() { format!("{:?}", error.code()) } else { text }
}

/// What the model's numbers are called: `config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Labels {
    id2label: BTreeMap<usize, String>,
}

impl Labels {
    /// Reads them from a model's folder.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let file = std::fs::read(folder.join("config.json")).map_err(|error| format!("its config.json cannot be read: {error}"))?;
        serde_json::from_slice(&file).map_err(|error| format!("its config.json cannot be read: {error}"))
    }

    /// The likeliest labels, the best first.
    pub fn best(&self, logits: &[f32], count: usize) -> Vec<Prediction> {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let parts: Vec<f64> = logits.iter().map(|logit| f64::from(logit - highest).exp()).collect();
        let sum: f64 = parts.iter().sum();
        let mut order: Vec<usize> = (0..parts.len()).collect();
        // Of equals the one that stands first.
        order.sort_by(|a, b| parts[*b].total_cmp(&parts[*a]));
        let named = |id: usize| self.id2label.get(&id).cloned().unwrap_or_else(|| format!("LABEL_{id}"));
        let score = |id: usize| (parts[id] / sum * 1e6).round() / 1e6;
        order.into_iter().take(count).map(|id| Prediction { label: named(id), score: score(id) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_labels_come_first_with_their_shares() {
        let labels: Labels =
            serde_json::from_str(r#"{"id2label": {"0": "cat", "1": "dog", "10": "boat"}, "model_type": "vit"}"#).expect("labels");
        let found = labels.best(&[0.0, 3.0_f32.ln(), 0.0], 2);
        assert_eq!(found, [Prediction { label: "dog".to_owned(), score: 0.6 }, Prediction { label: "cat".to_owned(), score: 0.2 }]);
        assert_eq!(labels.best(&[0.0, 3.0_f32.ln(), 0.0], 9)[2].label, "LABEL_2");
    }
}
