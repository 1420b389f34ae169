//! A client on stdin and stdout of `toolbay stdio`, message by message.

use std::{process::ExitStatus, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::secs;

/// A running `toolbay stdio`, ended when it goes out of scope.
pub struct StdioClient {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    /// Messages that were read while another one was looked for.
    passed: Vec<Value>,
    last: u64,
}

impl StdioClient {
    /// Starts a command. What it logs goes to this process's stderr.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the binary can be started");
        let output = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
        Self { input: child.stdin.take(), output, child, passed: Vec::new(), last: 0 }
    }

    /// Writes a line as it is.
    ///
    /// # Panics
    ///
    /// Where nobody reads it.
    pub async fn write(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(format!("{line}\n").as_bytes()).await.expect("toolbay reads its input");
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Value) {
        self.write(&message.to_string()).await;
    }

    /// Sends a request under a new id, and returns that.
    pub async fn request(&mut self, method: &str, params: Value) -> u64 {
        self.last += 1;
        self.send(json!({ "jsonrpc": "2.0", "id": self.last, "method": method, "params": params })).await;
        self.last
    }

    /// Sends a request and waits for its answer.
    pub async fn rpc(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params).await;
        self.answer(id).await
    }

    /// Waits for the answer to a request.
    pub async fn answer(&mut self, id: u64) -> Value {
        self.wait("an answer", |message| message["id"] == id && message.get("method").is_none()).await
    }

    /// Waits for a request or a notification of the server's.
    pub async fn wait_method(&mut self, method: &str) -> Value {
        self.wait(method, |message| message["method"] == method).await
    }

    /// Waits for a message.
    ///
    /// # Panics
    ///
    /// Where none comes, or a line is no JSON-RPC.
    pub async fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.passed.iter().position(&wanted) {
            return self.passed.remove(at);
        }
        loop {
            let message = self.next(secs(120)).await.unwrap_or_else(|| panic!("no {what} came: {:?}", self.passed));
            if wanted(&message) {
                return message;
            }
            self.passed.push(message);
        }
    }

    /// The next line. None: stdout was closed, or nothing came in that time.
    ///
    /// # Panics
    ///
    /// Where it is no JSON-RPC: stdout is for messages only.
    pub async fn next(&mut self, patience: Duration) -> Option<Value> {
        let line = tokio::time::timeout(patience, self.output.next_line()).await.ok()?.expect("stdout can be read")?;
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        Some(message)
    }

    /// The next line that is an answer. None: none came in that time.
    pub async fn next_answer(&mut self, patience: Duration) -> Option<Value> {
        let found = async {
            loop {
                match self.next(patience).await {
                    Some(message) if message.get("method").is_some() => {}
                    other => return other,
                }
            }
        };
        tokio::time::timeout(patience, found).await.ok().flatten()
    }

    /// Opens a session of this revision.
    ///
    /// # Panics
    ///
    /// Where it is refused.
    pub async fn initialize(&mut self, revision: &str, capabilities: Value) -> Value {
        let client = json!({ "name": "toolbay-e2e", "version": "1" });
        let params = json!({ "protocolVersion": revision, "capabilities": capabilities, "clientInfo": client });
        let answer = self.rpc("initialize", params).await;
        assert_eq!(answer["result"]["protocolVersion"], revision, "{answer}");
        self.send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        answer["result"].clone()
    }

    /// Ends the input.
    pub fn close(&mut self) {
        self.input = None;
    }

    /// Its process.
    ///
    /// # Panics
    ///
    /// Where it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// Where it does not end.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        tokio::time::timeout(secs(20), self.child.wait()).await.expect("toolbay ends").expect("its end can be awaited")
    }
}
