//! The first words with a server: which era it speaks, and what it says of itself.
//!
//! A server that is not known is asked `server/discover` first. Servers of the older era answer that by an error, or not at all, and are then greeted by
//! `initialize`. What was found out is remembered in [`Known`], so that the next connection loses no time.

use std::{collections::BTreeSet, time::Duration};

use futures::future::{BoxFuture, Either, select};
use serde_json::Value;

use super::{
    ChannelError, Known,
    era::{CLIENT_INFO, Era, LEGACY_VERSION, MODERN_VERSION},
    raw::{RawObject, write_json, write_key},
};
use crate::provider::{APPS_DECLARED, JsonText};

/// How long a server may think about `server/discover` before it gets `initialize` too: longer than servers were seen to need for their start (2.5 s).
const PROBE: Duration = Duration::from_secs(5);

/// What can be carried to whoever makes a call. A caller that cannot do it has its questions answered by an error. No roots: a server asks for them once and
/// keeps them for the session, which all callers share. Pages of MCP Apps are handed on to all of them; who shows none has the text beside it.
const CAPABILITIES: &str = r#""elicitation":{"form":{},"url":{}},"sampling":{"context":{},"tools":{}}"#;

/// Revisions with `initialize` that can be spoken, the newest first: their differences are in what is
/// not read here. The last one was a draft, and servers of that time still name it.
const LEGACY_VERSIONS: [&str; 5] = [LEGACY_VERSION, "2025-06-18", "2025-03-26", "2024-11-05", "2024-10-07"];

/// Characters of a version that is not known, in a message.
const SHOWN_VERSION: usize = 40;

/// MCP: the version of a request is not one that the server speaks.
const UNSUPPORTED_VERSION: i32 = -32022;

/// A connection that has not been greeted.
pub trait Wire: Send + Sync {
    /// Sends a request of the handshake and awaits its `result`. `era` says by which rules it is made up.
    fn exchange<'a>(&'a self, era: Era, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<JsonText, ChannelError>>;
    /// Sends a notification.
    fn notify<'a>(&'a self, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<(), ChannelError>>;
}

/// How a server is spoken to from now on.
#[derive(Clone, Debug, PartialEq)]
pub struct Greeting {
    /// By which rules.
    pub era: Era,
    /// The revision that was agreed on.
    pub version: String,
    /// JSON text of the `result` of `initialize` or `server/discover`.
    pub server: JsonText,
}

impl Greeting {
    /// One of the server's capabilities, as JSON. None: it has it not.
    #[must_use]
    pub fn capability(&self, name: &str) -> Option<Value> {
        capability(&self.server, name)
    }
}

/// One of the capabilities that a server told in its handshake.
#[must_use]
pub fn capability(server: &JsonText, name: &str) -> Option<Value> {
    let server = RawObject::parse(server.as_str())?;
    RawObject::parse(server.get("capabilities")?)?.read::<Value>(name).filter(|value| !value.is_null())
}

/// Which of its lists a server tells changes of: the `params` of `subscriptions/listen`. None: of no list.
#[must_use]
pub fn subscription(server: &JsonText) -> Option<String> {
    let mut filter = String::from("{");
    for (name, key) in [("tools", "toolsListChanged"), ("prompts", "promptsListChanged"), ("resources", "resourcesListChanged")] {
        if capability(server, name).and_then(|has| has.get("listChanged")?.as_bool()) == Some(true) {
            write_key(&mut filter, key);
            filter.push_str("true");
        }
    }
    filter.push('}');
    (filter.len() > 2).then(|| format!("{{\"notifications\":{filter}}}"))
}

/// Whether a server tells of updates of those resources that it is asked to.
#[must_use]
pub fn subscribes(server: &JsonText) -> bool {
    capability(server, "resources").and_then(|has| has.get("subscribe")?.as_bool()) == Some(true)
}

/// That updates of these resources are wanted: the `params` of `subscriptions/listen`. None: of none, or the server tells of none.
#[must_use]
pub fn resource_subscription(server: &JsonText, uris: &BTreeSet<String>) -> Option<String> {
    if uris.is_empty() || !subscribes(server) {
        return None;
    }
    let mut params = String::from("{\"notifications\":{\"resourceSubscriptions\":");
    write_json(&mut params, uris);
    params.push_str("}}");
    Some(params)
}

/// Greets a server. How long it may take is the caller's to limit.
///
/// # Errors
///
/// [`ChannelError`]: the server ended, or speaks no revision that is spoken here.
pub async fn greet(wire: &dyn Wire, known: &Known) -> Result<Greeting, ChannelError> {
    let greeting = match known.era() {
        Some(Era::Legacy) => initialize(wire, LEGACY_VERSION).await?,
        Some(Era::Modern) => discover(wire).await?,
        None => find_out(wire, known).await?,
    };
    known.set_era(greeting.era);
    Ok(greeting)
}

