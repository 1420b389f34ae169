//! Files as clients write them.

use std::{ffi::OsString, path::Path};

use proptest::prelude::*;

use super::*;
use crate::config::{CommandSource, Secret, ServerSource, UrlSource};

fn environment(name: &str) -> Option<OsString> {
    match name {
        "TOKEN" | "COPILOT_MCP_TOKEN" => Some("s3cr3t".into()),
        "HOME" => Some("/home/me".into()),
        "TOOLBAY_INPUT_SET_KEY" => Some("s3cr3t-input".into()),
        _ => None,
    }
}

/// What a file of this name holds. No message shows a secret.
fn read_at(path: &str, text: &str) -> Result<Found, String> {
    let shown = |text: String| {
        assert!(!text.contains("s3cr3t"), "a secret is shown: {text}");
        text
    };
    let found = parse(&document::sound(text), Path::new(path), &environment, &|_| None).map_err(|error| shown(error.to_string()))?;
    for entry in &found {
        entry.told.notes.iter().chain(&entry.told.error).for_each(|text| drop(shown(text.clone())));
    }
    Ok(found)
}

fn read(text: &str) -> Found {
    read_at("mcp.json", text).unwrap()
}

fn one(text: &str) -> Entry {
    let mut found = read(&format!("{{\"mcpServers\": {{\"s\": {text}}}}}"));
    assert_eq!(found.len(), 1, "{text}");
    found.remove(0)
}

fn program(entry: &Entry) -> &CommandSource {
    match entry.server.as_ref().map(|server| &server.source) {
        Some(ServerSource::Command(command)) => command,
        other => panic!("{other:?}: {:?}", entry.told),
    }
}

fn remote(entry: &Entry) -> &UrlSource {
    match entry.server.as_ref().map(|server| &server.source) {
        Some(ServerSource::Url(url)) => url,
        other => panic!("{other:?}: {:?}", entry.told),
    }
}

fn by<'a>(found: &'a Found, id: &str) -> &'a Entry {
    found.iter().find(|entry| entry.id == id).unwrap_or_else(|| panic!("{id} in {found:?}"))
}

fn refusal(entry: &Entry) -> &str {
    assert!(entry.server.is_none(), "{entry:?}");
    entry.told.error.as_deref().unwrap()
}

#[test]
fn claude_desktop_and_claude_code() {
    let found = read(
        r#"{ "mcpServers": {
            "Brave Search": { "command": "npx", "args": ["-y", "brave", "${userHome}/x"], "env": { "KEY": "${TOKEN}", "N": 5, "B": true, "Z": null }, "cwd": "/" },
            "git": { "type": "stdio", "command": "./git.sh", "env": { "A": "${env:TOKEN}", "B": "${NOT_SET:-b}", "C": "$TOKEN" } },
            "off": { "command": "x", "disabled": true },
            "api": { "type": "http", "url": "${API_BASE_URL:-http://127.0.0.1:9692}/mcp", "headers": { "Authorization": "Bearer ${TOKEN}" }, "timeout": 600 },
            "asana": { "type": "sse", "url": "https://mcp.asana.com/sse" },
            "signed": { "type": "http", "url": "https://x.example/mcp", "headersHelper": "/bin/token", "oauth": { "clientId": "c" } }
        }, "globalShortcut": "", "preferences": {} }"#,
    );
    assert_eq!(found.iter().map(|entry| &*entry.id).collect::<Vec<_>>(), ["brave-search", "git", "api", "asana", "signed"]);
    let secret = |text: &str| Secret(text.to_owned());
    let brave = program(&found[0]);
    assert_eq!(brave.argv, ["npx", "-y", "brave", "/home/me/x"]);
    assert_eq!((&brave.env["KEY"], &brave.env["N"], &brave.env["B"]), (&secret("s3cr3t"), &secret("5"), &secret("true")));
    assert!(!brave.env.contains_key("Z") && brave.cwd.as_deref() == Some(Path::new("/")));
    let git = program(&found[1]);
    assert_eq!([&git.env["A"], &git.env["B"], &git.env["C"]], [&secret("s3cr3t"), &secret("b"), &secret("$TOKEN")]);
    assert_eq!(Path::new(&git.argv[0]), std::env::current_dir().unwrap().join("git.sh"));
    assert_eq!(
        (remote(&found[2]).url.as_str(), remote(&found[2]).headers["Authorization"].to_str().unwrap()),
        ("http://127.0.0.1:9692/mcp", "Bearer s3cr3t")
    );
    assert_eq!(remote(&found[3]).url.as_str(), "https://mcp.asana.com/sse");
    assert!(found[..3].iter().all(|entry| entry.told.notes.is_empty()), "{found:?}");
    assert_eq!(remote(&found[4]).url.as_str(), "https://x.example/mcp");
    assert!(found[4].told.notes.iter().filter(|note| note.contains("nobody signs in here")).count() == 2, "{found:?}");
}

