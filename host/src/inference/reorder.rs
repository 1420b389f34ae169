//! Rows of a decoder's past in another order, as beam search needs it: the inputs `beam_idx` and `encoder_beam_idx`, which every graph with a past takes.
//!
//! They say, for each row of the compute, which row of `past_key_values.*` it goes on from. The rows are put in place where a batch is put together anyway,
//! so that no tensor goes through the caller, and an export needs nothing for it. A graph that has such an input of its own gets it as it is.

use std::sync::Arc;

use super::{
    backend::Slot,
    call_budget::Account,
    element_type::ElementType,
    error::{Code, NnError},
    layout::{Layout, Past},
    tensor::{Data, Tensor, View, usizes},
};

/// For what the decoder has seen of its own answer.
const OWN: &str = "beam_idx";
/// For what it has seen of the source: `past_key_values.N.encoder.*`. Where all ways of a row answer the same source, it stays away.
const SOURCE: &str = "encoder_beam_idx";

/// The orders that a compute is given.
#[derive(Default)]
pub(super) struct Orders {
    own: Option<Arc<[usize]>>,
    source: Option<Arc<[usize]>>,
}

impl Orders {
    /// Whether an input is one of those that are taken here, and not by the graph.
    pub(super) fn takes(name: &str, layout: &Layout, inputs: &[Slot]) -> bool {
        let past = match name {
            OWN => Past::Own,
            SOURCE => Past::Source,
            _ => return false,
        };
        layout.batches && layout.past.contains(&Some(past)) && inputs.iter().all(|slot| slot.name != name)
    }

    /// Reads one of them.
    ///
    /// # Errors
    ///
    /// Where it is no list of rows.
    pub(super) fn read(&mut self, graph: &str, name: &str, tensor: &Tensor) -> Result<(), NnError> {
        let wrong = |what: String| NnError::invalid(format!("the input {name:?} of {graph} {what}"));
        if let Data::Bad(fault) = &tensor.data {
            return Err(NnError::new(fault.code, format!("the input {name:?} of {graph}: {}", fault.message)));
        }
        if tensor.dims.len() != 1 || !matches!(tensor.ty, ElementType::I64 | ElementType::I32) {
            return Err(wrong(format!("is i64[rows] or i32[rows], and was given as {}{:?}", tensor.ty, tensor.dims)));
        }
        let index = |bytes: &[u8]| match bytes.try_into() {
            Ok(bytes) => i64::from_le_bytes(bytes),
            Err(_) => bytes.try_into().map_or(-1, |bytes| i64::from(i32::from_le_bytes(bytes))),
        };
        let bytes = tensor.bytes()?;
        let rows: Result<Arc<[usize]>, _> = bytes.chunks(tensor.ty.size()).map(index).map(usize::try_from).collect();
        let to = if name == OWN { &mut self.own } else { &mut self.source };
        if to.is_some() {
            return Err(wrong("is given twice".to_owned()));
        }
        *to = Some(rows.map_err(|_| wrong("has a row below 0".to_owned()))?);
        Ok(())
    }

    /// Puts the rows of all views into these orders. Answers the bytes that are new by that.
    ///
    /// # Errors
    ///
    /// Where a row is none of what is given, or there are more bytes of them than the account allows.
    pub(super) fn apply(&self, graph: &str, layout: &Layout, inputs: &[Slot], views: &mut [View]) -> Result<u64, NnError> {
        let mut bytes = 0_u64;
        for ((slot, past), view) in inputs.iter().zip(&layout.past).zip(views) {
            let (name, order) = match past {
                Some(Past::Own) => (OWN, &self.own),
                Some(Past::Source) => (SOURCE, &self.source),
                None => continue,
            };
            let Some(order) = order else { continue };
            let rows = view.dim(0);
            if let Some(row) = order.iter().find(|row| **row >= rows) {
                let what = format!("names row {row}, and {:?} has {rows}", slot.name);
                return Err(NnError::invalid(format!("the input {name:?} of {graph} {what}")));
            }
            if order.iter().copied().eq(0..rows) {
                continue;
            }
            view.dims.iter_mut().take(1).for_each(|dim| *dim = u32::try_from(order.len()).unwrap_or(u32::MAX));
            view.order = Some(order.clone());
            let size = super::tensor::size_of(view.ty, usizes(&view.dims)).and_then(|size| u64::try_from(size).ok());
            bytes = size.and_then(|size| bytes.checked_add(size)).unwrap_or(u64::MAX);
        }
        Ok(bytes)
    }
}

/// Books what a compute needs for rows in another order, while it goes on.
pub(super) fn book(account: &Arc<Account>, bytes: u64) -> Result<Option<super::call_budget::Held>, NnError> {
    if bytes == 0 {
        return Ok(None);
    }
    account.hold(bytes).map(Some).map_err(|message| NnError::new(Code::TooLarge, message))
}
