//! What operators do in the console. Each action is a line of the log and of the audit.

use std::sync::Arc;

use axum::{Extension, body::Body, extract::State};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;

use super::{AcceptError, Console};
use crate::{
    http::answer,
    provider::Principal,
    telemetry::audit::{Arguments, End, Facts},
};

#[derive(Deserialize)]
struct Restart {
    server: String,
}

#[derive(Deserialize)]
struct Disable {
    provider: String,
    /// The provider's own name of the tool.
    tool: String,
    disabled: bool,
}

#[derive(Deserialize)]
struct Accept {
    provider: String,
    print: String,
}

/// One action, until it is known what came of it.
struct Action<'a> {
    console: &'a Console,
    caller: Option<&'a str>,
    operation: &'static str,
}

impl Action<'_> {
    fn done(&self, provider: Option<&str>, name: Option<&str>) -> Response<Body> {
        let Self { caller, operation, .. } = *self;
        tracing::info!(principal = caller, provider, name, "console: {operation}");
        self.write(provider, name, "ok", None);
        answer::json_text(StatusCode::OK, "{}".to_owned())
    }

    fn failed(&self, status: StatusCode, error: &str, hint: &str) -> Response<Body> {
        self.write(None, None, "invalid_params", Some("invalid_params"));
        answer::problem(status, error, hint)
    }

    fn write(&self, provider: Option<&str>, name: Option<&str>, outcome: &'static str, error: Option<&str>) {
        if let Some(audit) = &self.console.audit {
            let (event, front, operation) = ("console", "http", Some(self.operation));
            let facts = Facts { event, caller: self.caller, front, operation, provider, name, ..Facts::default() };
            audit.write(&facts, Arguments::default(), &End { outcome, error, took: None });
        }
    }
}

pub(super) async fn restart(State(console): State<Arc<Console>>, principal: Option<Extension<Principal>>, body: Bytes) -> Response<Body> {
    let action = Action { console: &console, caller: principal.as_deref().map(Principal::subject), operation: "restart" };
    let Ok(Restart { server }) = serde_json::from_slice(&body) else { return malformed(&action) };
    if console.host.restart(&server) {
        return action.done(Some(&server), None);
    }
    let error = format!("there is no server {:?}", answer::echo(&server));
    action.failed(StatusCode::NOT_FOUND, &error, "plugins are not restarted: each call has an instance of its own")
}

pub(super) async fn disable(State(console): State<Arc<Console>>, principal: Option<Extension<Principal>>, body: Bytes) -> Response<Body> {
    let caller = principal.as_deref().map(Principal::subject);
    let Ok(Disable { provider, tool, disabled }) = serde_json::from_slice(&body) else {
        return malformed(&Action { console: &console, caller, operation: "disable" });
    };
    let action = Action { console: &console, caller, operation: if disabled { "disable" } else { "enable" } };
    match console.front.catalog().disable(&provider, &tool, disabled) {
        Some(_) => action.done(Some(&provider), Some(&tool)),
        None => {
            let error = format!("{:?} has no tool {:?}", answer::echo(&provider), answer::echo(&tool));
            action.failed(StatusCode::NOT_FOUND, &error, "look at the list of tools again")
        }
    }
}

pub(super) async fn reload(State(console): State<Arc<Console>>, principal: Option<Extension<Principal>>) -> Response<Body> {
    let action = Action { console: &console, caller: principal.as_deref().map(Principal::subject), operation: "reload" };
    console.host.reread();
    action.done(None, None)
}

pub(super) async fn accept(State(console): State<Arc<Console>>, principal: Option<Extension<Principal>>, body: Bytes) -> Response<Body> {
    let action = Action { console: &console, caller: principal.as_deref().map(Principal::subject), operation: "accept" };
    let Ok(Accept { provider, print }) = serde_json::from_slice(&body) else { return malformed(&action) };
    let host = Arc::clone(&console.host);
    let (of, shown) = (provider.clone(), print.clone());
    let accepted = tokio::task::spawn_blocking(move || host.accept(&of, &shown)).await;
    match accepted.unwrap_or_else(|error| Err(AcceptError::File(error.to_string()))) {
        Ok(()) => action.done(Some(&provider), Some(&print)),
        Err(error @ AcceptError::Outdated(_)) => {
            action.failed(StatusCode::CONFLICT, &error.to_string(), "look at what it says now, and accept that")
        }
        Err(error) => {
            let hint = "let Toolbay write the file, or run `toolbay lock --accept` where it can be written";
            action.failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string(), hint)
        }
    }
}

fn malformed(action: &Action<'_>) -> Response<Body> {
    action.failed(
        StatusCode::BAD_REQUEST,
        "the body is not the JSON that this action takes",
        "reload the page: it may be of another version of Toolbay",
    )
}
