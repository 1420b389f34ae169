//! Providers that are reached over the network.

pub mod openapi;
