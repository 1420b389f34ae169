//! Servers on stdio, run here: programs and containers.

pub mod container;
pub mod launch;
pub mod process;
pub mod stdio;
pub mod stdio_connector;
