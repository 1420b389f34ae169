//! Python to a component: by componentize-py.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

use super::{
    AuthorError,
    project::Project,
    tools::{Needed, run_with},
    world::{World, tailored, write},
};

const COMPONENTIZE: Needed = Needed {
    program: "componentize-py",
    folders: &[".venv/bin"],
    install: "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1",
};

/// Where the project's packages are, and the variable that names another place: Python's own.
const PACKAGES: &str = ".venv";
const PACKAGES_VARIABLE: &str = "VIRTUAL_ENV";

/// Folders of a project that hold no code of the plugin.
const OTHERS: [&str; 5] = ["dist", "node_modules", "target", "tests", "venv"];

/// The module of the SDK, which lies beside the plugin's own code.
const SDK: &str = "toolbay_plugin.py";

/// The module that the component is made of: the author's code, then the classes of the SDK for what the world exports. What it does then makes calls
/// cheaper, as memory that a call writes to has to be copied for each instance.
const ENTRY: &str = r#"from app import *
import gc
import toolbay_plugin

for _name in ("Tools", "Resources", "Prompts", "Completion"):
    if hasattr(toolbay_plugin, _name):
        globals()[_name] = getattr(toolbay_plugin, _name)


def _warmed(tools):
    """Calls a tool until the interpreter has noted what it notes of code that it runs often."""

    def warm(a: float, b: int, c: str) -> float:
        return a + b

    toolbay_plugin._tools[""] = toolbay_plugin._Tool(warm, "", None, None, (None,) * 4)
    for _ in range(100):
        tools.call_tool("", '{"a": 1.5, "b": 2, "c": "x"}')
    del toolbay_plugin._tools[""]


def _filled():
    """What fills the gaps between all that was made so far. One place is left, which calls then use again and again; else they go from gap to gap."""
    fill = [None] * 65536
    edge = max(map(id, gc.get_objects()))
    number, place = 0, bytes(1 << 16)
    while id(place) < edge and number < len(fill):
        fill[number] = place
        number, place = number + 1, bytes(1 << 16)
    edge = id(place)
    for size in [*range(32735, 1024, -256), *range(1024, 1, -8), 0]:
        while number < len(fill):
            fill[number] = bytes(size) if size else object()
            number += 1
            if id(fill[number - 1]) > edge:
                break
    return fill


if hasattr(toolbay_plugin, "Tools"):
    _warmed(Tools())
gc.collect()
_fill = _filled()
if hasattr(toolbay_plugin, "Tools"):
    _warmed(Tools())
# What was made while the plugin is built stays: looking for garbage in it, in each instance anew, takes longer than most calls.
gc.freeze()
"#;

/// What the SDK imports always.
const OF_SDK: [&str; 3] = ["context", "log", "progress"];

/// What a server of HTTP exports, and the module that has its class, where it is not the plugin's own.
const HANDLER: &str = "incoming-handler";
const SERVER: &str = "http_server";

/// Imports of the contract, and the words in a plugin's code that mean them.
const WORDS: [(&str, &str); 9] = [
    ("fetch", r"\bfetch\b"),
    ("calls", r"\b(call_tool|call_all|calls)\b"),
    ("store", r"\bstore\b"),
    ("client", r"\b(ask|client)\b"),
    ("context", r"\bcontext\b"),
    ("log", r"\blog\b"),
    ("notify", r"\bnotify\b"),
    ("progress", r"\bprogress\b"),
    ("task", r"\btask\b"),
];

