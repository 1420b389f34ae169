//! Rust to a component: by cargo for wasm32-wasip2.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use serde::Deserialize;

use super::{
    AuthorError,
    embedded::WASM_TOOLCHAIN,
    project::{Effort, Project},
    tools::{Needed, cannot_start, failed},
};

const TARGET: &str = "wasm32-wasip2";

const CARGO: Needed = Needed { program: "cargo", folders: &[], install: "curl -sSf https://sh.rustup.rs | sh    (see https://rustup.rs)" };

/// Chooses the toolchain that Debian's packages make: for machines that reach no other.
const TOOLCHAIN_VARIABLE: &str = "TOOLBAY_WASM_TOOLCHAIN";

/// Runs cargo by the toolchain that the script finds or makes.
const BY_SCRIPT: &str = r#"set -euo pipefail
switch=$(bash -c "$TOOLBAY_SCRIPT" wasm-toolchain.sh "$TOOLBAY_TARGET")
eval "$switch"
unset TOOLBAY_SCRIPT
exec cargo "$@""#;

/// A profile for builds that are tried and thrown away. The one of a release optimises the plugin and all that it uses as one piece, which takes three
/// times as long (2.1 against 6.3 s beside other work) for a component that is a third smaller.
const QUICK: [&str; 10] = [
    "--profile",
    "toolbay-dev",
    "--config",
    "profile.toolbay-dev.inherits=\"release\"",
    "--config",
    "profile.toolbay-dev.lto=false",
    "--config",
    "profile.toolbay-dev.codegen-units=16",
    "--config",
    "profile.toolbay-dev.incremental=true",
];

/// Flags that are meant for the host's processor.
const HOST_FLAGS: [&str; 3] = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"];

/// A line of cargo's messages.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Builds the project's crate, and says where the component is.
pub(super) fn build(project: &Project, effort: Effort) -> Result<PathBuf, AuthorError> {
    let cargo = CARGO.find(&project.folder)?;
    let by_script = std::env::var(TOOLCHAIN_VARIABLE).is_ok_and(|value| value == "debian");
    let mut command = if by_script {
        let mut command = Command::new("bash");
        command.args(["-c", BY_SCRIPT, "cargo"]).env("TOOLBAY_SCRIPT", WASM_TOOLCHAIN).env("TOOLBAY_TARGET", TARGET);
        command
    } else {
        check_target()?;
        Command::new(&cargo)
    };
    command
        .arg("build")
        .args(match effort {
            Effort::Quick => QUICK.as_slice(),
            Effort::Whole => &["--release"],
        })
        .args(["--target", TARGET, "--message-format=json-render-diagnostics"])
        .current_dir(&project.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for flags in HOST_FLAGS {
        command.env_remove(flags);
    }
    let mut child = command.spawn().map_err(|error| cannot_start(&cargo, &error))?;
    let mut component = None;
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
        if message.reason == "compiler-artifact" {
            // The last one is the project's own: cargo builds what it depends on before.
            component = message.filenames.into_iter().find(|path| path.extension().is_some_and(|end| end == "wasm")).or(component);
        }
    }
    let status = child.wait().map_err(|error| cannot_start(&cargo, &error))?;
    if !status.success() {
        return Err(failed(&cargo, status));
    }
    component.ok_or_else(|| {
        AuthorError::new(format!(
            "cargo built no .wasm file in {}: put  crate-type = [\"cdylib\"]  into [lib] of Cargo.toml",
            project.folder.display()
        ))
    })
}

/// Says what is missing before cargo says it in many lines.
fn check_target() -> Result<(), AuthorError> {
    let mut command = Command::new("rustc");
    let output = command.args(["--print", "target-libdir", "--target", TARGET]).output();
    let Ok(output) = output else { return Ok(()) };
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let has_std = std::fs::read_dir(folder)
        .is_ok_and(|files| files.filter_map(Result::ok).any(|file| file.file_name().to_string_lossy().starts_with("libstd-")));
    if has_std {
        return Ok(());
    }
    Err(AuthorError::new(format!(
        "this Rust has no target {TARGET}; install it with:  rustup target add {TARGET}    (on Debian without rustup, set {TOOLCHAIN_VARIABLE}=debian)"
    )))
}
