//! A server as a provider: each call by a connection that is chosen for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;

use super::{
    ChannelError, Lease, Pick, convert,
    era::{LEGACY_VERSION, MODERN_VERSION},
    fit::Outputs,
    listing::Listing,
    raw::{write_json, write_key},
};
use crate::{
    config::{PublishRules, Revision, ServerLimits},
    provider::{
        AskError, Call, CallContext, CallError, CallOutput, Completion, Completions, Content, Definition, JsonText, Offers, PromptOutput,
        Provider, ProviderId, Reference, Span, SpanKind, SpanValue, Subscription, Tool,
    },
};

/// What one server offers, at one time: a new [`Listing`] is a new provider.
pub struct UpstreamProvider {
    id: ProviderId,
    listing: Arc<Listing>,
    pick: Arc<dyn Pick>,
    limits: ServerLimits,
    outputs: Outputs,
    /// What it is for the operator, and which table of the configuration is about it.
    kind: &'static str,
    /// Whether the operator was told that the server cannot ask.
    is_told: AtomicBool,
}

impl UpstreamProvider {
    /// A provider of what the listing holds, which was made by these rules; calls go where `pick` sends them.
    #[must_use]
    pub fn new(id: ProviderId, listing: Arc<Listing>, pick: Arc<dyn Pick>, limits: ServerLimits, publish: PublishRules) -> Self {
        let outputs = Outputs::new(&listing.tools, publish);
        Self { id, listing, pick, limits, outputs, kind: "server", is_told: AtomicBool::new(false) }
    }

    /// The same of a plugin that is a server itself.
    #[must_use]
    pub fn of_plugin(self) -> Self {
        Self { kind: "plugin", ..self }
    }

    /// What it was made from.
    #[must_use]
    pub fn listing(&self) -> &Arc<Listing> {
        &self.listing
    }

    async fn request<T>(
        &self,
        method: &'static str,
        // What it is about, for the trace.
        target: &str,
        params: &str,
        context: &CallContext,
        read: impl FnOnce(&JsonText) -> Result<T, ChannelError>,
    ) -> Result<T, CallError> {
        let Lease { channel, replica, guard } = self.pick.pick(context.started.as_deref()).await?;
        let mut own = None;
        let span = context.span.is_some().then(|| self.enter(own.insert(context.clone()), method, target)).flatten();
        let context = own.as_ref().unwrap_or(context);
        if let Some(replica) = replica {
            tracing::debug!(server = %self.id, replica, method, "a replica is asked");
            if let Some(span) = &span {
                span.set("toolbay.replica", SpanValue::Number(replica.cast_signed()));
            }
        }
        let result =
            channel.request(method, params, context, self.limits.call).await.and_then(|result| read(&result.with_whole_characters()));
        drop(guard);
        if let (Some(span), Err(error)) = (&span, &result) {
            span.fail(&error.kind());
        }
        result.map_err(|error| self.error(error))
    }

    /// Begins the span of a request to the server.
    fn enter(&self, context: &mut CallContext, method: &'static str, target: &str) -> Option<Arc<dyn Span>> {
        let name: &[&str] = if target.is_empty() { &[method] } else { &[method, " ", target] };
        let span = context.enter(SpanKind::Client, name)?;
        span.set("mcp.method.name", method.into());
        if method == "tools/call" {
            span.set("gen_ai.operation.name", "execute_tool".into());
            span.set("gen_ai.tool.name", target.into());
        }
        span.set("toolbay.provider", self.id.as_str().into());
        Some(span)
    }

    fn error(&self, error: ChannelError) -> CallError {
        let (id, kind) = (&self.id, self.kind);
        match error {
            ChannelError::Rpc { code, message, data } => CallError::Protocol { code, message, data },
            ChannelError::Busy { what, retry_after } => CallError::Busy { what: format!("{kind} {id} is busy: {what}"), retry_after },
            ChannelError::Call(error) => *error,
            ChannelError::Ask(AskError::Suspended) => CallError::InputRequired,
            ChannelError::Ask(AskError::MissingCapability(capability)) => CallError::MissingCapability(capability),
            ChannelError::Timeout(limit) => CallError::Internal(format!(
                "{kind} {id} did not answer within {}; raise `timeout` of [{kind}.{id}] if it needs longer",
                seconds(limit)
            )),
            other @ (ChannelError::Closed(_) | ChannelError::Unreachable(_) | ChannelError::Ask(_) | ChannelError::Malformed(_)) => {
                CallError::Internal(format!("{kind} {id}: {other}"))
            }
        }
    }
}