/// Builds the project, and says where the component is.
pub(super) fn build(project: &Project) -> Result<PathBuf, AuthorError> {
    let componentize = COMPONENTIZE.find(&project.folder)?;
    let world = World::read(&project.wit())?;
    let lists_tools = world.exports("tools") && project.folder.join(SDK).is_file();
    let mut used = used(project);
    if lists_tools {
        used.extend(OF_SDK.map(str::to_owned));
    }
    let extra = if lists_tools { offered(project) } else { Vec::new() };
    let wit = tailored(project, &used, &extra, &[])?;
    let scratch = project.scratch();
    let module = if lists_tools {
        write(&scratch.join("toolbay_entry.py"), ENTRY)?;
        "toolbay_entry"
    } else if world.exports(HANDLER) && project.folder.join(format!("{SERVER}.py")).is_file() {
        SERVER
    } else {
        "app"
    };
    let component = scratch.join(format!("{}.wasm", project.name));
    let arguments: [&OsStr; 12] = [
        "-d".as_ref(),
        wit.as_os_str(),
        "-w".as_ref(),
        world.name.as_ref(),
        "componentize".as_ref(),
        module.as_ref(),
        "-p".as_ref(),
        project.folder.as_os_str(),
        "-p".as_ref(),
        scratch.as_os_str(),
        "-o".as_ref(),
        component.as_os_str(),
    ];
    let packages = packages(project, &componentize);
    run_with(&componentize, &project.folder, arguments, packages.as_deref().map(|packages| (PACKAGES_VARIABLE, packages)))?;
    Ok(component)
}

/// The environment whose packages are built in: the project's own, or that of componentize-py, which else asks whichever Python there is.
fn packages(project: &Project, componentize: &Path) -> Option<PathBuf> {
    if std::env::var_os(PACKAGES_VARIABLE).is_some() {
        return None;
    }
    let own = Some(project.folder.join(PACKAGES));
    let of_program = componentize.parent().and_then(Path::parent).map(Path::to_owned);
    [own, of_program].into_iter().flatten().find(|folder| folder.join("pyvenv.cfg").is_file())
}

/// What the world has to export beside tools, by the decorators in the plugin's code.
fn offered(project: &Project) -> Vec<&'static str> {
    let code = code(project);
    let has = |words: &str| Regex::new(words).is_ok_and(|words| words.is_match(&code));
    let (resources, prompts) = (has(r"(?m)^\s*@([\w.]+\.)?resource\b"), has(r"(?m)^\s*@([\w.]+\.)?prompt\b"));
    [
        (resources, "export toolbay:plugin/resources@0.1.0"),
        (prompts, "export toolbay:plugin/prompts@0.1.0"),
        (resources || prompts, "export toolbay:plugin/completion@0.1.0"),
    ]
    .into_iter()
    .filter_map(|(is_offered, export)| is_offered.then_some(export))
    .collect()
}

/// The imports that the plugin's code names.
fn used(project: &Project) -> BTreeSet<String> {
    let code = code(project);
    let named = |words: &str| Regex::new(words).is_ok_and(|words| words.is_match(&code));
    WORDS.iter().filter(|(_, words)| named(words)).map(|(import, _)| (*import).to_owned()).collect()
}

/// All of the plugin's own code, in packages of it too.
fn code(project: &Project) -> String {
    let mut code = String::new();
    below(&project.folder, &mut code);
    code
}

fn below(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name());
        let shown = name.to_string_lossy();
        // A link may lead in a circle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !shown.starts_with('.') && !OTHERS.contains(&&*shown) {
                below(&path, code);
            }
        } else if path.extension().is_some_and(|end| end == "py") && name != SDK {
            code.push_str(&fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::{
        language::{Kind, Language},
        scaffold::scaffold,
    };

    #[test]
    fn what_the_plugin_uses_is_found_in_packages_of_its_own_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        scaffold(folder.path(), "x", Language::Python, Kind::Tools).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let project = Project::open(folder.path()).unwrap();
        assert!(used(&project).is_empty());
        file("pages/inner/read.py", "from toolbay_plugin import fetch, resource\n@resource('a://b')\ndef b(): ...");
        for other in [".venv/lib/x.py", "venv/x.py", "tests/x.py", "dist/x.py"] {
            file(other, "call_tool; store");
        }
        assert_eq!(used(&project).into_iter().collect::<Vec<_>>(), ["fetch"]);
        assert_eq!(offered(&project).len(), 2);
    }
}
