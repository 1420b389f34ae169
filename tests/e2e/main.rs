//! End-to-end suites: each test starts the real binary, and says in its name how it behaves.

mod asking;
mod cancellation;
mod changes;
mod classify;
mod cli;
mod clients;
mod config;
mod conformance;
mod containers;
mod content;
mod faces;
mod fuzz;
mod hostile;
mod http;
mod neural;
mod permissions;
mod protocol;
mod reload;
mod remote;
mod scale;
mod servers;
mod shutdown;
mod tasks;
mod translate;
mod types;
mod weather;
