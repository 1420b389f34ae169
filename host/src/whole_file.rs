//! A file that is put in place as a whole: who reads it, or watches its folder, never sees half of it.

use std::{fs, io, path::Path};

/// Writes a file under another name beside it, and renames it. Nothing is left of what fails.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It may not have been made.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_a_failure_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        let path = folder.path().join("a.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"two".to_vec(), vec!["a.txt".into()]));
        // A folder is not replaced by a file.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        write(&taken, b"three").unwrap_err();
        assert!(taken.is_dir() && names().len() == 2, "{:?}", names());
    }
}
