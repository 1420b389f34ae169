//! Calls that a tool makes: each is a request like any other, for the same principal.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::task::JoinHandle;

use super::{
    CallRequest, DeniedBy, Operation, OperationResult, TurnedAway,
    chain::{Link, Target},
};
use crate::{
    catalog::{Entry, Seen},
    provider::{CallContext, CallError, CallOutput, CallerHeaders, Calls, NestedError, Nesting, Principal, Provider, Span, Tool},
    telemetry::carried,
};

/// What runs calls.
pub(super) trait Host: Send + Sync {
    /// What a principal may use of everything on offer.
    fn seen(&self, principal: Option<&Principal>) -> Option<Seen>;

    /// Counts a call that a provider makes of another, or of itself.
    fn count(&self, parent: &str, provider: &str);

    /// Counts and logs a call that is not made.
    fn not_there(&self, seen: &Seen, what: &TurnedAway<'_>);

    /// Runs a call.
    fn run_nested(self: Arc<Self>, request: CallRequest<'static>) -> BoxFuture<'static, Result<OperationResult, CallError>>;
}

/// The way for one call to call others.
pub(super) struct Nested {
    host: Arc<dyn Host>,
    /// Who made the call in hand, and so is who makes these.
    principal: Option<Principal>,
    caller_headers: Option<CallerHeaders>,
    address: Option<IpAddr>,
    caller_trace: Option<Arc<str>>,
    /// What all of it belongs to, where it is recorded.
    span: Option<Arc<dyn Span>>,
    meta: Option<Arc<str>>,
    conversation: Option<Arc<str>>,
    /// Whose tool it is, which knows what was granted.
    provider: Arc<dyn Provider>,
    link: Arc<Link>,
}

impl Nested {
    /// For this call, which has its id.
    pub(super) fn new(host: Arc<dyn Host>, request: &CallRequest<'_>) -> Self {
        let (operation, context) = (&request.operation, &request.context);
        let provider = operation.provider();
        let of = |own, shown, arguments| Target { provider: provider.id().as_str(), own, shown, arguments };
        let target = match operation {
            Operation::Call { entry, arguments } => of(entry.own_name(), entry.name(), arguments),
            Operation::Read { uri, .. } => of(uri, uri, ""),
            Operation::Prompt { entry, .. } => of(entry.own_name(), entry.name(), ""),
            Operation::Complete { .. } => of(operation.method(), operation.method(), ""),
        };
        Self {
            host,
            principal: context.principal.clone(),
            caller_headers: context.caller_headers.clone(),
            address: context.address,
            caller_trace: context.caller_trace.clone(),
            span: context.span.clone(),
            meta: context.meta.clone(),
            conversation: context.conversation.clone(),
            provider: Arc::clone(provider),
            link: Link::new(request.parent.as_ref(), context.call_id, &target),
        }
    }

    fn grants(&self, entry: &Entry) -> bool {
        self.provider.calls().unwrap_or_default().iter().any(|pattern| entry.is_named(pattern))
    }

    /// The call, if it may be made.
    fn request(&self, name: &str, arguments: String, context: CallContext) -> Result<CallRequest<'static>, NestedError> {
        let (principal, face) = (self.principal.as_ref(), self.provider.calls_through());
        let unknown = || CallError::UnknownTool(name.to_owned());
        let Some(seen) = self.host.seen(principal) else { return Err(unknown().into()) };
        let refuse = |denied: Option<DeniedBy>| {
            let trace = self.span.as_ref().map(|span| span.trace_parent()).or_else(|| self.caller_trace.clone());
            let (error, trace_parent) = (&unknown(), trace.as_deref());
            self.host.not_there(&seen, &TurnedAway { principal, face, trace_parent, error, denied });
        };
        let Some(entry) = seen.resolve(name) else {
            refuse(None);
            return Err(unknown().into());
        };
        if !self.grants(entry) {
            refuse(Some(DeniedBy::Rights));
            return Err(NestedError::Denied(self.denied(entry)));
        }
        let (provider, own, shown) = (entry.provider().id().as_str(), entry.own_name(), entry.name());
        self.link.admit(&Target { provider, own, shown, arguments: &arguments }).map_err(NestedError::Circular)?;
        self.host.count(self.provider.id().as_str(), provider);
        let time_left = context.time_left();
        let CallContext { notifier, asker, deferral, span, .. } = context;
        let operation = Operation::Call { entry: Arc::clone(entry), arguments: Cow::Owned(arguments) };
        let mut request = CallRequest::new(self.principal.clone(), operation)
            .with_front(face)
            .with_face(face)
            .with_caller_headers(self.caller_headers.clone())
            .with_address(self.address)
            .with_trace_parent(self.caller_trace.clone())
            .with_meta(self.meta.clone())
            .with_session(self.conversation.clone())
            .with_notifier(notifier)
            .with_deferral(deferral);
        request.context.asker = asker;
        request.context.span = span.or_else(|| self.span.clone());
        request.context.nesting = Some(Arc::new(Nesting { calls: None, depth: self.link.below(), time_left }));
        request.parent = Some(Arc::clone(&self.link));
        Ok(request)
    }

    /// What was not granted, and the line that grants it.
    fn denied(&self, entry: &Entry) -> String {
        let plugin = self.provider.id();
        let mut granted = self.provider.calls().unwrap_or_default().to_vec();
        granted.push(entry.name().to_owned());
        format!(
            "plugin {plugin} may not call tool {:?}; to grant it, put  calls = {granted:?}  into [plugin.{plugin}] of toolbay.toml",
            entry.name()
        )
    }
}

impl Calls for Nested {
    fn list(&self) -> Vec<Arc<Tool>> {
        let seen = self.host.seen(self.principal.as_ref());
        let tools = seen.iter().flat_map(|seen| seen.tools());
        tools.filter(|entry| self.grants(entry)).map(|entry| Arc::clone(entry.tool())).collect()
    }

    fn call(&self, name: &str, arguments: String, context: CallContext) -> BoxFuture<'static, Result<CallOutput, NestedError>> {
        let request = match self.request(name, arguments, context) {
            Ok(request) => request,
            Err(error) => return async { Err(error) }.boxed(),
        };
        // On a task of its own: the guest that waits is polled on a small stack, and its turns on the workers are none of the other's business.
        let mut task = Task(tokio::spawn(carried(Arc::clone(&self.host).run_nested(request))));
        async move {
            match (&mut task.0).await {
                Ok(Ok(OperationResult::Call(output))) => Ok(output),
                Ok(Ok(_)) => Err(CallError::Internal("a tool answered as something else does".to_owned()).into()),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(CallError::Internal("internal error: see the host's log".to_owned()).into()),
            }
        }
        .boxed()
    }
}

/// A call that runs until this is dropped.
struct Task(JoinHandle<Result<OperationResult, CallError>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
