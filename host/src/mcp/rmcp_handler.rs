//! What rmcp asks of a server, answered from the catalog: everything that the lean path leaves.

#![allow(deprecated, reason = "logging is served for the clients that use it")]

use std::{borrow::Cow, collections::BTreeSet, future::poll_fn, sync::Arc, task::Poll};

use http::request::Parts;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskMethod, CancelTaskParams, CompleteRequestParams, CompleteResult,
        ConstString, CreateTaskResult, CustomRequest, CustomResult, DiscoverResult, ErrorCode, GetPromptRequestParams, GetPromptResponse,
        GetPromptResult, GetTaskMethod, GetTaskParams, GetTaskResult, InputRequiredResult, InputResponses, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams,
        ReadResourceResponse, ReadResourceResult, ServerConfig, SetLevelRequestMethod, SetLevelRequestParams, SubscribeRequestParams,
        SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskMethod, UpdateTaskParams,
    },
    service::{RequestContext, SubscriptionContext},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    caller::{Caller, Said},
    client_requests::{Input, SessionAsker},
    endpoint_state::EndpointState,
    era::Era,
    notification_queue::NotificationQueue,
    resolve,
    result_json::LIST_TTL_MS,
    rmcp_convert, rmcp_errors,
    rpc::{RpcError, rpc_error},
    sessions::{MAX_SUBSCRIPTIONS, Session},
    tasks::{Reply, Tasks},
    updates::{COALESCE, MAX_BYTES, gathered, wanted},
};
use crate::{
    catalog::{Seen, Snapshot},
    dispatch::{Operation, OperationResult},
    provider::{Asker, CallError, Completion, LogLevel, Principal, Reference, Subscription},
};

/// How long a client may take the server's own description for fresh. It changes with a restart only.
const DISCOVER_TTL_MS: u64 = 60_000;

/// rmcp makes one for each session and each request without a session, so it has nothing of its own.
#[derive(Clone)]
pub(super) struct RmcpHandler {
    shared: Arc<EndpointState>,
    /// Who made the request that it was made for: where rmcp asks without the request.
    principal: Option<Principal>,
}

tokio::task_local! {
    /// Who makes the request that rmcp is given.
    static CALLER: Option<Principal>;
}

/// Has rmcp handle a request of this caller.
pub(super) async fn as_caller<F: Future>(caller: Option<Principal>, handling: F) -> F::Output {
    CALLER.scope(caller, handling).await
}

impl RmcpHandler {
    /// For the request that is being handled: see [`as_caller`].
    pub(super) fn new(shared: Arc<EndpointState>) -> Self {
        Self { shared, principal: CALLER.try_with(Clone::clone).ok().flatten() }
    }

    fn principal(context: &RequestContext<RoleServer>) -> Option<&Principal> {
        context.extensions.get::<Parts>()?.extensions.get()
    }

    fn trace_parent(context: &RequestContext<RoleServer>) -> Option<&str> {
        context.meta.get("traceparent").and_then(Value::as_str)
    }

    /// What the caller of a request may use.
    fn seen(&self, context: &RequestContext<RoleServer>) -> Seen {
        self.shared.seen(Self::principal(context))
    }

    fn era(context: &RequestContext<RoleServer>) -> Era {
        context.protocol_version().map_or(Era::Legacy, |version| Era::of(version.as_str()))
    }

