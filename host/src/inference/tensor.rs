//! Tensors as callers hold them: bytes that a caller brought, or rows of what a run gave, which stay where they are.

use std::{borrow::Cow, sync::Arc};

use super::{
    backend::{BackendError, Value},
    call_budget::{Account, Held},
    element_type::ElementType,
    error::{Code, NnError},
};

/// A tensor that a call holds. Its memory is on the call's account until it is dropped.
pub struct Tensor {
    /// A carrier type.
    pub(super) ty: ElementType,
    pub(super) dims: Vec<u32>,
    pub(super) data: Data,
    _held: Option<Held>,
}

/// Where the bytes are.
#[derive(Clone)]
pub(super) enum Data {
    /// As the caller brought them; as many as the shape says.
    Bytes(Arc<Vec<u8>>),
    /// In the result of a run.
    Rows(Rows),
    /// Nowhere: the tensor cannot be used, for this reason.
    Bad(NnError),
}

/// Some rows of a value, of which a part along one other axis.
#[derive(Clone)]
pub(super) struct Rows {
    pub(super) of: Arc<dyn Value>,
    /// The first row.
    pub(super) at: usize,
    /// Where the part begins, and along which axis; its length stands in the tensor's own shape. None: whole rows.
    pub(super) part: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) axis: usize,
    pub(super) start: usize,
}

/// Bytes of a shape. None: more than can be.
pub(super) fn size_of(ty: ElementType, dims: impl IntoIterator<Item = usize>) -> Option<usize> {
    // From the type on, so that a zero among the dimensions hides no overflow before it.
    dims.into_iter().try_fold(ty.size(), usize::checked_mul).filter(|size| isize::try_from(*size).is_ok())
}

pub(super) fn usizes(dims: &[u32]) -> impl Iterator<Item = usize> + '_ {
    dims.iter().map(|dim| usize::try_from(*dim).unwrap_or(usize::MAX))
}

impl Tensor {
    /// A tensor that a caller brings. One that cannot be (a wrong length, over a limit) is kept without its bytes, and says why when it is used.
    #[must_use]
    pub fn new(account: &Arc<Account>, ty: ElementType, dims: Vec<u32>, bytes: Vec<u8>) -> Self {
        /// ONNX Runtime's own limit is far above what any model has.
        const RANK: usize = 32;
        let bad = |code, message: String| Self { ty, dims: dims.clone(), data: Data::Bad(NnError::new(code, message)), _held: None };
        if dims.len() > RANK {
            let rank = dims.len();
            let data = Data::Bad(NnError::invalid(format!("a tensor has at most {RANK} dimensions, not {rank}")));
            return Self { ty, dims: Vec::new(), data, _held: None };
        }
        let len = bytes.len();
        match size_of(ty, usizes(&dims)) {
            Some(size) if size == len => {}
            Some(size) => return bad(Code::InvalidArgument, format!("a tensor {ty}{dims:?} has {size} bytes of data, not {len}")),
            None => return bad(Code::InvalidArgument, format!("a tensor {ty}{dims:?} is larger than any memory")),
        }
        if let Err(message) = account.admit(len as u64) {
            return bad(Code::TooLarge, message);
        }
        match account.hold(len as u64) {
            Ok(held) => Self { ty, dims, data: Data::Bytes(Arc::new(bytes)), _held: Some(held) },
            Err(message) => bad(Code::TooLarge, message),
        }
    }

    /// Bytes that are no tensor, and have their place on the account all the same.
    pub(super) fn held(account: &Arc<Account>, bytes: Vec<u8>, len: u32) -> Result<Self, NnError> {
        let held = account.hold(u64::from(len)).map_err(|message| NnError::new(Code::TooLarge, message))?;
        Ok(Self { ty: ElementType::U8, dims: vec![len], data: Data::Bytes(Arc::new(bytes)), _held: Some(held) })
    }

    /// What a caller brought.
    pub(super) fn brought(&self) -> &[u8] {
        if let Data::Bytes(bytes) = &self.data { bytes } else { &[] }
    }

    /// A part of what a run gave.
    pub(super) fn rows(account: &Arc<Account>, view: View) -> Result<Self, NnError> {
        let View { ty, dims, data, .. } = view;
        let size = size_of(ty, usizes(&dims)).unwrap_or(usize::MAX);
        let held = account.hold(size as u64).map_err(|message| NnError::new(Code::TooLarge, message))?;
        Ok(Self { ty, dims, data, _held: Some(held) })
    }

    /// What it is without the account.
    pub(super) fn view(&self) -> View {
        View { ty: self.ty, dims: self.dims.clone(), data: self.data.clone(), order: None }
    }

    /// The type of its elements, as callers name it.
    #[must_use]
    pub fn ty(&self) -> ElementType {
        self.ty
    }

