//! A provider under other names: `prefix`, `rename`, `include`, `exclude` and other words for its tools, as the configuration has them.

mod params;
mod pattern;

use std::{collections::HashMap, sync::Arc};

use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::{
    config::NameRules,
    provider::{
        Call, CallContext, CallError, CallOutput, Completion, Completions, Definition, JsonText, Offer, Offers, PAGE_SCHEME, PromptOutput,
        Provider, ProviderId, Reference, Tool, ToolName, with_page, without_page,
    },
    similar,
    wildcard::fits,
};
use params::OwnParams;
use pattern::renamed;

/// Names that are told of those that there are.
const SHOWN: usize = 8;

/// A provider whose tools and prompts have the names that the rules give them, and what of the rules could not be done, in sentences.
///
/// `default_tool` is the tool that is meant where a caller names none, by either of its names; None: what the provider itself says. `section` is where all
/// this stands: `server.git`.
#[must_use]
pub fn with_overrides(
    inner: Arc<dyn Provider>,
    rules: &NameRules,
    default_tool: Option<&str>,
    section: &str,
) -> (Arc<dyn Provider>, Vec<String>) {
    if *rules == NameRules::default() && default_tool.is_none() {
        return (inner, Vec::new());
    }
    let mut warnings = unknown_names(&*inner, rules, section);
    let mut tools = Names::default();
    let mut own_params = HashMap::new();
    for tool in inner.tools() {
        let Some(name) = tools.take("tool", tool.name.as_str(), rules, section, &mut warnings) else { continue };
        let (tool, own) = describe(tool, name, rules, section, &mut warnings);
        if !own.is_empty() {
            own_params.insert(tool.name.as_str().to_owned(), (Arc::clone(&tool), own));
        }
        tools.offered.push(tool);
    }
    let mut prompts = Names::default();
    for prompt in &inner.offers().prompts {
        let Some(name) = prompts.take("prompt", &prompt.key, rules, section, &mut warnings) else { continue };
        let mut json = prompt.json.clone();
        json.insert("name".to_owned(), name.as_str().into());
        prompts.offered.push(Arc::new(Offer { key: name.as_str().to_owned(), json }));
    }
    let instructions = rules.instructions.clone().or_else(|| inner.instructions().map(str::to_owned));
    let mut offers = Offers { prompts: prompts.offered, ..inner.offers().clone() };
    if !rules.apps {
        for list in [&mut offers.resources, &mut offers.templates] {
            list.retain(|offer| !is_page(&offer.key));
        }
    }
    let wanted = default_tool.or(inner.default_tool());
    let is = |name: &str, own: &str| wanted == Some(name) || wanted == Some(own);
    let default_tool = tools.own.iter().find(|(name, own)| is(name, own)).map(|(name, _)| name.clone());
    if let (Some(wanted), None) = (wanted, &default_tool) {
        let names: Vec<&str> = tools.offered.iter().map(|tool| tool.name.as_str()).collect();
        warnings.push(format!("`default_tool` in [{section}] names {wanted:?}, which it does not offer{}", nearest(wanted, &names)));
    }
    let shaped = OverriddenProvider {
        tools: tools.offered,
        own_tools: tools.own,
        own_prompts: prompts.own,
        own_params,
        default_tool,
        instructions,
        offers,
        apps: rules.apps,
        inner,
    };
    (Arc::new(shaped), warnings)
}

/// Whether the rules publish what a provider calls by this name.
#[must_use]
pub fn is_published(rules: &NameRules, own: &str) -> bool {
    let is_in = |patterns: &[String]| patterns.iter().any(|pattern| fits(own, pattern));
    (rules.include.is_empty() || is_in(&rules.include)) && !is_in(&rules.exclude)
}

/// Published names of one kind, and whose they are.
struct Names<T> {
    offered: Vec<T>,
    /// By the published name: the own one.
    own: HashMap<String, String>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { offered: Vec::new(), own: HashMap::new() }
    }
}

