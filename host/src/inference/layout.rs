//! What the shapes of a graph say about running rows of several callers as one.
//!
//! A graph batches where all inputs and outputs have the same free dimension in front. Rows of unequal length can stand in one batch where a mask says what
//! is padding: that is known for the graphs of a sequence-to-sequence model as Hugging Face Optimum exports them, by the names of their inputs.

use super::backend::{Dim, Slot};

/// How a graph batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Whether rows of several callers can run as one.
    pub(super) batches: bool,
    /// By input: along which axis it may be padded.
    pub(super) inputs: Vec<Pad>,
    /// By output: along which axis it is cut to what is the caller's own.
    pub(super) outputs: Vec<Pad>,
    /// By input: the name under which it is given back. A compute takes its inputs for good; what the next one needs again, and the graph does not give,
    /// comes back as it would if it did.
    pub(super) returned: Vec<Option<String>>,
    /// By input: of whose past it is a part.
    pub(super) past: Vec<Option<Past>>,
}

/// What a decoder remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    /// Of what it has answered.
    Own,
    /// Of the source.
    Source,
}

/// Where padding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pad {
    /// Nowhere: all lengths are equal.
    Never,
    /// In front, along this axis: what a decoder has seen so far, right-aligned.
    Front(usize),
    /// At the end, along this axis: the source text.
    End(usize),
}

impl Pad {
    pub(super) fn axis(self) -> Option<usize> {
        match self {
            Self::Never => None,
            Self::Front(axis) | Self::End(axis) => Some(axis),
        }
    }
}

impl Layout {
    pub(super) fn of(inputs: &[Slot], outputs: &[Slot]) -> Self {
        let batches = batches(inputs, outputs);
        let rules = if batches { Rules::of(inputs) } else { Rules::default() };
        Self {
            batches,
            inputs: inputs.iter().map(|slot| rules.input(slot)).collect(),
            outputs: outputs.iter().map(|slot| rules.output(slot, inputs)).collect(),
            returned: inputs.iter().map(|slot| returned(slot, outputs)).collect(),
            past: inputs.iter().map(past).collect(),
        }
    }

    /// Whether callers at different steps can run as one.
    pub(super) fn is_ragged(&self) -> bool {
        self.inputs.iter().any(|pad| matches!(pad, Pad::Front(_)))
    }
}

fn batches(inputs: &[Slot], outputs: &[Slot]) -> bool {
    let mut names = inputs.iter().chain(outputs).map(|slot| match slot.dims.first() {
        Some(Dim::Any(name)) if !name.is_empty() => Some(name),
        _ => None,
    });
    match names.next() {
        Some(Some(first)) => names.all(|name| name == Some(first)),
        _ => false,
    }
}

fn returned(slot: &Slot, outputs: &[Slot]) -> Option<String> {
    let name = format!("present.{}", slot.name.strip_prefix("past_key_values.")?);
    outputs.iter().all(|output| output.name != name).then_some(name)
}

fn past(slot: &Slot) -> Option<Past> {
    let name = slot.name.strip_prefix("past_key_values.")?;
    Some(if name.contains(".encoder.") { Past::Source } else { Past::Own })
}

/// Which masks a graph has, and so what may be padded.
#[derive(Default)]
struct Rules {
    /// `attention_mask`, of an encoder that takes nothing but text.
    text: bool,
    /// `encoder_attention_mask`.
    source: bool,
    /// `decoder_attention_mask`.
    past: bool,
}

impl Rules {
    fn of(inputs: &[Slot]) -> Self {
        let has = |name: &str| inputs.iter().any(|slot| slot.name == name && slot.dims.len() == 2);
        Self {
            text: has("attention_mask") && has("input_ids") && inputs.len() == 2,
            source: has("encoder_attention_mask"),
            past: has("decoder_attention_mask"),
        }
    }

    fn input(&self, slot: &Slot) -> Pad {
        let pad = match slot.name.as_str() {
            "input_ids" | "attention_mask" if self.text => Pad::End(1),
            "encoder_attention_mask" | "encoder_hidden_states" if self.source => Pad::End(1),
            "decoder_attention_mask" if self.past => Pad::Front(1),
            name => name.strip_prefix("past_key_values.").map_or(Pad::Never, |rest| self.cache(rest)),
        };
        free(slot, pad)
    }

