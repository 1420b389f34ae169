//! What a server offers: all pages of all its lists, every member kept.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::{Map, Value, value::RawValue};

use super::{
    Channel, ChannelError, fit,
    handshake::capability,
    message::METHOD_NOT_FOUND,
    raw::{RawObject, write_json},
};
use crate::{
    config::PublishRules,
    json,
    provider::{CallContext, Definition, Offer, Offers, Tool},
};

/// Levels of one entry: a reader of JSON recurses once for each.
const DEPTH: usize = 100;

/// One page of the tools. The deadline of a start goes before it.
const PAGE: Duration = Duration::from_secs(60);

/// How long a server may take over a list beside its tools, at most: one that hangs there loses that
/// list. Never more than this part of the time for a start.
const OTHER_LIST: Duration = Duration::from_secs(10);
const OTHER_LIST_PART: u32 = 4;

/// The same for a list that the server does not say it has.
const UNDECLARED: Duration = Duration::from_secs(3);
const UNDECLARED_PART: u32 = 10;

/// Entries of one list. More is no catalog but a fault.
const MAX_ENTRIES: usize = 20_000;

/// Warnings that are kept of one server.
const MAX_WARNINGS: usize = 20;

/// All that a server offers at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Its tools, in its own order.
    pub tools: Vec<Arc<Tool>>,
    /// What it says of each of them, as it says it.
    pub said: Vec<Definition>,
    /// Everything else.
    pub offers: Offers,
    /// Its hint for models on how to use it: `instructions` of its handshake.
    pub instructions: Option<String>,
    /// Whether it says that it has resources, listed or not.
    pub has_resources: bool,
    /// What of it cannot be offered, and why.
    pub warnings: Vec<String>,
    /// Lists that are missing here and may come when they are asked for again, by their method.
    pub lost: Vec<&'static str>,
}

impl Listing {
    /// Takes from an older listing what this one has lost.
    pub fn keep_lost(&mut self, older: &Self) {
        for method in &self.lost {
            match *method {
                TOOLS => (self.tools, self.said) = (older.tools.clone(), older.said.clone()),
                RESOURCES => self.offers.resources.clone_from(&older.offers.resources),
                TEMPLATES => self.offers.templates.clone_from(&older.offers.templates),
                PROMPTS => self.offers.prompts.clone_from(&older.offers.prompts),
                _ => {}
            }
        }
    }
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

const TOOLS: &str = "tools/list";
const RESOURCES: &str = "resources/list";
const TEMPLATES: &str = "resources/templates/list";
const PROMPTS: &str = "prompts/list";

/// How a server is asked what it offers.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The time that a start may take, from which that of each list follows.
    pub within: Duration,
    /// Lists that the server is not asked for, since it ended when it was.
    pub avoid: &'a [&'static str],
    /// What is published of its schemas.
    pub publish: PublishRules,
}

