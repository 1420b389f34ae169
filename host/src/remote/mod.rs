//! Providers that are reached over the network.

mod client;
pub mod mcp;
pub mod openapi;
