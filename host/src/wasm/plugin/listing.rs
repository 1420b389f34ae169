//! What a plugin offers, from the lists that it makes: when it is loaded, and again when it says that they have changed.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use wasmtime::component::Component;

use super::{Code, Plugin, Route, dynamic_tools::Listed, offers::publish, on_demand::Version, prompts, resources};
use crate::{
    config::{NameRules, PluginConfig},
    offload,
    overrides::with_overrides,
    provider::{Offers, Provider, Tool},
    schema::Budget,
    wasm::{
        admission::AdmissionQueue,
        folder::{Load, LoadError, Loaded, PluginUpdate, PluginUpdates},
        imports::{
            bindings::exports::toolbay::plugin::tools as wit,
            notify::{ChangeSignal, Lists, Said},
        },
        typed::{self, TypedFunction, docs::Docs},
    },
};

/// How often lists are asked for before a plugin that says that they have changed is left as it was, and how long is waited in between: it may just be busy.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// What all lists of one version are made from.
pub(super) struct Origin {
    /// Of the file's content.
    pub(super) digest: blake3::Hash,
    pub(super) component: Component,
    pub(super) docs: Arc<Docs>,
    /// The interfaces that it imports.
    pub(super) imports: Arc<[String]>,
    /// Whether a call may send something before its answer.
    pub(super) notifies: bool,
    /// Whether it may say that something has changed.
    pub(super) tells: bool,
}

/// What is not wrong but worth knowing of each list.
#[derive(Clone, Default)]
pub(super) struct Warnings {
    tools: Vec<String>,
    resources: Vec<String>,
    prompts: Vec<String>,
}

impl Warnings {
    pub(super) fn all(&self) -> Vec<String> {
        [&self.tools[..], &self.resources, &self.prompts].concat()
    }
}

impl Plugin {
    /// The same plugin, with these lists made anew.
    pub(super) async fn listed(&self, which: Lists) -> Result<Self, LoadError> {
        let mut next = self.clone();
        if self.code.interfaces.guards().any() {
            next.warnings.tools = self.guard_warnings();
            return Ok(next);
        }
        if which.tools {
            (next.tools, next.routes, next.warnings.tools) = self.find_tools().await?;
        }
        if which.resources && self.code.interfaces.resources.is_some() {
            let (listed, templates) = self.list_resources().await?;
            let mut warnings = Vec::new();
            next.offers.resources = publish("resource", listed, resources::resource, &mut warnings);
            next.offers.templates = publish("resource template", templates, resources::template, &mut warnings);
            next.warnings.resources = warnings;
        }
        if which.prompts && self.code.interfaces.prompts.is_some() {
            let mut warnings = Vec::new();
            next.offers.prompts = publish("prompt", self.list_prompts().await?, prompts::prompt, &mut warnings);
            next.warnings.prompts = warnings;
        }
        next.offers.completes = self.code.interfaces.completion.is_some();
        Ok(next)
    }

    async fn find_tools(&self) -> Result<(Vec<Arc<Tool>>, Arc<HashMap<String, Route>>, Vec<String>), LoadError> {
        let overrides = &self.code.shared.config.tools;
        let notifies = self.code.origin.notifies;
        let described = typed::describe(&self.code.engine, &self.code.origin.component, &self.code.origin.docs, overrides);
        let mut warnings = described.warnings;
        let (mut tools, mut routes) = (Vec::new(), HashMap::new());
        let mut offer = |tool: Arc<Tool>, route: Route, warnings: &mut Vec<String>| {
            let name = tool.name.as_str().to_owned();
            if routes.contains_key(&name) {
                warnings.push(format!("there are two tools of the name {name}; the second is not offered"));
                return;
            }
            tools.push(tool);
            routes.insert(name, route);
        };
        for function in described.functions {
            let function = function.with_notifies(notifies);
            offer(function.tool().clone(), Route::Typed(Arc::new(function)), &mut warnings);
        }
        if self.code.interfaces.tools.is_some() {
            for listed in self.read_tools(self.list_tools().await?).await? {
                match listed {
                    Ok(listed) => {
                        warnings.extend_from_slice(listed.notes());
                        offer(listed.tool().clone(), Route::Listed(Arc::new(listed)), &mut warnings);
                    }
                    Err(message) => warnings.push(format!("{message}; it is not offered")),
                }
            }
        }
        for name in overrides.keys().filter(|name| !routes.contains_key(name.as_str())) {
            warnings.push(format!("[tools.{name}] is configured, but there is no such tool"));
        }
        if let Some(name) = self.code.shared.config.default_tool.as_deref().filter(|name| !routes.contains_key(*name)) {
            warnings.push(format!("default_tool = {name:?} is configured, but there is no such tool"));
        }
        Ok((tools, Arc::new(routes), warnings))
    }

