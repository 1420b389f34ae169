//! Providers that are reached over the network.

pub mod app;
mod client;
pub mod mcp;
pub mod openapi;
