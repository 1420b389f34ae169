//! Where a program is, before anything is started: what cannot be found is told with the places that were looked at.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::environment::variable;
use crate::config::CommandSource;

/// The program's absolute path.
///
/// # Errors
///
/// Why there is none, and what to do.
pub(super) fn program(source: &CommandSource) -> Result<PathBuf, String> {
    let name = source.argv.first().filter(|name| !name.is_empty()).ok_or("`command` is empty")?;
    let here = match &source.cwd {
        Some(cwd) if !cwd.is_dir() => return Err(format!("`cwd` is {}, and there is no such folder", cwd.display())),
        Some(cwd) => cwd.clone(),
        None => std::env::current_dir().map_err(|error| format!("the working folder is gone: {error}"))?,
    };
    if name.contains('/') {
        let path = here.join(name);
        return look(&path).map(|()| path.clone()).map_err(|why| format!("{} {why}", path.display()));
    }
    let folders = variable(source, "PATH").unwrap_or_default();
    in_folders(name, &folders, &here)
}

fn in_folders(name: &str, folders: &OsStr, here: &Path) -> Result<PathBuf, String> {
    let mut unfit = None;
    let mut looked = Vec::new();
    for folder in std::env::split_paths(folders).filter(|folder| !folder.as_os_str().is_empty()) {
        let path = here.join(&folder).join(name);
        match look(&path) {
            Ok(()) => return Ok(path),
            Err(why) if path.exists() => unfit = Some(format!("{} {why}", path.display())),
            Err(_) => {
                let folder = folder.display().to_string();
                if !looked.contains(&folder) {
                    looked.push(folder);
                }
            }
        }
    }
    Err(match unfit {
        Some(unfit) => unfit,
        None if looked.is_empty() => format!("there is no PATH to look for {name:?} in; write its full path"),
        None => {
            /// Folders of a long PATH that are told.
            const TOLD: usize = 6;
            let more = looked.len().saturating_sub(TOLD);
            looked.truncate(TOLD);
            let more = if more > 0 { format!(" and {more} more of PATH") } else { String::new() };
            format!("there is no program {name:?} in {}{more}; install it, or write its full path", looked.join(", "))
        }
    })
}

/// Whether this can be executed.
fn look(path: &Path) -> Result<(), String> {
    let metadata = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be looked at: {error}"),
    })?;
    if metadata.is_dir() {
        return Err("is a folder, and no program".to_owned());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err("is not executable; try: chmod +x".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(argv: &[&str], cwd: Option<&Path>) -> CommandSource {
        CommandSource { argv: argv.iter().map(|word| (*word).to_owned()).collect(), cwd: cwd.map(Into::into), ..CommandSource::default() }
    }

    #[test]
    fn a_program_is_looked_for_in_the_path_or_where_it_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plain"), "x").unwrap();
        assert!(program(&source(&["sh"], None)).unwrap().is_absolute());
        assert_eq!(program(&source(&["/bin/sh"], None)).unwrap(), Path::new("/bin/sh"));
        let fails = |argv: &[&str], cwd| program(&source(argv, cwd)).unwrap_err();
        assert!(fails(&["./plain"], Some(folder.path())).contains("plain is not executable"));
        assert!(fails(&["./other"], Some(folder.path())).contains("other does not exist"));
        assert!(fails(&["sh"], Some(Path::new("/nowhere"))).contains("`cwd` is /nowhere"));
        assert!(fails(&[""], None).contains("empty") && fails(&[], None).contains("empty"));
        assert!(in_folders("plain", folder.path().as_os_str(), Path::new("/")).unwrap_err().contains("is not executable"));
    }

    #[test]
    fn what_is_not_there_is_told_with_the_places() {
        let error = in_folders("nix", OsStr::new("/nowhere/a:/nowhere/b"), Path::new("/")).unwrap_err();
        assert_eq!(error, "there is no program \"nix\" in /nowhere/a, /nowhere/b; install it, or write its full path");
        assert!(in_folders("nix", OsStr::new(""), Path::new("/")).unwrap_err().contains("no PATH"));
        let long = (0..9).map(|n| format!("/nowhere/{}", n % 8)).collect::<Vec<_>>().join(":");
        let error = in_folders("nix", OsStr::new(&long), Path::new("/")).unwrap_err();
        assert!(error.contains("/nowhere/5 and 2 more of PATH;") && !error.contains("/nowhere/6"), "{error}");
    }
}
