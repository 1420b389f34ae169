//! Tensors of ONNX Runtime: their types, their bytes, and how they are made.

use std::{any::Any, borrow::Cow};

use half::{bf16, f16};
use ort::{
    memory::{AllocationDevice, Allocator},
    value::{DynTensor, TensorElementType},
};
use zerocopy::IntoBytes as _;

use crate::inference::{
    backend::{BackendError, Value},
    element_type::ElementType,
};

/// A tensor of ONNX Runtime.
pub(super) struct OnnxValue {
    tensor: DynTensor,
    ty: ElementType,
    dims: Vec<usize>,
}

impl OnnxValue {
    pub(super) fn new(tensor: DynTensor) -> Result<Self, BackendError> {
        let ty = element_type(*tensor.data_type())
            .ok_or_else(|| BackendError(format!("it has elements of the type {}, which is not known here", tensor.data_type())))?;
        let dims = tensor.shape().iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect();
        Ok(Self { tensor, ty, dims })
    }

    /// A tensor in this machine's memory, of which `fill` writes every byte.
    pub(super) fn made(memory: &Allocator, ty: ElementType, dims: &[usize], fill: &mut dyn FnMut(&mut [u8])) -> Result<Self, BackendError> {
        let mut tensor = DynTensor::new(memory, ort_type(ty), dims).map_err(|error| BackendError(error.message().to_owned()))?;
        write(&mut tensor, ty, fill).map_err(|error| BackendError(error.message().to_owned()))?;
        Ok(Self { tensor, ty, dims: dims.to_vec() })
    }

    /// The tensor among any values.
    pub(super) fn of(value: &dyn Value) -> Option<&DynTensor> {
        let any: &dyn Any = value;
        any.downcast_ref::<Self>().map(|value| &value.tensor)
    }
}

impl Value for OnnxValue {
    fn ty(&self) -> ElementType {
        self.ty
    }

    fn dims(&self) -> &[usize] {
        &self.dims
    }

    fn bytes(&self) -> Result<Cow<'_, [u8]>, BackendError> {
        let failed = |error: ort::Error| BackendError(error.message().to_owned());
        if self.tensor.memory_info().is_cpu_accessible() {
            return read(&self.tensor, self.ty).map(Cow::Borrowed).map_err(failed);
        }
        let near = self.tensor.to(AllocationDevice::CPU, 0).map_err(failed)?;
        read(&near, self.ty).map(|bytes| Cow::Owned(bytes.to_vec())).map_err(failed)
    }
}

fn read(tensor: &DynTensor, ty: ElementType) -> Result<&[u8], ort::Error> {
    macro_rules! bytes_of {
        ($type:ty) => {
            Ok(tensor.try_extract_tensor::<$type>()?.1.as_bytes())
        };
    }
    match ty {
        ElementType::F16 => bytes_of!(f16),
        ElementType::Bf16 => bytes_of!(bf16),
        ElementType::F32 => bytes_of!(f32),
        ElementType::F64 => bytes_of!(f64),
        ElementType::Bool => bytes_of!(bool),
        ElementType::U8 => bytes_of!(u8),
        ElementType::I8 => bytes_of!(i8),
        ElementType::U16 => bytes_of!(u16),
        ElementType::I16 => bytes_of!(i16),
        ElementType::U32 => bytes_of!(u32),
        ElementType::I32 => bytes_of!(i32),
        ElementType::U64 => bytes_of!(u64),
        ElementType::I64 => bytes_of!(i64),
    }
}

fn write(tensor: &mut DynTensor, ty: ElementType, fill: &mut dyn FnMut(&mut [u8])) -> Result<(), ort::Error> {
    macro_rules! fill_in {
        ($type:ty) => {
            fill(tensor.try_extract_tensor_mut::<$type>()?.1.as_mut_bytes())
        };
    }
    match ty {
        ElementType::F16 => fill_in!(f16),
        ElementType::Bf16 => fill_in!(bf16),
        ElementType::F32 => fill_in!(f32),
        ElementType::F64 => fill_in!(f64),
        ElementType::U8 => fill_in!(u8),
        ElementType::I8 => fill_in!(i8),
        ElementType::U16 => fill_in!(u16),
        ElementType::I16 => fill_in!(i16),
        ElementType::U32 => fill_in!(u32),
        ElementType::I32 => fill_in!(i32),
        ElementType::U64 => fill_in!(u64),
        ElementType::I64 => fill_in!(i64),
        // A byte that is neither 0 nor 1 is no bool, and callers bring any.
        ElementType::Bool => {
            let flags = tensor.try_extract_tensor_mut::<bool>()?.1;
            let mut bytes = vec![0; flags.len()];
            fill(&mut bytes);
            for (flag, byte) in flags.iter_mut().zip(bytes) {
                *flag = byte != 0;
            }
        }
    }
    Ok(())
}

/// None: a type that has no place here.
pub(super) fn element_type(ty: TensorElementType) -> Option<ElementType> {
    Some(match ty {
        TensorElementType::Float16 => ElementType::F16,
        TensorElementType::Bfloat16 => ElementType::Bf16,
        TensorElementType::Float32 => ElementType::F32,
        TensorElementType::Float64 => ElementType::F64,
        TensorElementType::Bool => ElementType::Bool,
        TensorElementType::Uint8 => ElementType::U8,
        TensorElementType::Int8 => ElementType::I8,
        TensorElementType::Uint16 => ElementType::U16,
        TensorElementType::Int16 => ElementType::I16,
        TensorElementType::Uint32 => ElementType::U32,
        TensorElementType::Int32 => ElementType::I32,
        TensorElementType::Uint64 => ElementType::U64,
        TensorElementType::Int64 => ElementType::I64,
        _ => return None,
    })
}

fn ort_type(ty: ElementType) -> TensorElementType {
    match ty {
        ElementType::F16 => TensorElementType::Float16,
        ElementType::Bf16 => TensorElementType::Bfloat16,
        ElementType::F32 => TensorElementType::Float32,
        ElementType::F64 => TensorElementType::Float64,
        ElementType::Bool => TensorElementType::Bool,
        ElementType::U8 => TensorElementType::Uint8,
        ElementType::I8 => TensorElementType::Int8,
        ElementType::U16 => TensorElementType::Uint16,
        ElementType::I16 => TensorElementType::Int16,
        ElementType::U32 => TensorElementType::Uint32,
        ElementType::I32 => TensorElementType::Int32,
        ElementType::U64 => TensorElementType::Uint64,
        ElementType::I64 => TensorElementType::Int64,
    }
}
