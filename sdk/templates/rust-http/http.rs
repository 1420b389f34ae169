//! MCP's Streamable HTTP, as far as a server without sessions needs it: a message in, its answer out as JSON.

use serde_json::{Value, json};
use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::StreamError,
};

wasip2::http::proxy::export!(Server);

/// As much as one write takes.
const PIECE: usize = 4096;

const PARSE_ERROR: i32 = -32700;

struct Server;

impl Guest for Server {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        if !matches!(request.method(), Method::Post) {
            return respond(out, 405, None);
        }
        if path.split('?').next() != Some("/mcp") {
            return respond(out, 404, None);
        }
        let message = read(&request).and_then(|body| serde_json::from_slice(&body).map_err(|error| error.to_string()));
        match message.map(|message: Value| crate::answer(&message)) {
            Ok(Some(answer)) => respond(out, 200, Some(answer)),
            Ok(None) => respond(out, 202, None),
            Err(why) => {
                let error = json!({ "code": PARSE_ERROR, "message": why });
                respond(out, 400, Some(json!({ "jsonrpc": "2.0", "id": null, "error": error })));
            }
        }
    }
}

fn read(request: &IncomingRequest) -> Result<Vec<u8>, String> {
    let body = request.consume().map_err(|()| "the request has no body")?;
    let stream = body.stream().map_err(|()| "the request has no body")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}

fn respond(out: ResponseOutparam, status: u16, answer: Option<Value>) {
    let headers = Fields::new();
    if answer.is_some() {
        headers.append("content-type", b"application/json").expect("it may be set");
    }
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("it is a status");
    let body = response.body().expect("it is taken once");
    ResponseOutparam::set(out, Ok(response));
    if let Some(answer) = answer {
        let stream = body.write().expect("it is taken once");
        for piece in answer.to_string().as_bytes().chunks(PIECE) {
            // Who does not read on has left.
            if stream.blocking_write_and_flush(piece).is_err() {
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
