//! The command line: what there is to say, and what each exit status means.

mod accounts;
mod against;
mod audit;
mod build;
mod call;
mod check;
mod clients;
mod compile;
mod connect;
mod dev;
mod dialogue;
mod embed_docs;
mod endpoints;
mod form;
mod handover;
mod health;
mod inspect;
mod local;
mod lock;
mod metrics;
mod new;
mod pull;
mod push;
mod remote;
mod schema;
mod seen;
mod serve;
mod setup;
mod shown;
mod socket;
mod source;
mod startup;
mod stdio;
mod supervise;
mod test;
mod tools;
mod top;
mod unused;

use std::{
    io::Write,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Handle;

use crate::{
    app::{AppError, ConfigSource},
    author::AuthorError,
    config::{Config, ConfigError, Overrides, TelemetryConfig},
    system::run_promptly,
};

/// What was asked for failed: a broken plugin, a tool's error, a server that does not answer.
const FAILED: u8 = 1;

/// The command line or the configuration is wrong. The same as clap's own.
const USAGE: u8 = 2;

const ABOUT: &str = "A WebAssembly plugin host for the Model Context Protocol (MCP)";

const LONG_ABOUT: &str = "\
A WebAssembly plugin host for the Model Context Protocol (MCP).

Put .wasm components into a folder and their tools are live on one /mcp endpoint. Every call runs in a fresh sandbox
that reaches only what it was granted. Copy a new version over a file and the next call runs it.

  toolbay serve --plugins plugins     serve the folder at http://127.0.0.1:8000/mcp
  toolbay check plugins               what it offers, what it imports, what is wrong
  toolbay call add '{\"a\": 1, \"b\": 2}' --plugins plugins

Exit status: 0 done, 1 failed, 2 wrong usage or configuration.";

#[derive(Debug, Parser)]
#[command(name = "toolbay", version, about = ABOUT, long_about = LONG_ABOUT, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a folder of plugins, and servers, at /mcp
    #[command(after_long_help = serve::HELP)]
    Serve(serve::Serve),
    /// Serve one client on stdin and stdout, as desktop clients want it
    #[command(after_long_help = stdio::HELP)]
    Stdio(stdio::Stdio),
    /// Load everything, serve nothing: show what is offered and imported, and what is wrong
    #[command(after_long_help = check::HELP)]
    Check(check::Check),
    /// Accept what plugins and servers say of themselves, in toolbay.lock
    #[command(after_long_help = lock::HELP)]
    Lock(lock::LockArgs),
    /// List the tools of a running server or of a folder
    #[command(after_long_help = tools::HELP)]
    Tools(tools::Tools),
    /// Call a tool of a running server or of a folder
    #[command(after_long_help = call::HELP)]
    Call(call::Call),
    /// Show the audit file: who called what, and how it ended
    #[command(after_long_help = audit::HELP)]
    Audit(audit::Audit),
    /// List and disconnect the accounts that callers have at remote servers
    #[command(after_long_help = accounts::HELP)]
    Accounts(accounts::Accounts),
    /// Ask a running server whether it takes calls, for health checks of containers
    #[command(after_long_help = health::HELP)]
    Health(health::Health),
    /// Show the live figures of a running server: calls, durations, errors, queues
    #[command(after_long_help = top::HELP)]
    Top(top::Top),
    /// Print what to put into a client's configuration: Claude Code, Codex, Cursor, VS Code, …
    #[command(after_long_help = connect::HELP)]
    Connect(connect::Connect),
    /// Begin a plugin: a folder with all that it needs
    #[command(after_long_help = new::HELP)]
    New(new::New),
    /// Build a plugin's project and check what came of it
    #[command(after_long_help = build::HELP)]
    Build(build::Build),
    /// Call the tools of a plugin's project as its test cases say
    #[command(after_long_help = test::HELP)]
    Test(test::Test),
    /// Build and serve a plugin's project, again whenever it changes
    #[command(after_long_help = dev::HELP)]
    Dev(dev::Dev),
    /// Put the doc comments of a plugin's WIT files into its .wasm, where the host finds them
    #[command(after_long_help = embed_docs::HELP)]
    EmbedDocs(embed_docs::EmbedDocs),
    /// Put a component into an OCI registry
    #[command(after_long_help = push::HELP)]
    Push(push::Push),
    /// Get a component out of an OCI registry, verified
    #[command(after_long_help = pull::HELP)]
    Pull(pull::Pull),
    /// Show what an OCI registry has under a name, or what a component imports and exports
    #[command(after_long_help = inspect::HELP)]
    Inspect(inspect::Inspect),
    /// Install what isn't part of the binary: the library that runs models
    #[command(after_long_help = setup::HELP)]
    Setup(setup::Setup),
    /// Print the JSON Schema of toolbay.toml, or the schema of policies, for editors
    #[command(after_long_help = schema::HELP)]
    Schema(schema::Schema),
    #[command(hide = true)]
    Compile(compile::Compile),
    #[command(hide = true)]
    Supervise(crate::bridge::process::supervise::Task),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Stdio(stdio) => stdio.run(),
        Command::Check(check) => check.run(),
        Command::Lock(lock) => lock.run(),
        Command::Tools(tools) => tools.run(),
        Command::Call(call) => call.run(),
        Command::Audit(audit) => audit.run(),
        Command::Accounts(accounts) => accounts.run(),
        Command::Health(health) => health.run(),
        Command::Connect(connect) => connect.run(),
        Command::Top(top) => top.run(),
        Command::New(new) => new.run(),
        Command::Build(build) => build.run(),
        Command::Test(test) => test.run(),
        Command::Dev(dev) => dev.run(),
        Command::EmbedDocs(embed) => embed.run(),
        Command::Push(push) => push.run(),
        Command::Pull(pull) => pull.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Setup(setup) => setup.run(),
        Command::Schema(schema) => schema.run(),
        Command::Compile(compile) => return compile.run(),
        Command::Supervise(task) => return supervise::supervise(&task),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            // Nobody reads it where stderr is closed: the exit status says it too.
            let _ = writeln!(std::io::stderr(), "error: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// Why a subcommand ends, and with which status.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn failed(message: impl std::fmt::Display) -> Self {
        Self { code: FAILED, message: message.to_string() }
    }

    fn usage(message: impl std::fmt::Display) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        if error.is_usage() { Self::usage(error) } else { Self::failed(error) }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<AuthorError> for Failure {
    fn from(error: AuthorError) -> Self {
        Self::failed(error)
    }
}

type Outcome = Result<ExitCode, Failure>;

/// Options of every subcommand that reads a configuration.
#[derive(Args, Clone, Debug, Default)]
struct ConfigArgs {
    /// The configuration file; by default ./toolbay.toml, if it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of plugins; overrides the configuration
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// A desktop client's file with mcpServers; its servers are added
    #[arg(long, value_name = "FILE")]
    mcp_json: Option<PathBuf>,
}

impl ConfigArgs {
    /// Where the configuration comes from, with the command line over it.
    fn source(&self) -> ConfigSource {
        let overrides = Overrides { plugins: self.plugins.clone(), mcp_json: self.mcp_json.clone(), ..Overrides::default() };
        ConfigSource { path: self.config.clone(), overrides }
    }

    /// The configuration, read once.
    fn load(&self) -> Result<Config, Failure> {
        Ok(self.source().load().config?)
    }
}

/// Logs of subcommands that answer on stdout: only what is worth a warning, unless asked for more by `TOOLBAY_LOG`.
fn quiet() -> TelemetryConfig {
    TelemetryConfig {
        log: "warn,toolbay::wasm::folder=error,toolbay::bridge=error,toolbay::supervisor=error,rmcp=off".to_owned(),
        ..TelemetryConfig::default()
    }
}

/// Logs of subcommands that try a plugin: all that it says, and how it failed.
const TRYING: &str = "warn,toolbay::wasm::folder=error,toolbay::wasm::plugin=error,toolbay::wasm::plugin::run=warn,toolbay::wasm::permissions=error,\
toolbay::plugin=debug,toolbay::bridge=error,toolbay::supervisor=error,rmcp=off";

/// The runtime that everything runs on.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let started = AtomicUsize::new(0);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("worker")
        .on_thread_start(move || {
            // The first ones are the workers. Those after them are for what blocks, such as files.
            let workers = Handle::try_current().map_or(0, |runtime| runtime.metrics().num_workers());
            if started.fetch_add(1, Ordering::Relaxed) < workers {
                run_promptly();
            }
        })
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the worker threads: {error}")))
}

/// Writes to stdout. A reader that has gone (`toolbay tools | head -1`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::failed(format!("cannot write to stdout: {error}"))),
        _ => Ok(()),
    }
}

/// An error with what caused it: clients wrap the cause that a person needs.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// `1 tool`, `2 tools`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The same as JSON, for scripts.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
    print(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_each_command_shows_how_it_is_used() {
        for command in super::Cli::command().get_subcommands_mut().filter(|command| !command.is_hide_set()) {
            let (name, help) = (command.get_name().to_owned(), command.render_long_help().to_string());
            assert!(help.contains(&format!("\n  toolbay {name} ")), "{name}: {help}");
        }
    }
}