#[test]
fn cursor_and_windsurf() {
    let folder = tempfile::tempdir().unwrap();
    let cursor = folder.path().join(".cursor");
    std::fs::create_dir(&cursor).unwrap();
    std::fs::write(folder.path().join(".env"), "FROM_FILE=1\nKEY=file\n").unwrap();
    let text = r#"{ "mcpServers": {
        "env": { "command": "x", "envFile": "${workspaceFolder}/.env", "env": { "KEY": "entry" } },
        "relative": { "command": "x", "envFile": ".env", "args": ["${workspaceFolderBasename}", "${pathSeparator}"] },
        "missing": { "command": "x", "envFile": "no.env" },
        "remote": { "url": "http://127.0.0.1:9692/mcp", "headers": { "Authorization": "Bearer ${env:NOT_SET}" } },
        "oauth": { "url": "http://127.0.0.1:9693/mcp", "auth": { "CLIENT_ID": "x", "CLIENT_SECRET": "y", "scopes": ["read"] } },
        "surf": { "serverUrl": "https://w.example/mcp", "disabledTools": ["a", "b"], "headers": { "Accept": "application/json", "X": "1" } },
        "surf off": { "serverUrl": "https://w.example/mcp", "disabled": true }
    } }"#;
    let found = read_at(cursor.join("mcp.json").to_str().unwrap(), text).unwrap();
    let env = program(by(&found, "env"));
    assert_eq!((&*env.env["FROM_FILE"].0, &*env.env["KEY"].0), ("1", "entry"));
    assert_eq!(env.cwd.as_deref(), Some(folder.path()), "clients run what is of a project in its folder");
    let relative = program(by(&found, "relative"));
    assert_eq!(relative.argv[1..], [folder.path().file_name().unwrap().to_str().unwrap(), "/"]);
    assert_eq!(relative.env["FROM_FILE"].0, "1");
    assert!(refusal(by(&found, "missing")).contains("no.env"));
    assert!(refusal(by(&found, "remote")).contains("\"NOT_SET\" is not set"));
    assert!(remote(by(&found, "oauth")).url.as_str().ends_with("9693/mcp") && by(&found, "oauth").told.notes.len() == 1);
    let surf = by(&found, "surf");
    assert_eq!(surf.server.as_ref().unwrap().names.exclude, ["a", "b"]);
    assert_eq!(remote(surf).headers.keys().collect::<Vec<_>>(), ["x"]);
    assert_eq!(surf.told.notes, ["\"headers.Accept\" is a header that the host sets itself, and is ignored"]);
    assert_eq!(found.len(), 6);

    // A file of a user, and of no project.
    let found = read(r#"{"mcpServers": {"fs": {"command": "x", "args": ["${workspaceFolder}"]}, "time": {"command": "y"}}}"#);
    assert!(refusal(&found[0]).contains("a host has no workspace; write the path, or set TOOLBAY_WORKSPACE"));
    assert_eq!(program(&found[1]).cwd, None);
}

