//! Servers on stdio, run here: programs and containers, in replicas.

pub mod container;
pub mod launch;
pub mod process;
pub mod replicas;
pub mod server;
pub mod stdio;
