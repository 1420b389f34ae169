//! Takes secrets from where they are kept: the environment, or a file.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read,
    sync::{Arc, LazyLock},
};

use arc_swap::{ArcSwap, Guard};

use super::{source::Source, toml_reader::Item};

/// Text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// A shorter one is a word that stands in many texts that are no secret.
const TELLING: usize = 8;

/// All that was read from a file or the environment since the start, those of an earlier configuration too.
static KNOWN: LazyLock<ArcSwap<BTreeSet<Arc<str>>>> = LazyLock::new(ArcSwap::default);

/// Every secret that a configuration of this process has or had, to be kept out of what is written.
#[must_use]
pub fn known_secrets() -> Guard<Arc<BTreeSet<Arc<str>>>> {
    KNOWN.load()
}

fn remember(secret: &Secret) {
    if secret.0.len() >= TELLING && !KNOWN.load().contains(secret.0.as_str()) {
        KNOWN.rcu(|known| {
            let mut known = BTreeSet::clone(known);
            known.insert(secret.0.as_str().into());
            known
        });
    }
}

/// Longest secret that a file may hold; a key or a certificate chain is far below it.
const MAX_SECRET: u64 = 64 << 10;

/// Whether a value may stand in the configuration itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    Allowed,
    Refused,
}

/// `{ from_env = "VAR" }`, `{ from_file = "path" }`, or (where it may) the value itself.
pub(super) fn read(item: &Item<'_>, plain: Plain) -> Option<Secret> {
    source(item, plain, None).map(|(secret, _)| secret)
}

/// A secret that does not stand in the configuration, and what stands beside its source by another key.
pub(super) fn read_with<'a>(item: &Item<'a>, key: &'static str) -> Option<(Secret, Option<Item<'a>>)> {
    source(item, Plain::Refused, Some(key))
}

fn source<'a>(item: &Item<'a>, plain: Plain, key: Option<&'static str>) -> Option<(Secret, Option<Item<'a>>)> {
    const SOURCES: &str = "{ from_env = \"VARIABLE\" } or { from_file = \"path\" }";
    if let Some(text) = item.value.as_str() {
        if plain == Plain::Refused {
            item.fail(format_args!("a secret cannot be written in the configuration; write {SOURCES}"));
            return None;
        }
        return checked(item, text.to_owned(), "the value").map(|secret| (secret, None));
    }
    if !item.value.is_table() {
        match plain {
            Plain::Allowed => item.wrong_type(&format!("text in quotes, or {SOURCES}")),
            Plain::Refused => item.wrong_type(SOURCES),
        }
        return None;
    }
    let table = item.table()?;
    let (from_env, from_file, beside) = (table.get("from_env"), table.get("from_file"), key.and_then(|key| table.get(key)));
    table.finish();
    let secret = match (from_env, from_file) {
        (Some(name), None) => {
            let name = name.parsed(|name| variable_name(name).map(|()| name.to_owned()))?;
            match variable(item.source, &name) {
                Ok(text) => checked(item, text, &format!("the environment variable {name:?}")).inspect(remember),
                Err(message) => {
                    item.fail(message);
                    None
                }
            }
        }
        (None, Some(path)) => {
            let path = path.file_path()?;
            item.source.reads(&path);
            match file(&path) {
                Ok(text) => checked(item, text, &format!("the file {}", path.display())).inspect(remember),
                Err(reason) => {
                    item.fail(format_args!("cannot take the secret from the file {}: {reason}", path.display()));
                    None
                }
            }
        }
        (Some(_), Some(_)) => {
            item.fail("has both \"from_env\" and \"from_file\"; keep one");
            None
        }
        (None, None) => {
            item.fail(format_args!("has no source; write {SOURCES}"));
            None
        }
    };
    Some((secret?, beside))
}

/// Whether an environment variable can have this name.
pub(super) fn variable_name(name: &str) -> Result<(), String> {
    match name {
        "" => Err("the name of an environment variable cannot be empty".to_owned()),
        _ if name.contains(['=', '\0']) => Err("the name of an environment variable cannot hold \"=\" or a NUL character".to_owned()),
        _ if name.contains(char::is_whitespace) => Err("the name of an environment variable cannot hold white space".to_owned()),
        _ => Ok(()),
    }
}

fn checked(item: &Item<'_>, text: String, origin: &str) -> Option<Secret> {
    if text.contains('\0') {
        item.fail(format_args!("{origin} holds a NUL character, which an environment variable cannot"));
        return None;
    }
    Some(Secret(text))
}

fn variable(source: &Source<'_>, name: &str) -> Result<String, String> {
    let value = (source.environment)(name)
        .ok_or_else(|| format!("the environment variable {name:?} is not set; set it where toolbay is started, or use from_file"))?;
    value.into_string().map_err(|_| format!("the environment variable {name:?} is not UTF-8 text"))
}

fn file(path: &std::path::Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_SECRET + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_SECRET {
        return Err(format!("it is larger than {MAX_SECRET} bytes"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    // Editors and `echo` end a file by a newline that is no part of the secret.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