#[test]
fn vs_code_with_comments_and_inputs() {
    let text = r#"{
        // Inputs are prompted on first server start.
        "inputs": [
            {"type": "promptString", "id": "example-key", "description": "Example API Key", "password": true},
            {"type": "promptString", "id": "set-key", "password": true},
            {"type": "pickString", "id": "region", "options": ["eu", {"label": "US", "value": "us"}], "default": "eu"},
            {"type": "command", "id": "made", "command": "x.y"},
        ],
        "servers": {
            /* https://example.com */
            "Example": {"type": "stdio", "command": "example-mcp", "args": [], "env": {"KEY": "${input:example-key}"}},
            "set": {"command": "x", "env": {"KEY": "${input:set-key}", "R": "${input:region}"}},
            "made": {"command": "x", "args": ["${input:made}"]},
            "unknown": {"command": "x", "args": ["${input:nowhere}"]},
            "fetch": {"type": "stdio", "command": "mcp-server-fetch", "dev": {"watch": "src/**/*.ts"}, "sandboxEnabled": true},
            "github": {"type": "http", "url": "https://api.githubcopilot.com/mcp/"},
        }
    }"#;
    let found = read(text);
    assert_eq!(
        refusal(&found[0]),
        "\"env.KEY\" asks for the input \"example-key\" (Example API Key), and there is no terminal to ask on; set TOOLBAY_INPUT_EXAMPLE_KEY where toolbay is started"
    );
    assert_eq!((&*program(&found[1]).env["KEY"].0, &*program(&found[1]).env["R"].0), ("s3cr3t-input", "eu"));
    assert!(refusal(&found[2]).contains("TOOLBAY_INPUT_MADE") && refusal(&found[3]).contains("TOOLBAY_INPUT_NOWHERE"));
    assert!(found[4].told.notes[0].contains("an image is confined") && found[4].told.notes.len() == 1, "{:?}", found[4].told);
    assert_eq!(remote(&found[5]).url.as_str(), "https://api.githubcopilot.com/mcp/");
    // In the settings of VS Code.
    let found = read(r#"{"editor.fontSize": 12, "mcp": {"inputs": [], "servers": {"a": {"command": "x"}}}}"#);
    assert_eq!(program(&found[0]).argv, ["x"]);
}

#[test]
fn an_input_is_asked_for_once_and_what_is_typed_counts() {
    let text = r#"{"inputs": [{"id": "a", "type": "promptString", "description": "The a", "password": true}, {"id": "d", "type": "promptString", "default": "dd"}],
        "servers": {"x": {"command": "x", "args": ["${input:a}", "${input:a}", "${input:d}"]}, "y": {"command": "y", "args": ["${input:a}"]},
            "z": {"command": "z", "args": ["${input:nothing}"]}}}"#;
    let asked = std::cell::RefCell::new(Vec::new());
    let ask = |input: &inputs::Input| {
        asked.borrow_mut().push(input.id.clone());
        Some(Ok(if input.id == "a" { "typed".to_owned() } else { String::new() }))
    };
    let found = parse(text, Path::new("mcp.json"), &environment, &ask).unwrap();
    assert_eq!(program(&found[0]).argv, ["x", "typed", "typed", "dd"]);
    assert_eq!(program(&found[1]).argv, ["y", "typed"]);
    assert!(refusal(&found[2]).contains("nothing was typed"));
    assert_eq!(*asked.borrow(), ["a", "d", "nothing"]);
}

