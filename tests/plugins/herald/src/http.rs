//! Bodies and answers of HTTP, as `wasi:http` has them.

use wasip2::{
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::{OutputStream, StreamError},
};

/// Bytes of one write, by `wasi:io`.
const PIECE: usize = 4096;

/// A whole body.
pub fn read(request: &IncomingRequest) -> Result<Vec<u8>, String> {
    let body = request.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}

/// An answer that is whole.
pub struct Answer {
    status: u16,
    headers: Fields,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Fields::new() }
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.headers.append(name, value.as_bytes()).expect("a header");
        self
    }

    pub fn body(self, out: ResponseOutparam, bytes: &[u8]) {
        let (body, stream) = open(self, out);
        write(&stream, bytes);
        drop(stream);
        OutgoingBody::finish(body, None).expect("the body is whole");
    }
}

/// An event stream.
pub struct Stream {
    body: OutgoingBody,
    stream: OutputStream,
}

impl Stream {
    pub fn open(out: ResponseOutparam) -> Self {
        let (body, stream) = open(Answer::new(200).header("content-type", "text/event-stream; charset=utf-8"), out);
        Self { body, stream }
    }

    pub fn event(&mut self, lines: &str) {
        write(&self.stream, format!("{lines}\n\n").as_bytes());
    }

    pub fn close(self) {
        drop(self.stream);
        OutgoingBody::finish(self.body, None).expect("the body is whole");
    }
}

fn write(stream: &OutputStream, bytes: &[u8]) {
    for piece in bytes.chunks(PIECE) {
        stream.blocking_write_and_flush(piece).expect("somebody reads");
    }
}

fn open(answer: Answer, out: ResponseOutparam) -> (OutgoingBody, OutputStream) {
    let response = OutgoingResponse::new(answer.headers);
    response.set_status_code(answer.status).expect("a status");
    let body = response.body().expect("the first body");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the first stream");
    (body, stream)
}
