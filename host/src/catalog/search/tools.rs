//! The two tools of an endpoint with a search: one finds tools, the other calls them.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use futures::{
    FutureExt,
    future::{self, BoxFuture},
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    index::{Found, Index},
    lexicon::Lexicon,
    terms::is_for_models,
};
use crate::{
    catalog::{Entry, names::json_array},
    provider::{Call, CallError, CallOutput, Content, JsonText, Provider, ProviderId, Tool, ToolName},
};

/// Finds tools.
const FIND: &str = "find_tools";
/// Calls one.
const CALL: &str = "call_tool";

/// Tools that an answer has where nobody says how many, and at most.
const USUAL: usize = 5;
const MOST: usize = 50;

/// Providers that are named to models.
const NAMES: usize = 40;

/// What is listed in place of the tools of a view.
pub(crate) struct Search {
    endpoint: ProviderId,
    listed: [Arc<Entry>; 2],
    list: OnceLock<Bytes>,
}

/// The call that is meant by one of `call_tool`.
pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) arguments: String,
}

impl Search {
    /// Over these tools, at this endpoint. The index is made at the first question.
    pub(crate) fn new(endpoint: &ProviderId, tools: &[Arc<Entry>], lexicon: &Lexicon) -> Option<Self> {
        let of: BTreeSet<&str> = tools.iter().map(|entry| entry.provider().id().as_str()).collect();
        let (find, call) = (Arc::new(find_tool(&of)?), Arc::new(call_tool()?));
        let finder: Arc<dyn Provider> = Arc::new(Finder {
            id: endpoint.clone(),
            tools: vec![Arc::clone(&find), Arc::clone(&call)],
            all: tools.into(),
            lexicon: lexicon.clone(),
            index: Arc::default(),
        });
        let entry = |tool: &Arc<Tool>| Arc::new(Entry::plain(Arc::clone(&finder), tool));
        Some(Self { endpoint: endpoint.clone(), listed: [entry(&find), entry(&call)], list: OnceLock::new() })
    }

    pub(crate) fn endpoint(&self) -> &ProviderId {
        &self.endpoint
    }

    pub(crate) fn listed(&self) -> &[Arc<Entry>] {
        &self.listed
    }

    pub(crate) fn list_json(&self) -> &Bytes {
        self.list.get_or_init(|| json_array(self.listed.iter().map(|entry| entry.json())))
    }

    /// One of the two by its name.
    pub(crate) fn own(&self, name: &str) -> Option<&Arc<Entry>> {
        self.listed.iter().find(|entry| entry.name() == name)
    }

    /// The call that is meant by a call of one of the two with these arguments. None: the tool itself is, which says what is wrong with them.
    pub(crate) fn inner(&self, entry: &Entry, arguments: &str) -> Option<Inner> {
        if entry.name() != CALL {
            return None;
        }
        inner(arguments).ok()
    }

    /// Whether a model may call a tool by the search.
    pub(crate) fn offers(&self, entry: &Entry) -> bool {
        is_for_models(entry.tool().meta.as_ref())
    }
}

/// Reads the arguments of `call_tool`.
fn inner(arguments: &str) -> Result<Inner, String> {
    #[derive(Deserialize)]
    struct Arguments<'a> {
        name: Option<String>,
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    const SHAPE: &str = "call_tool takes {\"name\": \"…\", \"arguments\": {…}} with a name that find_tools has found";
    let Arguments { name, arguments } = serde_json::from_str(arguments).map_err(|error| format!("{SHAPE}: {error}"))?;
    let name = name.ok_or_else(|| format!("\"name\" is missing: {SHAPE}"))?;
    let arguments = match arguments.map(RawValue::get) {
        None | Some("null") => "{}".to_owned(),
        // Some models write JSON into a text.
        Some(text) if text.starts_with('"') => serde_json::from_str::<String>(text).map_err(|error| format!("{SHAPE}: {error}"))?,
        Some(text) => text.to_owned(),
    };
    let is_object = serde_json::from_str::<Map<String, Value>>(&arguments).is_ok();
    if is_object { Ok(Inner { name, arguments }) } else { Err(format!("\"arguments\" is no object: {SHAPE}")) }
}

fn tool(name: &str, title: &str, description: String, properties: Value, required: &str, annotations: Option<Value>) -> Option<Tool> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties);
    schema.insert("required".to_owned(), json!([required]));
    let tool = Tool::new(ToolName::new(name).ok()?, schema);
    Some(Tool { title: Some(title.to_owned()), description: Some(description), annotations, ..tool })
}

