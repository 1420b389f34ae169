//! Files that the binary carries, so that a project needs nothing from anywhere to begin: the contract, the SDKs, the templates.

/// A file: its path in a folder, and its text.
pub(super) type Embedded = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../", $folder, "/", $name)))),*]
    };
}

/// The contract between the host and plugins.
pub(super) const CONTRACT: &[Embedded] = files!("wit": "calls.wit", "client.wit", "fetch.wit", "guard.wit", "host.wit", "prompts.wit", "resources.wit", "store.wit", "task.wit", "tools.wit", "types.wit", "worlds.wit");

/// The SDK for Rust: two crates beside each other.
pub(super) const RUST_SDK: &[Embedded] = files!("sdk/rust":
    "toolbay-plugin/Cargo.toml",
    "toolbay-plugin/src/answer.rs",
    "toolbay-plugin/src/ask.rs",
    "toolbay-plugin/src/call.rs",
    "toolbay-plugin/src/context.rs",
    "toolbay-plugin/src/http/mod.rs",
    "toolbay-plugin/src/http/url.rs",
    "toolbay-plugin/src/lib.rs",
    "toolbay-plugin/src/offers.rs",
    "toolbay-plugin/src/prompt.rs",
    "toolbay-plugin/src/resource.rs",
    "toolbay-plugin/src/schema.rs",
    "toolbay-plugin/src/store.rs",
    "toolbay-plugin/src/testing.rs",
    "toolbay-plugin/src/tool.rs",
    "toolbay-plugin/src/wasm.rs",
    "toolbay-plugin/src/wasm_offers.rs",
    "toolbay-plugin-macros/Cargo.toml",
    "toolbay-plugin-macros/src/flags.rs",
    "toolbay-plugin-macros/src/lib.rs",
    "toolbay-plugin-macros/src/parameter.rs",
    "toolbay-plugin-macros/src/plugin.rs",
    "toolbay-plugin-macros/src/prompt.rs",
    "toolbay-plugin-macros/src/resource.rs",
    "toolbay-plugin-macros/src/text_parameter.rs",
    "toolbay-plugin-macros/src/tool.rs",
    "toolbay-plugin-macros/src/words.rs",
);

/// The package for JavaScript and TypeScript.
pub(super) const JS_SDK: &[Embedded] =
    files!("sdk/js": "files.js", "http.js", "index.d.ts", "index.js", "package.json", "schema.js", "text.js", "wait.js");

/// What the build puts before every plugin in JavaScript, and the names that it brings in where the plugin's code uses them.
pub(super) const JS_RUNTIME: &[Embedded] = files!("sdk/js":
    "http.js",
    "runtime/globals.js",
    "runtime/log.js",
    "runtime/package.json",
    "runtime/promise.js",
    "runtime/runtime.js",
    "text.js",
);

/// The log of that, where a plugin is a server by itself.
pub(super) const JS_STDERR: &str = include_str!("../../../sdk/js/runtime/stderr.js");

/// What of WASI the runtime and the SDK import.
pub(super) const JS_WASI: &[Embedded] =
    files!("sdk/js/wit": "wasi-cli.wit", "wasi-clocks.wit", "wasi-filesystem.wit", "wasi-io.wit", "wasi-random.wit");

/// The module for Python.
pub(super) const PYTHON_SDK: &str = include_str!("../../../sdk/python/toolbay_plugin.py");

/// The interfaces of WASI that a server of MCP needs.
pub(super) const WASI_HTTP: &[Embedded] = files!("sdk/wit": "wasi-clocks.wit", "wasi-http.wit", "wasi-io.wit");

/// The header and the code for C.
pub(super) const C_SDK: &[Embedded] = files!("sdk/c": "toolbay.c", "toolbay.h", "tools.c");

/// Makes the Wasm target where none can be downloaded.
pub(super) const WASM_TOOLCHAIN: &str = include_str!("../../../scripts/wasm-toolchain.sh");

/// What `new` writes.
pub(super) mod template {
    macro_rules! template {
        ($($name:ident = $file:literal;)*) => {
            $(pub(in crate::author) const $name: &str = include_str!(concat!("../../../sdk/templates/", $file));)*
        };
    }

    template! {
        RUST_TOOLS_MANIFEST = "rust-tools/Cargo.toml";
        RUST_TOOLS = "rust-tools/lib.rs";
        RUST_TYPED_MANIFEST = "rust-typed/Cargo.toml";
        RUST_TYPED = "rust-typed/lib.rs";
        TOOLS_WORLD = "tools.wit";
        TYPED_WORLD = "typed.wit";
        CASES = "cases.toml";
        PACKAGE = "package.json";
        TSCONFIG = "tsconfig.json";
        JS_TOOLS = "js-tools/index.js";
        JS_TYPED = "js-typed/index.js";
        TS_TOOLS = "ts-tools/index.ts";
        TS_TYPED = "ts-typed/index.ts";
        PYPROJECT = "pyproject.toml";
        PYTHON_TOOLS = "python-tools/app.py";
        PYTHON_TYPED = "python-typed/app.py";
        C_TOOLS = "c-tools/plugin.c";
        C_TYPED = "c-typed/plugin.c";
        C_FLAGS = "c-typed/compile_flags.txt";
        HTTP_WORLD = "http.wit";
        RUST_HTTP_MANIFEST = "rust-http/Cargo.toml";
        RUST_HTTP = "rust-http/lib.rs";
        RUST_HTTP_SERVER = "rust-http/http.rs";
        JS_HTTP = "js-http/index.js";
        JS_HTTP_SERVER = "js-http/http.js";
        TS_HTTP = "ts-http/index.ts";
        TS_HTTP_SERVER = "ts-http/http.ts";
        TS_HTTP_TYPES = "ts-http/wasi-http.d.ts";
        C_HTTP = "c-http/plugin.c";
        C_HTTP_SERVER = "c-http/http.c";
        PYTHON_HTTP = "python-http/app.py";
        PYTHON_HTTP_SERVER = "python-http/http_server.py";
        GITIGNORE = "gitignore";
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Every file below a folder, links followed.
    fn below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                below(&path, &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn no_file_of_the_contract_or_an_sdk_is_left_out() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (folder, files, besides) in
            [("wit", CONTRACT, "deps/"), ("sdk/rust/toolbay-plugin", RUST_SDK, "wit/"), ("sdk/rust/toolbay-plugin-macros", RUST_SDK, "-")]
        {
            let mut there = BTreeSet::new();
            below(&root.join(folder), "", &mut there);
            there.retain(|name| !name.starts_with(besides) && !name.starts_with("target/"));
            let crate_name = folder.strip_prefix("sdk/rust/").map(|name| format!("{name}/")).unwrap_or_default();
            let carried: BTreeSet<String> =
                files.iter().filter_map(|(name, _)| name.strip_prefix(&crate_name)).map(str::to_owned).collect();
            assert_eq!(there, carried, "{folder}");
        }
    }
}
