//! Toolbay: a WebAssembly plugin host for the Model Context Protocol.
//!
//! The way of a call: [`http`] → [`mcp`] → [`dispatch`] → [`provider`] → [`wasm`], and straight back; what is on offer is in the [`catalog`].
//! Imports point downwards only.
//!
//! Servers that exist already are providers too: [`bridge`] (programs, containers) and [`remote`] (HTTP) stand beside each other above [`supervisor`], which
//! keeps them up, and [`upstream`], which speaks MCP as a client.

pub mod app;
pub mod author;
mod authorization_server;
pub mod bridge;
pub mod catalog;
pub mod cli;
mod cluster;
mod composition;
pub mod config;
pub mod credentials;
mod descriptors;
pub mod dispatch;
pub mod embedding;
mod file_events;
pub mod http;
pub mod identity;
pub mod inference;
mod json;
#[cfg(test)]
mod layers;
pub mod mcp;
pub mod oci;
mod offload;
pub mod overrides;
pub mod pick;
pub mod pipeline;
pub mod policies;
pub mod provider;
pub mod remote;
mod schema;
pub mod servers;
pub mod shared;
pub mod signing;
pub mod sigstore;
mod similar;
pub mod stdio;
pub mod store;
pub mod supervisor;
mod system;
pub mod telemetry;
mod threads;
mod tls;
pub mod trust;
mod unix_time;
pub mod upstream;
pub mod wasm;
mod whole_file;
mod wildcard;
