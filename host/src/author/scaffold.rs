//! `toolbay new`: a complete project in a new folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    AuthorError,
    embedded::{CONTRACT, JS_SDK, PYTHON_SDK, RUST_SDK, WASI_HTTP, template},
    language::{Kind, Language},
};

/// Makes a project in `folder`, which is not there yet or is empty, and says which files it has.
///
/// # Errors
///
/// [`AuthorError`]: a name that cannot be one, a folder with something in it, a file that cannot be written.
pub fn scaffold(folder: &Path, name: &str, language: Language, kind: Kind) -> Result<Vec<PathBuf>, AuthorError> {
    check_name(name)?;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(AuthorError::new(format!("{} is not empty: choose another name, or another folder with --path", folder.display())));
    }
    let mut written = Vec::new();
    for (path, text) in files(name, language, kind) {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| AuthorError::file("create the folder", parent, &error))?;
        fs::write(&path, text).map_err(|error| AuthorError::file("write", &path, &error))?;
        written.push(path);
    }
    Ok(written)
}

/// A name has to be one for a plugin, for a package of each language and for a package of WIT.
fn check_name(name: &str) -> Result<(), AuthorError> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if name.len() <= 64 && name.split('-').all(is_word) {
        return Ok(());
    }
    let folder = if name.contains(['/', '\\']) { "; a folder is named by --path" } else { "" };
    Err(AuthorError::new(format!(
        "{name:?} cannot be a plugin's name: write words of a-z and 0-9 that begin with a letter, with - between them, such as text-tools{folder}"
    )))
}

