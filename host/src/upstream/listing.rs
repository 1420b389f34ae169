//! What a server offers: all pages of all its lists, every member kept.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::{Map, Value, value::RawValue};

use super::{
    Channel, ChannelError, convert,
    handshake::capability,
    raw::{RawObject, write_json},
};
use crate::provider::{CallContext, JsonText, Offer, Offers, Tool};

/// One page. The deadline of a start goes before it.
const PAGE: Duration = Duration::from_secs(60);

/// Entries of one list. More is no catalog but a fault.
const MAX_ENTRIES: usize = 20_000;

/// Warnings that are kept of one server.
const MAX_WARNINGS: usize = 20;

/// All that a server offers at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Its tools, in its own order.
    pub tools: Vec<Arc<Tool>>,
    /// Everything else.
    pub offers: Offers,
    /// Its hint for models on how to use it: `instructions` of its handshake.
    pub instructions: Option<String>,
    /// What of it cannot be offered, and why.
    pub warnings: Vec<String>,
}

/// Why there is no list.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the server does not say what it offers: {method}: {why}")]
pub struct ListingError {
    /// What it was asked.
    pub method: &'static str,
    /// What came of it.
    #[source]
    pub why: ChannelError,
}

/// Asks a server for everything that it says it has.
///
/// # Errors
///
/// [`ListingError`], from the first list that fails.
pub async fn fetch(channel: &dyn Channel) -> Result<Listing, ListingError> {
    let mut warnings = Warnings::default();
    let mut listing = Listing::default();
    let server = channel.server().clone();
    let has = |name: &str| capability(&server, name).is_some();
    if has("tools") {
        let entries = pages(channel, "tools/list", "tools").await?;
        listing.tools = warnings.keep("tool", entries, convert::tool, |tool| tool.name.as_str());
    }
    if has("resources") {
        let entries = pages(channel, "resources/list", "resources").await?;
        listing.offers.resources = warnings.keep("resource", entries, |entry| convert::offer(entry, "uri"), key_of);
        match pages(channel, "resources/templates/list", "resourceTemplates").await {
            Ok(entries) => {
                listing.offers.templates =
                    warnings.keep("resource template", entries, |entry| convert::offer(entry, "uriTemplate"), key_of);
            }
            // Servers that have resources and no templates may not know the method.
            Err(ListingError { why: ChannelError::Rpc { .. }, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if has("prompts") {
        let entries = pages(channel, "prompts/list", "prompts").await?;
        listing.offers.prompts = warnings.keep("prompt", entries, |entry| convert::offer(entry, "name"), key_of);
    }
    listing.offers.completes = has("completions");
    listing.instructions = RawObject::parse(server.as_str()).and_then(|server| server.read("instructions"));
    listing.warnings = warnings.finish();
    Ok(listing)
}

fn key_of(offer: &Offer) -> &str {
    &offer.key
}

/// Each entry by itself: one that is nested too deep spoils none of the others.
async fn pages(channel: &dyn Channel, method: &'static str, member: &str) -> Result<Vec<Value>, ListingError> {
    let failed = |why| ListingError { method, why };
    let context = CallContext::default();
    let mut entries: Vec<Value> = Vec::new();
    let mut cursors: HashSet<String> = HashSet::new();
    let mut params = "{}".to_owned();
    loop {
        let page: JsonText = channel.request(method, &params, &context, PAGE).await.map_err(failed)?;
        let malformed = |what: &str| {
            let start: String = page.as_str().chars().take(200).collect();
            failed(ChannelError::Malformed(format!("{what}: {start}")))
        };
        let page_object = RawObject::parse(page.as_str()).ok_or_else(|| malformed("the answer is not an object"))?;
        let more: Vec<&RawValue> = page_object.read(member).ok_or_else(|| malformed(&format!("the answer has no list {member:?}")))?;
        // What cannot be read is null here, which is no object.
        entries.extend(more.into_iter().map(|entry| serde_json::from_str(entry.get()).unwrap_or_default()));
        if entries.len() > MAX_ENTRIES {
            return Err(malformed(&format!("more than {MAX_ENTRIES} entries")));
        }
        let Some(cursor) = page_object.read::<String>("nextCursor").filter(|cursor| !cursor.is_empty()) else { return Ok(entries) };
        params.clear();
        params.push_str("{\"cursor\":");
        write_json(&mut params, &cursor);
        params.push('}');
        if !cursors.insert(cursor) {
            return Err(malformed("a page leads back to one that was read already"));
        }
    }
}

#[derive(Default)]
struct Warnings(Vec<String>);

impl Warnings {
    /// Keeps what can be offered, the first of each key, and says of the rest why it cannot. A fault that leaves the entry usable is told too.
    fn keep<T>(
        &mut self,
        kind: &str,
        entries: Vec<Value>,
        convert: impl Fn(Map<String, Value>) -> Result<(T, Vec<String>), String>,
        key: impl Fn(&T) -> &str,
    ) -> Vec<Arc<T>> {
        let mut keys = HashSet::new();
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            let Value::Object(entry) = entry else {
                self.0.push(format!("a {kind} is not an object, or is nested too deep; it is not offered"));
                continue;
            };
            match convert(entry) {
                Ok((thing, faults)) => {
                    let name = key(&thing).to_owned();
                    self.0.extend(faults.into_iter().map(|fault| format!("{kind} {name:?}: {fault}")));
                    if keys.insert(name.clone()) {
                        kept.push(Arc::new(thing));
                    } else {
                        self.0.push(format!("there are two {kind}s {name:?}; the second is not offered"));
                    }
                }
                Err(why) => self.0.push(format!("a {kind} {why}; it is not offered")),
            }
        }
        kept
    }

    fn finish(mut self) -> Vec<String> {
        let more = self.0.len().saturating_sub(MAX_WARNINGS);
        self.0.truncate(MAX_WARNINGS);
        if more > 0 {
            self.0.push(format!("and {more} more of the kind"));
        }
        self.0
    }
}