    fn output(&self, slot: &Slot, inputs: &[Slot]) -> Pad {
        if self.text {
            // As long as the text: by the name of the dimension.
            let length = inputs.iter().find(|input| input.name == "attention_mask").and_then(|mask| mask.dims.get(1));
            let long = |dim: &Dim| matches!(dim, Dim::Any(name) if !name.is_empty()) && Some(dim) == length;
            return if slot.dims.get(1).is_some_and(long) { Pad::End(1) } else { Pad::Never };
        }
        free(slot, slot.name.strip_prefix("present.").map_or(Pad::Never, |rest| self.cache(rest)))
    }

    /// `0.decoder.key` and the like: rows, heads, length, width.
    fn cache(&self, name: &str) -> Pad {
        if self.source && name.contains(".encoder.") {
            Pad::End(2)
        } else if self.past && name.contains(".decoder.") {
            Pad::Front(2)
        } else {
            Pad::Never
        }
    }
}

/// No padding along a dimension that is fixed or not there.
fn free(slot: &Slot, pad: Pad) -> Pad {
    let is_free = pad.axis().is_some_and(|axis| matches!(slot.dims.get(axis), Some(Dim::Any(_))));
    if is_free { pad } else { Pad::Never }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::element_type::ElementType;

    /// `name[batch, 4, length]`.
    pub(super) fn slot(text: &str) -> Slot {
        let (name, dims) = text.trim_end_matches(']').split_once('[').unwrap();
        let dim = |dim: &str| dim.parse().map_or_else(|_| Dim::Any(dim.to_owned()), Dim::Fixed);
        let dims = dims.split(", ").filter(|dim| !dim.is_empty()).map(dim).collect();
        Slot { name: name.to_owned(), ty: ElementType::F32, dims }
    }

    fn layout(inputs: &[&str], outputs: &[&str]) -> Layout {
        let slots = |texts: &[&str]| texts.iter().map(|text| slot(text)).collect::<Vec<_>>();
        Layout::of(&slots(inputs), &slots(outputs))
    }

    #[test]
    fn rows_of_many_callers_run_as_one_where_all_shapes_begin_with_the_same_free_dimension() {
        for (inputs, outputs, batches) in [
            (&["x[n, 3]"][..], &["y[n, 2]"][..], true),
            (&["x[n, 3]", "m[n]"], &["y[n]"], true),
            (&["x[1, 3]"], &["y[1, 2]"], false),
            (&["x[n, 3]", "scale[]"], &["y[n, 2]"], false),
            (&["x[n, 3]"], &["found[k, 2]"], false),
            (&["x[, 3]"], &["y[, 2]"], false),
        ] {
            assert_eq!(layout(inputs, outputs).batches, batches, "{inputs:?}");
        }
    }

    #[test]
    fn a_mask_allows_padding() {
        let encoder = layout(&["input_ids[b, s]", "attention_mask[b, s]"], &["last_hidden_state[b, s, 96]", "pooled[b, 96]"]);
        assert_eq!((encoder.inputs, encoder.outputs), (vec![Pad::End(1); 2], vec![Pad::End(1), Pad::Never]));
        let ragged = layout(
            &[
                "input_ids[b, 1]",
                "encoder_attention_mask[b, s]",
                "decoder_attention_mask[b, p1]",
                "past_key_values.0.decoder.key[b, 4, p, 16]",
                "past_key_values.0.encoder.key[b, 4, s, 16]",
            ],
            &["logits[b, 1, 9]", "present.0.decoder.key[b, 4, p1, 16]"],
        );
        assert!(ragged.is_ragged());
        assert_eq!(ragged.inputs, [Pad::Never, Pad::End(1), Pad::Front(1), Pad::Front(2), Pad::End(2)]);
        assert_eq!(ragged.outputs, [Pad::Never, Pad::Front(2)]);
        assert_eq!(ragged.returned, [None, None, None, None, Some("present.0.encoder.key".to_owned())]);
    }
}