#[test]
fn zed() {
    let text = r#"{
        // Zed settings
        "theme": "One Dark", "agent": { "default_model": { "provider": "x", "model": "y" } },
        "context_servers": {
            "custom": { "source": "custom", "command": "uvx", "args": ["mcp-server-time"], "env": {}, "enabled": true },
            "older": { "command": { "path": "npx", "args": ["-y", "x"], "env": { "K": "${TOKEN}" } }, "settings": {} },
            "mcp-server-github": { "source": "extension", "enabled": true, "settings": { "token": "s3cr3t" } },
            "far": { "source": "custom", "url": "https://z.example/mcp", "headers": { "Authorization": "Bearer x" } },
            "off": { "source": "custom", "command": "x", "enabled": false }
        },
    }"#;
    let found = read(text);
    assert_eq!(program(&found[0]).argv, ["uvx", "mcp-server-time"]);
    assert_eq!(
        (&program(&found[1]).argv[..], &*program(&found[1]).env["K"].0),
        (&["npx".to_owned(), "-y".into(), "x".into()][..], "s3cr3t")
    );
    assert!(refusal(&found[2]).contains("extension of its editor"));
    assert_eq!((remote(&found[3]).url.as_str(), found.len()), ("https://z.example/mcp", 4));
}

#[test]
fn gemini_cli() {
    let text = r#"{
        "selectedAuthType": "oauth-personal",
        "mcp": { "excluded": ["experimental"], "allowed": [] },
        "mcpServers": {
            "py": { "command": "python", "args": ["-m", "x", "--key=$TOKEN"], "env": { "K": "$TOKEN", "P": "a$b", "Q": "$NOT_SET" }, "timeout": 15000, "trust": false,
                    "includeTools": ["safe(a)", "other"], "excludeTools": ["bad"] },
            "http": { "httpUrl": "http://localhost:3000/mcp", "url": "http://localhost:3000/sse", "headers": { "Authorization": "Bearer $TOKEN" } },
            "sse": { "url": "http://localhost:8080/sse" },
            "google": { "httpUrl": "https://g.example/mcp", "authProviderType": "google_credentials", "oauth": { "scopes": ["x"] } },
            "experimental": { "command": "x" }
        }
    }"#;
    let found = read(text);
    let py = by(&found, "py");
    assert_eq!(program(py).argv[3], "--key=s3cr3t");
    assert_eq!(["K", "P", "Q"].map(|name| &*program(py).env[name].0), ["s3cr3t", "a$b", "$NOT_SET"]);
    let names = &py.server.as_ref().unwrap().names;
    assert_eq!((&names.include[..], &names.exclude[..]), (&["safe".to_owned(), "other".into()][..], &["bad".to_owned()][..]));
    assert_eq!(
        (remote(by(&found, "http")).url.as_str(), remote(by(&found, "http")).headers["Authorization"].to_str().unwrap()),
        ("http://localhost:3000/mcp", "Bearer s3cr3t")
    );
    assert!(by(&found, "sse").told.notes.is_empty());
    assert_eq!(by(&found, "google").told.notes.len(), 2);
    assert_eq!(found.len(), 4);
}

#[test]
fn cline_roo_opencode_and_copilot() {
    let found = read(
        r#"{ "mcpServers": {
            "cline": { "command": "node", "args": ["x.js", 5], "alwaysAllow": ["t"], "autoApprove": [], "disabled": false, "timeout": 60 },
            "roo": { "type": "streamable-http", "url": "https://r.example/mcp", "watchPaths": ["x"], "disabledTools": ["t"] },
            "cline far": { "type": "streamableHttp", "url": "https://c.example/mcp", "headers": null },
            "copilot": { "type": "local", "command": "x", "tools": ["*"], "args": [], "env": { "K": "$COPILOT_MCP_TOKEN", "L": "COPILOT_MCP_TOKEN" } },
            "few": { "type": "http", "url": "https://x.example/mcp", "tools": ["a", "b"] }
        } }"#,
    );
    assert!(found.iter().all(|entry| entry.told.notes.is_empty() && entry.server.is_some()), "{found:?}");
    assert_eq!(program(by(&found, "cline")).argv, ["node", "x.js", "5"]);
    assert_eq!(program(by(&found, "copilot")).env["K"].0, "s3cr3t");
    assert!(by(&found, "copilot").server.as_ref().unwrap().names.include.is_empty());
    assert_eq!(by(&found, "few").server.as_ref().unwrap().names.include, ["a", "b"]);

    let found = read(
        r#"{ "$schema": "https://opencode.ai/config.json", "model": "x",
            "mcp": {
                "local": { "type": "local", "command": ["npx", "-y", "x"], "environment": { "K": "{env:TOKEN}" }, "enabled": true, "timeout": 5000 },
                "remote": { "type": "remote", "url": "https://o.example/mcp", "headers": { "Authorization": "Bearer {env:TOKEN}" }, "oauth": false },
                "off": { "type": "remote", "url": "https://o.example/mcp", "enabled": false },
            } }"#,
    );
    assert_eq!(
        (&program(&found[0]).argv[..], &*program(&found[0]).env["K"].0),
        (&["npx".to_owned(), "-y".into(), "x".into()][..], "s3cr3t")
    );
    assert_eq!((remote(&found[1]).headers["Authorization"].to_str().unwrap(), found.len()), ("Bearer s3cr3t", 2));
}

