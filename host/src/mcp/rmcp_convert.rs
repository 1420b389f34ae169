//! rmcp's models of what the catalog and the providers say. Members that they do not know are lost, which is why the usual requests go by the lean path.

#![allow(deprecated, reason = "logging is served for the clients that use it")]

use std::sync::Arc;

use rmcp::{
    ErrorData,
    model::{CallToolResult, ContentBlock, LoggingLevel, LoggingMessageNotification, ProgressNotification, ServerNotification, Tool},
};
use serde::de::DeserializeOwned;

use super::{
    era::Era,
    notification_queue::{NoteKind, Notification},
    reply, result_json,
    tasks::Reply,
};
use crate::{
    catalog::Entry,
    provider::{CallOutput, Content, LogLevel},
};

/// rmcp routes progress by its type, so the notification has to be a typed one.
pub(super) fn notification(note: &Notification) -> Option<ServerNotification> {
    match note.kind {
        NoteKind::Progress => serde_json::from_slice(&note.params).ok().map(|params| ProgressNotification::new(params).into()),
        NoteKind::Log => serde_json::from_slice(&note.params).ok().map(|params| LoggingMessageNotification::new(params).into()),
        // Calls that rmcp handles ask by rmcp.
        NoteKind::Request { .. } | NoteKind::Withdrawal => None,
    }
}

/// The published tool.
pub(super) fn tool(entry: &Entry) -> Tool {
    serde_json::from_str(entry.json()).unwrap_or_else(|error| {
        tracing::debug!(tool = entry.name(), "rmcp's model of a tool does not fit, the tool is listed bare: {error}");
        let description = entry.tool().description.clone().map(Into::into);
        Tool::new_with_raw(entry.name().to_owned(), description, Arc::clone(&entry.tool().input_schema))
    })
}

/// A prompt, a resource or a template in a list. One that the model does not take is left out.
pub(super) fn item<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).inspect_err(|error| tracing::debug!("rmcp's model does not fit, it is not listed: {error}: {json}")).ok()
}

/// The result of a read, a prompt or a completion.
pub(super) fn parsed<T: DeserializeOwned>(era: Era, private: bool, output: &Reply) -> Result<T, ErrorData> {
    let mut json = Vec::with_capacity(reply::size(output) + 128);
    reply::write(&mut json, era, private, output);
    serde_json::from_slice(&json).map_err(|error| ErrorData::internal_error(format!("the plugin's answer cannot be sent: {error}"), None))
}

/// The output of a call.
pub(super) fn result(era: Era, output: &CallOutput) -> Result<CallToolResult, ErrorData> {
    let broken = |error: serde_json::Error| ErrorData::internal_error(format!("the tool's answer cannot be sent: {error}"), None);
    let block = |content: &Content| match content {
        Content::Text(text) => Ok(ContentBlock::text(text.clone())),
        Content::Block(block) => serde_json::from_str(block.as_str()),
    };
    let mut result = CallToolResult::success(output.content.iter().map(block).collect::<Result<_, _>>().map_err(broken)?);
    result.structured_content = result_json::structured(era, output).map(serde_json::from_str).transpose().map_err(broken)?;
    result.is_error = Some(output.is_error);
    result.meta = output.meta.as_ref().map(|meta| serde_json::from_str(meta.as_str())).transpose().map_err(broken)?;
    Ok(result)
}

/// rmcp's level as ours.
pub(super) fn level(level: LoggingLevel) -> LogLevel {
    match level {
        LoggingLevel::Debug => LogLevel::Debug,
        LoggingLevel::Info => LogLevel::Info,
        LoggingLevel::Notice => LogLevel::Notice,
        LoggingLevel::Warning => LogLevel::Warning,
        LoggingLevel::Error => LogLevel::Error,
        LoggingLevel::Critical => LogLevel::Critical,
        LoggingLevel::Alert => LogLevel::Alert,
        LoggingLevel::Emergency => LogLevel::Emergency,
    }
}