    /// Compiles the schemas of listed tools, beside the async workers. Those of many tools can take long: past the time of a call, the rest is not offered.
    async fn read_tools(&self, tools: Vec<wit::Tool>) -> Result<Vec<Result<Listed, String>>, LoadError> {
        let (shared, notifies) = (Arc::clone(&self.code.shared), self.code.origin.notifies);
        let timeout = shared.config.limits.timeout;
        let work = move || {
            let (patterns, begun) = (Budget::new(Budget::PLUGIN), Instant::now());
            let read = |tool: wit::Tool| {
                if offload::is_given_up() || begun.elapsed() > timeout {
                    let name: String = tool.name.chars().take(128).collect();
                    return Err(format!("tool {name}: compiling the schemas before its own took longer than {timeout:?}, the `timeout`"));
                }
                Listed::new(tool, notifies, &shared.config.tools, &patterns)
            };
            tools.into_iter().map(read).collect()
        };
        self.code
            .shared
            .offload
            .run(work)
            .await
            .map_err(|lost| LoadError(format!("the schemas of its tools could not be compiled: {lost}")))
    }

    /// What a guard exports in vain.
    fn guard_warnings(&self) -> Vec<String> {
        let interfaces = &self.code.interfaces;
        let others = [
            ("tools", interfaces.tools.is_some()),
            ("resources", interfaces.resources.is_some()),
            ("prompts", interfaces.prompts.is_some()),
        ];
        let others: Vec<&str> = others.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
        let config = &self.code.shared.config;
        let described = typed::describe(&self.code.engine, &self.code.origin.component, &self.code.origin.docs, &config.tools);
        let functions = described.functions.len();
        let mut warnings = Vec::new();
        if !others.is_empty() {
            warnings.push(format!("it is a guard, so what it exports as `{}` is not offered", others.join("`, `")));
        }
        if functions > 0 {
            warnings.push(format!("it is a guard, so the {functions} functions that it exports are not offered as tools"));
        }
        warnings
    }

    /// A plugin that has nothing to offer is no plugin.
    pub(super) fn check_offers(&self) -> Result<(), LoadError> {
        if self.code.interfaces.guards().any() {
            return Ok(());
        }
        let Offers { resources, templates, prompts, completes: _ } = &self.offers;
        if !(self.tools.is_empty() && resources.is_empty() && templates.is_empty() && prompts.is_empty()) {
            return Ok(());
        }
        let interfaces = &self.code.interfaces;
        let warnings = self.warnings.all();
        let why = if !warnings.is_empty() {
            warnings.join("; ")
        } else if interfaces.tools.is_some() || interfaces.resources.is_some() || interfaces.prompts.is_some() {
            "its lists are empty".to_owned()
        } else {
            "it exports no function and no interface `toolbay:plugin/tools`, `resources` or `prompts`; export a function, or target the world `toolbay:plugin/plugin` or `full`".to_owned()
        };
        Err(LoadError(format!("it has no tools, no resources and no prompts: {why}")))
    }

    /// As it goes into the folder's table. `version`: what serves it from now on, if its code need not be in memory all the time.
    pub(super) async fn published(self: Arc<Self>, version: Option<Arc<Version>>) -> Loaded {
        let code = &self.code;
        // A guard is asked with every call, and early code is to be replaced.
        let can_be_dropped = code.is_kept && code.optimising.is_none() && !code.interfaces.guards().any();
        match version.filter(|_| can_be_dropped) {
            Some(version) => version.first(self).await,
            None => self.loaded(),
        }
    }

    fn loaded(self: Arc<Self>) -> Loaded {
        let (provider, unfit) = shaped(self.clone(), &self.code.shared.config);
        Loaded {
            provider,
            warnings: [self.warnings.all(), unfit].concat(),
            imports: self.code.origin.imports.clone(),
            load: Arc::new(Counters(self.code.gate.clone())),
            compiled: Some(self.code.made),
            news: (self.code.origin.tells || self.code.optimising.is_some()).then(|| Arc::new(Ear(self.clone())) as _),
        }
    }

