//! The benchmark: Toolbay beside the least that such a server can cost, in one run and one table.
//!
//! One program with several jobs, each a process of its own, so that its CPU time can be read by itself: `run` conducts, `serve` is one of the servers that
//! Toolbay is compared with, `load` is the clients. What the rows mean stands in `docs/benchmarks.md`.

mod attacks;
mod authorized;
mod baseline;
mod bridge;
mod client;
mod compare;
mod cores;
mod fetch;
mod folders;
mod guards;
mod hops;
mod interpreters;
mod load;
mod pipe;
mod process;
mod requests;
mod run;
mod scale;
mod servers;
mod starts;
mod stats;
mod table;
mod thrash;
mod ways;
mod weather;

use std::process::ExitCode;

use clap::Parser;

// The host's allocator: the servers that it is compared with have it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares Toolbay with the least that such a server can cost.
#[derive(Debug, Parser)]
#[command(name = "toolbay-bench")]
enum Job {
    /// The whole benchmark: one table on stdout, every single figure in a file
    Run(Box<run::Options>),
    /// One of the servers that Toolbay is compared with
    Serve(servers::Options),
    /// The clients: calls a server for a while, and prints what came of it as one line of JSON
    Load(load::Options),
    /// A tool server on stdio, for the bridge
    Adder,
    /// The least that a client of such a server can cost
    Pipe(pipe::Options),
    /// A neighbour that uses up the machine's caches
    Thrash,
    /// A neighbour's calls beside attacks
    Attacks(attacks::Options),
}

fn main() -> ExitCode {
    let result = match Job::parse() {
        Job::Run(options) => run::run(&options),
        Job::Serve(options) => servers::run(&options),
        Job::Load(options) => load::run(&options),
        Job::Adder => pipe::serve(),
        Job::Pipe(options) => pipe::run(&options),
        Job::Thrash => thrash::run(),
        Job::Attacks(options) => attacks::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("toolbay-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