impl<T> Names<T> {
    /// The name under which `own` is published, if it is.
    fn take(&mut self, kind: &str, own: &str, rules: &NameRules, section: &str, warnings: &mut Vec<String>) -> Option<ToolName> {
        if !is_published(rules, own) {
            return None;
        }
        let name = match renamed(own, &rules.rename) {
            Some(name) => name,
            None => format!("{}{own}", rules.prefix.as_deref().unwrap_or_default()),
        };
        let name = match ToolName::new(name) {
            Ok(name) => name,
            Err(error) => {
                warnings.push(format!("{kind} {own:?} is left out: {error}; give it another name by `rename` in [{section}]"));
                return None;
            }
        };
        if let Some(other) = self.own.get(name.as_str()) {
            warnings.push(format!(
                "{kind} {own:?} is left out: {other:?} is published as {:?} already; give one of them another name by `rename` in [{section}]",
                name.as_str()
            ));
            return None;
        }
        self.own.insert(name.as_str().to_owned(), own.to_owned());
        Some(name)
    }
}

/// A tool under its published name, in the operator's words, and the own names of parameters that have others now.
fn describe(tool: &Arc<Tool>, name: ToolName, rules: &NameRules, section: &str, warnings: &mut Vec<String>) -> (Arc<Tool>, OwnParams) {
    let own = tool.name.as_str();
    let loses_page = !rules.apps && tool.meta.is_some();
    if !rules.tools.contains_key(own) && !loses_page && tool.name == name {
        return (tool.clone(), OwnParams::new());
    }
    let mut tool = Tool { name, ..Tool::clone(tool) };
    let instead = rules.tools.get(own);
    tool.meta = match instead.and_then(|instead| instead.app.as_deref()).filter(|_| rules.apps) {
        Some(page) if !page.is_empty() => Some(with_page(tool.meta, page)),
        None if rules.apps => tool.meta,
        _ => tool.meta.and_then(without_page),
    };
    let Some(instead) = instead else { return (Arc::new(tool), OwnParams::new()) };
    tool.title = instead.title.clone().or(tool.title);
    tool.description = instead.description.clone().or(tool.description);
    tool.annotations = instead.annotations(tool.annotations);
    let mut own_params = OwnParams::new();
    if !instead.rename_params.is_empty() {
        own_params = params::rename(&mut tool, &instead.rename_params, |warning| {
            warnings.push(format!("[{section}.tools.{own}] {warning}"));
        });
    }
    for (param, text) in &instead.params {
        let properties = Arc::make_mut(&mut tool.input_schema).get_mut("properties");
        match properties.and_then(|properties| properties.get_mut(param)) {
            Some(Value::Object(schema)) => drop(schema.insert("description".to_owned(), text.as_str().into())),
            // `true` is a schema too: anything at all.
            Some(schema @ Value::Bool(true)) => *schema = json!({ "description": text }),
            _ => warnings.push(format!("[{section}.tools.{own}] describes the parameter {param:?}, which the tool does not have")),
        }
    }
    (Arc::new(tool), own_params)
}

/// What the rules speak of and nothing is.
fn unknown_names(inner: &dyn Provider, rules: &NameRules, section: &str) -> Vec<String> {
    let tools = inner.tools().iter().map(|tool| tool.name.as_str());
    let tools: Vec<&str> = tools.chain(inner.unread().iter().map(String::as_str)).collect();
    let all: Vec<&str> = tools.iter().copied().chain(inner.offers().prompts.iter().map(|prompt| prompt.key.as_str())).collect();
    let mut warnings = Vec::new();
    for own in rules.rename.keys().filter(|own| !all.iter().any(|name| fits(name, own))) {
        let what = if own.contains('*') { "and nothing that it offers fits" } else { "which it does not offer" };
        warnings.push(format!("`rename` in [{section}] names {own:?}, {what}{}", nearest(own, &all)));
    }
    for (key, patterns) in [("include", &rules.include), ("exclude", &rules.exclude)] {
        for pattern in patterns.iter().filter(|pattern| !all.iter().any(|name| fits(name, pattern))) {
            warnings.push(format!("`{key}` in [{section}] names {pattern:?}, and nothing that it offers fits{}", nearest(pattern, &all)));
        }
    }
    for own in rules.tools.keys().filter(|own| !tools.contains(&own.as_str())) {
        warnings.push(format!("[{section}.tools.{own}] is about a tool that it does not offer{}", nearest(own, &tools)));
    }
    warnings
}

