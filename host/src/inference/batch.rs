//! Several computes of one graph as one: their tensors put together, run, and taken apart.

use std::{borrow::Cow, sync::Arc};

use super::{
    backend::{BackendError, Cancel, Session, Value},
    element_type::ElementType,
    layout::{Layout, Pad},
    tensor::{Data, Part, Rows, View, usizes},
};

/// The tensors of one compute, by the graph's inputs.
pub(super) type Inputs = Vec<View>;

/// What a compute gave, by name.
pub(super) type Outputs = Vec<(String, View)>;

/// Two computes with the same key can stand in one batch: type and shape of each input, without rows and without what is padded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Vec<u32>);

/// The key of a compute. None: it runs alone.
pub(super) fn key(layout: &Layout, inputs: &[View]) -> Option<Key> {
    let rows = inputs.first()?.dim(0);
    let mut lengths = (None, None);
    let mut key = Vec::new();
    for (view, pad) in inputs.iter().zip(&layout.inputs) {
        if view.dim(0) != rows || rows == 0 {
            return None;
        }
        // The inputs of one compute that are padded together must be of one length; a mask has one more than the past that it covers.
        let (length, own) = match pad {
            Pad::Never => (None, 0),
            Pad::End(axis) => (Some(&mut lengths.0), view.dim(*axis)),
            Pad::Front(axis) => (Some(&mut lengths.1), view.dim(*axis) + usize::from(view.dims.len() > 2)),
        };
        if length.is_some_and(|length| *length.get_or_insert(own) != own) {
            return None;
        }
        key.push(u32::try_from(view.dims.len()).unwrap_or(u32::MAX));
        key.extend(view.dims.iter().enumerate().skip(1).filter(|(axis, _)| Some(*axis) != pad.axis()).map(|(_, dim)| *dim));
    }
    layout.batches.then_some(Key(key))
}

/// How far a compute has come: a decoder's past grows with every step, and who is behind goes first.
pub(super) fn advance(inputs: &[View]) -> u64 {
    inputs.iter().map(|view| view.size() as u64).sum()
}

/// Puts computes into the order in which they came out of their last run: its tensors can then be used again as they are.
pub(super) fn by_origin<T>(jobs: &mut [T], inputs: impl Fn(&T) -> &Inputs) {
    let origin = |job: &T| {
        let rows = inputs(job).iter().find_map(|view| if let Data::Rows(rows) = &view.data { Some(rows) } else { None });
        rows.map(|rows| (Arc::as_ptr(&rows.of).cast::<()>().addr(), rows.at))
    };
    jobs.sort_by_key(origin);
}

/// Runs computes as one. Blocks.
///
/// # Errors
///
/// What the backend says; it concerns all of them.
pub(super) fn run(session: &mut dyn Session, layout: &Layout, jobs: &[&Inputs], cancel: &Cancel) -> Result<Vec<Outputs>, BackendError> {
    let mut values: Vec<Arc<dyn Value>> = Vec::new();
    for (index, slot) in session.inputs().iter().enumerate() {
        let views: Vec<&View> = jobs.iter().filter_map(|inputs| inputs.get(index)).collect();
        let pad = layout.inputs.get(index).copied().unwrap_or(Pad::Never);
        values.push(put_together(session, slot.ty, slot.dims.is_empty(), pad, &views)?);
    }
    let given: Vec<(usize, &dyn Value)> = values.iter().map(|value| &**value).enumerate().collect();
    let results: Vec<Arc<dyn Value>> = session.run(&given, cancel)?.into_iter().map(Arc::from).collect();
    take_apart(session, layout, jobs, &values, &results)
}