    /// What the front found out of a request.
    fn found<T: Clone + Send + Sync + 'static>(context: &RequestContext<RoleServer>) -> Option<T> {
        context.extensions.get::<Parts>()?.extensions.get().cloned()
    }

    /// The session of a request. Its owner was checked when the request came in.
    fn session(context: &RequestContext<RoleServer>) -> Option<Arc<Session>> {
        Self::found(context)
    }

    /// Who makes a request.
    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller<'static>, ErrorData> {
        let era = Self::era(context);
        let meta = |name: &str| context.meta.get(name);
        let log_level = match meta("io.modelcontextprotocol/logLevel") {
            Some(level) if era == Era::Modern && !level.is_null() => {
                Some(level.as_str().and_then(LogLevel::of_name).ok_or_else(|| bad_level(level))?)
            }
            _ => None,
        };
        let token = meta("progressToken").filter(|token| token.is_string() || token.is_i64() || token.is_u64());
        let capabilities = meta("io.modelcontextprotocol/clientCapabilities").map(Value::to_string);
        let said = Said {
            text: if context.meta.is_empty() { None } else { serde_json::to_string(&context.meta).ok().map(Arc::from) },
            trace_parent: meta("traceparent").and_then(Value::as_str).map(Arc::from),
            token: token.map(|token| Cow::Owned(token.to_string())),
            log_level,
            capabilities: capabilities.as_deref(),
        };
        // What is kept of it is its own.
        Ok(Caller::new(&self.shared, era, Self::session(context), context.extensions.get(), said).into_owned())
    }

    /// Looks up what is meant, runs it and sends on what it tells, until it ends or is cancelled.
    async fn run(
        &self,
        resolve: impl FnOnce(&Snapshot) -> Result<Operation<'static>, CallError>,
        input: Option<Input>,
        context: &RequestContext<RoleServer>,
    ) -> Result<Reply, ErrorData> {
        let seen = self.seen(context);
        let (snapshot, era) = (Arc::clone(&seen), Self::era(context));
        let failed = |error| error_data(rpc_error(error, era, &snapshot));
        let not_there = |error| failed(self.shared.not_there(&seen, Self::principal(context), Self::trace_parent(context), error));
        let operation = resolve(&snapshot).map_err(not_there)?;
        drop(seen);
        let caller = self.caller(context)?;
        let outbox = caller.outbox(&self.shared, &operation);
        let asker = |session: &Arc<Session>| {
            let (session, outbox, fleet) = (Arc::clone(session), Arc::clone(outbox.as_ref()?), Arc::clone(&self.shared.fleet));
            Some(Arc::new(SessionAsker { session, fleet, outbox, patience: self.shared.ask_timeout() }) as Arc<dyn Asker>)
        };
        let (request, deferrable) = caller.request(&self.shared, operation, outbox.as_ref(), input, asker);
        let request = match Self::found(context) {
            Some(signal) => request.with_start_signal(signal),
            None => request,
        };
        // Where the front reads it, what it says does not go by rmcp.
        let outbox = outbox.filter(|_| Self::found::<Arc<NotificationQueue>>(context).is_none());
        let mut call = std::pin::pin!(self.shared.run(request, deferrable));
        let result = loop {
            let noted = poll_fn(|cx| match &outbox {
                Some(outbox) if !outbox.is_empty(cx.waker()) => Poll::Ready(outbox),
                _ => Poll::Pending,
            });
            tokio::select! {
                biased;
                // rmcp drops the answer to a cancelled request.
                () = context.ct.cancelled() => return Err(ErrorData::internal_error("the call was cancelled", None)),
                result = &mut call => break result,
                outbox = noted => self.send_notes(outbox, context).await,
            }
        };
        if let Some(outbox) = &outbox {
            self.send_notes(outbox, context).await;
        }
        result.map_err(failed)
    }

    /// What a method of tasks answers. Before 2026-07-28 there are none.
    fn task<M: ConstString>(
        &self,
        context: &RequestContext<RoleServer>,
        what: impl FnOnce(&Tasks, Option<&Principal>) -> Result<Vec<u8>, CallError>,
    ) -> Result<Vec<u8>, ErrorData> {
        if Self::era(context) == Era::Legacy {
            return Err(ErrorData::method_not_found::<M>());
        }
        let result = what(&self.shared.tasks, Self::principal(context));
        result.map_err(|error| error_data(rpc_error(error, Era::Modern, &self.seen(context))))
    }

    /// The same, with the result as rmcp's model: the usual one, or a question.
    async fn answer<T: DeserializeOwned, R: From<T> + From<InputRequiredResult>>(
        &self,
        resolve: impl FnOnce(&Snapshot) -> Result<Operation<'static>, CallError>,
        input: Input,
        context: &RequestContext<RoleServer>,
    ) -> Result<R, ErrorData> {
        let output = self.run(resolve, Some(input), context).await?;
        match &output {
            Reply::Result(OperationResult::InputRequired(_)) => {
                rmcp_convert::parsed::<InputRequiredResult>(Self::era(context), self.shared.is_private(), &output).map(R::from)
            }
            _ => rmcp_convert::parsed::<T>(Self::era(context), self.shared.is_private(), &output).map(R::from),
        }
    }

    /// What a list says of its freshness, where the era knows of it.
    fn freshness(&self, context: &RequestContext<RoleServer>) -> (Option<u64>, Option<CacheScope>) {
        match Self::era(context) {
            Era::Modern => (Some(LIST_TTL_MS), Some(self.shared.scope())),
            Era::Legacy => (None, None),
        }
    }

    /// The session of a method that only sessions have.
    fn needed_session(what: &str, context: &RequestContext<RoleServer>) -> Result<Arc<Session>, ErrorData> {
        Self::session(context).ok_or_else(|| {
            ErrorData::invalid_request(format!("{what} belongs to a session: call initialize and send its Mcp-Session-Id"), None)
        })
    }

    async fn send_notes(&self, outbox: &NotificationQueue, context: &RequestContext<RoleServer>) {
        while let Some(note) = outbox.pop() {
            // A client that is gone cancels the call by other ways.
            if let Some(notification) = rmcp_convert::notification(&note)
                && context.peer.send_notification(notification).await.is_err()
            {
                return;
            }
        }
    }
}

