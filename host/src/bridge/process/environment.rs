//! The environment of a program: a short list of the host's own variables, and what the configuration adds.

use std::ffi::OsString;

use crate::config::CommandSource;

/// What programs need to find their way: nothing here is a secret. Variables of proxies are not among them, since their addresses may hold passwords;
/// `env = { HTTPS_PROXY = { from_env = "HTTPS_PROXY" } }` hands one on.
const HANDED_ON: [&str; 13] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "TERM",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
];

/// Kinds of variables that are handed on, by how their names begin.
const KINDS: [&str; 2] = ["LC_", "XDG_"];

/// Of the program.
pub(super) fn of_program(source: &CommandSource) -> Vec<(OsString, OsString)> {
    merged(source, std::env::vars_os())
}

/// A variable of the program.
pub(super) fn variable(source: &CommandSource, name: &str) -> Option<OsString> {
    source.env.get(name).map(|value| value.0.clone().into()).or_else(|| std::env::var_os(name).filter(|_| is_handed_on(name)))
}

fn merged(source: &CommandSource, host: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let hosts = host.filter(|(name, _)| name.to_str().is_some_and(|name| is_handed_on(name) && !source.env.contains_key(name)));
    let own = source.env.iter().map(|(name, value)| (name.into(), (&value.0).into()));
    hosts.chain(own).collect()
}

fn is_handed_on(name: &str) -> bool {
    HANDED_ON.contains(&name) || KINDS.iter().any(|kind| name.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn only_what_is_listed_or_configured_is_handed_on() {
        let host =
            ["PATH=/bin", "LC_ALL=C", "AWS_SECRET_ACCESS_KEY=s", "HTTPS_PROXY=http://u:p@h", "HOME=/root", "TOOLBAY_LOG=x", "LD_PRELOAD=e"];
        let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.into(), value.into())).unwrap();
        let source = CommandSource {
            env: [("HOME".to_owned(), Secret("/srv".to_owned())), ("KEY".to_owned(), Secret("k".to_owned()))].into(),
            ..CommandSource::default()
        };
        let seen: Vec<(OsString, OsString)> = merged(&source, host.iter().map(|text| pair(text)));
        assert_eq!(seen, ["PATH=/bin", "LC_ALL=C", "HOME=/srv", "KEY=k"].map(pair));
    }
}
