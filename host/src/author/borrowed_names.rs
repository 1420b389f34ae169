//! How componentize-qjs is brought to import WASI's HTTP: under other names, which are put right in the component.
//!
//! While it takes its snapshot, componentize-qjs gives the engine WASI as it is, and stand-ins for all other imports. `wasi:http` is none of WASI to it, and
//! its stand-in has stand-ins for the streams in it too, which are no streams of WASI then: it ends with "mismatched resource types". Where none of the
//! project's imports has a name of WASI, there are stand-ins for all of them, and these fit together.

use std::{fs, path::Path};

use super::AuthorError;

/// Names of WASI, and others of the same length. The engine itself imports the version 0.2.12 under its own name, and no name may stand twice in a component
/// in the end: so the project's becomes 0.2.11, which says the same.
const NAMES: [(&str, &str); 2] = [("wasi:", "wasj:"), ("@0.2.12", "@0.2.11")];

/// A text with the other names.
pub(super) fn lent(text: &str) -> String {
    NAMES.iter().fold(text.to_owned(), |text, (name, other)| text.replace(name, other))
}

/// Puts the other names into every WIT file of a folder.
pub(super) fn lend(folder: &Path) -> Result<(), AuthorError> {
    let entries = fs::read_dir(folder).map_err(|error| AuthorError::file("read the folder", folder, &error))?;
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            lend(&path)?;
        } else {
            let text = fs::read_to_string(&path).map_err(|error| AuthorError::file("read", &path, &error))?;
            fs::write(&path, lent(&text)).map_err(|error| AuthorError::file("write", &path, &error))?;
        }
    }
    Ok(())
}

/// Gives the imports and exports of a component their own names. As these are as long, everything stays in its place.
pub(super) fn give_back(component: &Path) -> Result<(), AuthorError> {
    let [(name, other), _] = NAMES;
    let mut bytes = fs::read(component).map_err(|error| AuthorError::file("read", component, &error))?;
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.windows(other.len()).position(|part| part == other.as_bytes())) {
        at += found;
        if let Some(place) = bytes.get_mut(at..at + name.len()) {
            place.copy_from_slice(name.as_bytes());
        }
    }
    fs::write(component, bytes).map_err(|error| AuthorError::file("write", component, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lent_and_given_back_in_their_places() {
        for (name, other) in NAMES {
            assert_eq!(name.len(), other.len());
        }
        let folder = tempfile::tempdir().unwrap();
        let (wit, component) = (folder.path().join("wit/deps/http"), folder.path().join("x.wasm"));
        fs::create_dir_all(&wit).unwrap();
        fs::write(wit.join("types.wit"), "package wasi:http@0.2.12;\nuse wasi:io/poll@0.2.12.{pollable};\n").unwrap();
        lend(&folder.path().join("wit")).unwrap();
        let text = fs::read_to_string(wit.join("types.wit")).unwrap();
        assert_eq!(text, "package wasj:http@0.2.11;\nuse wasj:io/poll@0.2.11.{pollable};\n");
        fs::write(&component, b"\0wasj:http/types@0.2.11\xffwasj:\xffwas").unwrap();
        give_back(&component).unwrap();
        assert_eq!(fs::read(component).unwrap(), b"\0wasi:http/types@0.2.11\xffwasi:\xffwas");
    }
}