#[test]
fn files_of_other_shapes_are_found_out() {
    for text in [
        r#"{"a": {"command": "x"}}"#,
        r#"{"mcpServers": [{"name": "a", "command": "x"}]}"#,
        r#"{"amp.mcpServers": {"a": {"command": "x"}}}"#,
        r#"{'mcpServers': {a: {command: 'x',},},}"#,
        "\u{feff}{\"mcpServers\": {\"a\": {\"command\": \"x\"}}}",
        r#"{"mcpServers": {"a": {"command": "lost", "description": "\ud83d"}, "a": {"command": "x"}}}"#,
        r#"{"servers": {"a": {"type": "stdio", "x-metadata": {"registry": {}}, "command": "x"}}}"#,
    ] {
        let found = read(text);
        assert_eq!((found.len(), &*found[0].id, &program(&found[0]).argv[..]), (1, "a", &["x".to_owned()][..]), "{text}");
        assert!(found[0].told.notes.is_empty(), "{found:?}");
    }
    assert!(read(r#"{"mcpServers": {}}"#).is_empty() && read(r#"{"mcpServers": null, "servers": []}"#).is_empty());
    for (text, message) in [
        ("{", "mcp.json:1:1: this is not JSON (Unterminated object)"),
        ("{}", "mcp.json:1:1: has no \"mcpServers\"; write {\"mcpServers\": {\"name\": {\"command\": \"…\"}}}"),
        ("[]", "mcp.json:1:1: it is not a JSON object; write {\"mcpServers\": {\"name\": {\"command\": \"…\"}}}"),
        ("", "mcp.json:1:1: it is empty; write {\"mcpServers\": {\"name\": {\"command\": \"…\"}}}"),
        ("{\n  \"mcpServers\": {\"a\": s3cr3t}}", "mcp.json:2:23: this is not JSON (Unexpected token)"),
    ] {
        assert_eq!(read_at("mcp.json", text).unwrap_err(), message, "{text}");
    }
    assert!(read_at("mcp.json", &"[".repeat(100_000)).unwrap_err().contains("nesting"));
}

#[test]
fn a_command_with_its_arguments_in_it_is_read_as_words() {
    for (entry, argv) in [
        (r#"{"command": "python3 x.py"}"#, &["python3", "x.py"][..]),
        (r#"{"command": " npx  -y thing ", "args": ["two words"]}"#, &["npx", "-y", "thing", "two words"]),
        (r#"{"command": "cmd /c npx -y thing"}"#, &["npx", "-y", "thing"]),
        (r#"{"command": "run --in ${HOME}"}"#, &["run", "--in", "/home/me"]),
    ] {
        let entry = one(entry);
        assert_eq!(program(&entry).argv, argv);
        assert!(entry.told.notes[0].contains("\"command\" has arguments in it"), "{:?}", entry.told.notes);
    }
    // A path with a space in it is one word, whether it is there or not.
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("my tool");
    std::fs::write(&tool, "").unwrap();
    for path in [tool.to_str().unwrap(), "/opt/My Tool/run"] {
        let entry = one(&format!("{{\"command\": {path:?}}}"));
        assert_eq!((program(&entry).argv.as_slice(), entry.told.notes.len()), (&[path.to_owned()][..], 0));
    }
}

#[test]
fn an_entry_that_cannot_be_served_says_why_and_the_others_are_served() {
    for (entry, why) in [
        ("5", "an entry must be an object ({…})"),
        ("{}", "has neither \"command\" nor \"url\""),
        (r#"{"command": 5}"#, "\"command\" must be text"),
        (r#"{"command": ""}"#, "\"command\" names no program"),
        (r#"{"command": []}"#, "\"command\" names no program"),
        (
            r#"{"command": "cd /srv && python3 x.py"}"#,
            "has a line for a shell as its \"command\", and none reads it; write the program alone, and its arguments as the list \"args\"",
        ),
        (r#"{"command": "x", "args": {}}"#, "\"args\" must be a list of texts"),
        (r#"{"command": "x", "args": [[]]}"#, "\"args\" must be a list of texts"),
        (r#"{"command": "x", "cwd": "/not/there"}"#, "\"cwd\": there is no folder /not/there"),
        (
            r#"{"command": "x", "env": {"K": "${NOT_SET}"}}"#,
            "\"env.K\" the environment variable \"NOT_SET\" is not set; set it where toolbay is started, or write ${NOT_SET:-default}",
        ),
        (r#"{"command": "x", "env": {"K": "s3cr3t ${TOKEN"}}"#, "\"env.K\" has \"${\" without its \"}\""),
        (r#"{"command": "x", "env": {"K": []}}"#, "\"env.K\" must be text"),
        (r#"{"command": "x", "env": {"A B": "1"}}"#, "\"env.A B\" the name of an environment variable cannot hold white space"),
        (r#"{"command": "x", "args": ["${command:pick}"]}"#, "\"args\" has ${command:pick}, which means nothing here; write ${VARIABLE}"),
        (r#"{"url": "ftp://x/"}"#, "\"url\" \"ftp\" is not spoken here; write an http or https URL"),
        (r#"{"url": "http://x/", "headers": {"a b": "1"}}"#, "\"headers.a b\" is not a name of an HTTP header"),
        (
            r#"{"url": "http://x/", "headers": {"A": "1\n2"}}"#,
            "\"headers.A\" holds a character that the value of a header cannot, such as a newline",
        ),
        (r#"{"type": "ws", "url": "ws://x/"}"#, "is of the type \"ws\", which is not a transport that is supported"),
    ] {
        let found = read(&format!("{{\"mcpServers\": {{\n\"good\": {{\"command\": \"x\"}},\n\"bad\": {entry}}}}}"));
        assert_eq!(refusal(by(&found, "bad")), why, "{entry}");
        assert_eq!(by(&found, "bad").told.place.to_string(), "mcp.json:3:8");
        assert_eq!(program(by(&found, "good")).argv, ["x"], "{entry}");
    }
}

#[test]
fn what_is_passed_over_is_told_and_what_means_nothing_here_is_not() {
    for (entry, note) in [
        (r#"{"comand": "x", "url": "http://x/mcp"}"#, "\"comand\" is not known, and is ignored; did you mean \"command\"?"),
        (r#"{"command": "x", "weird": 1}"#, "\"weird\" is not known, and is ignored"),
        (r#"{"command": "x", "url": "http://x/"}"#, "\"url\" is ignored, as there is a \"command\""),
        (r#"{"command": "x", "url": "http://x/", "type": "http"}"#, "\"command\" is ignored, as its type is one of a server elsewhere"),
        (r#"{"command": "x", "headers": {}}"#, "\"headers\" is ignored: a program has none"),
        (r#"{"url": "http://x/mcp", "env": {"A": "1"}}"#, "\"env\" is ignored: a server elsewhere has none"),
        (r#"{"command": "x", "disabled": "maybe"}"#, "\"disabled\" is neither true nor false, and is ignored"),
        (r#"{"command": "cmd", "args": ["/c", "npx", "-y", "x"]}"#, "\"cmd /c\", which is for Windows, is left out"),
        (r#"{"command": "npx.cmd"}"#, "\"npx.cmd\", which is for Windows, is started as \"npx\""),
        (r#"{"command": "x", "args": ["$HOME/x"]}"#, "\"args\" has $HOME, which no shell expands; write ${HOME}"),
    ] {
        let entry = one(entry);
        assert_eq!(entry.told.notes, [note]);
        assert!(entry.server.is_some(), "{note}");
    }
    assert_eq!(program(&one(r#"{"command": "cmd", "args": ["/c", "npx", "-y", "x"]}"#)).argv, ["npx", "-y", "x"]);
    assert_eq!(program(&one(r#"{"command": "~/bin/x", "args": ["~/Desktop"]}"#)).argv, ["/home/me/bin/x", "~/Desktop"]);
    for entry in [
        r#"{"command": "x", "env": null, "args": null, "url": null, "headers": null}"#,
        r#"{"command": "x", "env": {"A": "1"}, "args": "one"}"#,
    ] {
        assert!(one(entry).server.is_some(), "{entry}");
    }
    assert!(one(r#"{"command": "x", "args": [], "env": ["A=1"]}"#).server.is_some());
}

#[test]
fn each_entry_has_a_name_of_its_own_that_a_provider_can_have() {
    let found = read(
        r#"{"mcpServers": {"A b": {"command": "x"}, "a-b": {"command": "x"}, "寸止": {"command": "x"}, "microsoft/markitdown": {"command": "x"}}}"#,
    );
    assert_eq!((&*found[0].id, &*found[3].id), ("a-b", "microsoft-markitdown"));
    assert!(found[1].id.starts_with("a-b-") && found[1].told.notes[0].contains("another entry is \"a-b\""), "{found:?}");
    assert!(found[2].id.starts_with("server-") && found[2].told.notes[0].contains("letters and digits"), "{found:?}");
    assert!(found[0].told.notes.is_empty() && found[3].told.notes.is_empty());
}

/// JSON as people and programs write it into such a file.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let keys = [
        "command",
        "args",
        "env",
        "url",
        "type",
        "headers",
        "disabled",
        "cwd",
        "mcpServers",
        "servers",
        "mcp",
        "inputs",
        "tools",
        "envFile",
        "x",
    ];
    let texts = prop_oneof![
        Just("x".to_owned()),
        Just("http://x/mcp".to_owned()),
        Just("${TOKEN}".to_owned()),
        Just("${input:a}".to_owned()),
        Just("${".to_owned()),
        Just("$x{env:".to_owned()),
        Just("stdio".to_owned()),
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        texts.prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        let key = prop_oneof![proptest::sample::select(keys.to_vec()).prop_map(str::to_owned), ".{0,4}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((key, inner), 0..6).prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_entry_refuses_the_file(entry in json(), name in ".{0,20}") {
        let text = serde_json::json!({"mcpServers": {"good one": {"command": "x"}, (name): entry}}).to_string();
        let found = read(&text);
        prop_assert!(found.iter().any(|entry| entry.id == "good-one" && entry.server.is_some()) || text.matches("good one").count() > 1, "{text}");
        for entry in found {
            prop_assert!(crate::provider::ProviderId::new(entry.id.as_str()).is_ok());
            prop_assert!(entry.server.is_some() != entry.told.error.is_some(), "{:?}", entry.told);
        }
    }

    #[test]
    fn no_text_is_too_odd_to_be_read_or_refused(root in json(), cut in 0usize..400, text in "[\\[\\]{}\",:/*\\\\ua-f0-9$ \n]{0,60}") {
        let whole = root.to_string();
        let cut: String = whole.chars().take(cut).collect();
        for text in [whole, cut, text] {
            let _ = read_at("mcp.json", &text);
        }
    }
}
