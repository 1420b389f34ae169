//! The configuration of each client, in its own words.

use serde_json::{Map, Value, json};

/// Clients whose configuration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Client {
    /// Claude Code
    ClaudeCode,
    /// Claude Desktop
    ClaudeDesktop,
    /// Codex CLI
    Codex,
    /// Cursor
    Cursor,
    /// VS Code with Copilot
    Vscode,
    /// Gemini CLI
    Gemini,
    /// opencode
    Opencode,
}

/// How a client reaches the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way<'a> {
    /// By Streamable HTTP.
    Http,
    /// By a process that it starts.
    Stdio {
        /// The path of this program: desktop clients start programs with a short `PATH`.
        program: &'a str,
    },
}

/// What to put where.
#[derive(Debug)]
pub(super) struct Snippet {
    /// A whole file: where there is one already, what is in it goes beside what that has.
    pub(super) text: String,
    /// Which file that is.
    pub(super) place: &'static str,
    /// The client's own command that writes it, where it has one.
    pub(super) command: Option<String>,
}

/// The snippet for a client. `token`: the environment variable that holds the token.
pub(super) fn of(client: Client, name: &str, url: &str, token: Option<&str>, way: Way<'_>) -> Snippet {
    let (text, place) = match client {
        Client::Codex => (codex(name, url, token, way), "~/.codex/config.toml"),
        _ => {
            let server = server(client, url, token, way);
            let file = file(client, name, server, token.filter(|_| matches!(way, Way::Http) || client == Client::Vscode));
            (format!("{:#}\n", Value::Object(file)), place(client))
        }
    };
    Snippet { text, place, command: command(client, name, url, token, way) }
}

fn place(client: Client) -> &'static str {
    match client {
        Client::ClaudeCode => ".mcp.json in the project's folder",
        Client::ClaudeDesktop => "claude_desktop_config.json (Settings, Developer, Edit Config); then restart Claude Desktop",
        Client::Codex => "~/.codex/config.toml",
        Client::Cursor => ".cursor/mcp.json in the project's folder, or ~/.cursor/mcp.json",
        Client::Vscode => ".vscode/mcp.json in the project's folder",
        Client::Gemini => ".gemini/settings.json in the project's folder, or ~/.gemini/settings.json",
        Client::Opencode => "opencode.json in the project's folder, or ~/.config/opencode/opencode.json",
    }
}

/// The file around one server.
fn file(client: Client, name: &str, server: Value, token: Option<&str>) -> Map<String, Value> {
    let servers = Value::Object(Map::from_iter([(name.to_owned(), server)]));
    let mut file = Map::new();
    match client {
        Client::Vscode => {
            if let Some(variable) = token {
                let input = json!({ "type": "promptString", "id": variable, "description": format!("Token of {name}"), "password": true });
                file.insert("inputs".to_owned(), json!([input]));
            }
            file.insert("servers".to_owned(), servers);
        }
        Client::Opencode => {
            file.insert("$schema".to_owned(), "https://opencode.ai/config.json".into());
            file.insert("mcp".to_owned(), servers);
        }
        _ => drop(file.insert("mcpServers".to_owned(), servers)),
    }
    file
}

/// One server, in a client's words.
fn server(client: Client, url: &str, token: Option<&str>, way: Way<'_>) -> Value {
    let mut server = match (way, client) {
        (Way::Stdio { program }, Client::Opencode) => {
            let command: Vec<&str> = [program].into_iter().chain(arguments(url, token)).collect();
            json!({ "type": "local", "command": command, "enabled": true })
        }
        (Way::Stdio { program }, _) => json!({ "command": program, "args": arguments(url, token) }),
        (Way::Http, Client::Gemini) => json!({ "httpUrl": url }),
        (Way::Http, Client::Cursor) => json!({ "url": url }),
        (Way::Http, Client::Opencode) => json!({ "type": "remote", "url": url, "enabled": true }),
        (Way::Http, _) => json!({ "type": "http", "url": url }),
    };
    let Some(variable) = token else { return server };
    let (member, value) = match way {
        Way::Http => ("headers", json!({ "Authorization": format!("Bearer {}", reference(client, variable)) })),
        Way::Stdio { .. } => {
            let member = if client == Client::Opencode { "environment" } else { "env" };
            (member, Value::Object(Map::from_iter([(variable.to_owned(), reference(client, variable).into())])))
        }
    };
    if let Value::Object(server) = &mut server {
        server.insert(member.to_owned(), value);
    }
    server
}

/// The arguments of the bridge.
fn arguments<'a>(url: &'a str, token: Option<&'a str>) -> Vec<&'a str> {
    let mut arguments = vec!["stdio", "--url", url];
    arguments.extend(token.into_iter().flat_map(|variable| ["--token-env", variable]));
    arguments
}

/// How a client's configuration refers to an environment variable, or asks for a secret.
fn reference(client: Client, variable: &str) -> String {
    match client {
        Client::ClaudeCode => format!("${{{variable}}}"),
        // It knows no variables: the person writes the token here.
        Client::ClaudeDesktop => format!("the token of {variable}"),
        Client::Cursor => format!("${{env:{variable}}}"),
        Client::Vscode => format!("${{input:{variable}}}"),
        Client::Gemini => format!("${variable}"),
        Client::Opencode => format!("{{env:{variable}}}"),
        Client::Codex => variable.to_owned(),
    }
}

