//! Text utilities by the `tools` interface: lists the tools, and hands each call to the one that it names.

mod answer;
mod format;
mod tool;
mod tools;

use exports::toolbay::plugin::tools::{CallResult, Error, Guest, Tool};

wit_bindgen::generate!({ path: "../../wit", world: "plugin" });

/// JSON-RPC: invalid parameters.
const INVALID_PARAMS: i32 = -32602;

struct TextTools;

impl Guest for TextTools {
    fn list_tools() -> Result<Vec<Tool>, Error> {
        Ok(tools::ALL.iter().map(tool::Entry::published).collect())
    }

    fn call_tool(name: String, arguments: String) -> Result<CallResult, Error> {
        let Some(entry) = tools::ALL.iter().find(|entry| entry.name == name) else {
            return Err(Error { code: INVALID_PARAMS, message: format!("there is no tool {name}"), data: None });
        };
        // What a tool has to say against its arguments, the model should read and mend: it is an answer, not an error of the protocol.
        Ok((entry.run)(&arguments).unwrap_or_else(answer::failure))
    }
}

export!(TextTools);
