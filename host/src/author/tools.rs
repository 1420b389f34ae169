//! The programs that projects are built with: where they are, what installs them, and running them.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::AuthorError;

/// A program that a build needs.
pub(super) struct Needed {
    pub(super) program: &'static str,
    /// Folders of the project that it may be installed in, before `PATH`.
    pub(super) folders: &'static [&'static str],
    /// The command that installs it.
    pub(super) install: &'static str,
}

impl Needed {
    /// Where it is.
    ///
    /// # Errors
    ///
    /// Nowhere: with the command that installs it.
    pub(super) fn find(&self, project: &Path) -> Result<PathBuf, AuthorError> {
        let own = self.folders.iter().map(|folder| project.join(folder));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = own.chain(std::env::split_paths(&path)).map(|folder| folder.join(self.program)).find(|path| is_program(path));
        // It runs in the project's folder, where a path that is relative leads elsewhere.
        found.map(|path| path.canonicalize().map_or(path.clone(), |real| if self.folders.is_empty() { path } else { real })).ok_or_else(
            || AuthorError::new(format!("{} is missing; install it in {} with:  {}", self.program, project.display(), self.install)),
        )
    }
}

/// Where a program is on `PATH`.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| is_program(path))
}

/// What a program prints, without what stands around it. None: it cannot be run, or fails.
pub(super) fn said(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Runs a program to its end. What it prints is shown only where it fails.
///
/// # Errors
///
/// It cannot be started, or fails.
pub(super) fn run<S: AsRef<OsStr>>(program: &Path, folder: &Path, arguments: impl IntoIterator<Item = S>) -> Result<(), AuthorError> {
    run_with(program, folder, arguments, None)
}

/// The same, with one more variable in its environment.
pub(super) fn run_with<S: AsRef<OsStr>>(
    program: &Path,
    folder: &Path,
    arguments: impl IntoIterator<Item = S>,
    variable: Option<(&str, &Path)>,
) -> Result<(), AuthorError> {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).envs(variable);
    let output = command.output().map_err(|error| cannot_start(program, &error))?;
    if output.status.success() {
        return Ok(());
    }
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(&output.stdout).and_then(|()| stderr.write_all(&output.stderr));
    Err(failed(program, output.status))
}

pub(super) fn cannot_start(program: &Path, error: &std::io::Error) -> AuthorError {
    AuthorError::new(format!("cannot run {}: {error}", program.display()))
}

pub(super) fn failed(program: &Path, status: std::process::ExitStatus) -> AuthorError {
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    AuthorError::new(format!("{name} failed ({status}); what it says stands above"))
}
