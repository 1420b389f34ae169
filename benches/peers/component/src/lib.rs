//! An MCP server that is a `wasi:http` component: `add` of two numbers, answered as 2026-07-28 has it, and nothing else.

use std::io::{self, Read as _, Write as _};

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
};

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    name: &'a str,
    arguments: Terms,
}

#[derive(Deserialize)]
struct Terms {
    a: f64,
    b: f64,
}

struct Server;

wasip2::http::proxy::export!(Server);

impl Guest for Server {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, body) = match read(&request).ok().and_then(|body| answer(&body)) {
            Some(body) => (200, body),
            None => (400, Vec::new()),
        };
        respond(out, status, &body);
    }
}

fn read(request: &IncomingRequest) -> io::Result<Vec<u8>> {
    let body = request.consume().map_err(|()| io::ErrorKind::BrokenPipe)?;
    let mut stream = body.stream().map_err(|()| io::ErrorKind::BrokenPipe)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// None: not a call of `add`.
fn answer(body: &[u8]) -> Option<Vec<u8>> {
    let request: Request<'_> = serde_json::from_slice(body).ok()?;
    if request.method != "tools/call" || request.params.name != "add" {
        return None;
    }
    let sum = request.params.arguments.a + request.params.arguments.b;
    let content = json!([{ "type": "text", "text": sum.to_string() }]);
    let result = json!({ "resultType": "complete", "content": content, "structuredContent": { "result": sum }, "isError": false });
    serde_json::to_vec(&json!({ "jsonrpc": "2.0", "id": request.id, "result": result })).ok()
}

fn respond(out: ResponseOutparam, status: u16, content: &[u8]) {
    let fields = Fields::new();
    let _ = fields.set("content-type", &[b"application/json".to_vec()]);
    let _ = fields.set("content-length", &[content.len().to_string().into_bytes()]);
    let response = OutgoingResponse::new(fields);
    let _ = response.set_status_code(status);
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    let Ok(body) = body else { return };
    if let Ok(mut stream) = body.write() {
        // Whoever asked is gone if this fails.
        let _ = stream.write_all(content).and_then(|()| io::Write::flush(&mut stream));
    }
    let _ = OutgoingBody::finish(body, None);
}
