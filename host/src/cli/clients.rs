//! `toolbay check --clients`: whether every known client and model API can read what is published.
//!
//! One tool that a client cannot read empties its whole list, or makes a model API refuse every request. The rules that hold for all of
//! them are built in. What is installed of the real clients, SDKs and converters is run too, over a file with the lists.

mod readers;

use std::{collections::HashSet, fmt::Write as _};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    catalog::Snapshot,
    schema::portable::{Role, lint},
};
pub(super) use readers::Packages;

/// Tools in one request that OpenAI's API and VS Code take. More is for clients that choose among them.
const MANY: usize = 128;

/// Longest name of a tool that model APIs take.
const MAX_NAME: usize = 64;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Tools that were read.
    tools: usize,
    /// Who has read them.
    readers: Vec<String>,
    /// What somebody cannot read, in sentences. Empty: everybody reads everything.
    problems: Vec<String>,
    /// What is no fault, and worth knowing.
    notes: Vec<String>,
}

impl Report {
    /// Reads what a snapshot publishes: by the built-in rules, and by what is installed.
    pub(super) async fn of(snapshot: &Snapshot, packages: &Packages) -> Self {
        let list = |json: &[u8]| serde_json::from_slice::<Vec<Value>>(json).unwrap_or_default();
        let tools = list(snapshot.list_json());
        let mut report = Self { tools: tools.len(), readers: vec!["built-in rules".to_owned()], ..Self::default() };
        report.problems = rules(&tools);
        if tools.len() > MANY {
            report.notes.push(format!(
                "{} tools are published, and some model APIs and clients take {MANY} at once; `include` or /NAME/mcp gives them fewer",
                tools.len()
            ));
        }
        let lists = json!({
            "tools": tools,
            "prompts": list(snapshot.prompts_json()),
            "resources": list(snapshot.resources_json()),
            "resourceTemplates": list(snapshot.templates_json()),
        });
        let read = packages.read(&lists).await;
        report.readers.extend(read.readers);
        report.problems.extend(read.problems);
        report.notes.extend(read.notes);
        report
    }

    /// Whether everybody reads everything.
    pub(super) fn is_fine(&self) -> bool {
        self.problems.is_empty()
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for problem in &self.problems {
            let _ = writeln!(text, "CLIENTS {problem}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "note    {note}");
        }
        let problems = super::counted(self.problems.len(), "problem");
        let _ = writeln!(text, "clients: {} read by {}: {problems}", super::counted(self.tools, "tool"), self.readers.join(", "));
        text
    }
}

/// What in a list of tools is against the rules that hold for all clients.
fn rules(tools: &[Value]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut names = HashSet::new();
    for tool in tools {
        let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
        let mut problem = |what: &str| problems.push(format!("built-in rules: tool {name}: {what}"));
        if !is_taken_by_all(name) {
            problem("model APIs take names of 1 to 64 of A-Z, a-z, 0-9, _ and - alone");
        }
        if !names.insert(name) {
            problem("there is another tool of its name");
        }
        for key in ["title", "description"] {
            if tool.get(key).is_some_and(|text| !text.is_string()) {
                problem(&format!("its {key} is no text"));
            }
        }
        let empty = Map::new();
        for (key, role) in [("inputSchema", Role::Input), ("outputSchema", Role::Output)] {
            let schema = match tool.get(key) {
                Some(Value::Object(schema)) => schema,
                // Arguments have a schema in any case.
                None if key == "outputSchema" => continue,
                _ => &empty,
            };
            lint::faults_of(schema, role).iter().for_each(|fault| problem(&format!("its {key}{fault}")));
        }
    }
    problems
}

fn is_taken_by_all(name: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_client_cannot_read_is_told_with_its_place() {
        let fine = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        assert_eq!(rules(&[json!({"name": "a", "inputSchema": fine, "outputSchema": fine})]), [] as [&str; 0]);
        for (tool, want) in [
            (json!({"name": "a.b", "inputSchema": fine}), "tool a.b: model APIs take names"),
            (json!({"name": "x".repeat(65), "inputSchema": fine}), "model APIs take names"),
            (json!({"name": "a"}), "its inputSchema#: is not of type object"),
            (json!({"name": "a", "inputSchema": fine, "description": 1}), "its description is no text"),
            (
                json!({"name": "a", "inputSchema": {"type": "object", "properties": {"n": {"type": "integer", "maximum": u64::MAX}}}}),
                "its inputSchema/properties/n/maximum: has a number beyond",
            ),
            (
                json!({"name": "a", "inputSchema": fine, "outputSchema": {"type": "object", "properties": {"s": {"$ref": "#/$defs/S"}}}}),
                "its outputSchema/properties/s/$ref: leads nowhere",
            ),
        ] {
            let problems = rules(std::slice::from_ref(&tool));
            assert!(problems.iter().any(|problem| problem.contains(want)), "{want}: {problems:?}");
        }
        let twice = json!({"name": "a", "inputSchema": fine});
        assert_eq!(rules(&[twice.clone(), twice]), ["built-in rules: tool a: there is another tool of its name"]);
    }
}
