//! Why there can be no host at all.

use crate::{
    telemetry::{audit::AuditError, traces::TracesError},
    wasm::{folder::FolderError, plugin::HostError},
};

/// Why a host cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// What all plugins share cannot be made: the engines, the cache, the models.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The folder of plugins cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There can be no audit lines.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// There can be no traces.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

impl AppError {
    /// Whether the configuration or the command line is at fault, and not the machine.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Folder(_))
    }
}
