//! What a decoder remembers: keys and values of its own past and of the source, for each layer and row. They are the host's tensors; their bytes come
//! here only where rows change places, and the host does not do that.

use super::logits::Logits;
use crate::wasi::nn::{
    inference::NamedTensor,
    tensor::{Tensor, TensorType},
};

/// The outputs are named `present.…`; the next step takes them as `past_key_values.…`.
const OUTPUT: &str = "present.";
const INPUT: &str = "past_key_values.";

/// All that is remembered.
#[derive(Default)]
pub struct Memory {
    parts: Vec<Part>,
    /// Given to the host, which has not given it back.
    lost_source: bool,
}

struct Part {
    /// Without [`OUTPUT`] or [`INPUT`]: `0.decoder.key`.
    name: String,
    /// Of the source: the same in every step.
    source: bool,
    held: Held,
}

enum Held {
    /// By the host.
    There(Tensor),
    /// Here: a tensor of it is made for every step.
    Here(Bytes),
}

struct Bytes {
    dims: Vec<u32>,
    ty: TensorType,
    data: Vec<u8>,
}

impl Bytes {
    fn of(tensor: &Tensor) -> Self {
        Self { dims: tensor.dimensions(), ty: tensor.ty(), data: tensor.data() }
    }

    fn tensor(&self) -> Tensor {
        Tensor::new(&self.dims, self.ty, &self.data)
    }

    /// These rows, in this order.
    fn rows(&self, order: &[usize]) -> Result<Self, String> {
        let rows = self.dims.first().copied().unwrap_or(0) as usize;
        let size = self.data.len().checked_div(rows).unwrap_or(0);
        let mut data = Vec::with_capacity(order.len() * size);
        for row in order {
            data.extend_from_slice(self.data.get(row * size..(row + 1) * size).ok_or("the model gives fewer rows than it was given")?);
        }
        let mut dims = self.dims.clone();
        dims.iter_mut().take(1).for_each(|dim| *dim = order.len() as u32);
        Ok(Self { dims, ty: self.ty, data })
    }
}

impl Memory {
    /// Takes a step's outputs, and answers the logits among them.
    pub fn keep(&mut self, outputs: Vec<NamedTensor>) -> Result<Logits, String> {
        let mut logits = None;
        for (name, tensor) in outputs {
            if name == "logits" {
                logits = Some(Logits::of(&tensor)?);
            } else if let Some(name) = name.strip_prefix(OUTPUT) {
                let source = name.contains(".encoder.");
                // What is kept here is not taken back.
                if self.parts.iter().all(|part| part.name != name) {
                    self.parts.push(Part { name: name.to_owned(), source, held: Held::There(tensor) });
                }
            }
        }
        self.lost_source = self.parts.iter().all(|part| !part.source);
        logits.ok_or_else(|| "its decoder gives no logits; export it with Optimum, with-past".to_owned())
    }

    /// Whether the source's part went to the host and did not come back.
    pub fn has_lost_the_source(&self) -> bool {
        self.lost_source
    }

    /// Keeps the source's part of another memory, as bytes: of its rows these.
    pub fn keep_source_of(&mut self, other: Self, rows: &[usize]) -> Result<(), String> {
        for part in other.parts.into_iter().filter(|part| part.source) {
            let bytes = match part.held {
                Held::There(tensor) => Bytes::of(&tensor),
                Held::Here(bytes) => bytes,
            };
            self.parts.push(Part { held: Held::Here(bytes.rows(rows)?), ..part });
        }
        self.lost_source = false;
        if self.parts.iter().any(|part| part.source) {
            Ok(())
        } else {
            Err("its decoder gives no keys of the source; export it with Optimum, with-past".to_owned())
        }
    }

    /// Puts rows into another order. Rows that stay where they are cost nothing, nor do sources where each row still has the same.
    pub fn reorder(&mut self, rows: usize, order: &[usize], same_sources: bool) -> Result<(), String> {
        if order.iter().copied().eq(0..rows) {
            return Ok(());
        }
        for part in &mut self.parts {
            if part.source && same_sources {
                continue;
            }
            part.held = match &part.held {
                Held::There(tensor) => Held::There(Bytes::of(tensor).rows(order)?.tensor()),
                Held::Here(bytes) => Held::Here(bytes.rows(order)?),
            };
        }
        Ok(())
    }

    /// All of it, for the next step. What the host holds is given away.
    pub fn give(&mut self) -> Vec<NamedTensor> {
        let mut inputs = Vec::with_capacity(self.parts.len() + 3);
        let mut stays = Vec::new();
        for part in std::mem::take(&mut self.parts) {
            let name = format!("{INPUT}{}", part.name);
            match part.held {
                Held::There(tensor) => inputs.push((name, tensor)),
                Held::Here(bytes) => {
                    inputs.push((name, bytes.tensor()));
                    stays.push(Part { held: Held::Here(bytes), ..part });
                }
            }
        }
        self.parts = stays;
        inputs
    }
}
