//! One tool on offer: who runs it, how it is published, and its JSON in a list.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use serde_json::{Map, Value};

use super::{Kind, Marks, names::Named, naming::is_safe};
use crate::{
    provider::{Provider, Tool, ToolName, page_of, with_pages},
    telemetry::{metrics::CallMeter, traces::Outline},
};

/// Bytes of an original name that a description tells.
const SHOWN: usize = 256;

/// What was worked out last, and by which version of the rules.
pub(super) type KeptMarks = ArcSwapOption<(u64, Option<Arc<Marks>>)>;

/// A tool on offer.
pub struct Entry {
    provider: Arc<dyn Provider>,
    own_name: ToolName,
    tool: Arc<Tool>,
    param_headers: Vec<ParamHeader>,
    json: OnceLock<Box<str>>,
    meter: OnceLock<Arc<CallMeter>>,
    outline: OnceLock<Outline>,
    marks: KeptMarks,
}

/// An argument that is repeated in a header, so that a proxy can route by it: the schema's `x-mcp-header` (2026-07-28, "Custom Headers").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// Names of properties from the root of the arguments to the argument.
    pub path: Vec<String>,
    /// The header's whole name, in lower case: `mcp-param-…`.
    pub header: String,
}

impl Entry {
    fn of(provider: Arc<dyn Provider>, own_name: ToolName, tool: Arc<Tool>) -> Self {
        let mut param_headers = Vec::new();
        collect_param_headers(tool.input_schema.get("properties"), &mut Vec::new(), &mut param_headers);
        let (json, meter, outline) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { provider, own_name, tool, param_headers, json, meter, outline, marks: ArcSwapOption::empty() }
    }

    /// Under the provider's own name for it.
    pub(super) fn plain(provider: Arc<dyn Provider>, tool: &Arc<Tool>) -> Self {
        Self::of(provider, tool.name.clone(), Arc::clone(tool))
    }

    /// Who runs it.
    #[must_use]
    pub fn provider(&self) -> &Arc<dyn Provider> {
        &self.provider
    }

    /// The provider's own name for it, which a call has to carry.
    #[must_use]
    pub fn own_name(&self) -> &str {
        self.own_name.as_str()
    }

    /// The tool as it is published: with the published name.
    #[must_use]
    pub fn tool(&self) -> &Arc<Tool> {
        &self.tool
    }

    /// The published name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.tool.name.as_str()
    }

    /// The address of the page that clients show beside its answers: MCP Apps.
    #[must_use]
    pub fn page(&self) -> Option<&str> {
        page_of(self.tool.meta.as_ref()?)
    }

    /// The same with links to its pages as they are published, where these are others: `published` has them by its provider's own.
    pub(super) fn linked(&self, published: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let meta = with_pages(self.tool.meta.as_ref()?, published)?;
        let tool = Arc::new(Tool { meta: Some(meta), ..Tool::clone(&self.tool) });
        Some(Self::of(Arc::clone(&self.provider), self.own_name.clone(), tool))
    }

    /// What its calls are counted by. `find` finds it by the provider's name and the tool's own one, once.
    pub fn meter(&self, find: impl FnOnce(&str, &str) -> Arc<CallMeter>) -> &Arc<CallMeter> {
        self.meter.get_or_init(|| find(self.provider.id().as_str(), self.own_name()))
    }

    /// What all spans of its calls have. Made once.
    pub fn outline(&self, make: impl FnOnce() -> Outline) -> &Outline {
        self.outline.get_or_init(make)
    }

    /// What one version of the operator's rules says of it.
    pub(super) fn kept_marks(&self) -> &KeptMarks {
        &self.marks
    }

    /// Arguments that a client of 2026-07-28 has to repeat in headers. Nearly always none.
    #[must_use]
    pub fn param_headers(&self) -> &[ParamHeader] {
        &self.param_headers
    }

    /// The tool as an object of JSON, as `tools/list` has it. Made once.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| render(&self.tool).into_boxed_str())
    }
}

impl Named for Entry {
    const KIND: Kind = Kind::Tool;
    type Source = Tool;

    fn own_name_of(tool: &Tool) -> &str {
        tool.name.as_str()
    }

    fn shared_name_of(tool: &Tool) -> Arc<str> {
        (&tool.name).into()
    }

    fn under(provider: Arc<dyn Provider>, tool: &Arc<Tool>, name: &str) -> Option<Self> {
        let own = tool.name.clone();
        let tool = if name == own.as_str() { Arc::clone(tool) } else { Arc::new(renamed(tool, ToolName::new(name).ok()?)) };
        Some(Self::of(provider, own, tool))
    }

    fn json(&self) -> &str {
        self.json()
    }

    fn looks_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tool, &other.tool) || self.tool == other.tool
    }
}

/// The tool under another name. Where its own is one that model APIs refuse, the description tells it.
fn renamed(tool: &Tool, name: ToolName) -> Tool {
    let own = tool.name.as_str();
    let shown = own.get(..own.floor_char_boundary(SHOWN)).unwrap_or_default();
    let description = match &tool.description {
        description if is_safe(Kind::Tool, own) => description.clone(),
        Some(description) => Some(format!("{}\n\nOriginal name: {shown}", description.trim_end())),
        None => Some(format!("Original name: {shown}")),
    };
    Tool { name, description, ..tool.clone() }
}

/// The same walk as a client does: annotations along chains of `properties` alone.
fn collect_param_headers(properties: Option<&Value>, path: &mut Vec<String>, found: &mut Vec<ParamHeader>) {
    let Some(Value::Object(properties)) = properties else { return };
    for (name, schema) in properties {
        path.push(name.clone());
        if let Some(header) = schema.get("x-mcp-header").and_then(Value::as_str).filter(|header| !header.is_empty()) {
            found.push(ParamHeader { path: path.clone(), header: format!("mcp-param-{}", header.to_ascii_lowercase()) });
        }
        collect_param_headers(schema.get("properties"), path, found);
        path.pop();
    }
}

/// Every member that the tool carries; those it does not have are left out.
fn render(tool: &Tool) -> String {
    let mut object = Map::new();
    object.insert("name".to_owned(), tool.name.as_str().into());
    if let Some(title) = &tool.title {
        object.insert("title".to_owned(), title.as_str().into());
    }
    if let Some(description) = &tool.description {
        object.insert("description".to_owned(), description.as_str().into());
    }
    object.insert("inputSchema".to_owned(), Value::Object((*tool.input_schema).clone()));
    if let Some(schema) = &tool.output_schema {
        object.insert("outputSchema".to_owned(), Value::Object((**schema).clone()));
    }
    if let Some(annotations) = &tool.annotations {
        object.insert("annotations".to_owned(), annotations.clone());
    }
    if let Some(icons) = &tool.icons {
        object.insert("icons".to_owned(), icons.clone());
    }
    if let Some(meta) = &tool.meta {
        object.insert("_meta".to_owned(), Value::Object(meta.clone()));
    }
    for (name, value) in &tool.extra {
        object.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    Value::Object(object).to_string()
}