/// Asks a server for everything that it says it has, and for tools in any case.
///
/// A list that fails is missing and told of, and the others are there: some servers declare what they
/// do not answer, and others do not declare what they have.
///
/// # Errors
///
/// [`ListingError`]: the connection ended, or the tools cannot be had and there is nothing else.
pub async fn fetch(channel: &dyn Channel, terms: Terms<'_>) -> Result<Listing, ListingError> {
    let server = channel.server().clone();
    let declares = |name: &str| capability(&server, name).is_some();
    // One that declares nothing at all has forgotten to, or has nothing.
    let silent = !["tools", "resources", "prompts"].into_iter().any(declares);
    let other = OTHER_LIST.min(terms.within / OTHER_LIST_PART);
    let undeclared = UNDECLARED.min(terms.within / UNDECLARED_PART);
    let ask = |name: &str, method, member, within: Duration| {
        let (declared, avoid) = (declares(name), terms.avoid.contains(&method));
        let wanted = declared || silent || method == TOOLS;
        async move {
            match (wanted && !avoid, declared) {
                (false, _) if wanted && avoid => Ok(Fetched::Avoided),
                (false, _) => Ok(Fetched::Nothing),
                (true, true) => pages(channel, method, member, within).await.map(|entries| Fetched::Entries(entries, true)),
                (true, false) => Ok(pages(channel, method, member, undeclared)
                    .await
                    .ok()
                    .filter(|entries| !entries.is_empty())
                    .map_or(Fetched::Nothing, |entries| Fetched::Entries(entries, false))),
            }
        }
    };
    let tools = ask("tools", TOOLS, "tools", PAGE).await;
    if let Err(error) = &tools
        && !is_passed_over(&error.why)
    {
        return Err(error.clone());
    }
    let resources = async {
        let resources = ask("resources", RESOURCES, "resources", other).await;
        // A server that does not answer for its resources is not asked for templates too.
        let templates = match &resources {
            Ok(Fetched::Entries(..)) => ask("resources", TEMPLATES, "resourceTemplates", other).await,
            _ => Ok(Fetched::Nothing),
        };
        (resources, templates)
    };
    let ((resources, templates), prompts) = futures::join!(resources, ask("prompts", PROMPTS, "prompts", other));

    let mut collected = Collected::default();
    let (tools_error, mut listing) = (tools.as_ref().err().cloned(), Listing::default());
    let entries = collected.entries(TOOLS, "tools", tools)?;
    let convert = |entry: Map<String, Value>| {
        let said = Definition::of_entry(&entry);
        fit::tool(entry, terms.publish).map(|(tool, faults)| ((tool, said), faults))
    };
    let tools = collected.keep("tool", entries, convert, |(tool, _)| tool.name.as_str());
    (listing.tools, listing.said) = tools.into_iter().map(|(tool, said)| (Arc::new(tool), said)).unzip();
    let entries = collected.entries(RESOURCES, "resources", resources)?;
    listing.offers.resources = collected.keep_offers("resource", entries, "uri");
    // Servers that have resources and no templates may not know the method.
    let templates = match templates {
        Err(ListingError { why: ChannelError::Rpc { .. }, .. }) => Ok(Fetched::Nothing),
        other => other,
    };
    let entries = collected.entries(TEMPLATES, "resource templates", templates)?;
    listing.offers.templates = collected.keep_offers("resource template", entries, "uriTemplate");
    let entries = collected.entries(PROMPTS, "prompts", prompts)?;
    listing.offers.prompts = collected.keep_offers("prompt", entries, "name");
    let offers = &listing.offers;
    if let Some(error) = tools_error
        && offers.resources.is_empty()
        && offers.templates.is_empty()
        && offers.prompts.is_empty()
    {
        return Err(error);
    }
    listing.offers.completes = declares("completions");
    let Offers { resources, templates, .. } = &listing.offers;
    listing.has_resources = declares("resources") || !(resources.is_empty() && templates.is_empty());
    listing.instructions = RawObject::parse(server.as_str()).and_then(|server| server.read("instructions"));
    (listing.warnings, listing.lost) = collected.finish();
    Ok(listing)
}

/// What came of asking for one list.
enum Fetched {
    /// It was not asked for.
    Nothing,
    /// It was not asked for, since the server ended when it was.
    Avoided,
    /// Its entries, and whether the server says that it has any.
    Entries(Vec<Entry>, bool),
}

/// Whether a list that fails like this is missing alone. Else the connection itself is at fault.
fn is_passed_over(why: &ChannelError) -> bool {
    matches!(why, ChannelError::Rpc { .. } | ChannelError::Malformed(_))
}

/// An entry of a list, or why it cannot be read.
type Entry = Result<Map<String, Value>, String>;

