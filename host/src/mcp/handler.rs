//! What rmcp asks of a server, answered from the catalog: everything that the lean path leaves.

#![allow(deprecated, reason = "logging is served for the clients that use it")]

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use http::request::Parts;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CompleteRequestMethod, CompleteRequestParams, CompleteResult, CustomRequest,
        CustomResult, DiscoverResult, ErrorCode, Implementation, ListPromptsRequestMethod, ListPromptsResult,
        ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod, ListResourcesResult, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, SetLevelRequestMethod, SetLevelRequestParams, SubscriptionFilter, Tool,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    FrontOptions,
    answer::{self, LIST_TTL_MS, RpcError},
    calls::{Calls, Checked},
    era::{Era, SESSION_HEADER},
    outbox::Outbox,
    sessions::{LEVELS, Session, Sessions},
    typed,
};
use crate::{
    catalog::{Catalog, Entry},
    provider::{CallError, CallOutput, LogLevel, Principal},
};

/// How long changes of the list are gathered before clients are told of them: plugins that are copied together are one change, and a person does not
/// notice it.
pub(super) const COALESCE: Duration = Duration::from_millis(25);

/// How long a client may take the server's own description for fresh. It changes with a restart only.
const DISCOVER_TTL_MS: u64 = 60_000;

/// What every request shares.
pub(super) struct Shared {
    pub(super) catalog: Arc<Catalog>,
    pub(super) calls: Calls,
    pub(super) sessions: Arc<Sessions>,
    /// Whether answers are for one caller only.
    pub(super) private: bool,
    pub(super) closing: CancellationToken,
    info: ServerConfig,
}

impl Shared {
    pub(super) fn new(catalog: Arc<Catalog>, sessions: Arc<Sessions>, options: &FrontOptions, closing: CancellationToken) -> Self {
        let mut info = ServerConfig::new(capabilities());
        info.server_info = Implementation::new("toolbay", options.server_version.clone());
        info.instructions.clone_from(&options.instructions);
        Self { catalog, calls: Calls::default(), sessions, private: options.authenticated, closing, info }
    }

    fn scope(&self) -> CacheScope {
        if self.private { CacheScope::Private } else { CacheScope::Public }
    }
}

/// The specification deprecates logging in favour of other means, and asks a server that still sends log messages to say so.
fn capabilities() -> ServerCapabilities {
    ServerCapabilities::builder().enable_tools().enable_tool_list_changed().enable_logging().build()
}

/// The methods whose parameters rmcp parses; where they do not fit, it takes the request for one of an unknown method.
const KNOWN_METHODS: [&str; 6] = ["tools/call", "tools/list", "logging/setLevel", "subscriptions/listen", "ping", "server/discover"];

/// rmcp makes one for each session and each request without a session, so it has nothing of its own.
#[derive(Clone)]
pub(super) struct Handler(pub(super) Arc<Shared>);

impl Handler {
    fn era(context: &RequestContext<RoleServer>) -> Era {
        context.protocol_version().map_or(Era::Legacy, |version| Era::of(version.as_str()))
    }

    /// The session of a request. Its owner was checked when the request came in.
    fn session(&self, context: &RequestContext<RoleServer>) -> Option<Arc<Session>> {
        let parts = context.extensions.get::<Parts>()?;
        let id = parts.headers.get(SESSION_HEADER)?.to_str().ok()?;
        self.0.sessions.find(id, parts.extensions.get::<Principal>().map(|principal| &principal.0))
    }

    /// Runs the call and sends on what it tells, until it ends or is cancelled.
    async fn call(
        &self,
        entry: &Entry,
        arguments: &str,
        context: &RequestContext<RoleServer>,
        level: Option<LogLevel>,
    ) -> Option<Result<CallOutput, CallError>> {
        let parts = context.extensions.get::<Parts>();
        let token =
            context.meta.get("progressToken").filter(|token| token.is_string() || token.is_i64() || token.is_u64()).map(Value::to_string);
        let listens = entry.tool().notifies && (token.is_some() || level.is_some());
        let outbox = Arc::new(Outbox::new(token.as_deref(), level));
        let text = |value: &Value| value.as_str().map(Arc::from);
        let checked =
            Checked {
                entry,
                arguments,
                era: Self::era(context),
                principal: parts.and_then(|parts| parts.extensions.get::<Principal>()).map(|principal| Arc::clone(&principal.0)),
                trace_parent: context.meta.get("traceparent").and_then(text).or_else(|| {
                    parts.and_then(|parts| parts.headers.get("traceparent")).and_then(|value| value.to_str().ok()).map(Arc::from)
                }),
                meta: if context.meta.is_empty() { None } else { serde_json::to_string(&context.meta).ok().map(Arc::from) },
                notifier: listens.then(|| Arc::clone(&outbox) as _),
            };
        let mut call = std::pin::pin!(self.0.calls.run(checked));
        let result = loop {
            let noted = poll_fn(|cx| if outbox.is_empty(cx.waker()) { Poll::Pending } else { Poll::Ready(()) });
            tokio::select! {
                biased;
                () = context.ct.cancelled() => return None,
                result = &mut call => break result,
                () = noted => self.send_notes(&outbox, context).await,
            }
        };
        self.send_notes(&outbox, context).await;
        Some(result)
    }

    async fn send_notes(&self, outbox: &Outbox, context: &RequestContext<RoleServer>) {
        while let Some(note) = outbox.pop() {
            // A client that is gone cancels the call by other ways.
            if let Some(notification) = typed::notification(&note)
                && context.peer.send_notification(notification).await.is_err()
            {
                return;
            }
        }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        self.0.info.clone()
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let snapshot = self.0.catalog.snapshot();
        let entry = snapshot.resolve(name)?;
        // Asked for the schema's headers only.
        Some(Tool::new_with_raw(entry.name().to_owned(), None, Arc::clone(&entry.tool().input_schema)))
    }

