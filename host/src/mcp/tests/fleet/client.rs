//! A client whose every request comes in at another host.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use super::{
    super::support::*,
    host::{Fleet, Host, caller},
    random::Random,
};
use crate::provider::{ProviderChange, ProviderId};

/// A client with a session, which knows what it must see.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) session: String,
    home: usize,
    random: Random,
    requests: usize,
}

fn posted(session: &str, body: &Value) -> Request<Body> {
    request(&[("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", session)], &body.to_string())
}

pub(super) fn without_body(method: Method, session: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri("/mcp").header("host", "localhost").header("accept", "text/event-stream");
    request.header("mcp-session-id", session).body(Body::empty()).unwrap()
}

pub(super) fn able(mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
    params
}

/// Waits for something that comes by itself.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} does not come"));
}

impl Client {
    pub(super) async fn begin(fleet: &Fleet, number: usize, seed: u64) -> Self {
        let mut client = Self { number, session: String::new(), home: 0, random: Random::of(seed, number), requests: 0 };
        client.open(fleet).await;
        client
    }

    pub(super) async fn open(&mut self, fleet: &Fleet) {
        self.home = self.random.of_these(&fleet.alive());
        let mut hello = initialize();
        hello["capabilities"] = json!({"elicitation": {}});
        let seen = fleet.at(self.home).send(self.number, legacy(None, "initialize", hello)).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        self.session = seen.headers["mcp-session-id"].to_str().unwrap().to_owned();
    }

    fn message(&mut self, method: &str, params: Value) -> Value {
        self.requests += 1;
        json!({"jsonrpc": "2.0", "id": self.requests, "method": method, "params": params})
    }

    pub(super) async fn rpc(&mut self, host: &Host, method: &str, params: Value) -> Seen {
        let message = self.message(method, params);
        host.send(self.number, posted(&self.session, &message)).await
    }

    /// Does one thing, and says how many requests hosts have had to forward for it: to a host that is there.
    pub(super) async fn step(&mut self, fleet: &Fleet) -> usize {
        let alive = fleet.alive();
        let [x, y, z] = [0; 3].map(|_| self.random.of_these(&alive));
        let home = self.home;
        let elsewhere = |at: usize| usize::from(at != home && fleet.is_there(home));
        match self.random.below(8) {
            0 => {
                let seen = self.rpc(fleet.at(x), "tools/call", json!({"name": "where"})).await;
                let expected = format!("{} at {x}", caller(self.number).subject());
                assert_eq!(seen.result()["content"][0]["text"], expected, "{seen:?}");
                0
            }
            1 => {
                self.asks(fleet.at(x), fleet.at(y)).await;
                usize::from(x != y)
            }
            2 => {
                // Where the session's host is gone, its stream and its subscriptions are where they are asked for.
                let (y, z) = if fleet.is_there(home) { (y, z) } else { (x, x) };
                let told_by = if fleet.is_there(home) { home } else { x };
                let mut stream = Events::of(fleet.at(y).answer(self.number, without_body(Method::GET, &self.session)).await);
                let done = self.rpc(fleet.at(x), "resources/subscribe", json!({"uri": "fleet://x"})).await;
                assert_eq!(done.result(), json!({}), "{done:?}");
                let updated = ProviderChange::Updated(ProviderId::new("worker").unwrap(), "fleet://x".to_owned());
                fleet.at(told_by).catalog.apply(vec![updated]);
                loop {
                    let told = stream.next().await.expect("the stream goes on");
                    if told["method"] == "notifications/resources/updated" {
                        break assert_eq!(told["params"]["uri"], "fleet://x", "{told}");
                    }
                }
                let done = self.rpc(fleet.at(z), "resources/unsubscribe", json!({"uri": "fleet://x"})).await;
                assert_eq!(done.result(), json!({}), "{done:?}");
                elsewhere(x) + elsewhere(y) + elsewhere(z)
            }
            3 => {
                let done = self.rpc(fleet.at(x), "logging/setLevel", json!({"level": "error"})).await;
                assert_eq!(done.result(), json!({}), "{done:?}");
                elsewhere(x)
            }
            4 => {
                let id = task(fleet.at(x), self.number).await;
                let get = |at: usize| fleet.at(at).send(self.number, modern("tasks/get", able(json!({"taskId": id}))));
                assert_eq!(get(y).await.result()["status"], "working");
                let noted = fleet.at(z).send(self.number, modern("tasks/cancel", able(json!({"taskId": id})))).await;
                assert_eq!(noted.status, 200, "{noted:?}");
                assert_eq!(get(y).await.result()["status"], "cancelled");
                // Of another caller it is none.
                let other = fleet.at(y).send(self.number + 1, modern("tasks/get", able(json!({"taskId": id})))).await;
                assert_eq!(other.code(), -32602, "{other:?}");
                3 * usize::from(y != x) + usize::from(z != x)
            }
            5 => {
                // Without its home, a cancellation reaches a call only where it runs.
                let y = if fleet.is_there(home) { y } else { x };
                self.cancels(fleet, x, y).await;
                usize::from(y != x && y != home)
            }
            6 => {
                // 2026-07-28: the question comes back with its answer, to whomever.
                let asked = fleet.at(x).send(self.number, modern("tools/call", able(json!({"name": "ask"})))).await.result();
                let answers = json!({"k": {"action": "accept", "content": {"n": self.number}}});
                let again = json!({"name": "ask", "requestState": asked["requestState"], "inputResponses": answers});
                let done = fleet.at(y).send(self.number, modern("tools/call", able(again.clone()))).await;
                assert!(done.result()["content"][0]["text"].as_str().unwrap().contains(&self.number.to_string()), "{done:?}");
                let other = fleet.at(z).send(self.number + 1, modern("tools/call", able(again))).await;
                assert_eq!(other.code(), -32602, "it is nobody else's: {other:?}");
                0
            }
            _ => {
                let gone = fleet.at(x).send(self.number, without_body(Method::DELETE, &self.session)).await;
                assert_eq!(gone.status, 204, "{gone:?}");
                for at in [Some(x), Some(home)].into_iter().flatten().filter(|at| fleet.is_there(*at)) {
                    assert_eq!(self.rpc(fleet.at(at), "tools/list", json!({})).await.status, 404);
                }
                self.open(fleet).await;
                elsewhere(x)
            }
        }
    }