async fn find_out(wire: &dyn Wire, known: &Known) -> Result<Greeting, ChannelError> {
    let probe = Box::pin(discover(wire));
    let rest = match select(probe, Box::pin(tokio::time::sleep(PROBE))).await {
        Either::Left((result, _)) => return after_probe(wire, known, result).await,
        Either::Right(((), probe)) => probe,
    };
    // Slow to start, or one that does not answer what it does not know. Whichever answer comes first and is one decides.
    match select(rest, Box::pin(initialize(wire, LEGACY_VERSION))).await {
        Either::Left((Ok(greeting), _)) => Ok(greeting),
        Either::Left((Err(_), initialize)) => initialize.await,
        Either::Right((result, _)) => result,
    }
}

async fn after_probe(wire: &dyn Wire, known: &Known, result: Result<Greeting, ChannelError>) -> Result<Greeting, ChannelError> {
    match result {
        // The usual answer of the older era. Some say it in other words, so any error will do.
        Err(error @ (ChannelError::Rpc { .. } | ChannelError::Malformed(_))) => {
            initialize(wire, named_version(&error, MODERN_VERSION).unwrap_or(LEGACY_VERSION)).await
        }
        // Some end at a first message that is not `initialize`. The next start greets them so.
        Err(ChannelError::Closed(why)) => {
            known.set_era(Era::Legacy);
            Err(ChannelError::Closed(why))
        }
        other => other,
    }
}

async fn discover(wire: &dyn Wire) -> Result<Greeting, ChannelError> {
    let server = wire.exchange(Era::Modern, "server/discover", "{}").await?;
    let supported: Vec<String> = RawObject::parse(server.as_str()).and_then(|result| result.read("supportedVersions")).unwrap_or_default();
    if supported.iter().any(|version| version == MODERN_VERSION) {
        return Ok(Greeting { era: Era::Modern, version: MODERN_VERSION.to_owned(), server });
    }
    Err(ChannelError::Rpc {
        code: UNSUPPORTED_VERSION,
        message: format!("the server speaks MCP {}, and not {MODERN_VERSION}", supported.join(", ")),
        data: Some(serde_json::json!({ "supported": supported })),
    })
}

/// Opens a session. A server that refuses the version and names another gets that one; a version that
/// it names in its answer is spoken by the rules of sessions, known here or not.
async fn initialize(wire: &dyn Wire, version: &'static str) -> Result<Greeting, ChannelError> {
    let greeted = match exchange_initialize(wire, version).await {
        Err(error @ (ChannelError::Rpc { .. } | ChannelError::Malformed(_))) => match named_version(&error, version) {
            Some(other) => {
                tracing::debug!(version, other, "the server rejects this version of MCP and names another");
                exchange_initialize(wire, other).await?
            }
            None => return Err(error),
        },
        other => other?,
    };
    wire.notify("notifications/initialized", "{}").await?;
    Ok(greeted)
}

async fn exchange_initialize(wire: &dyn Wire, version: &str) -> Result<Greeting, ChannelError> {
    let capabilities = format!("{{{CAPABILITIES},\"extensions\":{APPS_DECLARED}}}");
    let params = format!("{{\"protocolVersion\":\"{version}\",\"capabilities\":{capabilities},\"clientInfo\":{CLIENT_INFO}}}");
    let server = wire.exchange(Era::Legacy, "initialize", &params).await?;
    let named: Option<String> = RawObject::parse(server.as_str()).and_then(|result| result.read("protocolVersion"));
    let Some(named) = named.filter(|named| !named.trim().is_empty()) else {
        let start: String = server.as_str().chars().take(200).collect();
        return Err(ChannelError::Malformed(format!("the server's answer to `initialize` names no `protocolVersion`: {start}")));
    };
    if !LEGACY_VERSIONS.contains(&named.as_str()) {
        let shown: String = named.chars().take(SHOWN_VERSION).collect();
        tracing::warn!("the server names version {shown:?} of MCP, which is not known here; it is spoken to as {LEGACY_VERSION}");
    }
    Ok(Greeting { era: Era::Legacy, version: named, server })
}

