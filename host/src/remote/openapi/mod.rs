//! An HTTP application as a provider: every operation of its OpenAPI document (3.0 or 3.1) is a tool.
//!
//! `reader` reads the document, again and again → `document` takes it apart → `operation` makes a tool and a plan of each operation, with schemas by `schema` → a call checks its arguments,
//! `request` and `body` write the request, `send` sends it, `answer` makes of the response what the caller sees.

mod answer;
mod body;
mod document;
mod operation;
mod reader;
mod request;
mod schema;
mod send;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use url::Origin;

use crate::{
    config::OpenApiSource,
    provider::{Call, CallError, CallOutput, Provider, ProviderId, Tool},
};
use document::Document;
use operation::Operation;
pub use reader::{Look, Reader};
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

/// Makes a provider of a document. What of it cannot be used is logged and left out.
fn provider(id: &ProviderId, source: &OpenApiSource, document: &Document, sender: Arc<Sender>) -> Result<Arc<dyn Provider>, Error> {
    let base = document.base(id, source)?;
    let credentials = document.credentials_are_for(source);
    let (mut tools, mut operations, mut left_out) = (Vec::new(), HashMap::new(), Vec::new());
    for found in document.operations() {
        let place = format!("{} {}", found.method, found.path);
        let operation = Operation::new(document, &found, &base, &|name| operations.contains_key(name));
        match operation.and_then(|operation| is_for(operation, credentials.as_ref())) {
            Ok(operation) => {
                tools.push(Arc::clone(operation.tool()));
                operations.insert(operation.tool().name.as_str().to_owned(), operation);
            }
            Err(reason) => {
                tracing::warn!(server = %id, "{place} of {} is left out: {reason}", source.document);
                left_out.push(format!("{place}: {reason}"));
            }
        }
    }
    if tools.is_empty() {
        /// Operations of which it is told why not.
        const TOLD: usize = 5;
        let more = left_out.len().saturating_sub(TOLD);
        left_out.truncate(TOLD);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let reason = if left_out.is_empty() { "it has no operations".to_owned() } else { left_out.join("; ") + &more };
        return Err(Error::Nothing { document: source.document.clone(), reason });
    }
    Ok(Arc::new(Application { id: id.clone(), tools, operations, sender }))
}

/// Whether what the operator has for the application may be sent to where the document says that an operation is.
fn is_for(operation: Operation, credentials: Option<&Origin>) -> Result<Operation, String> {
    let origin = operation.base.origin();
    match credentials.filter(|credentials| **credentials != origin) {
        None => Ok(operation),
        Some(credentials) => Err(format!(
            "it is at {}, and `headers` and `bearer` are for {}, where the document is; set base_url to where they may go",
            origin.ascii_serialization(),
            credentials.ascii_serialization()
        )),
    }
}

/// The provider.
struct Application {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    operations: HashMap<String, Operation>,
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
        let request = match operation.request(&arguments) {
            Ok(request) => request,
            Err(message) => return Ok(CallOutput::error(message)),
        };
        let _turn = self.sender.turn(&self.id, call.context.started.as_deref()).await?;
        match self.sender.send(&request, call.context.trace_parent.as_deref()).await {
            Ok(response) => match answer::busy(&self.id, &response) {
                Some(busy) => Err(busy),
                None => Ok(answer::output(&self.id, operation, response)),
            },
            Err(message) => {
                tracing::warn!(server = %self.id, tool = call.tool, call = call.context.call_id, "{message}");
                Ok(CallOutput::error(message))
            }
        }
    }
}