/// One tensor of many.
fn put_together(session: &dyn Session, ty: ElementType, scalar: bool, pad: Pad, views: &[&View]) -> Result<Arc<dyn Value>, BackendError> {
    let first = views.first().ok_or_else(|| BackendError("a batch has no computes".to_owned()))?;
    let mut dims: Vec<usize> = usizes(&first.dims).collect();
    if scalar && dims == [1] {
        dims.clear();
    }
    if views.len() > 1 {
        dims.iter_mut().take(1).for_each(|rows| *rows = views.iter().map(|view| view.dim(0)).sum());
        if let Some((axis, length)) = pad.axis().and_then(|axis| Some((axis, dims.get_mut(axis)?))) {
            *length = views.iter().map(|view| view.dim(axis)).max().unwrap_or(0);
        }
    }
    if let Some(value) = as_it_is(ty, &dims, views) {
        return Ok(value);
    }
    let mut failed = None;
    let value = session.tensor(ty, &dims, &mut |bytes| failed = copy(bytes, &dims, ty, pad, views).err())?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Arc::from(value)),
    }
}

/// All rows of one earlier result, in its order: it is what is wanted.
fn as_it_is(ty: ElementType, dims: &[usize], views: &[&View]) -> Option<Arc<dyn Value>> {
    let mut found: Option<&Arc<dyn Value>> = None;
    let mut next = 0;
    for view in views {
        let Data::Rows(Rows { of, at, .. }) = &view.data else { return None };
        if view.order.is_some() || *at != next || found.is_some_and(|found| !Arc::ptr_eq(found, of)) {
            return None;
        }
        found = Some(of);
        next += view.dim(0);
    }
    // Where the shape is the same, so are the lengths, and with them where each part lies: its padding is what is needed here.
    found.filter(|value| value.ty() == ty && value.dims() == dims).cloned()
}

/// Writes rows one after the other, each with its padding.
fn copy(bytes: &mut [u8], dims: &[usize], ty: ElementType, pad: Pad, views: &[&View]) -> Result<(), BackendError> {
    let mut into = Writer { rest: bytes };
    // What lies far away is fetched once, for all that are parts of it: those come one after the other.
    let mut near: Option<(*const (), Cow<'_, [u8]>)> = None;
    for view in views {
        let origin = match &view.data {
            Data::Rows(rows) => Arc::as_ptr(&rows.of).cast::<()>(),
            Data::Bytes(bytes) => Arc::as_ptr(bytes).cast(),
            Data::Bad(_) => std::ptr::null(),
        };
        let source = match near.take() {
            Some((of, source)) if of == origin => source,
            _ => view.source()?,
        };
        let axis = pad.axis().filter(|axis| dims.get(*axis).is_some_and(|full| *full != view.dim(*axis)));
        match (axis, view.whole(&source)) {
            (None, Some(whole)) => into.put(whole).ok_or_else(lost)?,
            (None, None) => view.pieces(&source, 1, |piece| into.put(piece))?,
            // There are no pieces between which padding could stand.
            (Some(axis), _) if view.size() == 0 => {
                let one = dims.iter().skip(axis).product::<usize>() * ty.size();
                into.zeros(one * usizes(&view.dims).take(axis).product::<usize>()).ok_or_else(lost)?;
            }
            (Some(axis), _) => {
                let inner = dims.iter().skip(axis + 1).product::<usize>() * ty.size();
                let own = view.dim(axis) * inner;
                let padding = dims.get(axis).map_or(0, |full| full * inner).saturating_sub(own);
                let (front, end) = if matches!(pad, Pad::Front(_)) { (padding, 0) } else { (0, padding) };
                let mut written = 0;
                view.pieces(&source, axis, |piece| {
                    into.zeros(if written == 0 { front } else { 0 })?;
                    into.put(piece)?;
                    written += piece.len();
                    if written >= own {
                        written = 0;
                        into.zeros(end)?;
                    }
                    Some(())
                })?;
            }
        }
        near = Some((origin, source));
    }
    if into.rest.is_empty() { Ok(()) } else { Err(lost()) }
}

fn lost() -> BackendError {
    BackendError("a tensor is not as long as its shape says".to_owned())
}

/// A tensor that is being written, from front to end.
struct Writer<'a> {
    rest: &'a mut [u8],
}

