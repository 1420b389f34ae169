//! Where clang for WebAssembly is: the WASI SDK's, or Debian's.

use std::path::{Path, PathBuf};

use super::{
    AuthorError,
    tools::{on_path, said},
};

/// Says where the WASI SDK is unpacked.
const SDK_VARIABLE: &str = "WASI_SDK_PATH";

/// Where its own documentation unpacks it.
const SDK_FOLDER: &str = "/opt/wasi-sdk";

/// The target's name since 2024, and before.
const TARGETS: [&str; 2] = ["wasm32-wasip1", "wasm32-wasi"];

/// A header of Debian's wasi-libc, which its clang finds by itself.
const HEADER: &str = "/usr/include/wasm32-wasi/stdio.h";

/// clang, with all that it needs to link.
pub(super) struct Toolchain {
    pub(super) clang: PathBuf,
    pub(super) target: &'static str,
}

impl Toolchain {
    /// Finds one.
    ///
    /// # Errors
    ///
    /// Something is missing: what, and the command that installs it.
    pub(super) fn find() -> Result<Self, AuthorError> {
        if let Some(folder) = std::env::var_os(SDK_VARIABLE).filter(|folder| !folder.is_empty()) {
            let folder = PathBuf::from(folder);
            return Self::of_sdk(&folder).ok_or_else(|| {
                AuthorError::new(format!(
                    "{SDK_VARIABLE} is {}, where there is no bin/clang with a share/wasi-sysroot: it has to be the folder of an unpacked WASI SDK",
                    folder.display()
                ))
            });
        }
        Self::of_sdk(Path::new(SDK_FOLDER)).map_or_else(Self::of_debian, Ok)
    }

    fn of_sdk(folder: &Path) -> Option<Self> {
        let clang = folder.join("bin/clang");
        let target = TARGETS.into_iter().find(|target| folder.join("share/wasi-sysroot/lib").join(target).is_dir())?;
        clang.is_file().then_some(Self { clang, target })
    }

    fn of_debian() -> Result<Self, AuthorError> {
        let clang = on_path("clang");
        let runtime = |clang: &PathBuf| {
            said(clang, &["--target=wasm32-wasi", "--print-libgcc-file-name"]).is_some_and(|file| Path::new(&file).is_file())
        };
        let missing: Vec<&str> = [
            (clang.is_none(), "clang"),
            (on_path("wasm-ld").is_none(), "lld"),
            (!Path::new(HEADER).is_file(), "wasi-libc"),
            (!clang.as_ref().is_some_and(runtime), "libclang-rt-dev-wasm32"),
        ]
        .into_iter()
        .filter_map(|(is_missing, package)| is_missing.then_some(package))
        .collect();
        match clang {
            Some(clang) if missing.is_empty() => Ok(Self { clang, target: "wasm32-wasi" }),
            _ => Err(AuthorError::new(format!(
                "C for WebAssembly needs clang, lld, a C library and a runtime; {} missing here; on Debian and Ubuntu, install with:  apt-get install {}    \
                 (elsewhere, unpack the WASI SDK of https://github.com/WebAssembly/wasi-sdk, and set {SDK_VARIABLE} to its folder)",
                if missing.len() == 1 { format!("{} is", missing.concat()) } else { format!("{} are", missing.join(", ")) },
                missing.join(" ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_wasi_sdk_is_one_by_its_compiler_and_its_sysroot_and_knows_its_target() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Toolchain::of_sdk(folder.path()).is_none());
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("bin/clang"), "").unwrap();
        assert!(Toolchain::of_sdk(folder.path()).is_none());
        for target in ["wasm32-wasi", "wasm32-wasip1"] {
            fs::create_dir_all(folder.path().join("share/wasi-sysroot/lib").join(target)).unwrap();
            assert_eq!(Toolchain::of_sdk(folder.path()).unwrap().target, target);
        }
    }
}