    /// A call at one host asks, and the answer comes in at another.
    async fn asks(&mut self, calls: &Host, answers: &Host) {
        let call = self.message("tools/call", json!({"name": "ask"}));
        let mut stream = Events::of(calls.answer(self.number, posted(&self.session, &call)).await);
        let question = stream.next().await.unwrap();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let content = json!({"session": self.session});
        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": content}});
        assert_eq!(answers.send(self.number, posted(&self.session, &answer)).await.status, 202);
        let done = stream.next().await.unwrap();
        assert!(done["result"]["content"][0]["text"].as_str().unwrap().contains(&self.session), "{done}");
    }

    /// A call at one host, whose client says at another that it is to end.
    async fn cancels(&mut self, fleet: &Fleet, runs: usize, cancels: usize) {
        let mark = format!("{{\"client\":{},\"request\":{}}}", self.number, self.requests);
        let arguments: Value = serde_json::from_str(&mark).unwrap();
        let call = self.message("tools/call", json!({"name": "hang", "arguments": arguments}));
        let (runs, cancels) = (fleet.at(runs), fleet.at(cancels));
        let ended = async { Seen::of(runs.answer(self.number, posted(&self.session, &call)).await).await };
        let is_there = || runs.hanging.lock().unwrap().contains(&mark);
        let says = async {
            until("the call", is_there).await;
            let params = json!({"requestId": call["id"]});
            let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
            assert_eq!(cancels.send(self.number, posted(&self.session, &cancelled)).await.status, 202);
            until("the call's end", || !is_there()).await;
        };
        let (ended, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(ended, says) }).await.expect("the call ends");
        assert!(ended.messages().iter().all(|message| message.get("result").is_none()), "{ended:?}");
    }
}

/// A task that runs at that host: its id.
pub(super) async fn task(host: &Host, number: usize) -> String {
    let created = host.send(number, modern("tools/call", able(json!({"name": "work", "arguments": {"task": number}})))).await;
    created.result()["taskId"].as_str().unwrap_or_else(|| panic!("no task: {created:?}")).to_owned()
}