    /// Its shape.
    #[must_use]
    pub fn dims(&self) -> &[u32] {
        &self.dims
    }

    /// Its bytes, row-major and little-endian; empty where the tensor is none.
    ///
    /// # Errors
    ///
    /// Where they cannot be had from the device.
    pub fn bytes(&self) -> Result<Vec<u8>, NnError> {
        match &self.data {
            Data::Bytes(bytes) => Ok(bytes.to_vec()),
            Data::Bad(_) => Ok(Vec::new()),
            Data::Rows(_) => self.view().read(|bytes| bytes.into_owned()).map_err(|error| NnError::new(Code::Runtime, error.0)),
        }
    }
}

/// A tensor without an account: what jobs are made of.
#[derive(Clone)]
pub(super) struct View {
    pub(super) ty: ElementType,
    pub(super) dims: Vec<u32>,
    pub(super) data: Data,
    /// By row, the row of `data` that it is. None: the rows as they are.
    pub(super) order: Option<Arc<[usize]>>,
}

impl View {
    pub(super) fn dim(&self, axis: usize) -> usize {
        self.dims.get(axis).map_or(0, |dim| usize::try_from(*dim).unwrap_or(usize::MAX))
    }

    pub(super) fn size(&self) -> usize {
        size_of(self.ty, usizes(&self.dims)).unwrap_or(usize::MAX)
    }

    /// The bytes of all that it is a part of.
    pub(super) fn source(&self) -> Result<Cow<'_, [u8]>, BackendError> {
        match &self.data {
            Data::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Data::Bad(fault) => Err(BackendError(fault.message.clone())),
            Data::Rows(rows) => rows.of.bytes(),
        }
    }

    /// Reads the bytes in one piece.
    pub(super) fn read<T>(&self, read: impl FnOnce(Cow<'_, [u8]>) -> T) -> Result<T, BackendError> {
        let all = self.source()?;
        if let Some(bytes) = self.whole(&all) {
            return Ok(read(Cow::Borrowed(bytes)));
        }
        let mut bytes = Vec::with_capacity(self.size());
        self.pieces(&all, 1, |piece| {
            bytes.extend_from_slice(piece);
            Some(())
        })?;
        Ok(read(Cow::Owned(bytes)))
    }

    /// Its bytes among those of its source, where they lie in one piece and in order.
    pub(super) fn whole<'a>(&self, all: &'a [u8]) -> Option<&'a [u8]> {
        let start = match &self.data {
            Data::Bytes(_) => 0,
            Data::Rows(Rows { at, part: None, .. }) => self.row_size().checked_mul(*at)?,
            Data::Rows(_) | Data::Bad(_) => return None,
        };
        if self.order.is_some() { None } else { all.get(start..start.checked_add(self.size())?) }
    }

    /// Hands out its bytes, row by row, in pieces that lie within one index of each axis before `axis`, and are of one length.
    pub(super) fn pieces(&self, all: &[u8], axis: usize, mut take: impl FnMut(&[u8]) -> Option<()>) -> Result<(), BackendError> {
        let mut hand_out = || {
            let (first, part, full) = match &self.data {
                Data::Rows(Rows { of, at, part }) => (*at, *part, part.and_then(|part| of.dims().get(part.axis).copied())),
                Data::Bytes(_) | Data::Bad(_) => (0, None, None),
            };
            let grain = part.map_or(axis, |part| part.axis.max(axis)).max(1);
            let product = |from: usize, to: usize| usizes(&self.dims).take(to).skip(from).product::<usize>();
            let piece = product(grain, usize::MAX) * self.ty.size();
            // Pieces that lie one behind the other; from where one such run begins to where the next one does; and where the first begins.
            let (run, stride, start) = match part {
                None => (product(1, grain), product(1, usize::MAX) * self.ty.size(), 0),
                Some(part) => {
                    let inner = product(part.axis + 1, usize::MAX) * self.ty.size();
                    (product(part.axis, grain), full? * inner, part.start * inner)
                }
            };
            let runs = part.map_or(1, |part| product(1, part.axis));
            for row in 0..self.dim(0) {
                let row = first + self.order.as_ref().map_or(Some(row), |order| order.get(row).copied())?;
                for index in 0..runs {
                    let from = (row * runs + index) * stride + start;
                    for number in 0..run {
                        take(all.get(from + number * piece..from + (number + 1) * piece)?)?;
                    }
                }
            }
            Some(())
        };
        hand_out().ok_or_else(|| BackendError("a tensor lies outside of the result that it is a part of".to_owned()))
    }

    /// Bytes of a row, of whole rows.
    fn row_size(&self) -> usize {
        self.size().checked_div(self.dim(0)).unwrap_or(0)
    }
}
