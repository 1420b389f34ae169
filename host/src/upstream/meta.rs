//! The `_meta` of a request on its next hop: what goes through as the caller wrote it, and what is made anew.

use super::{
    era::{CLIENT_INFO, Era, MODERN_VERSION},
    raw::{RawObject, write_json, write_key},
};
use crate::provider::{APPS_DECLARED, Asker, CallContext, LogLevel};

/// Keys of MCP itself. They belong to one hop: version, capabilities, log level, subscription.
const RESERVED: &str = "io.modelcontextprotocol/";

/// An extension that is between a client and this host alone: a server's task would be one that nobody here knows.
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// What a client can be asked, of all that it declared.
const ASKABLE: [&str; 3] = ["elicitation", "sampling", "roots"];

/// The `_meta` as JSON text. None: there is nothing to say. `token` is sent where the caller wants progress.
#[must_use]
pub fn outgoing(era: Era, context: &CallContext, token: u64) -> Option<String> {
    let wants_progress = context.notifier.as_ref().is_some_and(|notifier| notifier.wants_progress());
    if era == Era::Legacy && !wants_progress && context.meta.is_none() && context.span.is_none() && context.caller_trace.is_none() {
        return None;
    }
    let trace_parent = context.trace_parent();
    let mut meta = String::with_capacity(256);
    meta.push('{');
    if let Some(given) = context.meta.as_deref().and_then(RawObject::parse) {
        for (key, value) in given.members() {
            // A trace that is not well-formed goes no further, and what is told of one neither (Trace Context, 3.2.2).
            let is_lost = key == "tracestate" && context.caller_trace.is_none();
            let anew = key.starts_with(RESERVED) || key == "progressToken" || key == "traceparent" || is_lost;
            if !anew {
                write_key(&mut meta, key);
                meta.push_str(value);
            }
        }
    }
    if let Some(trace_parent) = &trace_parent {
        write_key(&mut meta, "traceparent");
        write_json(&mut meta, &**trace_parent);
    }
    if wants_progress {
        write_key(&mut meta, "progressToken");
        meta.push_str(itoa::Buffer::new().format(token));
    }
    if era == Era::Modern {
        let level = context.notifier.as_ref().and_then(|notifier| notifier.log_level());
        modern(&mut meta, context.asker.as_deref(), level);
    }
    meta.push('}');
    (meta.len() > 2).then_some(meta)
}

/// What 2026-07-28 wants to be told with each request.
fn modern(meta: &mut String, asker: Option<&dyn Asker>, level: Option<LogLevel>) {
    write_key(meta, "io.modelcontextprotocol/protocolVersion");
    write_json(meta, MODERN_VERSION);
    write_key(meta, "io.modelcontextprotocol/clientInfo");
    meta.push_str(CLIENT_INFO);
    write_key(meta, "io.modelcontextprotocol/clientCapabilities");
    meta.push('{');
    match asker {
        // The host asks for itself, and mostly for lists: these are for all callers.
        None => {
            write_key(meta, "extensions");
            meta.push_str(APPS_DECLARED);
        }
        Some(asker) => capabilities(meta, asker.capabilities()),
    }
    meta.push('}');
    if let Some(level) = level {
        write_key(meta, "io.modelcontextprotocol/logLevel");
        write_json(meta, &level);
    }
}

/// Of what a caller declared, JSON text of an object, what reaches a server.
fn capabilities(to: &mut String, declared: &str) {
    let Some(declared) = RawObject::parse(declared) else { return };
    for key in ASKABLE {
        if let Some(value) = declared.get(key) {
            write_key(to, key);
            to.push_str(value);
        }
    }
    let Some(extensions) = declared.get("extensions").and_then(RawObject::parse) else { return };
    let mut crossing = extensions.members().filter(|(name, _)| *name != TASKS).peekable();
    if crossing.peek().is_none() {
        return;
    }
    write_key(to, "extensions");
    to.push('{');
    for (name, value) in crossing {
        write_key(to, name);
        to.push_str(value);
    }
    to.push('}');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::BoxFuture;
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::{AskError, JsonText, Question};

    fn meta(era: Era, given: Value, trace_parent: Option<&str>) -> Option<Value> {
        let context =
            CallContext { meta: Some(given.to_string().into()), caller_trace: trace_parent.map(Into::into), ..CallContext::default() };
        outgoing(era, &context, 9).map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn vendor_keys_and_the_trace_go_through_and_what_belongs_to_a_hop_does_not() {
        let given = json!({
            "progressToken": "theirs", "io.modelcontextprotocol/logLevel": "debug", "traceparent": "00-a", "tracestate": "s", "baggage": "b",
            "com.acme/k": {"x": [1, null]}
        });
        let want = json!({"traceparent": "00-b", "tracestate": "s", "baggage": "b", "com.acme/k": {"x": [1, null]}});
        assert_eq!(meta(Era::Legacy, given.clone(), Some("00-b")), Some(want));
        let none = json!({"baggage": "b", "com.acme/k": {"x": [1, null]}});
        assert_eq!(meta(Era::Legacy, given, None), Some(none), "what is not well-formed is not there");
        assert_eq!(meta(Era::Legacy, json!({"progressToken": 1}), None), None);
    }

    #[test]
    fn the_modern_era_is_told_version_and_capabilities_each_time() {
        let text = outgoing(Era::Modern, &CallContext::default(), 1).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["io.modelcontextprotocol/protocolVersion"], MODERN_VERSION);
        let ui = json!({"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}});
        assert_eq!(value["io.modelcontextprotocol/clientCapabilities"], json!({ "extensions": ui }));
        assert_eq!(value["io.modelcontextprotocol/clientInfo"]["name"], "toolbay");
    }

    /// A caller that declared this.
    struct Declared(&'static str);

    impl Asker for Declared {
        fn capabilities(&self) -> &str {
            self.0
        }
        fn ask(&self, _: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
            Box::pin(std::future::ready(Ok(Vec::new())))
        }
    }

    #[test]
    fn what_a_client_declared_reaches_the_server_and_its_tasks_do_not() {
        let sent = |declared: &'static str| {
            let context = CallContext { asker: Some(Arc::new(Declared(declared))), ..CallContext::default() };
            let text = outgoing(Era::Modern, &context, 1).unwrap();
            serde_json::from_str::<Value>(&text).unwrap()["io.modelcontextprotocol/clientCapabilities"].clone()
        };
        let declared = r#"{"elicitation":{},"tasks":{},"extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{"mimeTypes":["a"]},"com.acme/x":{"y":1}}}"#;
        let ui = json!({"io.modelcontextprotocol/ui": {"mimeTypes": ["a"]}, "com.acme/x": {"y": 1}});
        assert_eq!(sent(declared), json!({"elicitation": {}, "extensions": ui}));
        for declared in
            ["{}", r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#, r#"{"extensions":[]}"#, r#"{"extensions":null}"#, "[]"]
        {
            assert_eq!(sent(declared), json!({}), "{declared}");
        }
    }
}
