//! An HTTP application as a provider: every operation of its OpenAPI document (2.0 to 3.2) is a tool.
//!
//! `reader` reads the document, again and again → `grow` makes a `tree` of it, which stands in the `library` with those that it refers to → `document` finds
//! the operations → `operation` makes a tool and a plan of each, with `parameter`, `body`, `schema` and `promise` → a call checks its arguments, `request` and
//! `content` write the request, `send` sends it, `answer` makes of the response what the caller sees.

mod answer;
mod arguments;
mod body;
mod content;
mod document;
mod grow;
mod keyword;
mod library;
mod load;
mod names;
mod operation;
mod parameter;
mod promise;
mod reader;
mod request;
mod schema;
mod security;
mod send;
#[cfg(test)]
mod tests;
mod tree;

use std::{collections::HashMap, sync::Arc};

use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::provider::{Call, CallError, CallOutput, Provider, ProviderId, SpanKind, Tool};
use operation::Operation;
pub use reader::{Look, Reader, Wanted};
use send::Sender;

/// Why an application cannot be a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The document is not there, or does not come.
    #[error("cannot read the OpenAPI document {document}: {reason}")]
    Read {
        /// The file or the URL.
        document: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The document is none.
    #[error("{document} is not an OpenAPI document that can be used: {reason}")]
    Document {
        /// The file or the URL.
        document: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not known where the application is.
    #[error("{document} does not say where the application is ({reason}): set base_url = \"http://…\" in [server.{server}]")]
    NoAddress {
        /// The file or the URL.
        document: String,
        /// What it says.
        reason: String,
        /// Which section.
        server: ProviderId,
    },
    /// No operation can be a tool.
    #[error("{document} has no operation that can be a tool: {reason}")]
    Nothing {
        /// The file or the URL.
        document: String,
        /// Why not.
        reason: String,
    },
    /// No client for HTTP.
    #[error("cannot set up HTTP for [server.{server}]: {reason}")]
    Client {
        /// Which section.
        server: ProviderId,
        /// Why not.
        reason: String,
    },
}

/// The provider.
struct Application {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    operations: HashMap<String, Operation>,
    /// Names of operations that nobody wants, and that were not read.
    others: Vec<String>,
    /// Of all versions of the document together: what it limits is the application's.
    sender: Arc<Sender>,
}

impl Provider for Application {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn unread(&self) -> &[String] {
        &self.others
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        Box::pin(self.run(call))
    }
}

impl Application {
    async fn run(&self, call: Call<'_>) -> Result<CallOutput, CallError> {
        let operation = self.operations.get(call.tool).ok_or_else(|| CallError::UnknownTool(call.tool.to_owned()))?;
        if let Err(message) = operation.check(call.arguments) {
            return Ok(CallOutput::error(message));
        }
        let arguments: Map<String, Value> = serde_json::from_str(call.arguments)
            .map_err(|error| CallError::InvalidParams(format!("the arguments are not an object: {error}")))?;
        let request = match operation.check_names(&arguments).and_then(|()| operation.request(&arguments)) {
            Ok(request) => request,
            Err(message) => return Ok(CallOutput::error(message)),
        };
        let _turn = self.sender.turn(&self.id, call.context.started.as_deref()).await?;
        let mut context = call.context;
        let span = context.enter(SpanKind::Client, &[request.method.as_str()]);
        let sent = self.sender.send(&request, &context).await;
        if let Some(span) = span {
            request.trace(&*span, sent.as_ref().ok().map(|response| response.status));
        }
        match sent {
            Ok(response) => match answer::busy(&self.id, &response) {
                Some(busy) => Err(busy),
                None => Ok(answer::output(&self.id, operation, response)),
            },
            Err(message) => {
                tracing::warn!(server = %self.id, tool = call.tool, call = context.call_id, "{message}");
                Ok(CallOutput::error(message))
            }
        }
    }
}
