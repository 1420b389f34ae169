//! What an error of a watch on files means.

use std::io::ErrorKind;

/// Whether what was to be watched is not there (any more), and nothing else is wrong.
pub(crate) fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == ErrorKind::NotFound,
        _ => false,
    }
}