    /// The same plugin, with the same lists, on other code of the same component. None: its functions are not found there, which cannot be.
    fn moved(&self, code: Arc<Code>) -> Option<Self> {
        let described = typed::describe(&code.engine, &code.origin.component, &code.origin.docs, &code.shared.config.tools);
        let notifies = code.origin.notifies;
        let mut typed: HashMap<String, Arc<TypedFunction>> = HashMap::new();
        for function in described.functions {
            let name = function.tool().name.as_str().to_owned();
            // Of two of one name the first was taken.
            typed.entry(name).or_insert_with(|| Arc::new(function.with_notifies(notifies)));
        }
        let moved = |(name, route): (&String, &Route)| {
            let route = match route {
                Route::Typed(_) => Route::Typed(typed.get(name)?.clone()),
                listed @ Route::Listed(_) => listed.clone(),
            };
            Some((name.clone(), route))
        };
        let routes = self.routes.iter().map(moved).collect::<Option<HashMap<_, _>>>()?;
        Some(Self { code, routes: Arc::new(routes), ..self.clone() })
    }

    /// The plugin with these lists as they are now. None, where they are the same, or cannot be made.
    async fn look_again(&self, which: Lists) -> Option<Loaded> {
        for tries in 1..=TRIES {
            match self.listed(which).await {
                Ok(next) if next.tools == self.tools && next.offers == self.offers => return None,
                Ok(next) => return Some(Arc::new(next).loaded()),
                Err(error) if tries == TRIES => {
                    tracing::warn!(plugin = %self.code.shared.id, %error, "the plugin reports changed lists, but they cannot be read; the previous ones stay");
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        None
    }

    /// Waits for what its calls say.
    async fn heard(&self) -> PluginUpdate {
        let shared = &self.code.shared;
        loop {
            let mut said = Unheard::new(&shared.bell, shared.bell.wait(shared.id.as_str()).await);
            let lists = said.lists();
            let relisted = if lists.any() { self.look_again(lists).await } else { None };
            let updated = said.take();
            if relisted.is_some() || !updated.is_empty() {
                return PluginUpdate { relisted, updated };
            }
        }
    }
}

/// A plugin under the names that its configuration gives it.
pub(super) fn shaped(plugin: Arc<dyn Provider>, config: &PluginConfig) -> (Arc<dyn Provider>, Vec<String>) {
    // What is said of tools stands in their schemas already, but for what is the same whoever runs a tool.
    let tools = config.tools.iter().filter_map(|(own, said)| Some((own.clone(), said.of_any_provider()?))).collect();
    let names = NameRules { tools, ..config.names.clone() };
    let section = format!("plugin.{}", plugin.id());
    with_overrides(plugin, &names, None, &section)
}

/// What was said and nobody was told of. Whoever listens next hears it.
pub(super) struct Unheard<'a> {
    bell: &'a ChangeSignal,
    said: Option<Said>,
}

impl<'a> Unheard<'a> {
    pub(super) fn new(bell: &'a ChangeSignal, said: Said) -> Self {
        Self { bell, said: Some(said) }
    }

    /// Lists that have changed.
    pub(super) fn lists(&self) -> Lists {
        self.said.as_ref().map(|said| said.lists).unwrap_or_default()
    }

    /// It is heard. What holds something else now is told.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.said.take().unwrap_or_default().updated.into_iter().collect()
    }
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if let Some(said) = self.said.take() {
            self.bell.say_again(said);
        }
    }
}

/// Listens to what the calls of a plugin say, and for better code of it.
struct Ear(Arc<Plugin>);

impl PluginUpdates for Ear {
    fn next(&self) -> BoxFuture<'static, PluginUpdate> {
        let plugin = self.0.clone();
        Box::pin(async move {
            let optimised = async {
                let code = plugin.code.optimised().await;
                match plugin.moved(code) {
                    Some(moved) => {
                        let version = plugin.code.optimising.as_ref().and_then(|optimising| optimising.version().cloned());
                        PluginUpdate { relisted: Some(Arc::new(moved).published(version).await), updated: Vec::new() }
                    }
                    None => {
                        tracing::error!(plugin = %plugin.code.shared.id, "optimised code has other functions than the early code; it is not used");
                        std::future::pending().await
                    }
                }
            };
            tokio::select! {
                biased;
                update = plugin.heard(), if plugin.code.origin.tells => update,
                update = optimised => update,
            }
        })
    }
}

/// The counters of a plugin, for its status.
pub(super) struct Counters(pub(super) Arc<AdmissionQueue>);

impl Load for Counters {
    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    fn queued(&self) -> usize {
        self.0.queued()
    }
}
