//! `[audit]`: who did what, line by line.

use std::path::PathBuf;

use http::HeaderMap;
use url::Url;

use super::{
    headers::{Headers, http_url},
    section::section,
    traces::service_name,
    types::{Boolean, FilePath, GIB, KIB, choice, list, number, optional, size, text},
};

/// What an audit line says of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditArguments {
    /// Their SHA-256.
    Digest,
    /// Also what they are, without secrets.
    Redacted,
}

section! {
    /// One line of JSON for each call and each decision about one.
    #[derive(Eq)]
    pub struct AuditConfig {
        /// A file for audit lines, readable by its owner alone.
        file: Option<PathBuf> = None, optional(FilePath) => restart;
        /// Whether audit lines go to stdout.
        stdout: bool = false, Boolean => restart;
        /// The socket of the system's log for audit lines, usually `"/dev/log"`.
        syslog: Option<PathBuf> = None, optional(FilePath) => restart;
        /// The URL of an OpenTelemetry collector for audit lines, such as `"http://127.0.0.1:4318"`.
        /// Without a path, `/v1/logs` is added.
        endpoint: Option<Url> = None, optional(text("URL", http_url)) => restart;
        /// Sent with each request to it, such as `{ Authorization = { from_env = "AUDIT_TOKEN" } }`.
        headers: HeaderMap = HeaderMap::new(), Headers => restart;
        /// The name of this service in what is sent to it.
        service_name: String = "toolbay".to_owned(), text("text", service_name) => restart;
        /// Size from which on `file` is renamed to `FILE.1`, and an older `FILE.1` to `FILE.2`.
        max_size: usize = 100 << 20, size(KIB * 4..=GIB) => restart;
        /// How many renamed files are kept.
        keep: u32 = 10, number(0..=1000) => restart;
        /// `"digest"` writes the SHA-256 of the arguments, `"redacted"` also the arguments with
        /// secrets removed. Arguments above 64KiB are never written.
        arguments: AuditArguments = AuditArguments::Digest, choice(ARGUMENTS) => restart;
        /// Names of arguments to remove besides those that contain `password`, `secret`, `token`,
        /// `authorization`, `api_key`, `credential`, `cookie` and the like.
        redact: Vec<String> = Vec::new(), list("names", text("name", name)) => restart;
    }
}

const ARGUMENTS: &[(&str, AuditArguments)] = &[("digest", AuditArguments::Digest), ("redacted", AuditArguments::Redacted)];

impl AuditConfig {
    /// Whether there are audit lines.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.file.is_some() || self.stdout || self.syslog.is_some() || self.endpoint.is_some()
    }
}

fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a name cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}
