//! A collector on loopback for tests: it takes OTLP over HTTP, and reads it by its numbers.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    thread,
};

use super::protobuf::{Field, fields};

/// A message of Protocol Buffers, read by the numbers of OTLP.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read(pub(crate) Vec<u8>);

impl Read {
    pub(crate) fn all(&self, number: u64) -> Vec<Self> {
        let of = fields(&self.0).filter(|(field, _)| *field == number);
        of.filter_map(|(_, field)| field.bytes().map(|bytes| Self(bytes.to_vec()))).collect()
    }

    pub(crate) fn one(&self, number: u64) -> Self {
        self.all(number).pop().unwrap_or_else(|| Self(Vec::new()))
    }

    pub(crate) fn number(&self, number: u64) -> u64 {
        fields(&self.0).find_map(|(field, value)| if field == number { Field::number(value) } else { None }).unwrap_or_default()
    }

    pub(crate) fn text(&self, number: u64) -> String {
        String::from_utf8(self.one(number).0).unwrap()
    }
}

/// A collector that answers each request as it is told.
pub(crate) struct Collector {
    pub(crate) url: String,
    pub(crate) requests: mpsc::Receiver<(String, Read)>,
}

impl Collector {
    /// `answers`: status and rejected spans, one after the other; the last again and again.
    pub(crate) fn start(answers: &[(u16, u8)]) -> Self {
        let answers = answers.iter().map(|(status, rejected)| {
            let body = if *rejected > 0 { vec![10, 2, 8, *rejected] } else { Vec::new() };
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\nretry-after: 0\r\n\r\n", body.len());
            [head.into_bytes(), body].concat()
        });
        Self::answering(answers.collect())
    }

    /// `answers`: whole answers, one after the other; the last again and again.
    pub(crate) fn answering(mut answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = Vec::new();
                let mut piece = [0; 4096];
                let (head, body) = loop {
                    let read = stream.read(&mut piece).unwrap();
                    if read == 0 {
                        return;
                    }
                    bytes.extend_from_slice(&piece[..read]);
                    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
                    let length: usize = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
                    if bytes.len() >= end + 4 + length {
                        break (head, bytes[end + 4..].to_vec());
                    }
                };
                let body = if head.contains("content-encoding: gzip") {
                    let mut plain = Vec::new();
                    flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
                    plain
                } else {
                    body
                };
                if sender.send((head, Read(body))).is_err() {
                    return;
                }
                // Told first: who has its answer finds the request here.
                let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
                stream.write_all(&answer).unwrap();
            }
        });
        Self { url, requests }
    }
}
