//! One open graph of ONNX Runtime.

use std::{borrow::Cow, sync::Arc};

use ort::{
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{RunOptions, Session as OrtSession, SessionInputValue},
    value::{Outlet, ValueType},
};

use super::value::{OnnxValue, element_type};
use crate::{
    config::Device,
    inference::{
        backend::{BackendError, Cancel, Dim, Session, Slot, Value},
        element_type::ElementType,
    },
};

pub(super) struct OnnxSession {
    session: OrtSession,
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
    /// The session's own memory on this machine, which it uses again and again: fresh memory from the system for every run would cost more than what is
    /// written there.
    near: Allocator,
    /// Where results stay. None: in this machine's memory.
    far: Option<MemoryInfo<'static>>,
}

impl OnnxSession {
    pub(super) fn new(session: OrtSession, device: Device) -> Result<Self, BackendError> {
        let inputs = slots(session.inputs(), "input")?;
        let outputs = slots(session.outputs(), "output")?;
        let far = match device {
            Device::Cpu => None,
            Device::Cuda(number) => {
                let memory = MemoryInfo::new(AllocationDevice::CUDA, i32::from(number), AllocatorType::Device, MemoryType::Default);
                Some(memory.map_err(said)?)
            }
        };
        let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default).map_err(said)?;
        let near = Allocator::new(&session, memory).map_err(said)?;
        Ok(Self { session, inputs, outputs, near, far })
    }

    /// On a GPU: results stay there until somebody asks for their bytes, and a later run takes them from there.
    fn run_far(
        &mut self,
        far: &MemoryInfo<'_>,
        inputs: &[(usize, &dyn Value)],
        options: &RunOptions,
    ) -> Result<Vec<Box<dyn Value>>, ort::Error> {
        let mut binding = self.session.create_binding()?;
        for (name, value) in named(&self.inputs, inputs) {
            binding.bind_input(name, value)?;
        }
        for output in &self.outputs {
            binding.bind_output_to_device(&*output.name, far)?;
        }
        let values = self.session.run_binding_with_options(&binding, options)?;
        let values = values.into_iter().map(|(_, value)| boxed(value)).collect();
        binding.synchronize_outputs()?;
        values
    }

    fn run_near(&mut self, inputs: &[(usize, &dyn Value)], options: &RunOptions) -> Result<Vec<Box<dyn Value>>, ort::Error> {
        let inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> =
            named(&self.inputs, inputs).map(|(name, value)| (Cow::Borrowed(name), SessionInputValue::from(value))).collect();
        let values = self.session.run_with_options(inputs, options)?;
        values.into_iter().map(|(_, value)| boxed(value)).collect()
    }
}

fn boxed(value: ort::value::DynValue) -> Result<Box<dyn Value>, ort::Error> {
    let value = OnnxValue::new(value.downcast()?).map_err(|error| ort::Error::new(error.0))?;
    Ok(Box::new(value))
}

/// Inputs by name. What is not of ONNX Runtime, or has no place, is left out; the run says so.
fn named<'a>(slots: &'a [Slot], inputs: &'a [(usize, &'a dyn Value)]) -> impl Iterator<Item = (&'a str, &'a ort::value::DynTensor)> {
    inputs.iter().filter_map(|(index, value)| Some((&*slots.get(*index)?.name, OnnxValue::of(*value)?)))
}

impl Session for OnnxSession {
    fn inputs(&self) -> &[Slot] {
        &self.inputs
    }

    fn outputs(&self) -> &[Slot] {
        &self.outputs
    }

    fn tensor(&self, ty: ElementType, dims: &[usize], fill: &mut dyn FnMut(&mut [u8])) -> Result<Box<dyn Value>, BackendError> {
        Ok(Box::new(OnnxValue::made(&self.near, ty, dims, fill)?))
    }

    fn run(&mut self, inputs: &[(usize, &dyn Value)], cancel: &Cancel) -> Result<Vec<Box<dyn Value>>, BackendError> {
        let options = Arc::new(RunOptions::new().map_err(said)?);
        let hook = {
            let options = options.clone();
            // The only error would be that there are no options.
            Box::new(move || drop(options.terminate()))
        };
        let ran = cancel.during(hook, || match self.far.take() {
            None => self.run_near(inputs, &options),
            Some(far) => {
                let ran = self.run_far(&far, inputs, &options);
                self.far = Some(far);
                ran
            }
        });
        ran.unwrap_or_else(|| Err(ort::Error::new("it was ended before it began"))).map_err(said)
    }
}

fn said(error: ort::Error) -> BackendError {
    BackendError(error.message().to_owned())
}

fn slots(outlets: &[Outlet], what: &str) -> Result<Vec<Slot>, BackendError> {
    outlets
        .iter()
        .map(|outlet| {
            let name = outlet.name().to_owned();
            let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
                return Err(BackendError(format!("its {what} {name:?} is not a tensor; only tensors can be given and taken")));
            };
            let ty = element_type(*ty)
                .filter(|ty| ty.carrier().is_some())
                .ok_or_else(|| BackendError(format!("its {what} {name:?} has elements of the type {ty}, for which wasi-nn has no name")))?;
            let dims = shape
                .iter()
                .enumerate()
                .map(|(axis, dim)| match usize::try_from(*dim) {
                    Ok(size) => Dim::Fixed(size),
                    Err(_) => Dim::Any(dimension_symbols.get(axis).cloned().unwrap_or_default()),
                })
                .collect();
            Ok(Slot { name, ty, dims })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inference::library;

    /// None: there is no library here.
    fn encoder() -> Option<OnnxSession> {
        let Ok(environment) = library::load(None) else {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "no ONNX Runtime");
            return None;
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/t5-tiny/encoder_model.onnx");
        let session = OrtSession::builder(&environment).unwrap().commit_from_file(path).unwrap();
        Some(OnnxSession::new(session, Device::Cpu).unwrap())
    }

    /// The way of a GPU, with this machine's own memory in place of a GPU's: what is bound, run and read is the same.
    #[test]
    fn results_that_stay_where_they_are_made_have_the_same_bytes() {
        let Some(mut session) = encoder() else { return };
        let row = |value: i64| {
            let bytes = [value; 4].map(i64::to_le_bytes).concat();
            session.tensor(ElementType::I64, &[1, 4], &mut |into| into.copy_from_slice(&bytes)).unwrap()
        };
        let (ids, mask) = (row(5), row(1));
        let mut run = |far: bool| {
            let memory = || MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default).unwrap();
            session.far = far.then(memory);
            let values = session.run(&[(0, &*ids), (1, &*mask)], &Cancel::default()).unwrap();
            assert_eq!(session.far.is_some(), far);
            values.iter().map(|value| (value.dims().to_vec(), value.bytes().unwrap().into_owned())).collect::<Vec<_>>()
        };
        let near = run(false);
        assert_eq!(near[0].0, [1, 4, 96]);
        assert_eq!(run(true), near);
    }

    #[test]
    fn a_run_that_was_ended_does_not_begin() {
        let Some(mut session) = encoder() else { return };
        let cancel = Cancel::default();
        cancel.cancel();
        assert_eq!(session.run(&[], &cancel).map(drop).unwrap_err().0, "it was ended before it began");
    }
}
