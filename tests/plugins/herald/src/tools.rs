//! Its tools.

use serde_json::{Value, json};
use wasip2::http::{
    outgoing_handler,
    types::{Fields, OutgoingRequest, Scheme},
};

/// What it lists.
pub fn list() -> Vec<Value> {
    let text = |name: &str, description: &str, parameter: &str| {
        json!({
            "name": name, "description": description,
            "inputSchema": { "type": "object", "properties": { parameter: { "type": "string" } }, "required": [parameter] },
        })
    };
    let bare = |name: &str, description: &str| json!({ "name": name, "description": description, "inputSchema": { "type": "object" } });
    vec![
        text("cry", "Says it aloud.", "what"),
        text("fetch", "Fetches from a host.", "host"),
        bare("served", "How many calls this instance has served."),
        bare("steps", "Tells of three steps before it answers."),
        bare("ask", "Asks its caller for a name."),
        bare("linger", "Works on after its answer."),
        bare("crash", "Does not answer."),
        bare("spin", "Never answers."),
        bare("flood", "Answers more than anybody takes."),
        bare("wrong", "Answers by an error of JSON-RPC."),
    ]
}

/// Runs one.
pub fn call(params: &Value, served: u32, tell: &mut dyn FnMut(Value)) -> Result<Value, (i32, String)> {
    let argument = |name: &str| params["arguments"][name].as_str().unwrap_or_default().to_owned();
    match params["name"].as_str().unwrap_or_default() {
        "cry" => Ok(said(&format!("{}!", argument("what").to_uppercase()))),
        "served" => Ok(said(&served.to_string())),
        "fetch" => Ok(fetch(&argument("host"))),
        "steps" => {
            let token = &params["_meta"]["progressToken"];
            for step in 1..=3 {
                std::thread::sleep(std::time::Duration::from_millis(20));
                tell(json!({
                    "jsonrpc": "2.0", "method": "notifications/progress",
                    "params": { "progressToken": token, "progress": step, "total": 3, "message": format!("step {step}") },
                }));
            }
            Ok(said("three steps"))
        }
        "ask" => match params["inputResponses"]["who"]["content"]["name"].as_str() {
            Some(name) => Ok(said(&format!("hail, {name}"))),
            None => Ok(json!({
                "resultType": "input_required",
                "inputRequests": { "who": { "method": "elicitation/create", "params": {
                    "mode": "form", "message": "Who are you?",
                    "requestedSchema": { "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] },
                } } },
            })),
        },
        "linger" => Ok(said("answered")),
        "crash" => panic!("the herald has lost its voice"),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "flood" => Ok(said(&"x".repeat(16 << 20))),
        "wrong" => Err((-32099, "the herald errs".into())),
        name => Err((-32602, format!("there is no tool {name}"))),
    }
}

fn said(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

/// Asks a host over HTTP: granted, or refused by who runs it.
fn fetch(host: &str) -> Value {
    let request = OutgoingRequest::new(Fields::new());
    let set = request.set_scheme(Some(&Scheme::Http)).is_ok()
        && request.set_authority(Some(host)).is_ok()
        && request.set_path_with_query(Some("/")).is_ok();
    let coming = if set { outgoing_handler::handle(request, None) } else { return failed("that is no host") };
    let Ok(coming) = coming else { return failed("the request was not let out") };
    coming.subscribe().block();
    match coming.get() {
        Some(Ok(Ok(response))) => said(&format!("status {}", response.status())),
        Some(Ok(Err(code))) => failed(&format!("{code:?}")),
        _ => failed("no answer"),
    }
}

fn failed(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "isError": true })
}
