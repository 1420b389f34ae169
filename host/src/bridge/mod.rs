//! Servers on stdio, run here: programs and containers, in replicas.

pub mod container;
pub mod launch;
pub mod replicas;
