//! What runs graphs: the seam at which another runtime can stand beside ONNX Runtime.

use std::{
    any::Any,
    borrow::Cow,
    fmt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::element_type::ElementType;
use crate::config::Device;

/// A runtime that opens graphs. One serves all models.
pub trait Backend: Send + Sync + 'static {
    /// Opens a graph; blocks, possibly for long. Called at the start, when a file has changed, and when a plugin brings a graph.
    ///
    /// # Errors
    ///
    /// Where the graph, the device or an option is not possible. A device that was asked for and is not there is an error, never another device.
    fn open(&self, source: Source<'_>, options: &Options) -> Result<Box<dyn Session>, BackendError>;
}

/// Where a graph is.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A file; data of its own may lie beside it.
    File(&'a Path),
    /// The graph itself.
    Bytes(&'a [u8]),
}

/// How a graph is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it runs.
    pub device: Device,
    /// Threads of one run, on the CPU.
    pub threads: usize,
    /// Bytes of the device's memory that it may take. None: no limit.
    pub memory: Option<usize>,
}

/// An open graph, which runs one batch at a time.
pub trait Session: Send + 'static {
    /// What it takes, in its own order.
    fn inputs(&self) -> &[Slot];

    /// What it gives, in its own order.
    fn outputs(&self) -> &[Slot];

    /// Makes a tensor, of which `fill` writes every byte: row-major and little-endian. It may find anything there.
    ///
    /// # Errors
    ///
    /// Where there is no memory for it.
    fn tensor(&self, ty: ElementType, dims: &[usize], fill: &mut dyn FnMut(&mut [u8])) -> Result<Box<dyn Value>, BackendError>;

    /// Runs the graph once; blocks. `inputs` are by the place in [`Session::inputs`], each at most once. Ends early, with an error, once `cancel` is.
    ///
    /// # Errors
    ///
    /// What the runtime says.
    fn run(&mut self, inputs: &[(usize, &dyn Value)], cancel: &Cancel) -> Result<Vec<Box<dyn Value>>, BackendError>;
}

/// A tensor of a backend's: it stays where the backend keeps it.
pub trait Value: Any + Send + Sync {
    /// The type of its elements.
    fn ty(&self) -> ElementType;

    /// Its shape.
    fn dims(&self) -> &[usize];

    /// All of its bytes, row-major and little-endian. Copies them where they are not in this machine's memory.
    ///
    /// # Errors
    ///
    /// Where they cannot be copied.
    fn bytes(&self) -> Result<Cow<'_, [u8]>, BackendError>;
}

/// An input or an output of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub ty: ElementType,
    /// Its shape. Empty: a scalar, or not known.
    pub dims: Vec<Dim>,
}

/// One dimension of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Always this.
    Fixed(usize),
    /// Any, under the name that the graph gives it; it may have none.
    Any(String),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self
            .dims
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(size) => size.to_string(),
                Dim::Any(name) if name.is_empty() => "?".to_owned(),
                Dim::Any(name) => name.clone(),
            })
            .collect();
        write!(f, "{}: {}[{}]", self.name, self.ty, dims.join(", "))
    }
}

/// What a backend says is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(pub String);

/// Ends a run from outside.
#[derive(Default)]
pub struct Cancel(Mutex<CancelState>);

type Hook = Box<dyn Fn() + Send>;

#[derive(Default)]
struct CancelState {
    cancelled: bool,
    hook: Option<Hook>,
}

impl Cancel {
    /// Ends the run that goes on, and all later ones at once.
    pub fn cancel(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.cancelled = true;
        if let Some(hook) = &state.hook {
            hook();
        }
    }

    /// Whether it was ended.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cancelled
    }

    /// Does work that `hook` ends. None: it was cancelled before.
    pub fn during<T>(&self, hook: Hook, work: impl FnOnce() -> T) -> Option<T> {
        {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.cancelled {
                return None;
            }
            state.hook = Some(hook);
        }
        let result = work();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hook = None;
        Some(result)
    }
}
