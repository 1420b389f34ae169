//! `/openapi.json`: this face as an OpenAPI 3.1 document, with the schemas of all tools that are on offer now.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{catalog::Snapshot, mcp::Front, provider::Principal};

/// The document for a caller: of what it may use.
pub(super) fn document(front: &Front, principal: Option<&Principal>) -> Value {
    let snapshot = front.seen(principal);
    let (mut schemas, mut calls, mut results) = (fixed_schemas(), Vec::new(), Vec::new());
    let mut mapping = Map::new();
    for (tool, component) in components(&snapshot) {
        let (arguments, call, result) = (format!("{component}.args"), format!("{component}.call"), format!("{component}.result"));
        let Some(entry) = snapshot.resolve(tool) else { continue };
        let tool = entry.tool();
        let mut shape = json!({
            "type": "object",
            "required": ["tool_name", "tool_args"],
            "properties": { "tool_name": { "const": tool.name }, "tool_args": reference(&arguments) }
        });
        if let (Some(description), Some(members)) = (&tool.description, shape.as_object_mut()) {
            members.insert("description".to_owned(), description.as_str().into());
        }
        calls.push(reference(&call));
        mapping.insert(tool.name.to_string(), pointer(&call).into());
        schemas.insert(arguments.clone(), embedded(&tool.input_schema, &arguments));
        schemas.insert(call, shape);
        if let Some(output) = &tool.output_schema {
            results.push(reference(&result));
            schemas.insert(result.clone(), embedded(output, &result));
        }
    }
    if !calls.is_empty() {
        let choice = json!({ "oneOf": calls, "discriminator": { "propertyName": "tool_name", "mapping": mapping } });
        schemas.insert("Call".to_owned(), choice);
    }
    // A tool's own structure, the text of a single block, or MCP's content blocks.
    results.push(json!({ "type": "string" }));
    results.push(json!({ "type": "array", "items": { "type": "object" } }));
    // With `result=mcp`.
    results.push(json!({ "type": "object", "required": ["content", "isError"], "properties": {
        "content": { "type": "array", "items": { "type": "object" } },
        "structuredContent": { "type": "object" },
        "isError": { "type": "boolean" },
    } }));
    schemas.insert(
        "CallResult".to_owned(),
        json!({ "type": "object", "required": ["result"], "properties": { "result": { "anyOf": results } } }),
    );
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Toolbay",
            "description": "The tools of this server for callers without MCP. MCP clients use /mcp.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths(&names_of_providers(front, &snapshot)),
        "components": { "schemas": schemas },
    });
    if front.is_authenticated()
        && let Some(members) = document.as_object_mut()
    {
        members.insert("security".to_owned(), json!([{ "bearer": [] }]));
        if let Some(components) = members.get_mut("components").and_then(Value::as_object_mut) {
            components.insert("securitySchemes".to_owned(), json!({ "bearer": { "type": "http", "scheme": "bearer" } }));
        }
    }
    document
}

fn names_of_providers(front: &Front, seen: &Snapshot) -> Vec<String> {
    let providers = front.catalog().providers();
    providers.iter().map(|provider| provider.id().to_string()).filter(|id| seen.shows(id)).collect()
}

