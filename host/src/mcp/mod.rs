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
//! and says why where it leaves one (`fast_path::Leave`, in the log at debug).
//!
//! rmcp stays for the rest: `initialize` and the life of sessions with their streams and resumption,
//! `subscriptions/listen`, `server/discover`, the methods that only sessions have, and every refusal of a
//! malformed request. These are where revisions differ most, they are off the hot path, and rmcp follows the
//! conformance suite there. Its price is a second parse of what `lean` leaves. What both ways have to know is
//! in one place each, and they differ in reading it only: revisions in `era`, sessions and their owners in
//! `sessions`, headers in `headers`, who calls, what it is told and how it is asked in `caller`, what names
//! mean in `resolve`, results and errors in `render` and `rpc`. A parity test sends the same requests both ways.

mod answer;
mod caller;
mod cancel;
mod client_requests;
mod disconnect;
mod endpoint_state;
mod endpoints;
mod envelope;
mod era;
mod fast_path;
mod fleet;
mod front;
mod headers;
mod links;
mod media;
mod notification_queue;
mod options;
mod packed;
mod pending;
mod present;
mod reply;
mod request_checks;
mod resolve;
mod result_json;
mod rmcp_convert;
mod rmcp_errors;
mod rmcp_handler;
mod rmcp_service;
mod rpc;
mod sessions;
mod signing;
mod sse;
mod tasks;
#[cfg(test)]
mod tests;
mod updates;
mod view;
mod views;

pub use answer::NeedsScopes;
pub(crate) use answer::refusal;
pub use front::Front;
pub use options::{EndpointOptions, FrontOptions};
pub(crate) use packed::{PackedLists, takes_gzip};
pub use present::{SessionInfo, TaskInfo};
pub(crate) use request_checks::check_content_type;
