//! JavaScript and TypeScript to a component: one bundle by esbuild, then QuickJS around it.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;

use super::{
    AuthorError, borrowed_names,
    embedded::{JS_RUNTIME, JS_STDERR, JS_WASI},
    project::Project,
    tools::{Needed, run},
    world::{FunctionError, World, tailored, write},
};

const ESBUILD: Needed = Needed { program: "esbuild", folders: &["node_modules/.bin"], install: "npm install --save-dev esbuild" };

const QJS: Needed =
    Needed { program: "componentize-qjs", folders: &["node_modules/.bin"], install: "npm install --save-dev componentize-qjs" };

const NODE: Needed = Needed { program: "node", folders: &[], install: "your package manager, or from https://nodejs.org (20 or later)" };

/// Where the plugin's own code begins, if `main` of package.json does not say it.
const ENTRIES: [&str; 4] = ["src/index.ts", "src/index.js", "index.ts", "index.js"];

/// An import of the contract, with the names that it brings.
static NAMED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?m)^import\s*\{([^}]*)\}\s*from\s*"(?:toolbay|wasi):[^"]*";\n?"#).ok());

/// An import of nothing.
static BARE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"(?m)^import\s*"(toolbay|wasi):[^"]*";\n?"#).ok());

/// An interface that the bundle imports something of.
static USED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"(?m)\bfrom\s*"((?:toolbay|wasi):[^"]*)""#).ok());

/// What the runtime and the SDK import of WASI. What else there is of it, the author's own world imports.
const WASI: [&str; 5] = [
    "wasi:cli/environment@0.2.0",
    "wasi:cli/stderr@0.2.0",
    "wasi:clocks/monotonic-clock@0.2.0",
    "wasi:filesystem/preopens@0.2.0",
    "wasi:random/random@0.2.0",
];

/// What the engine cannot wait for by itself is written out, and waited for by the runtime's own promises.
const WRITTEN_OUT: [&str; 3] = ["--supported:async-await=false", "--supported:async-generator=false", "--supported:for-await=false"];

/// Where the files of the runtime are, from the project's folder.
const RUNTIME: &str = ".toolbay/js/runtime";

/// What a server of MCP by itself exports.
const HANDLER: &str = "incoming-handler";

/// Builds the project, and says where the component is.
pub(super) fn build(project: &Project) -> Result<PathBuf, AuthorError> {
    NODE.find(&project.folder)?;
    let (esbuild, componentize) = (ESBUILD.find(&project.folder)?, QJS.find(&project.folder)?);
    let world = World::read(&project.wit())?;
    let scratch = project.scratch();
    let is_server = world.exports(HANDLER);
    for (file, text) in JS_RUNTIME {
        write(&scratch.join("js").join(file), text)?;
    }
    if is_server {
        write(&project.folder.join(RUNTIME).join("log.js"), JS_STDERR)?;
    }
    let sdk = project.folder.join("vendor/toolbay-plugin/index.js");
    // That of a project that an older version has made has tools only.
    let has_offers = fs::read_to_string(&sdk).is_ok_and(|text| text.contains("export const completion"));
    write(&scratch.join("entry.js"), &entry_module(&world, &entry(project)?, has_offers))?;
    let bundle = scratch.join("bundle.js");
    let mut arguments: Vec<String> =
        ["--bundle", "--format=esm", "--platform=neutral", "--main-fields=module,main", "--target=es2023", "--log-level=warning"]
            .map(str::to_owned)
            .to_vec();
    arguments.extend([".toolbay/entry.js", "--external:toolbay:*", "--external:wasi:*"].map(str::to_owned));
    arguments.extend(WRITTEN_OUT.map(str::to_owned));
    arguments.push(format!("--inject:{RUNTIME}/globals.js"));
    arguments.push(format!("--outfile={}", bundle.display()));
    if sdk.is_file() {
        arguments.push(format!("--alias:toolbay-plugin={}", sdk.display()));
    }
    run(&esbuild, &project.folder, &arguments)?;

    let text = fs::read_to_string(&bundle).map_err(|error| AuthorError::file("read", &bundle, &error))?;
    let (text, used) = keep_used(&text);
    write(&bundle, &text)?;
    let contract = used.iter().filter_map(|import| import.strip_prefix("toolbay:plugin/")?.strip_suffix("@0.1.0"));
    let contract: BTreeSet<String> = contract.map(str::to_owned).collect();
    let imports: Vec<String> = used
        .iter()
        .filter(|import| import.starts_with("toolbay:") || WASI.contains(&import.as_str()))
        .map(|import| format!("import {import}"))
        .collect();
    let mut extra: Vec<&str> = imports.iter().map(String::as_str).collect();
    if world.exports("tools") {
        let offers = |mark: &str| text.contains(mark);
        let (resources, prompts) = (offers("toolbay:offers-resources"), offers("toolbay:offers-prompts"));
        let exports = [
            (resources, "export toolbay:plugin/resources@0.1.0"),
            (prompts, "export toolbay:plugin/prompts@0.1.0"),
            (resources || prompts, "export toolbay:plugin/completion@0.1.0"),
        ];
        extra.extend(exports.into_iter().filter_map(|(is_offered, export)| is_offered.then_some(export)));
    }
    let wit = tailored(project, &contract, &extra, JS_WASI)?;
    let component = scratch.join(format!("{}.wasm", project.name));
    let uses_http = is_server || used.iter().any(|import| import.starts_with("wasi:http/"));
    if uses_http {
        borrowed_names::lend(&wit)?;
        write(&bundle, &borrowed_names::lent(&text))?;
    }
    run(
        &componentize,
        &project.folder,
        [
            "--sync".as_ref(),
            "-w".as_ref(),
            wit.as_os_str(),
            "-n".as_ref(),
            world.name.as_ref(),
            "-j".as_ref(),
            bundle.as_os_str(),
            "-o".as_ref(),
            component.as_os_str(),
        ],
    )?;
    if uses_http {
        borrowed_names::give_back(&component)?;
    }
    Ok(component)
}

/// A bundle without the imports of the host that nothing in it uses, and the interfaces that it does use. esbuild leaves all of them in.
fn keep_used(bundle: &str) -> (String, BTreeSet<String>) {
    let (Some(named), Some(bare), Some(used)) = (&*NAMED, &*BARE, &*USED) else { return (bundle.to_owned(), BTreeSet::new()) };
    let code = named.replace_all(bundle, "");
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let words: BTreeSet<&str> = code.split(|c| !is_word(c)).collect();
    let kept = named.replace_all(bundle, |found: &regex::Captures<'_>| {
        let mut locals = found[1].split(',').filter_map(|name| name.split_whitespace().last());
        if locals.any(|local| words.contains(local)) { found[0].to_owned() } else { String::new() }
    });
    let kept = bare.replace_all(&kept, "").into_owned();
    let interfaces = used.captures_iter(&kept).map(|found| found[1].to_owned()).collect();
    (kept, interfaces)
}

/// The plugin's own code.
fn entry(project: &Project) -> Result<PathBuf, AuthorError> {
    let package = fs::read_to_string(project.folder.join("package.json")).unwrap_or_default();
    let main = serde_json::from_str::<serde_json::Value>(&package).ok();
    let main = main.as_ref().and_then(|package| package.get("main")?.as_str()).map(|main| project.folder.join(main));
    let known = ENTRIES.iter().map(|name| project.folder.join(name));
    main.into_iter().chain(known).find(|path| path.is_file()).ok_or_else(|| {
        AuthorError::new(format!(
            "there is no code to build in {}: `main` of package.json names none, and there is no {}",
            project.folder.display(),
            ENTRIES.join(", ")
        ))
    })
}

/// The module that is bundled: the plugin's exports, so that no error in them is lost.
fn entry_module(world: &World, entry: &Path, has_offers: bool) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!(
        "import {{ evaluated, exported, exportedInterface }} from './js/runtime/runtime.js';\nimport * as plugin from {};\n",
        quoted(&entry.to_string_lossy())
    );
    // Looked up by a name that the bundler does not know, so that it does not warn of one that is not there.
    text.push_str("const own = (name) => plugin[name];\n");
    for function in &world.functions {
        let name = camel(&function.name);
        let key = quoted(&name);
        let error = match function.error {
            FunctionError::None => "none",
            FunctionError::Text => "text",
            FunctionError::Other => "other",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "const {name}_ = exported({key}, own({key}) ?? (() => {{ throw new Error('the plugin does not export the function {name}'); }}), '{error}');"
        );
        let _ = writeln!(text, "export {{ {name}_ as {name} }};");
    }
    if world.exports("tools") {
        text.push_str(
            "import { tools as listed } from 'toolbay-plugin';\nexport const tools = exportedInterface(own('tools') ?? listed, true);\n",
        );
    }
    // Of these the SDK has the interface, and the component exports it where the plugin offers some.
    let of_sdk: &[&str] = if has_offers && world.exports("tools") { &["resources", "prompts", "completion"] } else { &[] };
    for name in of_sdk {
        let _ = writeln!(
            text,
            "import {{ {name} as {name}_ }} from 'toolbay-plugin';\nexport const {name} = exportedInterface(own('{name}') ?? {name}_, true);"
        );
    }
    for interface in world.interfaces.iter().filter(|name| *name != "tools" && !of_sdk.contains(&name.as_str())) {
        let name = camel(interface);
        let _ = writeln!(text, "export const {name} = exportedInterface(own({}));", quoted(&name));
    }
    text.push_str("evaluated();\n");
    text
}

/// `get-alerts` as JavaScript has it.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut chars = word.chars();
        text.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(chars.as_str());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_javascript_has_them() {
        for (wit, js) in [("greet", "greet"), ("get-alerts", "getAlerts"), ("a-b-c1", "aBC1")] {
            assert_eq!(camel(wit), js);
        }
    }

    #[test]
    fn imports_that_nothing_uses_are_left_out() {
        let bundle = "import { ask as a } from \"toolbay:plugin/client@0.1.0\";\nimport { report } from \"toolbay:plugin/progress@0.1.0\";\n\
                      import \"toolbay:plugin/task@0.1.0\";\nimport * as c from \"toolbay:plugin/context@0.1.0\";\nlet x = a.b, reported;\n";
        let (kept, used) = keep_used(bundle);
        assert_eq!(used.into_iter().collect::<Vec<_>>(), ["toolbay:plugin/client@0.1.0", "toolbay:plugin/context@0.1.0"]);
        assert!(!kept.contains("task") && !kept.contains("progress") && kept.contains("let x"), "{kept}");
    }
}