    async fn discover(&self, _: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let mut result = DiscoverResult::from_server_info(self.supported_protocol_versions().into_owned(), self.get_info());
        result.ttl_ms = DISCOVER_TTL_MS;
        result.cache_scope = self.0.scope();
        Ok(result)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        if let Some(cursor) = request.and_then(|request| request.cursor) {
            return Err(ErrorData::invalid_params(
                format!("there is no page {cursor:?}: all tools are on one page, which has no cursor"),
                None,
            ));
        }
        let snapshot = Arc::clone(&self.0.catalog.snapshot());
        let tools = snapshot.tools().map(|entry| typed::tool(entry)).collect();
        let mut result = ListToolsResult::with_all_items(tools);
        if Self::era(&context) == Era::Modern {
            result.ttl_ms = Some(LIST_TTL_MS);
            result.cache_scope = Some(self.0.scope());
        }
        Ok(result)
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        let snapshot = Arc::clone(&self.0.catalog.snapshot());
        let Some(entry) = snapshot.resolve(&request.name) else {
            return Err(error_data(answer::unknown_tool(&request.name, &snapshot)));
        };
        let era = Self::era(&context);
        let level = match era {
            Era::Legacy => self.session(&context).map(|session| session.level()),
            Era::Modern => match context.meta.get("io.modelcontextprotocol/logLevel") {
                None | Some(Value::Null) => None,
                Some(level) => Some(level.as_str().and_then(parse_level).ok_or_else(|| bad_level(level))?),
            },
        };
        let arguments = match &request.arguments {
            None => "{}".to_owned(),
            Some(arguments) => serde_json::to_string(arguments).map_err(|error| ErrorData::invalid_params(error.to_string(), None))?,
        };
        match self.call(entry, &arguments, &context, level).await {
            Some(Ok(output)) => typed::result(era, &output).map(Into::into),
            Some(Err(error)) => Err(error_data(answer::rpc_error(error, &snapshot))),
            // rmcp drops the answer to a cancelled request.
            None => Err(ErrorData::internal_error("the call was cancelled", None)),
        }
    }

    async fn set_level(&self, request: SetLevelRequestParams, context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        if Self::era(&context) == Era::Modern {
            return Err(ErrorData::method_not_found::<SetLevelRequestMethod>());
        }
        let session = self.session(&context).ok_or_else(|| {
            ErrorData::invalid_request("a log level belongs to a session: call initialize and send its Mcp-Session-Id", None)
        })?;
        session.set_level(typed::level(request.level));
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let mut accepted = SubscriptionFilter::new();
        accepted.tools_list_changed = requested.tools_list_changed.filter(|wanted| *wanted);
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.0.catalog.changes();
        let wants = context.accepted().tools_list_changed == Some(true);
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                () = self.0.closing.cancelled() => return Ok(()),
                changed = changes.changed() => if changed.is_err() { return Ok(()) },
            }
            tokio::time::sleep(COALESCE).await;
            changes.mark_unchanged();
            if wants && context.sink().notify_tool_list_changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let id = context.extensions.get::<Parts>().and_then(|parts| parts.headers.get(SESSION_HEADER)).and_then(|id| id.to_str().ok());
        if let Some(id) = id {
            self.0.sessions.initialized(id, context.peer.clone());
        }
    }

    async fn on_custom_request(&self, request: CustomRequest, _: RequestContext<RoleServer>) -> Result<CustomResult, ErrorData> {
        if KNOWN_METHODS.contains(&request.method.as_str()) {
            return Err(ErrorData::invalid_params(params_fault(&request.method, request.params.as_ref()), None));
        }
        let shown: String = request.method.chars().take(200).collect();
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("there is no method {shown:?}"), None))
    }

    // What was not declared is not there; rmcp would answer by empty lists.

    async fn complete(&self, _: CompleteRequestParams, _: RequestContext<RoleServer>) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn list_prompts(&self, _: Option<PaginatedRequestParams>, _: RequestContext<RoleServer>) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourceTemplatesRequestMethod>())
    }
}

/// Says which member of the parameters does not fit.
fn params_fault(method: &str, params: Option<&Value>) -> String {
    let Some(params) = params.and_then(Value::as_object) else {
        return format!("the params of {method} must be an object");
    };
    match (method, params.get("name"), params.get("arguments")) {
        ("tools/call", None, _) => "the params of tools/call need a \"name\": the tool's".to_owned(),
        ("tools/call", Some(name), _) if !name.is_string() => {
            format!("\"name\" in the params of tools/call must be a string, not {}", kind(name))
        }
        ("tools/call", _, Some(arguments)) if !arguments.is_object() && !arguments.is_null() => {
            format!("\"arguments\" in the params of tools/call must be an object, not {}", kind(arguments))
        }
        _ => format!("the params of {method} do not fit the method's schema"),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The log level of that name.
pub(super) fn parse_level(name: &str) -> Option<LogLevel> {
    const NAMES: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    NAMES.iter().position(|known| *known == name).and_then(|index| LEVELS.get(index)).copied()
}

fn bad_level(level: &Value) -> ErrorData {
    ErrorData::invalid_params(
        format!("there is no log level {level}: debug, info, notice, warning, error, critical, alert, emergency"),
        None,
    )
}

fn error_data(error: RpcError) -> ErrorData {
    ErrorData::new(ErrorCode(error.code), error.message, error.data)
}