/// Every file of a project.
fn files(name: &str, language: Language, kind: Kind) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut add = |path: &str, text: &str| files.push((path.to_owned(), text.to_owned()));
    let filled = |text: &str| text.replace("{{name}}", name);
    add(".gitignore", template::GITIGNORE);
    add("tests/cases.toml", template::CASES);
    // The SDK for Rust, and a crate for WASI, bring the WIT files along.
    match kind {
        Kind::Typed => add("wit/world.wit", &filled(template::TYPED_WORLD)),
        Kind::Tools if language != Language::Rust => add("wit/world.wit", &filled(template::TOOLS_WORLD)),
        Kind::Http if language != Language::Rust => add("wit/world.wit", &filled(template::HTTP_WORLD)),
        Kind::Tools | Kind::Http => {}
    }
    if kind == Kind::Typed || kind == Kind::Tools && language != Language::Rust {
        for (file, text) in CONTRACT {
            add(&format!("wit/deps/toolbay-plugin/{file}"), text);
        }
    }
    if kind == Kind::Http && language != Language::Rust {
        for (file, text) in WASI_HTTP {
            add(&format!("wit/deps/{file}"), text);
        }
    }
    match (language, kind) {
        (Language::Rust, Kind::Tools) => {
            add("Cargo.toml", &filled(template::RUST_TOOLS_MANIFEST));
            add("src/lib.rs", template::RUST_TOOLS);
            for (file, text) in RUST_SDK {
                add(&format!("vendor/{file}"), text);
            }
            for (file, text) in CONTRACT {
                add(&format!("vendor/toolbay-plugin/wit/{file}"), text);
            }
        }
        (Language::Rust, Kind::Typed) => {
            add("Cargo.toml", &filled(template::RUST_TYPED_MANIFEST));
            add("src/lib.rs", template::RUST_TYPED);
        }
        (Language::Rust, Kind::Http) => {
            add("Cargo.toml", &filled(template::RUST_HTTP_MANIFEST));
            add("src/lib.rs", template::RUST_HTTP);
            add("src/http.rs", template::RUST_HTTP_SERVER);
        }
        (Language::Js | Language::Ts, _) => {
            let is_ts = language == Language::Ts;
            let main = if is_ts { "src/index.ts" } else { "src/index.js" };
            add("package.json", &filled(template::PACKAGE).replace("{{main}}", main));
            let text = match (is_ts, kind) {
                (false, Kind::Tools) => template::JS_TOOLS,
                (false, Kind::Typed) => template::JS_TYPED,
                (false, Kind::Http) => template::JS_HTTP,
                (true, Kind::Tools) => template::TS_TOOLS,
                (true, Kind::Typed) => template::TS_TYPED,
                (true, Kind::Http) => template::TS_HTTP,
            };
            add(main, &filled(text));
            match (is_ts, kind) {
                (false, Kind::Http) => add("src/http.js", template::JS_HTTP_SERVER),
                (true, Kind::Http) => {
                    add("src/http.ts", template::TS_HTTP_SERVER);
                    add("src/wasi-http.d.ts", template::TS_HTTP_TYPES);
                }
                _ => {}
            }
            if is_ts {
                add("tsconfig.json", template::TSCONFIG);
            }
            if kind == Kind::Tools {
                for (file, text) in JS_SDK {
                    add(&format!("vendor/toolbay-plugin/{file}"), text);
                }
            }
        }
        (Language::Python, kind) => {
            add("pyproject.toml", &filled(template::PYPROJECT));
            match kind {
                Kind::Typed => add("app.py", template::PYTHON_TYPED),
                Kind::Tools => {
                    add("app.py", template::PYTHON_TOOLS);
                    add("toolbay_plugin.py", PYTHON_SDK);
                }
                Kind::Http => {
                    add("app.py", &filled(template::PYTHON_HTTP));
                    add("http_server.py", template::PYTHON_HTTP_SERVER);
                }
            }
        }
        (Language::C, kind) => {
            add("compile_flags.txt", template::C_FLAGS);
            match kind {
                Kind::Typed => add("src/plugin.c", template::C_TYPED),
                Kind::Tools => add("src/plugin.c", template::C_TOOLS),
                Kind::Http => {
                    add("src/plugin.c", &filled(template::C_HTTP));
                    add("src/http.c", template::C_HTTP_SERVER);
                }
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_to_fit_everywhere() {
        for good in ["greeter", "text-tools", "a1-b2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "Greeter", "a_b", "1a", "a-1", "a.b", "../a", "ä", &"a".repeat(65)] {
            let told = check_name(bad).unwrap_err().to_string();
            assert!(told.contains("text-tools") && told.contains("--path") == bad.contains('/'), "{told}");
        }
    }

    #[test]
    fn the_code_in_the_docs_is_that_of_the_templates_and_examples() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
        let docs = read("docs/authors.md");
        let seven = read("examples/author/rust/src/lib.rs");
        let (tools, tests) = seven.split_once("#[cfg(test)]").unwrap();
        let of_test = tests.split_once("#[test]\n").unwrap().1.lines().take(3).map(str::trim).collect::<Vec<_>>();
        for line in of_test {
            assert!(docs.contains(line), "{line}");
        }
        // What the page says of their lengths.
        let lines = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
        let example = |file: &str| lines(&read(&format!("examples/author/{file}")));
        let (rust, fastmcp) = (lines(tools), example("fastmcp/seven.py"));
        let told = [
            format!("{rust} lines in Rust, {fastmcp} in Python with FastMCP"),
            format!(
                "{} lines in Python, {} in JavaScript, {} in TypeScript",
                example("python/app.py"),
                example("js/index.js"),
                example("ts/index.ts")
            ),
        ];
        assert!(told.iter().all(|told| docs.contains(told)), "{told:?}");
        assert!(rust < fastmcp);
        for text in [
            tools.trim_end(),
            &read("examples/author/fastmcp/seven.py"),
            template::RUST_TOOLS,
            template::TS_TOOLS,
            template::PYTHON_TOOLS,
            template::RUST_TYPED,
            template::C_TYPED,
            template::C_TOOLS,
            &template::TYPED_WORLD.replace("{{name}}", "greeter"),
        ] {
            assert!(docs.contains(text), "docs/authors.md has not: {text}");
        }
    }

    #[test]
    fn a_project_is_recognised_as_what_it_was_made_as_and_is_not_written_over() {
        for language in Language::ALL {
            for kind in Kind::ALL {
                let folder = tempfile::tempdir().unwrap();
                let written = scaffold(folder.path(), "text-tools", language, kind).unwrap();
                assert_eq!(Language::of(folder.path()).unwrap(), language);
                // The SDK that lies beside it is no template.
                let is_sdk =
                    |path: &Path| path.ends_with("toolbay_plugin.py") || path.components().any(|part| part.as_os_str() == "vendor");
                let own = written.iter().filter(|path| !is_sdk(path));
                for path in own {
                    assert!(!fs::read_to_string(path).unwrap().contains("{{"), "{}", path.display());
                }
                let error = scaffold(folder.path(), "text-tools", language, kind).unwrap_err().to_string();
                assert!(error.contains("is not empty"), "{error}");
            }
        }
    }
}