impl ServerHandler for RmcpHandler {
    fn get_info(&self) -> ServerConfig {
        self.shared.info(self.principal.as_ref())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let snapshot = self.shared.seen(self.principal.as_ref());
        let entry = snapshot.resolve(name)?;
        // Asked for the schema's headers only.
        Some(Tool::new_with_raw(entry.name().to_owned(), None, Arc::clone(&entry.tool().input_schema)))
    }

    async fn discover(&self, _: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let mut result = DiscoverResult::from_server_info(self.supported_protocol_versions().into_owned(), self.get_info());
        result.ttl_ms = DISCOVER_TTL_MS;
        result.cache_scope = self.shared.scope();
        Ok(result)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        one_page(request)?;
        let snapshot = Arc::clone(&self.shared.listed(Self::principal(&context)));
        let mut result = ListToolsResult::with_all_items(snapshot.tools().map(|entry| rmcp_convert::tool(entry)).collect());
        (result.ttl_ms, result.cache_scope) = self.freshness(&context);
        Ok(result)
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        one_page(request)?;
        let snapshot = Arc::clone(&self.shared.listed(Self::principal(&context)));
        let mut result =
            ListPromptsResult::with_all_items(snapshot.prompts().filter_map(|entry| rmcp_convert::item(entry.json())).collect());
        (result.ttl_ms, result.cache_scope) = self.freshness(&context);
        Ok(result)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        one_page(request)?;
        let snapshot = Arc::clone(&self.shared.listed(Self::principal(&context)));
        let mut result =
            ListResourcesResult::with_all_items(snapshot.resources().filter_map(|entry| rmcp_convert::item(entry.json())).collect());
        (result.ttl_ms, result.cache_scope) = self.freshness(&context);
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        one_page(request)?;
        let snapshot = Arc::clone(&self.shared.listed(Self::principal(&context)));
        let items = snapshot.templates().filter_map(|entry| rmcp_convert::item(entry.json())).collect();
        let mut result = ListResourceTemplatesResult::with_all_items(items);
        (result.ttl_ms, result.cache_scope) = self.freshness(&context);
        Ok(result)
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        let arguments = match &request.arguments {
            None => "{}".to_owned(),
            Some(arguments) => serde_json::to_string(arguments).map_err(|error| ErrorData::invalid_params(error.to_string(), None))?,
        };
        let resolve =
            |snapshot: &Snapshot| snapshot.called(&request.name, Cow::Owned(arguments)).map(Operation::of).map_err(CallError::UnknownTool);
        match self.run(resolve, Some(input(request.request_state, request.input_responses)), &context).await? {
            Reply::Result(OperationResult::Call(output)) => rmcp_convert::result(Self::era(&context), &output).map(Into::into),
            task @ Reply::Task(_) => {
                rmcp_convert::parsed::<CreateTaskResult>(Self::era(&context), self.shared.is_private(), &task).map(Into::into)
            }
            other => rmcp_convert::parsed::<InputRequiredResult>(Self::era(&context), self.shared.is_private(), &other).map(Into::into),
        }
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let resolve = |snapshot: &Snapshot| resolve::read(Cow::Owned(request.uri), snapshot);
        let input = input(request.request_state, request.input_responses);
        self.answer::<ReadResourceResult, _>(resolve, input, &context).await
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let resolve = |snapshot: &Snapshot| resolve::prompt(&request.name, request.arguments, snapshot);
        let input = input(request.request_state, request.input_responses);
        self.answer::<GetPromptResult, _>(resolve, input, &context).await
    }