fn paths(servers: &[String]) -> Value {
    let list = |id: &str, summary: &str| {
        json!({ "operationId": id, "summary": summary, "responses": {
            "200": answer("The tools.", "ToolList"),
        } })
    };
    let call = |id: &str, summary: &str, body: &str| {
        json!({
            "operationId": id,
            "summary": summary,
            "parameters": [{ "name": "result", "in": "query", "required": false,
                "description": "The shape of the answer: what a program wants of it, or MCP's whole CallToolResult.",
                "schema": { "type": "string", "enum": ["value", "mcp"] } }],
            "requestBody": { "required": true, "content": { "application/json": { "schema": reference(body) } } },
            "responses": {
                "200": answer("What the tool answered.", "CallResult"),
                "400": answer("The body lacks something, or is none.", "Error"),
                "404": answer("There is no such tool.", "Error"),
                "429": answer("This caller calls more often than its roles allow: retry after `Retry-After` seconds.", "Error"),
                "500": answer("The tool failed: `reason` has what it said.", "Error"),
                "503": answer("Too many calls are running and queued: retry after `Retry-After` seconds.", "Error"),
            }
        })
    };
    let mut paths = json!({
        "/tools": { "get": list("listTools", "All tools") },
        "/call": { "post": call("callTool", "Calls a tool", "Call") },
    });
    // An empty choice is no schema.
    if !servers.is_empty()
        && let Some(paths) = paths.as_object_mut()
    {
        let which = json!([{ "name": "server", "in": "path", "required": true, "description": "A plugin or server.",
            "schema": { "type": "string", "enum": servers } }]);
        let get = list("listServerTools", "The tools of one plugin or server, under its own names");
        let post = call("callServerTool", "Calls a tool of one plugin or server, by its own name", "ServerCall");
        let with_404 = |mut operation: Value| {
            if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
                responses.insert("404".to_owned(), answer("There is no such plugin, server or tool.", "Error"));
                let away = "It is configured and not running, which `reason` explains, or has too many calls running and queued: retry after `Retry-After` seconds.";
                responses.insert("503".to_owned(), answer(away, "Error"));
            }
            operation
        };
        paths.insert("/{server}/tools".to_owned(), json!({ "parameters": which, "get": with_404(get) }));
        paths.insert("/{server}/call".to_owned(), json!({ "parameters": which, "post": with_404(post) }));
    }
    paths
}

fn answer(description: &str, schema: &str) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": reference(schema) } } })
}

fn pointer(component: &str) -> String {
    format!("#/components/schemas/{component}")
}

fn reference(component: &str) -> Value {
    json!({ "$ref": pointer(component) })
}

fn fixed_schemas() -> BTreeMap<String, Value> {
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let text = || json!({ "type": "string" });
    let tool = json!({ "name": text(), "description": text(), "input_schema": { "type": "object" } });
    [
        ("Tool", object(&["name", "description", "input_schema"], tool)),
        ("ToolList", object(&["tools"], json!({ "tools": { "type": "array", "items": reference("Tool") } }))),
        ("Call", object(&["tool_name", "tool_args"], json!({ "tool_name": text(), "tool_args": { "type": "object" } }))),
        ("ServerCall", {
            let name = json!({ "type": "string", "description": "May be left out where there is a default tool, or only one." });
            object(&["tool_args"], json!({ "tool_name": name, "tool_args": { "type": "object" } }))
        }),
        ("Error", {
            let detail = json!({ "type": "string", "description": "One of a few fixed sentences." });
            object(&["detail"], json!({ "detail": detail, "reason": { "type": "string", "description": "More, for people." } }))
        }),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into()
}

/// The tools with names that a component may have: `/` is allowed in the one and not in the other.
fn components(snapshot: &Snapshot) -> Vec<(&str, String)> {
    let mut taken = BTreeSet::new();
    let mut unique = |name: String| {
        let mut unique = name.clone();
        let mut number = 2;
        while !taken.insert(unique.clone()) {
            unique = format!("{name}_{number}");
            number += 1;
        }
        unique
    };
    snapshot.tools().map(|entry| (entry.name(), unique(entry.name().replace('/', ".")))).collect()
}

/// A schema below a component's name: its references to its own parts start at the document's root there.
fn embedded(schema: &Map<String, Value>, component: &str) -> Value {
    let mut schema = Value::Object(schema.clone());
    // With an `$id` it is a document of its own, and its references are right as they are.
    if schema.get("$id").is_none() {
        rebase(&mut schema, &pointer(component));
    }
    schema
}

fn rebase(schema: &mut Value, root: &str) {
    match schema {
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("$ref", Value::String(reference)) => {
                        if let Some(rest) = reference.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                            *reference = format!("{root}{rest}");
                        }
                    }
                    // The keys are names, and what they say as keywords does not count.
                    ("properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas", Value::Object(named)) => {
                        named.values_mut().for_each(|schema| rebase(schema, root));
                    }
                    // Values, not schemas: a `$ref` in them is nobody's.
                    ("const" | "enum" | "default" | "examples", _) => {}
                    (_, member) => rebase(member, root),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rebase(item, root)),
        _ => {}
    }
}