/// Whether a tool failed because its server can ask only where there is a session. Their SDKs say so in words: FastMCP's, and the one for Python's.
fn cannot_ask(output: &CallOutput) -> bool {
    const WORDS: [&[&str]; 2] = [&["elicitation", "unavailable on 2026-07-28"], &["no back-channel for server-initiated requests"]];
    let says = |text: &str| WORDS.iter().any(|words| words.iter().all(|word| text.contains(word)));
    let said = |block: &Content| match block {
        Content::Text(text) => says(text),
        Content::Block(block) => says(block.as_str()),
    };
    output.is_error && output.content.iter().any(said)
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

impl Provider for UpstreamProvider {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.listing.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        Box::pin(async move {
            let mut params = String::with_capacity(call.tool.len() + call.arguments.len() + 32);
            params.push_str("{\"name\":");
            write_json(&mut params, call.tool);
            params.push_str(",\"arguments\":");
            params.push_str(call.arguments);
            params.push('}');
            let output = self.request("tools/call", call.tool, &params, &call.context, convert::call).await?;
            if self.limits.protocol == Revision::Modern && cannot_ask(&output) && !self.is_told.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    server = %self.id,
                    tool = call.tool,
                    "the server cannot ask its callers by MCP {MODERN_VERSION}, as the tool's error says; put  protocol = \"{LEGACY_VERSION}\"  into [server.{}]",
                    self.id
                );
            }
            Ok(self.outputs.fit(self.id.as_str(), call.tool, output).await)
        })
    }

    fn definitions(&self) -> Vec<(String, Definition)> {
        let names = self.listing.tools.iter().map(|tool| tool.name.to_string());
        names.zip(self.listing.said.iter().cloned()).collect()
    }

    fn instructions(&self) -> Option<&str> {
        self.listing.instructions.as_deref()
    }

    fn offers(&self) -> &Offers {
        &self.listing.offers
    }

    fn reads_unlisted(&self) -> bool {
        self.listing.has_resources
    }

    fn read_resource<'a>(&'a self, uri: &'a str, context: Box<CallContext>) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        Box::pin(async move {
            let mut params = String::from("{");
            write_key(&mut params, "uri");
            write_json(&mut params, uri);
            params.push('}');
            self.request("resources/read", "", &params, &context, |result| convert::contents(result, uri)).await
        })
    }

    fn subscribe(&self, uri: &str) -> Option<Subscription> {
        self.pick.subscribe(uri)
    }

    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        context: Box<CallContext>,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        Box::pin(async move {
            let mut params = String::from("{");
            write_key(&mut params, "name");
            write_json(&mut params, name);
            write_arguments(&mut params, &arguments);
            params.push('}');
            self.request("prompts/get", name, &params, &context, convert::prompt).await
        })
    }

    fn complete(&self, completion: Completion, context: Box<CallContext>) -> BoxFuture<'_, Result<Completions, CallError>> {
        Box::pin(async move {
            let params = completion_params(&completion);
            self.request("completion/complete", "", &params, &context, convert::completions).await
        })
    }
}

/// `"arguments": {…}`, where there are some.
fn write_arguments(params: &mut String, arguments: &[(String, String)]) {
    if arguments.is_empty() {
        return;
    }
    write_key(params, "arguments");
    params.push('{');
    for (key, value) in arguments {
        write_key(params, key);
        write_json(params, value);
    }
    params.push('}');
}

fn completion_params(completion: &Completion) -> String {
    let mut params = String::from("{\"ref\":{");
    let (kind, key, value) = match &completion.reference {
        Reference::Prompt(name) => ("ref/prompt", "name", name),
        Reference::Template(template) => ("ref/resource", "uri", template),
    };
    write_key(&mut params, "type");
    write_json(&mut params, kind);
    write_key(&mut params, key);
    write_json(&mut params, value);
    params.push_str("},\"argument\":{");
    write_key(&mut params, "name");
    write_json(&mut params, &completion.argument);
    write_key(&mut params, "value");
    write_json(&mut params, &completion.value);
    params.push('}');
    if !completion.others.is_empty() {
        params.push_str(",\"context\":{");
        write_arguments(&mut params, &completion.others);
        params.push('}');
    }
    params.push('}');
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_cannot_ask_is_known_by_its_words() {
        let failed = |text: &str| CallOutput::error(text);
        for text in [
            "elicitation via server-initiated requests is unavailable on 2026-07-28 connections.",
            "Error executing tool t: Cannot send 'elicitation/create': this transport context has no back-channel for server-initiated requests.",
        ] {
            assert!(cannot_ask(&failed(text)), "{text}");
            assert!(!cannot_ask(&CallOutput { is_error: false, ..failed(text) }));
        }
        assert!(!cannot_ask(&failed("the store is unavailable on 2026-07-28")));
    }

    #[test]
    fn a_completion_is_asked_for_in_mcps_words() {
        let completion = Completion {
            reference: Reference::Template("f://{a}".into()),
            argument: "a".into(),
            value: "x\"".into(),
            others: vec![("b".into(), "1".into())],
        };
        let want =
            r#"{"ref":{"type":"ref/resource","uri":"f://{a}"},"argument":{"name":"a","value":"x\""},"context":{"arguments":{"b":"1"}}}"#;
        assert_eq!(completion_params(&completion), want);
        let completion = Completion { reference: Reference::Prompt("p".into()), others: vec![], ..completion };
        assert!(completion_params(&completion).starts_with(r#"{"ref":{"type":"ref/prompt","name":"p"},"#));
    }
}
