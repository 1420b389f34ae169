//! Which calls a person has to confirm.

use super::role::names;
use crate::provider::Tool;

/// Tools that may destroy something, by their annotations.
const DESTRUCTIVE: &str = "destructive";
/// Tools that reach beyond what is known, by their annotations.
const OPEN_WORLD: &str = "open-world";

/// The rules on which calls a person has to confirm: classes and patterns of tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirm(Vec<String>);

impl Confirm {
    /// By these classes (`destructive`, `open-world`) and patterns.
    #[must_use]
    pub fn new(rules: Vec<String>) -> Self {
        Self(rules)
    }

    /// Whether a rule is a class, and no pattern.
    #[must_use]
    pub fn is_class(rule: &str) -> bool {
        matches!(rule, DESTRUCTIVE | OPEN_WORLD)
    }

    /// Whether no call has to be confirmed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rule by which calls of a tool have to be confirmed, if there is one.
    #[must_use]
    pub fn rule_for(&self, provider: &str, own: &str, published: &str, tool: &Tool) -> Option<&str> {
        let is_it = |rule: &&String| match rule.as_str() {
            DESTRUCTIVE => !hint(tool, "readOnlyHint", false) && hint(tool, "destructiveHint", true),
            OPEN_WORLD => hint(tool, "openWorldHint", true),
            pattern => names(pattern, provider, own, published),
        };
        self.0.iter().find(is_it).map(String::as_str)
    }
}

/// A hint of the tool's annotations; what it says nothing of is as MCP has it.
fn hint(tool: &Tool, name: &str, default: bool) -> bool {
    tool.annotations.as_ref().and_then(|annotations| annotations.get(name)).and_then(serde_json::Value::as_bool).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::ToolName;

    fn tool(annotations: Value) -> Tool {
        Tool {
            name: ToolName::new("t").unwrap(),
            title: None,
            description: None,
            input_schema: Default::default(),
            output_schema: None,
            annotations: Some(annotations),
            icons: None,
            meta: None,
            extra: serde_json::Map::new(),
            notifies: false,
        }
    }

    #[test]
    fn what_a_tool_does_not_say_is_as_mcp_has_it() {
        let rule = |rules: &[&str], annotations: Value| {
            let confirm = Confirm::new(rules.iter().map(|rule| (*rule).to_owned()).collect());
            confirm.rule_for("github", "delete_repo", "delete_repo", &tool(annotations)).map(str::to_owned)
        };
        for (rules, annotations, found) in [
            (&["destructive"][..], json!({}), true),
            (&["destructive"], json!({"destructiveHint": false}), false),
            (&["destructive"], json!({"readOnlyHint": true}), false),
            (&["destructive"], json!({"readOnlyHint": true, "destructiveHint": true}), false),
            (&["open-world"], json!({}), true),
            (&["open-world"], json!({"openWorldHint": false}), false),
            (&["github__*"], json!({"readOnlyHint": true}), true),
            (&["gitlab__*", "delete_*"], json!({"readOnlyHint": true}), true),
            (&["gitlab__*"], json!({}), false),
            (&[], json!({}), false),
        ] {
            assert_eq!(rule(rules, annotations.clone()).is_some(), found, "{rules:?} {annotations}");
        }
    }
}