/// The newest version with `initialize` that a refusal names beside the one that was refused.
///
/// MCP has the server list them in `data.supported`; many write them into their sentence only.
fn named_version(error: &ChannelError, refused: &str) -> Option<&'static str> {
    let text = match error {
        ChannelError::Rpc { message, data, .. } => format!("{message} {}", data.as_ref().map(Value::to_string).unwrap_or_default()),
        ChannelError::Malformed(text) => text.clone(),
        _ => return None,
    };
    LEGACY_VERSIONS.into_iter().find(|version| *version != refused && text.contains(version))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;
    use crate::config::{Revision, ServerLimits};

    /// A server that answers each `initialize` by the next of its answers, and knows nothing else.
    struct Scripted {
        answers: Mutex<Vec<Result<Value, (i32, Value)>>>,
        asked: Mutex<Vec<String>>,
        discover: Result<Value, (i32, Value)>,
    }

    impl Scripted {
        fn new(discover: Result<Value, (i32, Value)>, mut answers: Vec<Result<Value, (i32, Value)>>) -> Self {
            answers.reverse();
            Self { answers: Mutex::new(answers), asked: Mutex::default(), discover }
        }
    }

    impl Wire for Scripted {
        fn exchange<'a>(&'a self, _: Era, method: &'static str, params: &'a str) -> BoxFuture<'a, Result<JsonText, ChannelError>> {
            let answer = if method == "server/discover" {
                self.discover.clone()
            } else {
                let params: Value = serde_json::from_str(params).unwrap();
                self.asked.lock().unwrap().push(params["protocolVersion"].as_str().unwrap().to_owned());
                self.answers.lock().unwrap().pop().expect("it is not asked that often")
            };
            Box::pin(std::future::ready(match answer {
                Ok(result) => Ok(JsonText::from_value(&result).unwrap()),
                Err((code, data)) => Err(ChannelError::Rpc { code, message: "Unsupported protocol version".into(), data: Some(data) }),
            }))
        }
        fn notify<'a>(&'a self, _: &'static str, _: &'a str) -> BoxFuture<'a, Result<(), ChannelError>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    async fn greeted(server: &Scripted) -> Result<Greeting, ChannelError> {
        greet(server, &Known::default()).await
    }

    fn unknown() -> Result<Value, (i32, Value)> {
        Err((-32601, Value::Null))
    }

    fn speaks(version: &str) -> Value {
        json!({"protocolVersion": version, "capabilities": {"tools": {}}})
    }

    #[tokio::test]
    async fn a_version_that_a_refusal_names_is_tried() {
        for refusal in [
            json!({"supported": ["2024-11-05", "2025-03-26"], "requested": LEGACY_VERSION}),
            json!("supported versions: 2025-03-26, 2024-11-05; not 2025-11-25"),
        ] {
            let server = Scripted::new(unknown(), vec![Err((-32602, refusal)), Ok(speaks("2025-03-26"))]);
            assert_eq!(greeted(&server).await.unwrap().version, "2025-03-26");
            assert_eq!(*server.asked.lock().unwrap(), [LEGACY_VERSION, "2025-03-26"]);
        }
        // One that says it before it is greeted is greeted so.
        for discover in [
            Ok(json!({"supportedVersions": ["2025-06-18"]})),
            Err((UNSUPPORTED_VERSION, json!({"supported": ["2025-06-18", "2024-11-05"], "requested": MODERN_VERSION}))),
        ] {
            let server = Scripted::new(discover, vec![Ok(speaks("2025-06-18"))]);
            assert_eq!(greeted(&server).await.unwrap().version, "2025-06-18");
            assert_eq!(*server.asked.lock().unwrap(), ["2025-06-18"]);
        }
    }

    #[tokio::test]
    async fn a_server_that_is_to_have_sessions_is_greeted_so_at_once() {
        let modern = Ok(json!({"supportedVersions": [MODERN_VERSION]}));
        for (protocol, version) in [(Revision::Modern, MODERN_VERSION), (Revision::Sessions, LEGACY_VERSION)] {
            let server = Scripted::new(modern.clone(), vec![Ok(speaks(LEGACY_VERSION))]);
            let limits = ServerLimits { protocol, ..ServerLimits::default() };
            assert_eq!(greet(&server, &Known::of(&limits)).await.unwrap().version, version);
        }
    }

    #[tokio::test]
    async fn a_refusal_that_names_nothing_else_is_the_error() {
        let server = Scripted::new(unknown(), vec![Err((-32602, json!({"supported": ["1.0", LEGACY_VERSION]})))]);
        assert!(matches!(greeted(&server).await, Err(ChannelError::Rpc { code: -32602, .. })));
        // Refused twice: that is enough.
        let names = |version| Err((-32602, json!({"supported": [version]})));
        let server = Scripted::new(unknown(), vec![names("2025-03-26"), names("2024-11-05")]);
        assert!(greeted(&server).await.is_err());
    }

    #[tokio::test]
    async fn a_version_that_is_not_known_is_spoken_as_a_session_and_none_is_no_greeting() {
        for version in ["2024-10-07", "2025-12-01-draft", "1.0", MODERN_VERSION] {
            let greeting = greeted(&Scripted::new(unknown(), vec![Ok(speaks(version))])).await.unwrap();
            assert_eq!((greeting.era, greeting.version.as_str()), (Era::Legacy, version));
        }
        for answer in [json!({"capabilities": {}}), json!({"protocolVersion": 1}), json!({"protocolVersion": " "}), json!([])] {
            let error = greeted(&Scripted::new(unknown(), vec![Ok(answer)])).await.unwrap_err().to_string();
            assert!(error.contains("names no `protocolVersion`"), "{error}");
        }
    }
}