    async fn complete(&self, request: CompleteRequestParams, context: RequestContext<RoleServer>) -> Result<CompleteResult, ErrorData> {
        let reference = match request.r#ref {
            rmcp::model::Reference::Prompt(prompt) => Reference::Prompt(prompt.name),
            rmcp::model::Reference::Resource(template) => Reference::Template(template.uri),
            _ => return Err(ErrorData::invalid_params("a reference is a ref/prompt or a ref/resource", None)),
        };
        let mut others: Vec<_> = request.context.and_then(|context| context.arguments).unwrap_or_default().into_iter().collect();
        others.sort_unstable();
        let completion = Completion { reference, argument: request.argument.name, value: request.argument.value, others };
        let output = self.run(|snapshot| resolve::completion(completion, snapshot), None, &context).await?;
        rmcp_convert::parsed(Self::era(&context), self.shared.is_private(), &output)
    }

    async fn subscribe(&self, request: SubscribeRequestParams, context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        let session = Self::needed_session("a subscription", &context)?;
        let seen = self.seen(&context);
        let Some(entry) = seen.resource(&request.uri) else {
            let error = self.shared.not_there(
                &seen,
                Self::principal(&context),
                Self::trace_parent(&context),
                CallError::UnknownResource(request.uri),
            );
            return Err(error_data(rpc_error(error, Era::Legacy, &seen)));
        };
        if session.subscribe(&request.uri, || entry.provider().subscribe(entry.own_uri(&request.uri))) {
            Ok(())
        } else {
            let (most, kib) = (MAX_SUBSCRIPTIONS, MAX_BYTES >> 10);
            Err(ErrorData::invalid_request(
                format!(
                    "a session subscribes to {most} resources at most, with {kib} KiB of addresses together; unsubscribe from others first"
                ),
                None,
            ))
        }
    }

    async fn unsubscribe(&self, request: UnsubscribeRequestParams, context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Self::needed_session("a subscription", &context)?.unsubscribe(&request.uri);
        Ok(())
    }

    async fn set_level(&self, request: SetLevelRequestParams, context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        if Self::era(&context) == Era::Modern {
            return Err(ErrorData::method_not_found::<SetLevelRequestMethod>());
        }
        let session = Self::needed_session("a log level", &context)?;
        session.set_level(rmcp_convert::level(request.level));
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let snapshot = self.shared.seen(self.principal.as_ref());
        let mut accepted = SubscriptionFilter::new();
        accepted.tools_list_changed = requested.tools_list_changed.filter(|wanted| *wanted);
        accepted.prompts_list_changed = requested.prompts_list_changed.filter(|wanted| *wanted);
        accepted.resources_list_changed = requested.resources_list_changed.filter(|wanted| *wanted);
        let known = |uri: &&String| snapshot.resource(uri).is_some();
        // rmcp compares every URI that is wanted with every one that is accepted, so too many are not looked at. The acknowledgement says so.
        let wanted = requested.resource_subscriptions.as_ref().filter(|uris| uris.len() <= MAX_SUBSCRIPTIONS);
        accepted.resource_subscriptions = wanted.map(|uris| uris.iter().filter(known).cloned().collect());
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.shared.catalog.changes();
        let principal = Self::principal(context.request_context()).cloned();
        let seen = || self.shared.dispatcher.listed_now(&self.shared.catalog, principal.as_ref());
        let mut told = seen().generations();
        let accepted = context.accepted();
        let [tools, prompts, resources] = [accepted.tools_list_changed, accepted.prompts_list_changed, accepted.resources_list_changed]
            .map(|wanted| wanted == Some(true));
        let mut updates = self.shared.catalog.updates();
        let watched: BTreeSet<String> = accepted.resource_subscriptions.iter().flatten().cloned().collect();
        // Until the stream ends.
        let _held: Vec<Subscription> = {
            let snapshot = seen();
            let subscribe = |uri: &String| {
                let entry = snapshot.resource(uri)?;
                entry.provider().subscribe(entry.own_uri(uri))
            };
            watched.iter().filter_map(subscribe).collect()
        };
        loop {
            let updated = tokio::select! {
                () = context.cancelled() => return Ok(()),
                () = self.shared.closing.cancelled() => return Ok(()),
                changed = changes.changed() => if changed.is_err() { return Ok(()) } else { None },
                updated = updates.recv(), if !watched.is_empty() => Some(updated),
            };
            tokio::time::sleep(COALESCE).await;
            changes.mark_unchanged();
            let now = seen().generations();
            let before = std::mem::replace(&mut told, now);
            let sink = context.sink();
            if (tools && before.tools != now.tools && sink.notify_tool_list_changed().await.is_err())
                || (prompts && before.prompts != now.prompts && sink.notify_prompt_list_changed().await.is_err())
                || (resources && before.resources != now.resources && sink.notify_resource_list_changed().await.is_err())
            {
                return Ok(());
            }
            let Some(updated) = updated else { continue };
            let Some(updated) = gathered(updated, &mut updates) else { return Ok(()) };
            // What was allowed when the stream began may not be any more.
            let wanted: Vec<String> = {
                let seen = seen();
                wanted(&updated, &watched).into_iter().filter(|uri| !seen.is_limited() || seen.resource(uri).is_some()).collect()
            };
            for uri in wanted {
                if sink.notify_resource_updated(uri).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    async fn get_task(&self, request: GetTaskParams, context: RequestContext<RoleServer>) -> Result<GetTaskResult, ErrorData> {
        let json = self.task::<GetTaskMethod>(&context, |tasks, principal| tasks.get(&request.task_id, principal))?;
        serde_json::from_slice(&json).map_err(|error| ErrorData::internal_error(format!("the task cannot be sent: {error}"), None))
    }

    async fn update_task(&self, request: UpdateTaskParams, context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        let answers = serde_json::to_string(&request.input_responses).ok();
        self.task::<UpdateTaskMethod>(&context, |tasks, principal| tasks.update(&request.task_id, principal, answers.as_deref())).map(drop)
    }

    async fn cancel_task(&self, request: CancelTaskParams, context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        self.task::<CancelTaskMethod>(&context, |tasks, principal| tasks.cancel(&request.task_id, principal)).map(drop)
    }

    async fn on_custom_request(&self, request: CustomRequest, _: RequestContext<RoleServer>) -> Result<CustomResult, ErrorData> {
        Err(rmcp_errors::not_understood(&request.method, request.params.as_ref()))
    }
}

/// Everything is on one page, which no cursor leads to.
fn one_page(request: Option<PaginatedRequestParams>) -> Result<(), ErrorData> {
    match request.and_then(|request| request.cursor) {
        None => Ok(()),
        Some(cursor) => {
            Err(ErrorData::invalid_params(format!("there is no page {cursor:?}: everything is on one page, which has no cursor"), None))
        }
    }
}

/// What a request brought of its call's earlier rounds.
fn input(state: Option<String>, responses: Option<InputResponses>) -> Input {
    Input { state, responses: responses.and_then(|responses| serde_json::to_string(&responses).ok()) }
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