/// `of`: whose tools there are.
fn find_tool(of: &BTreeSet<&str>) -> Option<Tool> {
    let names: Vec<&str> = of.iter().take(NAMES).copied().collect();
    let more = if of.len() > NAMES { format!(" and {} more", of.len() - NAMES) } else { String::new() };
    let whose = if names.is_empty() { String::new() } else { format!(" There are tools of: {}{more}.", names.join(", ")) };
    let description = format!(
        "Finds tools by what they do and returns the best matches with their input schemas. The tools that exist here are not listed: search before you \
         say that something can't be done, then call what you found by {CALL}.{whose}"
    );
    let properties = json!({
        "query": { "type": "string", "description": "What the tool should do, in a few words: \"create a calendar event\"" },
        "limit": { "type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL }
    });
    let hints = json!({ "readOnlyHint": true, "idempotentHint": true, "openWorldHint": false });
    tool(FIND, "Find tools", description, properties, "query", Some(hints))
}

fn call_tool() -> Option<Tool> {
    let description = format!("Calls a tool that {FIND} has found, and returns that tool's result.");
    let properties = json!({
        "name": { "type": "string", "description": format!("The tool's name, as {FIND} gave it") },
        "arguments": { "type": "object", "description": "What the tool's input schema asks for" }
    });
    tool(CALL, "Call a tool", description, properties, "name", None)
}

/// Who has the two tools. Calls of `call_tool` that name a tool never come here: they are calls of that tool.
struct Finder {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    all: Arc<[Arc<Entry>]>,
    lexicon: Lexicon,
    index: Arc<OnceLock<Index>>,
}

impl Finder {
    /// Makes the index apart from what serves calls: to count the words of ten thousand tools takes a good part of a second.
    async fn prepare(&self) {
        if self.index.get().is_some() {
            return;
        }
        let (index, all, lexicon) = (Arc::clone(&self.index), Arc::clone(&self.all), self.lexicon.clone());
        let making = tokio::task::spawn_blocking(move || {
            index.get_or_init(|| Index::new(&all, &lexicon));
        });
        // Where that fails it is made in place.
        drop(making.await);
    }

    async fn find(&self, arguments: &str) -> CallOutput {
        #[derive(Deserialize)]
        struct Arguments {
            query: Option<String>,
            limit: Option<f64>,
        }
        let Arguments { query, limit } = match serde_json::from_str(arguments) {
            Ok(arguments) => arguments,
            Err(error) => return CallOutput::error(format!("{FIND} takes {{\"query\": \"…\", \"limit\": {USUAL}}}: {error}")),
        };
        let Some(query) = query.filter(|query| !query.trim().is_empty()) else {
            return CallOutput::error("\"query\" is missing: say in a few words what the tool should do");
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is no such number becomes the nearest one that is"
        )]
        let limit = limit.map_or(USUAL, |limit| (limit as usize).clamp(1, MOST));
        let index = self.index.get_or_init(|| Index::new(&self.all, &self.lexicon));
        let meanings = &self.lexicon.meanings;
        let wanted = index.read(&query);
        // The model takes longer than all else, and has nothing to add where the words are those of a tool.
        let is_asked = !wanted.is_clear() && index.has_meanings(meanings);
        let meaning = async { if is_asked { meanings.of(Index::looked_at(&query)).await } else { None } };
        // It computes on its own threads while the words are weighed here.
        let (meaning, scores) = future::join(meaning, async { index.weigh(&wanted) }).await;
        let found = index.rank(&query, scores, meaning.as_ref(), limit);
        if found.is_empty() {
            return CallOutput {
                content: vec![Content::text("No tool fits. Try other words for what it should do.")],
                structured: JsonText::parse("{\"tools\":[]}".to_owned()).ok(),
                ..CallOutput::default()
            };
        }
        let tools: Vec<Value> = found.iter().map(shown).collect();
        let text = json!({ "tools": tools }).to_string();
        CallOutput { content: vec![Content::text(text.clone())], structured: JsonText::parse(text).ok(), ..CallOutput::default() }
    }
}

/// What a model needs of a tool to call it.
fn shown(found: &Found) -> Value {
    let tool = found.entry.tool();
    let mut shown = Map::new();
    shown.insert("name".to_owned(), found.entry.name().into());
    if let Some(title) = &tool.title {
        shown.insert("title".to_owned(), title.as_str().into());
    }
    if let Some(description) = &tool.description {
        shown.insert("description".to_owned(), description.as_str().into());
    }
    shown.insert("inputSchema".to_owned(), Value::Object((*tool.input_schema).clone()));
    if let Some(annotations) = &tool.annotations {
        shown.insert("annotations".to_owned(), annotations.clone());
    }
    Value::Object(shown)
}

impl Provider for Finder {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async move {
            Ok(match call.tool {
                FIND => {
                    self.prepare().await;
                    self.find(call.arguments).await
                }
                _ => CallOutput::error(inner(call.arguments).err().unwrap_or_else(|| "the tool is called by its name".to_owned())),
            })
        }
        .boxed()
    }
}
