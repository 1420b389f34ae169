//! The program: parse the command line, run.

/// Calls allocate and free small things on several threads; this allocator was measured to take 1 to 2 µs less of a call than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    toolbay::cli::main()
}