fn nearest(name: &str, all: &[&str]) -> String {
    match similar::nearest(name, all.iter().copied()) {
        Some(near) => format!("; did you mean {near:?}?"),
        None if !all.is_empty() => {
            let more = if all.len() > SHOWN { ", …" } else { "" };
            format!("; it offers {}{more}", all.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", "))
        }
        None => "; it offers nothing".to_owned(),
    }
}

/// Whether it is the address of a page: MCP Apps.
fn is_page(uri: &str) -> bool {
    uri.starts_with(PAGE_SCHEME)
}

struct OverriddenProvider {
    inner: Arc<dyn Provider>,
    tools: Vec<Arc<Tool>>,
    own_tools: HashMap<String, String>,
    own_prompts: HashMap<String, String>,
    /// Tools with parameters under other names, by their published names.
    own_params: HashMap<String, (Arc<Tool>, OwnParams)>,
    default_tool: Option<String>,
    instructions: Option<String>,
    offers: Offers,
    /// Whether its pages can be read.
    apps: bool,
}

impl OverriddenProvider {
    /// A call of a tool whose parameters have other names.
    async fn call_renamed(&self, call: Call<'_>, own: &str, tool: &Tool, own_params: &OwnParams) -> Result<CallOutput, CallError> {
        if let Some(missing) = params::missing(call.arguments, &tool.input_schema, own_params) {
            return Ok(CallOutput::error(format!("the arguments do not fit tool {}: required and missing: {missing}", call.tool)));
        }
        match params::turned_back(call.arguments, own_params) {
            Some(arguments) => self.inner.call(Call { tool: own, arguments: &arguments, ..call }).await,
            None => self.inner.call(Call { tool: own, ..call }).await,
        }
    }
}

impl Provider for OverriddenProvider {
    fn inner(&self) -> Option<&dyn Provider> {
        Some(&*self.inner)
    }

    fn id(&self) -> &ProviderId {
        self.inner.id()
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        match self.own_tools.get(call.tool) {
            Some(own) => match self.own_params.get(call.tool) {
                Some((tool, own_params)) => Box::pin(self.call_renamed(call, own, tool, own_params)),
                None => self.inner.call(Call { tool: own, ..call }),
            },
            None => Box::pin(async move { Err(CallError::UnknownTool(call.tool.to_owned())) }),
        }
    }

    fn default_tool(&self) -> Option<&str> {
        self.default_tool.as_deref()
    }

    fn definitions(&self) -> Vec<(String, Definition)> {
        let said: HashMap<String, (String, Definition)> = {
            let names = self.inner.tools().iter().map(|tool| tool.name.to_string());
            names.zip(self.inner.definitions()).collect()
        };
        let of = |tool: &Arc<Tool>| said.get(self.own_tools.get(tool.name.as_str())?).cloned();
        // Every tool was made of one of its own.
        self.tools.iter().map(|tool| of(tool).unwrap_or_else(|| (tool.name.to_string(), Definition::of(tool)))).collect()
    }

    fn prompt_definitions(&self) -> Vec<(String, Definition)> {
        let said: HashMap<String, Definition> = self.inner.prompt_definitions().into_iter().collect();
        let of = |prompt: &Arc<Offer>| {
            let own = self.own_prompts.get(&prompt.key)?;
            Some((own.clone(), said.get(own)?.clone()))
        };
        // Every prompt was made of one of its own.
        self.offers
            .prompts
            .iter()
            .map(|prompt| of(prompt).unwrap_or_else(|| (prompt.key.clone(), Definition::of_entry(&prompt.json))))
            .collect()
    }

