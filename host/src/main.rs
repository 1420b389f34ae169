//! The program: parse the command line, run.

fn main() -> std::process::ExitCode {
    toolbay::cli::main()
}
