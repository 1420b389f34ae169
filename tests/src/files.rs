//! Where the binary and the built plugins lie.

use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("the crate lies in the repository").to_path_buf()
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn from_env(variable: &str, otherwise: PathBuf) -> PathBuf {
    std::env::var_os(variable).map_or(otherwise, PathBuf::from)
}

fn must_exist(path: PathBuf, how: &str) -> PathBuf {
    assert!(path.exists(), "{} is not there: run {how}", path.display());
    path
}

/// The binary under test: `TOOLBAY_BIN`, or the one of the profile that the tests were built with.
#[must_use]
pub fn binary() -> PathBuf {
    let (built, how) = if cfg!(debug_assertions) { ("debug/toolbay", "cargo build") } else { ("release/toolbay", "cargo build --release") };
    must_exist(from_env("TOOLBAY_BIN", target().join(built)), how)
}

/// A plugin that ships: `dist/plugins/NAME.wasm`.
#[must_use]
pub fn plugin(name: &str) -> PathBuf {
    must_exist(from_env("TOOLBAY_PLUGINS", root().join("dist/plugins")).join(format!("{name}.wasm")), "scripts/build-plugins.sh")
}

/// A plugin that only tests use: `target/test-plugins/NAME.wasm`.
#[must_use]
pub fn test_plugin(name: &str) -> PathBuf {
    let folder = from_env("TOOLBAY_TEST_PLUGINS", root().join("target/test-plugins"));
    must_exist(folder.join(format!("{name}.wasm")), "scripts/build-test-plugins.sh")
}

/// The compile cache that all tests share, so that each component is compiled once.
#[must_use]
pub fn cache() -> PathBuf {
    from_env("TOOLBAY_TEST_CACHE", root().join("target/e2e-cache"))
}

/// Puts a file where a watcher sees it whole: written beside, then renamed.
///
/// # Panics
///
/// Where the folder cannot be written.
pub fn put(bytes: &[u8], to: &Path) {
    let beside = to.with_extension("part");
    std::fs::write(&beside, bytes).expect("the plugin folder can be written");
    std::fs::rename(&beside, to).expect("the file can be renamed");
}
