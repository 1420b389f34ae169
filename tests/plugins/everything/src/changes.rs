//! Tools that say that something has changed.
//!
//! A plugin remembers nothing from one call to the next, so its lists can only change with something outside. Here that is the clock: two descriptions say
//! when their list was made. A real plugin would look into a folder, or ask an API.

use std::time::SystemTime;

use serde_json::Value;

use crate::{content::text, exports::toolbay::plugin::tools::Content, toolbay::plugin::notify};

const NO_ARGUMENTS: &str = r#"{"type":"object"}"#;
const URI: &str =
    r#"{"type":"object","properties":{"uri":{"type":"string","description":"Which resource. Without it: test://watched-resource"}}}"#;

/// Name, description, schema of the arguments.
pub const TOOLS: [(&str, &str, &str); 4] = [
    ("test_trigger_tool_change", "Has the tools listed again", NO_ARGUMENTS),
    ("test_trigger_prompt_change", "Has the prompts listed again", NO_ARGUMENTS),
    ("test_trigger_resource_change", "Has the resources listed again", NO_ARGUMENTS),
    ("test_trigger_resource_update", "Says that a resource holds something else now", URI),
];

/// Runs one of the tools.
pub fn call(name: &str, arguments: &Value) -> Option<Vec<Content>> {
    let said = match name {
        // The host lists again in an instance of its own, and tells its clients if the list is another one.
        "test_trigger_tool_change" => {
            notify::tools_changed();
            "The tools are listed again".into()
        }
        "test_trigger_prompt_change" => {
            notify::prompts_changed();
            "The prompts are listed again".into()
        }
        "test_trigger_resource_change" => {
            notify::resources_changed();
            "The resources are listed again".into()
        }
        "test_trigger_resource_update" => {
            let uri = arguments["uri"].as_str().unwrap_or("test://watched-resource");
            notify::resource_updated(uri);
            format!("Whoever subscribed to {uri} is told")
        }
        _ => return None,
    };
    Some(vec![text(said)])
}

/// What makes one list differ from the next.
pub fn listed_now() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("listed at {}.{:03} s", now.as_secs(), now.subsec_millis())
}
