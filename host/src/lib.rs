//! Toolbay: a WebAssembly plugin host for the Model Context Protocol.
//!
//! The way of a call: [`http`] → [`mcp`] → [`catalog`] → [`provider`] → [`wasm`], and straight back. Imports point downwards only.

pub mod bridge;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod http;
pub mod inference;
mod json;
pub mod mcp;
pub mod provider;
pub mod remote;
mod schema;
pub mod servers;
pub mod shape;
pub mod telemetry;
pub mod upstream;
pub mod wasm;
