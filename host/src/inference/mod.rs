//! Models: what is loaded, who may use it, and how computes of many callers share a device.
//!
//! Nothing here knows of Wasm or MCP. A [`Registry`] has the models of the configuration; a [`Graph`] of it takes a compute with tensors by name. Each
//! device has one queue: it is fair between plugins, and computes of one graph that arrive together run as one. What runs a graph is a
//! [`backend::Backend`]; ONNX Runtime is the one that there is.

pub mod backend;
mod batch;
mod call_budget;
mod element_type;
mod error;
mod graph;
mod graph_state;
mod layout;
mod library;
mod metrics;
mod model;
mod onnx;
mod queue;
mod registry;
mod reload;
mod reorder;
mod tensor;
#[cfg(test)]
mod tests;
mod worker;

pub use call_budget::Account;
pub use element_type::ElementType;
pub use error::{Code, NnError};
pub use graph::Graph;
pub use library::LibraryError;
pub use metrics::{GraphStatus, ModelStatus};
pub use model::ModelError;
pub use registry::{InferenceError, Loading, Models, Registry};
pub use tensor::Tensor;
