//! Servers on stdio, run here: programs and containers, in replicas.

pub mod launch;
pub mod replicas;