    fn instructions(&self) -> Option<&str> {
        self.instructions.as_deref()
    }

    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn read_resource<'a>(&'a self, uri: &'a str, context: Box<CallContext>) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        if !self.apps && is_page(uri) {
            return Box::pin(async move { Err(CallError::UnknownResource(uri.to_owned())) });
        }
        self.inner.read_resource(uri, context)
    }

    fn get_prompt<'a>(
        &'a self,
        name: &'a str,
        arguments: Vec<(String, String)>,
        context: Box<CallContext>,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        match self.own_prompts.get(name) {
            Some(own) => self.inner.get_prompt(own, arguments, context),
            None => Box::pin(async move { Err(CallError::UnknownPrompt(name.to_owned())) }),
        }
    }

    fn complete(&self, mut completion: Completion, context: Box<CallContext>) -> BoxFuture<'_, Result<Completions, CallError>> {
        if let Reference::Prompt(name) = &mut completion.reference {
            match self.own_prompts.get(name.as_str()) {
                Some(own) => name.clone_from(own),
                None => {
                    let error = CallError::UnknownPrompt(std::mem::take(name));
                    return Box::pin(async move { Err(error) });
                }
            }
        }
        self.inner.complete(completion, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ToolOverride;
    use std::collections::BTreeMap;

    /// Answers by the name and, in `_meta`, the arguments that it was called by.
    struct Echo(ProviderId, Vec<Arc<Tool>>, Offers);

    impl Provider for Echo {
        fn id(&self) -> &ProviderId {
            &self.0
        }
        fn tools(&self) -> &[Arc<Tool>] {
            &self.1
        }
        fn offers(&self) -> &Offers {
            &self.2
        }
        fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
            let meta = JsonText::parse(call.arguments.to_owned()).ok();
            Box::pin(async move { Ok(CallOutput { meta, ..CallOutput::error(call.tool) }) })
        }
        fn get_prompt<'a>(
            &'a self,
            name: &'a str,
            _: Vec<(String, String)>,
            _: Box<CallContext>,
        ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
            Box::pin(async move {
                Ok(PromptOutput { description: Some(name.to_owned()), messages: JsonText::from_value("").unwrap(), meta: None })
            })
        }
    }

    fn echo(tools: &[&str], prompts: &[&str]) -> Arc<dyn Provider> {
        let tool = |name: &&str| {
            Arc::new(Tool {
                name: ToolName::new(*name).unwrap(),
                title: None,
                description: Some("own".to_owned()),
                input_schema: Arc::new(
                    json!({ "type": "object", "properties": { "a": { "type": "string" }, "b": true } }).as_object().unwrap().clone(),
                ),
                output_schema: None,
                annotations: None,
                icons: None,
                meta: None,
                extra: serde_json::Map::new(),
                notifies: false,
            })
        };
        let prompt = |name: &&str| {
            let json = json!({ "name": name, "x": 1 });
            Arc::new(Offer { key: (*name).to_owned(), json: json.as_object().unwrap().clone() })
        };
        let offers = Offers { prompts: prompts.iter().map(prompt).collect(), ..Offers::default() };
        Arc::new(Echo(ProviderId::new("git").unwrap(), tools.iter().map(tool).collect(), offers))
    }

    fn rules() -> NameRules {
        NameRules::default()
    }

    fn names(provider: &Arc<dyn Provider>) -> Vec<&str> {
        provider.tools().iter().map(|tool| tool.name.as_str()).collect()
    }

    async fn called(provider: &Arc<dyn Provider>, tool: &str) -> Result<String, CallError> {
        let output = provider.call(Call { tool, arguments: "{}", context: Box::default() }).await?;
        match output.content.into_iter().next() {
            Some(crate::provider::Content::Text(text)) => Ok(text),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn names_are_given_and_calls_find_their_way_back() {
        let rules = NameRules {
            prefix: Some("git_".to_owned()),
            rename: BTreeMap::from([("log".to_owned(), "history".to_owned()), ("ask".to_owned(), "question".to_owned())]),
            include: vec!["l*".to_owned(), "status".to_owned(), "ask".to_owned()],
            exclude: vec!["ls-*e".to_owned()],
            ..rules()
        };
        let (shaped, warnings) =
            with_overrides(echo(&["log", "ls-files", "ls-tree", "status", "reset"], &["ask", "tell"]), &rules, None, "server.git");
        assert_eq!(warnings, [] as [&str; 0]);
        assert_eq!(names(&shaped), ["history", "git_ls-files", "git_status"]);
        assert_eq!(called(&shaped, "history").await.unwrap(), "log");
        assert_eq!(called(&shaped, "git_ls-files").await.unwrap(), "ls-files");
        assert_eq!(called(&shaped, "log").await, Err(CallError::UnknownTool("log".to_owned())), "only under its published name");
        assert_eq!(
            called(&shaped, "git_reset").await,
            Err(CallError::UnknownTool("git_reset".to_owned())),
            "what is left out is not called"
        );
        let prompts = &shaped.offers().prompts;
        assert_eq!(
            (prompts.len(), prompts[0].key.as_str(), &prompts[0].json["name"], &prompts[0].json["x"]),
            (1, "question", &json!("question"), &json!(1))
        );
        let filled = shaped.get_prompt("question", Vec::new(), Box::default()).await.unwrap();
        assert_eq!(filled.description.as_deref(), Some("ask"));
    }

    #[test]
    fn tools_are_described_in_the_operators_words() {
        let params = BTreeMap::from([("a", "A."), ("b", "B."), ("c", "C.")].map(|(name, text)| (name.to_owned(), text.to_owned())));
        let instead =
            ToolOverride { title: Some("Title".to_owned()), description: Some("Words".to_owned()), params, ..ToolOverride::default() };
        let rules = NameRules { tools: BTreeMap::from([("log".to_owned(), instead)]), ..rules() };
        let (shaped, warnings) = with_overrides(echo(&["log", "status"], &[]), &rules, None, "server.git");
        let log = &shaped.tools()[0];
        assert_eq!((log.title.as_deref(), log.description.as_deref()), (Some("Title"), Some("Words")));
        assert_eq!(log.input_schema["properties"], json!({ "a": { "type": "string", "description": "A." }, "b": { "description": "B." } }));
        assert_eq!(shaped.tools()[1].description.as_deref(), Some("own"));
        assert_eq!(warnings, ["[server.git.tools.log] describes the parameter \"c\", which the tool does not have"]);
    }

    #[tokio::test]
    async fn patterns_give_names_and_parameters_find_their_way_back() {
        let instead = ToolOverride {
            rename_params: BTreeMap::from([("a".to_owned(), "query".to_owned())]),
            params: BTreeMap::from([("query".to_owned(), "What to look for.".to_owned())]),
            read_only: Some(true),
            ..ToolOverride::default()
        };
        let rules = NameRules {
            rename: BTreeMap::from([("git_*".to_owned(), "g_*".to_owned()), ("svn_*".to_owned(), "s_*".to_owned())]),
            tools: BTreeMap::from([("git_log".to_owned(), instead)]),
            ..rules()
        };
        let (shaped, warnings) = with_overrides(echo(&["git_log", "git_status", "other"], &["git_ask"]), &rules, None, "server.git");
        assert_eq!(names(&shaped), ["g_log", "g_status", "other"]);
        assert_eq!(shaped.offers().prompts[0].key, "g_ask");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("`rename` in [server.git] names \"svn_*\", and nothing that it offers fits"), "{warnings:?}");
        let log = &shaped.tools()[0];
        assert_eq!(log.input_schema["properties"], json!({ "query": { "type": "string", "description": "What to look for." }, "b": true }));
        assert_eq!(log.annotations, Some(json!({ "readOnlyHint": true })));
        let call = |arguments| shaped.call(Call { tool: "g_log", arguments, context: Box::default() });
        assert_eq!(call(r#"{"query": [1],"b":2}"#).await.unwrap().meta.unwrap().as_str(), r#"{"a":[1],"b":2}"#);
        assert_eq!(call(r#"{"a": 1}"#).await.unwrap().meta.unwrap().as_str(), r#"{"a": 1}"#, "the own name is taken too");
    }

    #[tokio::test]
    async fn pages_are_given_and_taken_away() {
        let named = |meta: serde_json::Value| meta.as_object().cloned();
        let given = named(json!({ "ui": { "resourceUri": "ui://git/own", "visibility": ["app"] }, "ui/resourceUri": "ui://git/own" }));
        let page = |key: &str| Arc::new(Offer { key: key.to_owned(), json: serde_json::Map::new() });
        let tools = ["log", "status"].map(|name| {
            let name = ToolName::new(name).unwrap();
            Arc::new(Tool { meta: given.clone(), ..Tool::new(name, serde_json::Map::new()) })
        });
        let offers =
            Offers { resources: vec![page("ui://git/own"), page("git://a")], templates: vec![page("ui://git/{x}")], ..Offers::default() };
        let inner: Arc<dyn Provider> = Arc::new(Echo(ProviderId::new("git").unwrap(), tools.to_vec(), offers));
        let shaped = |apps, app: &str| {
            let instead = ToolOverride { app: Some(app.to_owned()), ..ToolOverride::default() };
            let rules = NameRules { apps, tools: BTreeMap::from([("log".to_owned(), instead)]), ..rules() };
            with_overrides(Arc::clone(&inner), &rules, None, "server.git").0
        };
        let metas = |shaped: &Arc<dyn Provider>| shaped.tools().iter().map(|tool| tool.meta.clone()).collect::<Vec<_>>();
        let other = named(json!({ "ui": { "resourceUri": "ui://git/b", "visibility": ["app"] }, "ui/resourceUri": "ui://git/b" }));
        assert_eq!(metas(&shaped(true, "ui://git/b")), [other, given.clone()]);
        let none = named(json!({ "ui": { "visibility": ["app"] } }));
        assert_eq!(metas(&shaped(true, "")), [none.clone(), given]);
        let without = shaped(false, "ui://git/b");
        assert_eq!(metas(&without), [none.clone(), none]);
        let keys: Vec<&str> =
            without.offers().resources.iter().chain(&without.offers().templates).map(|offer| offer.key.as_str()).collect();
        assert_eq!(keys, ["git://a"]);
        let read = without.read_resource("ui://git/own", Box::default()).await;
        assert_eq!(read.unwrap_err().to_string(), "there is no resource \"ui://git/own\"");
    }

    #[test]
    fn two_of_one_name_and_names_of_nothing_are_told() {
        let rules = NameRules {
            rename: BTreeMap::from([("a".to_owned(), "b".to_owned()), ("statis".to_owned(), "s".to_owned())]),
            include: vec!["a".to_owned(), "b".to_owned(), "stat*".to_owned(), "zzz".to_owned()],
            exclude: vec!["logg".to_owned()],
            tools: BTreeMap::from([("staus".to_owned(), ToolOverride::default())]),
            ..rules()
        };
        let (shaped, warnings) = with_overrides(echo(&["a", "b", "status", "log"], &[]), &rules, None, "server.git");
        assert_eq!(names(&shaped), ["b", "status"]);
        assert_eq!(
            warnings,
            [
                "`rename` in [server.git] names \"statis\", which it does not offer; did you mean \"status\"?",
                "`include` in [server.git] names \"zzz\", and nothing that it offers fits; it offers a, b, status, log",
                "`exclude` in [server.git] names \"logg\", and nothing that it offers fits; did you mean \"log\"?",
                "[server.git.tools.staus] is about a tool that it does not offer; did you mean \"status\"?",
                "tool \"b\" is left out: \"a\" is published as \"b\" already; give one of them another name by `rename` in [server.git]",
            ]
        );
        let long = NameRules { prefix: Some("x".repeat(4096)), ..NameRules::default() };
        let (shaped, warnings) = with_overrides(echo(&["a"], &[]), &long, None, "server.git");
        assert!(names(&shaped).is_empty() && warnings[0].starts_with("tool \"a\" is left out: tool name "), "{warnings:?}");
    }

    #[test]
    fn the_default_tool_is_known_by_either_name() {
        let rules = NameRules { prefix: Some("git_".to_owned()), ..rules() };
        for name in ["log", "git_log"] {
            let (shaped, warnings) = with_overrides(echo(&["log", "status"], &[]), &rules, Some(name), "server.git");
            assert_eq!((shaped.default_tool(), warnings.len()), (Some("git_log"), 0));
        }
        let (shaped, warnings) = with_overrides(echo(&["log"], &[]), &rules, Some("git_logs"), "server.git");
        assert_eq!(shaped.default_tool(), None);
        assert_eq!(warnings, ["`default_tool` in [server.git] names \"git_logs\", which it does not offer; did you mean \"git_log\"?"]);
    }

    #[test]
    fn without_rules_it_is_the_provider_itself() {
        let inner = echo(&["a"], &[]);
        assert!(Arc::ptr_eq(&inner, &with_overrides(inner.clone(), &rules(), None, "server.git").0));
    }
}
