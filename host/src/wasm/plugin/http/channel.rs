//! The first words with the server in a component: where it serves MCP, which era it speaks, and
//! whether it knows its sessions across instances.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures::future::BoxFuture;
use http::HeaderValue;
use tokio::sync::broadcast;

use super::{
    super::Code,
    EXPORT,
    exchange::{Agreed, GuestSession, GuestTransport},
};
use crate::{
    provider::{CallContext, JsonText},
    upstream::{
        Change, Channel, ChannelError, Era, Known, Session,
        handshake::{Greeting, Wire, greet},
        http_headers::SessionHeaders,
        message,
        raw::RawObject,
    },
    wasm::folder::LoadError,
};

/// Where MCP is looked for, one after the other.
const PATHS: [&str; 2] = ["/mcp", "/"];

/// From which the time follows that each list may take.
pub(super) const LISTS: Duration = Duration::from_secs(60);

/// The time of a request as the session counts it. What an instance may take is counted where it
/// runs.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400);

/// A server that was greeted.
pub(super) struct GuestChannel {
    session: Arc<GuestSession>,
    server: JsonText,
}

/// Why a component that serves HTTP is no plugin.
pub(super) fn not_mcp(why: &str) -> String {
    format!("it exports {EXPORT}, so it has to be an MCP server (Streamable HTTP at /mcp or at /), and that failed: {why}")
}

impl GuestChannel {
    /// Greets the server.
    pub(super) async fn open(code: Arc<Code>) -> Result<Arc<Self>, LoadError> {
        let mut refusals = Vec::new();
        for path in PATHS {
            let session = Session::new(code.shared.id.as_str().into(), Arc::default(), GuestTransport::new(code.clone(), path));
            match Self::greeted(session.clone()).await {
                Ok(channel) => return Ok(channel),
                Err(error) => {
                    refusals.push(error.to_string());
                    // Only where nothing is there, something may be elsewhere.
                    if !matches!(session.transport.status.load(Relaxed), 404 | 405) {
                        break;
                    }
                }
            }
        }
        Err(LoadError(not_mcp(&refusals.join("; "))))
    }

    async fn greeted(session: Arc<GuestSession>) -> Result<Arc<Self>, ChannelError> {
        let handshake = Handshake { session: &session, legacy: Mutex::new((SessionHeaders::legacy(), String::new())) };
        let Greeting { era, version, server } = greet(&handshake, &Known::default()).await?;
        let (legacy, greeting) = handshake.legacy.into_inner().unwrap_or_else(PoisonError::into_inner);
        let speech = if era == Era::Modern { SessionHeaders::modern() } else { legacy };
        tracing::debug!(plugin = &*session.server, version, path = session.transport.path, "handshake done");
        let _ = session.transport.agreed.set(Agreed { speech, greeting });
        let channel = Arc::new(Self { session, server });
        if era == Era::Legacy {
            channel.find_out().await;
        }
        Ok(channel)
    }

    /// Whether what one instance was told holds for another. Where it does not, each request opens
    /// a session of its own.
    async fn find_out(&self) {
        let ask = || self.request("tools/list", "{}", &NOBODY, LISTS);
        let is_unknown =
            |answer: Result<JsonText, ChannelError>| matches!(answer, Err(ChannelError::Rpc { .. } | ChannelError::Malformed(_)));
        if !is_unknown(ask().await) {
            return;
        }
        let opens = &self.session.transport.opens;
        opens.store(true, Relaxed);
        if is_unknown(ask().await) {
            // It has another reason.
            opens.store(false, Relaxed);
        } else {
            tracing::debug!(plugin = &*self.session.server, "its sessions end with their instance: each call opens one");
        }
    }
}

/// The host asks for itself.
static NOBODY: std::sync::LazyLock<CallContext> = std::sync::LazyLock::new(CallContext::default);

impl Channel for GuestChannel {
    fn request<'a>(
        &'a self,
        method: &'static str,
        params: &'a str,
        context: &'a CallContext,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(self.session.request(method, params, context, timeout))
    }

    fn server(&self) -> &JsonText {
        &self.server
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.session.changes.subscribe()
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        Box::pin(async { self.session.closing.wait().await.to_string() })
    }
}

/// The first words.
struct Handshake<'a> {
    session: &'a Arc<GuestSession>,
    /// How the older era is spoken, which `initialize` tells, and what was said in it.
    legacy: Mutex<(SessionHeaders, String)>,
}

impl Wire for Handshake<'_> {
    fn exchange<'a>(&'a self, era: Era, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
        Box::pin(async move {
            let speech = if era == Era::Modern { SessionHeaders::modern() } else { SessionHeaders::legacy() };
            let (result, session) = self.session.exchange(&speech, method, params, &NOBODY).await?;
            if era == Era::Legacy {
                let version: Option<String> = RawObject::parse(result.as_str()).and_then(|result| result.read("protocolVersion"));
                let version = version.and_then(|version| HeaderValue::try_from(version).ok());
                let said = (SessionHeaders { era, version, session }, params.to_owned());
                *self.legacy.lock().unwrap_or_else(PoisonError::into_inner) = said;
            }
            Ok(result)
        })
    }

    fn notify<'a>(&'a self, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<(), ChannelError>> {
        let speech = self.legacy.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        Box::pin(async move {
            // An instance that forgets everything can have nothing against what it is told.
            if let Err(error) = self.session.tell(&speech, message::notification(method, params)).await {
                tracing::debug!(plugin = &*self.session.server, method, "{error}");
            }
            Ok(())
        })
    }
}
