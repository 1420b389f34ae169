//! The protocol front: MCP over HTTP, both eras on one endpoint.
//!
//! The way of a request, once `http` has let it in and read its body: [`Front`] finds the endpoint (`views`),
//! and `lean` answers plain lists, calls, reads, prompts and completions, from bytes to bytes. What `lean`
//! leaves goes to `general` (rmcp: everything, and every error). Both look names up by `resolve`, learn who calls
//! from `caller`, make a [`CallRequest`](crate::dispatch::CallRequest) of it and hand that to the
//! [`Dispatcher`](crate::dispatch::Dispatcher). `media` has the answer in a type that the caller takes.
//!
//! # Why there are two ways
//!
//! `lean` is what makes a call cost microseconds: it reads a request once, borrows what it can and writes the
//! result's JSON by itself, so that no member of it is lost. It takes a request only where nothing is unusual,
//! and says why where it leaves one (`lean::Leave`, in the log at debug).
//!
//! rmcp stays for the rest: `initialize` and the life of sessions with their streams and resumption,
//! `subscriptions/listen`, `server/discover`, the methods that only sessions have, and every refusal of a
//! malformed request. These are where revisions differ most, they are off the hot path, and rmcp follows the
//! conformance suite there. Its price is a second parse of what `lean` leaves. What both ways have to know is
//! in one place each, and they differ in reading it only: revisions in `era`, sessions and their owners in
//! `sessions`, headers in `headers`, who calls, what it is told and how it is asked in `caller`, what names
//! mean in `resolve`, results and errors in `render` and `rpc`. A parity test sends the same requests both ways.

mod answer;
mod asking;
mod caller;
mod cancel;
mod detach;
mod endpoint_state;
mod endpoints;
mod envelope;
mod era;
mod faults;
mod fleet;
mod front;
mod general;
mod handler;
mod headers;
mod intake;
mod lean;
mod links;
mod media;
mod options;
mod outbox;
mod pending;
mod present;
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
mod view;
mod views;

pub(crate) use answer::refusal;
pub use front::Front;
pub(crate) use intake::check_content_type;
pub use options::{EndpointOptions, FrontOptions};
pub use present::{SessionInfo, TaskInfo};
