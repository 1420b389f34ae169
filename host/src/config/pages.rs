//! Whether the configuration that the documents and the examples show is one that loads.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::{Config, Files, load, read};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Files below a folder, as far as they are ours.
fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    const SKIPPED: [&str; 4] = ["target", "node_modules", "dist", ".git"];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() && !SKIPPED.contains(&&*name) {
            files(&path, wanted, found);
        } else if wanted(&path) {
            found.push(path);
        }
    }
}

/// A code block: what is on its fence, its text, and its line.
struct Block {
    info: String,
    text: String,
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in page.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(info)) => open = Some(Block { info: info.to_owned(), text: String::new(), line: index + 1 }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks
}

fn environment(name: &str) -> Option<OsString> {
    Some(match name {
        "POD_IP" => "10.0.0.7".into(),
        _ => format!("a-long-enough-value-for-{name}").into(),
    })
}

fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    files(&root(), &|path| path.extension().is_some_and(|extension| extension == "md"), &mut pages);
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// A folder with what the pages mention: secrets and folders, also those that they give an absolute path.
fn machine() -> tempfile::TempDir {
    let machine = tempfile::tempdir().unwrap();
    for folder in ["data", "srv/maps", "srv/index", "plugins/data", "texts", "secrets", "plugins/secrets", "run/secrets", "etc/toolbay"] {
        fs::create_dir_all(machine.path().join(folder)).unwrap();
    }
    for secret in ["secrets/token", "secrets/key", "plugins/secrets/key", "run/secrets/laptop"] {
        fs::write(machine.path().join(secret), format!("a-long-enough-value-for-{}", secret.replace('/', "-"))).unwrap();
    }
    let made = rcgen::generate_simple_self_signed(["tools.example.com".to_owned()]).unwrap();
    fs::write(machine.path().join("run/secrets/identity.pem"), made.signing_key.serialize_pem()).unwrap();
    for (name, text) in [
        ("peer", made.cert.pem()),
        ("peer-key", made.signing_key.serialize_pem()),
        ("cert", made.cert.pem()),
        ("key", made.signing_key.serialize_pem()),
        ("clients", made.cert.pem()),
        ("ca", made.cert.pem()),
    ] {
        fs::write(machine.path().join(format!("etc/toolbay/{name}.pem")), text).unwrap();
    }
    let key =
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENptdY/l3nB0yqkXLBWkZWQwo6+cuOSWS1X9vPavpiQOoTTGC0xX57OojUadxF1cdQmrsiReWg2Wn4FneJfa8xw==";
    fs::write(machine.path().join("cosign.pub"), format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n")).unwrap();
    fs::write(machine.path().join("trusted_root.json"), include_str!("../sigstore/tests/data/public-good.json")).unwrap();
    fs::write(machine.path().join("translator.yaml"), "openapi: 3.1.0").unwrap();
    machine
}

#[test]
fn every_configuration_in_a_page_loads() {
    let machine = machine();
    let mut loaded = 0;
    for path in pages() {
        for Block { info, text, line } in blocks(&fs::read_to_string(&path).unwrap()) {
            if info.split_whitespace().next() != Some("toml") {
                continue;
            }
            let place = format!("{}:{line}", path.display());
            let there = |path: &str| format!("\"{}{path}", machine.path().display());
            let text = text.replace("\"/srv/", &there("/srv/")).replace("\"/run/", &there("/run/")).replace("\"/etc/", &there("/etc/"));
            let result = if info.contains("sidecar") {
                read::sidecar(&Config::default(), "weather", &text, &machine.path().join("plugins/weather.toml"), &environment).map(drop)
            } else {
                load::parse(&text, &machine.path().join("toolbay.toml"), &environment, &mut Files::default()).map(drop)
            };
            result.unwrap_or_else(|error| panic!("{place}: {error}"));
            loaded += 1;
        }
    }
    assert!(loaded > 20, "only {loaded} blocks of TOML were found");
}

#[test]
fn every_example_loads() {
    let mut examples = Vec::new();
    files(&root().join("examples"), &|path| path.file_name().is_some_and(|name| name == "toolbay.toml"), &mut examples);
    assert!(examples.len() >= 7, "{examples:?}");
    for path in examples {
        let text = fs::read_to_string(&path).unwrap();
        let config =
            load::parse(&text, &path, &environment, &mut Files::default()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut config = config;
        config.policy.load(&mut Files::default()).unwrap_or_else(|error| panic!("{error}"));
        // What it names beside itself is there too: a document, the models. Plugins are built first.
        for model in config.model.values() {
            assert!(model.path.join("config.json").exists(), "{}: no model in {}", path.display(), model.path.display());
        }
    }
}

#[test]
fn every_policy_in_a_page_is_valid() {
    use crate::policies::{Declared, Policies, PolicyFile};
    let machine = machine();
    let mut parsed = 0;
    for path in pages() {
        let blocks = blocks(&fs::read_to_string(&path).unwrap());
        if !blocks.iter().any(|block| block.info == "cedar") {
            continue;
        }
        // What they read is declared on the same page.
        let mut declared = Declared::default();
        for block in blocks.iter().filter(|block| block.info == "toml") {
            let config = load::parse(&block.text, &machine.path().join("toolbay.toml"), &environment, &mut Files::default()).unwrap();
            let Declared { claims, arguments } = config.policy.declared();
            declared.claims.extend(claims);
            declared.arguments.extend(arguments);
        }
        for Block { text, line, .. } in blocks.into_iter().filter(|block| block.info == "cedar") {
            let place = format!("{}:{line}", path.display());
            Policies::parse(&[PolicyFile { path: path.clone(), text }], declared.clone(), false)
                .unwrap_or_else(|faults| panic!("{place}: {faults:?}"));
            parsed += 1;
        }
    }
    assert!(parsed > 0, "no policy was found");
}

#[test]
fn every_interface_in_a_page_is_wit() {
    let mut parsed = 0;
    for path in pages() {
        for Block { text, line, .. } in blocks(&fs::read_to_string(&path).unwrap()).into_iter().filter(|block| block.info == "wit") {
            let place = format!("{}:{line}", path.display());
            wit_parser::UnresolvedPackageGroup::parse(&path, &text).unwrap_or_else(|error| panic!("{place}: {error:?}"));
            parsed += 1;
        }
    }
    assert!(parsed > 0, "no block of WIT was found");
}
