//! ONNX Runtime as a backend.

mod session;
mod value;

use ort::{
    environment::Environment,
    ep,
    session::{
        Session as OrtSession,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
};

use self::session::OnnxSession;
use super::backend::{Backend, BackendError, Options, Session, Source};
use crate::config::Device;

/// ONNX Runtime, loaded.
pub(super) struct Onnx {
    environment: Environment,
}

impl Onnx {
    pub(super) fn new(environment: Environment) -> Self {
        Self { environment }
    }

    fn builder(&self, options: &Options) -> Result<SessionBuilder, ort::Error> {
        let builder = OrtSession::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_intra_threads(options.threads)?
            // Threads that spin while they wait take the cores from the guests: 75 tokens a second instead of 190.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?;
        match options.device {
            Device::Cpu => Ok(builder),
            Device::Cuda(number) => {
                let mut cuda = ep::CUDA::default()
                    .with_device_id(i32::from(number))
                    // No more than is asked for: models share the GPU.
                    .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested);
                if let Some(memory) = options.memory {
                    cuda = cuda.with_memory_limit(memory);
                }
                // Without this the CPU would take over in silence.
                Ok(builder.with_execution_providers([cuda.build().error_on_failure()])?)
            }
        }
    }
}

impl Backend for Onnx {
    fn open(&self, source: Source<'_>, options: &Options) -> Result<Box<dyn Session>, BackendError> {
        let mut builder = self.builder(options).map_err(|error| cannot_set_up(error.message(), options.device))?;
        let session = match source {
            Source::File(path) => builder.commit_from_file(path),
            Source::Bytes(bytes) => builder.commit_from_memory(bytes),
        };
        let session = session.map_err(|error| cannot_open(error.message(), options.device))?;
        Ok(Box::new(OnnxSession::new(session, options.device)?))
    }
}

fn cannot_set_up(reason: &str, device: Device) -> BackendError {
    match device {
        Device::Cpu => BackendError(format!("ONNX Runtime takes none of these settings: {reason}")),
        Device::Cuda(_) => BackendError(format!(
            "{device} cannot be used: {}; it needs an NVIDIA driver and the build of ONNX Runtime with CUDA (toolbay setup inference --gpu) with the CUDA and cuDNN that it was built for, see docs/inference.md; or set device = \"cpu\"",
            reason.trim_end()
        )),
    }
}

fn cannot_open(reason: &str, device: Device) -> BackendError {
    let lower = reason.to_ascii_lowercase();
    if matches!(device, Device::Cuda(_)) && lower.contains("cuda failure") && !lower.contains("memory") {
        return cannot_set_up(reason, device);
    }
    let advice = if lower.contains("opset") || lower.contains("ir version") || lower.contains("ir_version") {
        "; export it for an older opset (optimum-cli export onnx --opset 18), or install a newer ONNX Runtime (toolbay setup inference)"
    } else if matches!(device, Device::Cuda(_)) && (lower.contains("memory") || lower.contains("arena")) {
        "; raise gpu_memory of the model, or lower its sessions"
    } else {
        ""
    };
    BackendError(format!("{reason}{advice}"))
}
