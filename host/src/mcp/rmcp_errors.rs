//! What is wrong with a request that rmcp could not make sense of.

use rmcp::{ErrorData, model::ErrorCode};
use serde_json::Value;

/// The methods whose parameters rmcp parses; where they do not fit, it takes the request for one of an unknown method.
const KNOWN_METHODS: [&str; 18] = [
    "tools/call",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "ping",
    "server/discover",
    "initialize",
];

/// The error for a request of a method that rmcp does not know, or whose parameters it does not understand.
pub(super) fn not_understood(method: &str, params: Option<&Value>) -> ErrorData {
    if KNOWN_METHODS.contains(&method) {
        return ErrorData::invalid_params(params_fault(method, params), None);
    }
    let shown: String = method.chars().take(200).collect();
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("there is no method {shown:?}"), None)
}

/// Says which member of the parameters does not fit.
fn params_fault(method: &str, params: Option<&Value>) -> String {
    let Some(params) = params.and_then(Value::as_object) else {
        return format!("the params of {method} must be an object");
    };
    let needed = match method {
        "tools/call" => Some(("name", "the tool's")),
        "prompts/get" => Some(("name", "the prompt's")),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some(("uri", "the resource's")),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some(("taskId", "the task's")),
        _ => None,
    };
    if let Some((member, whose)) = needed {
        match params.get(member) {
            None => return format!("the params of {method} need a {member:?}: {whose}"),
            Some(Value::String(_)) => {}
            Some(other) => return format!("{member:?} in the params of {method} must be a string, not {}", kind(other)),
        }
    }
    match params.get("arguments") {
        Some(arguments) if matches!(method, "tools/call" | "prompts/get") && !arguments.is_object() && !arguments.is_null() => {
            format!("\"arguments\" in the params of {method} must be an object, not {}", kind(arguments))
        }
        _ if method == "completion/complete" => {
            "the params of completion/complete need a \"ref\" ({\"type\": \"ref/prompt\", \"name\": …} or {\"type\": \"ref/resource\", \"uri\": …}) and \
             an \"argument\" ({\"name\": …, \"value\": …})"
                .to_owned()
        }
        _ => format!("the params of {method} do not fit the method's schema"),
    }
}

/// What a value is, for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