/// Each entry by itself: one that cannot be read spoils none of the others.
async fn pages(channel: &dyn Channel, method: &'static str, member: &str, within: Duration) -> Result<Vec<Entry>, ListingError> {
    let failed = |why| ListingError { method, why };
    let context = CallContext::default();
    let mut entries: Vec<Entry> = Vec::new();
    let mut cursors: HashSet<String> = HashSet::new();
    let mut params = "{}".to_owned();
    loop {
        let page = channel.request(method, &params, &context, within).await.map_err(failed)?;
        let page = page.with_whole_characters();
        let malformed = |what: &str| {
            let start: String = page.as_str().chars().take(200).collect();
            failed(ChannelError::Malformed(format!("{what}: {start}")))
        };
        let page_object = RawObject::parse(page.as_str()).ok_or_else(|| malformed("the answer is not an object"))?;
        let more: Vec<&RawValue> = page_object.read(member).ok_or_else(|| malformed(&format!("the answer has no list {member:?}")))?;
        entries.extend(more.into_iter().map(|entry| read(entry.get())));
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

fn read(entry: &str) -> Entry {
    let name = || RawObject::parse(entry).and_then(|entry| entry.read::<String>("name").or_else(|| entry.read("uri")));
    let named = || name().map(|name| format!("{name:?} ")).unwrap_or_default();
    if json::is_deeper_than(entry.as_bytes(), DEPTH) {
        return Err(format!("{}is nested more than {DEPTH} levels deep", named()));
    }
    serde_json::from_str(entry).map_err(|error| match entry.starts_with('{') {
        true => format!("{}cannot be read: {error}", named()),
        false => "is not an object".to_owned(),
    })
}

/// What was found out on the way.
#[derive(Default)]
struct Collected {
    warnings: Vec<String>,
    lost: Vec<&'static str>,
}

impl Collected {
    /// The entries of one list, or a word on why there are none.
    fn entries(&mut self, method: &'static str, what: &str, fetched: Result<Fetched, ListingError>) -> Result<Vec<Entry>, ListingError> {
        let why = match fetched {
            Ok(Fetched::Entries(entries, declared)) => {
                if !declared {
                    self.warnings
                        .push(format!("the server has {what} and does not declare the capability for them; they are offered all the same"));
                }
                return Ok(entries);
            }
            Ok(Fetched::Nothing) => return Ok(Vec::new()),
            Ok(Fetched::Avoided) => {
                self.warnings.push(format!("its {what} are not offered: the server ended each time that it was asked for {method}"));
                return Ok(Vec::new());
            }
            Err(error) if matches!(error.why, ChannelError::Closed(_)) => return Err(error),
            Err(error) => error.why,
        };
        if !matches!(why, ChannelError::Rpc { code: METHOD_NOT_FOUND, .. }) {
            self.lost.push(method);
        }
        let start: String = why.to_string().chars().take(300).collect();
        self.warnings.push(format!("its {what} are not offered: it declares the capability for them and fails at {method}: {start}"));
        Ok(Vec::new())
    }

    /// Keeps what can be offered, the first of each key, and says of the rest why it cannot. A fault that leaves the entry usable is told too.
    fn keep<T>(
        &mut self,
        kind: &str,
        entries: Vec<Entry>,
        convert: impl Fn(Map<String, Value>) -> Result<(T, Vec<String>), String>,
        key: impl Fn(&T) -> &str,
    ) -> Vec<T> {
        let mut keys = HashSet::new();
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.and_then(&convert) {
                Ok((thing, faults)) => {
                    let name = key(&thing).to_owned();
                    self.warnings.extend(faults.into_iter().map(|fault| format!("{kind} {name:?}: {fault}")));
                    if keys.insert(name.clone()) {
                        kept.push(thing);
                    } else {
                        self.warnings.push(format!("there are two {kind}s {name:?}; the second is not offered"));
                    }
                }
                Err(why) => self.warnings.push(format!("a {kind} {why}; it is not offered")),
            }
        }
        kept
    }

    /// The same of what is not a tool; `member` is what that tells one from another.
    fn keep_offers(&mut self, kind: &str, entries: Vec<Entry>, member: &str) -> Vec<Arc<Offer>> {
        let kept = self.keep(kind, entries, |entry| fit::offer(entry, member), |offer| offer.key.as_str());
        kept.into_iter().map(Arc::new).collect()
    }

    fn finish(mut self) -> (Vec<String>, Vec<&'static str>) {
        let more = self.warnings.len().saturating_sub(MAX_WARNINGS);
        self.warnings.truncate(MAX_WARNINGS);
        if more > 0 {
            self.warnings.push(format!("and {more} more of the kind"));
        }
        (self.warnings, self.lost)
    }
}
