//! Whole files, right and wrong: what is understood, and the words in which the rest is refused.

mod accepted;
mod broken;
mod files;
mod issuers;
mod layers;
mod pipelines;
mod reference;
mod refused;
mod registries;
mod servers;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::*;

const FILE: &str = "toolbay.toml";
const SECRET: &str = "s3cr3t-that-nobody-may-see";
const KEY: &str = "s3cr3t-that-is-long-enough-for-a-key";

/// Variables as the tests have them.
fn environment(name: &str) -> Option<OsString> {
    match name {
        "GOOD" => Some(SECRET.into()),
        "OTHER" => Some("another-long-secret-value".into()),
        "SHORT" => Some("s3cr3t".into()),
        "SPACED" => Some("s3cr3t that has white space".into()),
        "UMLAUT" => Some("s3cr3t-with-an-ümlaut-in-it".into()),
        "DOLLAR" => Some("s3cr3t$with-a-dollar-sign".into()),
        "EMPTY" => Some(OsString::new()),
        "KEY" => Some(KEY.into()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    load::parse(text, Path::new(FILE), &environment, &mut Files::default())
}

#[track_caller]
fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// All lines of the message, without the file's name in front.
#[track_caller]
fn wrong(text: &str) -> String {
    let error = parse(text).expect_err(text);
    let shown = error.to_string();
    assert!(!shown.contains("s3cr3t") && !format!("{error:?}").contains("s3cr3t"), "a secret is shown: {shown}");
    shown.replace("toolbay.toml:", "")
}

fn sidecar(config: &Config, name: &str, text: &str) -> Result<PluginConfig, ConfigError> {
    read::sidecar(config, name, text, &Path::new("plugins").join(format!("{name}.toml")), &environment)
}

#[track_caller]
fn wrong_sidecar(config: &Config, name: &str, text: &str) -> String {
    let shown = sidecar(config, name, text).expect_err(text).to_string();
    assert!(!shown.contains("s3cr3t"), "a secret is shown: {shown}");
    shown
}