fn codex(name: &str, url: &str, token: Option<&str>, way: Way<'_>) -> String {
    let text = |text: &str| toml::Value::from(text).to_string();
    let mut lines = vec![format!("[mcp_servers.{name}]")];
    match way {
        Way::Http => {
            lines.push(format!("url = {}", text(url)));
            lines.extend(token.map(|variable| format!("bearer_token_env_var = {}", text(variable))));
        }
        Way::Stdio { program } => {
            lines.push(format!("command = {}", text(program)));
            let arguments: Vec<String> = arguments(url, token).into_iter().map(text).collect();
            lines.push(format!("args = [{}]", arguments.join(", ")));
            lines.extend(token.map(|variable| format!("env_vars = [{}]", text(variable))));
        }
    }
    lines.join("\n") + "\n"
}

/// The client's own command that adds the server.
fn command(client: Client, name: &str, url: &str, token: Option<&str>, way: Way<'_>) -> Option<String> {
    let Way::Http = way else { return None };
    match (client, token) {
        (Client::ClaudeCode, None) => Some(format!("claude mcp add --transport http {name} {url}")),
        // In quotation marks that keep it as it is: the client reads the variable, and the token is on no command line.
        (Client::ClaudeCode, Some(variable)) => {
            Some(format!("claude mcp add --scope project --transport http {name} {url} --header 'Authorization: Bearer ${{{variable}}}'"))
        }
        (Client::Codex, None) => Some(format!("codex mcp add {name} --url {url}")),
        (Client::Codex, Some(variable)) => Some(format!("codex mcp add {name} --url {url} --bearer-token-env-var {variable}")),
        (Client::Gemini, None) => Some(format!("gemini mcp add --transport http {name} {url}")),
        (Client::Gemini, Some(variable)) => {
            Some(format!("gemini mcp add --transport http {name} {url} --header 'Authorization: Bearer ${variable}'"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::config::{Config, ServerSource};

    const URL: &str = "https://tools.example.com/a/mcp?x=1&y=%22";

    /// What Toolbay's own reader of clients' files makes of it.
    fn read(text: &str) -> ServerSource {
        let folder = tempfile::tempdir().unwrap();
        let (file, config) = (folder.path().join("clients.json"), folder.path().join("toolbay.toml"));
        std::fs::write(&file, text).unwrap();
        std::fs::write(&config, "mcp_json = \"clients.json\"\n").unwrap();
        let config = Config::load(&config).unwrap_or_else(|error| panic!("{error}: {text}"));
        config.server.get("tools").unwrap_or_else(|| panic!("{config:?} of {text}")).source.clone()
    }

    #[test]
    fn what_each_client_reads_leads_to_the_server() {
        for client in Client::value_variants().iter().filter(|client| **client != Client::Codex) {
            for way in [Way::Http, Way::Stdio { program: "/opt/a b/toolbay" }] {
                let Snippet { text, .. } = of(*client, "tools", URL, None, way);
                match (way, read(&text)) {
                    (Way::Http, ServerSource::Url(found)) => assert_eq!(found.url.as_str(), URL, "{text}"),
                    (Way::Stdio { .. }, ServerSource::Command(found)) => {
                        assert_eq!(found.argv, ["/opt/a b/toolbay", "stdio", "--url", URL], "{text}");
                    }
                    (way, other) => panic!("{way:?} {other:?} of {text}"),
                }
            }
        }
    }

    #[test]
    fn codex_reads_toml() {
        let read = |way| toml::from_str::<Value>(&of(Client::Codex, "tools", URL, Some("TOKEN"), way).text).unwrap();
        assert_eq!(read(Way::Http), json!({"mcp_servers": {"tools": {"url": URL, "bearer_token_env_var": "TOKEN"}}}));
        let args = ["stdio", "--url", URL, "--token-env", "TOKEN"];
        let server = json!({"command": "/a\"b", "args": args, "env_vars": ["TOKEN"]});
        assert_eq!(read(Way::Stdio { program: "/a\"b" }), json!({"mcp_servers": {"tools": server}}));
    }

    #[test]
    fn a_token_is_named_in_the_clients_own_way() {
        for (client, member) in [
            (Client::ClaudeCode, r#""Authorization": "Bearer ${TOKEN}""#),
            (Client::Cursor, r#""Authorization": "Bearer ${env:TOKEN}""#),
            (Client::Vscode, r#""Authorization": "Bearer ${input:TOKEN}""#),
            (Client::Gemini, r#""Authorization": "Bearer $TOKEN""#),
            (Client::Opencode, r#""Authorization": "Bearer {env:TOKEN}""#),
        ] {
            let Snippet { text, .. } = of(client, "tools", URL, Some("TOKEN"), Way::Http);
            assert!(text.contains(member), "{text}");
        }
        let Snippet { text, .. } = of(Client::Vscode, "tools", URL, Some("TOKEN"), Way::Http);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["inputs"][0]["id"], "TOKEN");
        let Snippet { text, .. } = of(Client::ClaudeDesktop, "tools", URL, Some("TOKEN"), Way::Stdio { program: "t" });
        assert!(text.contains(r#""TOKEN": "the token of TOKEN""#) && text.contains("--token-env"), "{text}");
    }

    #[test]
    fn the_page_on_clients_shows_what_is_printed() {
        let page = include_str!("../../../../docs/clients.md");
        for client in Client::value_variants() {
            let name = client.to_possible_value().unwrap();
            let mark = format!("<!-- tested: connect {} -->\n```", name.get_name());
            let block = page.split_once(&mark).and_then(|(_, rest)| rest.split_once('\n')?.1.split_once("```"));
            let way = if *client == Client::ClaudeDesktop { Way::Stdio { program: "/usr/local/bin/toolbay" } } else { Way::Http };
            let printed = of(*client, "toolbay", "https://tools.example.com/mcp", Some("TOOLS_TOKEN"), way);
            assert_eq!(block.map(|(text, _)| text), Some(printed.text.as_str()), "{mark}");
        }
    }
}