impl Writer<'_> {
    /// None: there is no more place.
    fn next(&mut self, len: usize) -> Option<&mut [u8]> {
        let (next, rest) = std::mem::take(&mut self.rest).split_at_mut_checked(len)?;
        self.rest = rest;
        Some(next)
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.next(bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    fn zeros(&mut self, len: usize) -> Option<()> {
        self.next(len)?.fill(0);
        Some(())
    }
}

/// To each compute what is its own.
fn take_apart(
    session: &dyn Session,
    layout: &Layout,
    jobs: &[&Inputs],
    values: &[Arc<dyn Value>],
    results: &[Arc<dyn Value>],
) -> Result<Vec<Outputs>, BackendError> {
    let mut all: Vec<(&str, &Arc<dyn Value>, Pad)> = Vec::new();
    for ((slot, value), pad) in session.outputs().iter().zip(results).zip(&layout.outputs) {
        all.push((&slot.name, value, *pad));
    }
    for ((name, value), pad) in layout.returned.iter().zip(values).zip(&layout.inputs) {
        all.extend(name.as_deref().map(|name| (name, value, *pad)));
    }
    let rows: usize = jobs.iter().map(|inputs| row_count(inputs)).sum();
    if let Some((name, ..)) = all.iter().find(|(_, value, _)| jobs.len() > 1 && value.dims().first() != Some(&rows)) {
        return Err(BackendError(format!("its output {name:?} has not one row for each row of its inputs")));
    }
    let longest = |pad: Pad| jobs.iter().map(|inputs| length(layout, inputs, pad)).max().unwrap_or(0);
    let mut at = 0;
    let mut outputs = Vec::with_capacity(jobs.len());
    for inputs in jobs {
        let own_rows = row_count(inputs);
        let mut own = Vec::with_capacity(all.len());
        for (name, value, pad) in &all {
            let mut dims = value.dims().to_vec();
            let mut part = None;
            if jobs.len() > 1 {
                dims.iter_mut().take(1).for_each(|dim| *dim = own_rows);
                let padding = longest(*pad).saturating_sub(length(layout, inputs, *pad));
                if let Some((axis, dim)) = pad.axis().and_then(|axis| Some((axis, dims.get_mut(axis)?))).filter(|_| padding > 0) {
                    *dim = dim.saturating_sub(padding);
                    part = Some(Part { axis, start: if matches!(pad, Pad::Front(_)) { padding } else { 0 } });
                }
            }
            own.push(((*name).to_owned(), view(value, &dims, at, part)));
        }
        at += own_rows;
        outputs.push(own);
    }
    Ok(outputs)
}

fn row_count(inputs: &Inputs) -> usize {
    inputs.first().map_or(0, |view| view.dim(0))
}

/// How long a compute's own part is, of what is padded on that side.
fn length(layout: &Layout, inputs: &Inputs, side: Pad) -> usize {
    let same = |pad: &Pad| std::mem::discriminant(pad) == std::mem::discriminant(&side);
    // The past and its mask differ by one, for all in the same way: the first that is found does for all.
    let found = layout.inputs.iter().zip(inputs).find(|(pad, _)| same(pad));
    found.and_then(|(pad, view)| Some(view.dim(pad.axis()?))).unwrap_or(0)
}

fn view(value: &Arc<dyn Value>, dims: &[usize], at: usize, part: Option<Part>) -> View {
    let mut dims: Vec<u32> = dims.iter().map(|dim| u32::try_from(*dim).unwrap_or(u32::MAX)).collect();
    if dims.is_empty() {
        // wasi-nn: "To represent a tensor containing a single value, use `[1]`".
        dims.push(1);
    }
    let ty = value.ty().carrier().unwrap_or(value.ty());
    View { ty, dims, data: Data::Rows(Rows { of: value.clone(), at, part }), order: None }
}
