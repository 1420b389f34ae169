//! The protocol front: MCP over HTTP, both eras on one endpoint.
//!
//! The way of a request, once `http` has let it in and read its body: [`Front`] finds the endpoint (`views`),
//! and `lean` answers plain lists, calls, reads, prompts and completions, from bytes to bytes. What `lean`
//! leaves goes to `general` (rmcp: everything, and every error). Both look names up by `resolve`, make a
//! [`CallRequest`](crate::dispatch::CallRequest) of it and hand that to the
//! [`Dispatcher`](crate::dispatch::Dispatcher).

mod answer;
mod asking;
mod detach;
mod endpoint_state;
mod envelope;
mod era;
mod faults;
mod front;
mod general;
mod handler;
mod intake;
mod lean;
mod open;
mod options;
mod outbox;
mod render;
mod reply;
mod resolve;
mod rpc;
mod sessions;
mod signing;
mod sse;
mod tasks;
#[cfg(test)]
mod tests;
mod typed;
mod updates;
mod views;

pub(crate) use answer::refusal;
pub use front::Front;
pub(crate) use intake::check_content_type;
pub use options::FrontOptions;
