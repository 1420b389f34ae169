//! Typed exports as tools: a component that exports plain WIT functions, and knows nothing of MCP, is a set of tools.
//!
//! [`describe`] looks at a component once and makes a [`TypedFunction`] of each exported function: the tool with its schemas (the table of types is in
//! `schema.rs`), and a plan by which a call's arguments become values and its results become an answer, without a look at the component's types.

pub mod docs;

mod decode;
mod diagnostics;
mod embed;
mod encode;
mod function;
mod names;
mod schema;
mod tags;
#[cfg(test)]
mod tests;
mod types;
mod wit_match;
mod wit_type;

use std::collections::{BTreeMap, HashMap, HashSet};

use wasmtime::{
    Engine,
    component::{
        Component, ComponentExportIndex,
        types::{ComponentFunc, ComponentItem},
    },
};

pub use self::{diagnostics::ArgumentError, docs::Docs, encode::OutputError, function::TypedFunction};
use self::{function::Source, names::published, types::TypeDocs, wit_type::Budget};
use crate::{config::ToolOverride, provider::ToolName};

/// Functions of one component that are published.
const MAX_FUNCTIONS: usize = 1000;
/// Warnings that are told of one component.
const MAX_WARNINGS: usize = 50;
/// What one function may take to describe.
const FUNCTION_BUDGET: Budget = Budget { nodes: 10_000, text: 256 << 10 };
/// What all functions of a component may take to describe, those that are left out too.
const COMPONENT_BUDGET: Budget = Budget { nodes: 200_000, text: 4 << 20 };

/// The tools that a component's functions are.
#[derive(Debug, Default)]
pub struct Described {
    /// In the order of the component's exports.
    pub functions: Vec<TypedFunction>,
    /// What was left out, and why: a sentence each.
    pub warnings: Vec<String>,
}

/// Makes tools of all exported functions, at the top and inside exported interfaces.
///
/// Exports of `wasi:…` and `toolbay:plugin/…` are for the host and left out silently. A function with resources, streams, futures or error contexts is
/// left out with a warning. A function is published under its own name; where several would have the same, those in an interface are published as
/// `interface_function`. What `overrides` says, by published name, goes before what the component says.
#[must_use]
pub fn describe(engine: &Engine, component: &Component, docs: &Docs, overrides: &BTreeMap<String, ToolOverride>) -> Described {
    let mut warnings = Warnings::default();
    let ty = component.component_type();
    let found = find(engine, component, &mut warnings);
    let types = TypeDocs::new(engine, &ty, docs);
    let world = docs.world(&ty.exports(engine).map(|(name, _)| name).collect());

    let mut count: HashMap<String, usize> = HashMap::new();
    for function in &found {
        *count.entry(published(&function.name)).or_default() += 1;
    }
    let mut taken = HashSet::new();
    let mut rest = COMPONENT_BUDGET;
    let mut functions = Vec::new();
    for function in &found {
        let label = function.label();
        let short = published(&function.name);
        let name = match &function.interface {
            Some(interface) if count.get(&short).is_some_and(|count| *count > 1) => {
                format!("{}_{short}", published(interface_name(interface)))
            }
            _ => short,
        };
        let name = match ToolName::new(name) {
            Ok(name) => name,
            Err(error) => {
                warnings.add(|| format!("the function {label} is not a tool: {error}"));
                continue;
            }
        };
        if taken.contains(&name) {
            warnings.add(|| format!("the function {label} is not a tool: there is another one that is published as {name}"));
            continue;
        }
        let mut budget = Budget { nodes: FUNCTION_BUDGET.nodes.min(rest.nodes), text: FUNCTION_BUDGET.text.min(rest.text) };
        let before = budget;
        let source = Source {
            ty: &function.ty,
            export: function.export,
            doc: docs.function(world, function.interface.as_deref(), &function.name),
            types: &types,
            said: overrides.get(name.as_str()),
        };
        let made = TypedFunction::new(name.clone(), &source, &mut budget, |warning| {
            warnings.add(|| format!("the function {label}: {warning}"));
        });
        rest = Budget { nodes: rest.nodes - (before.nodes - budget.nodes), text: rest.text - (before.text - budget.text) };
        match made {
            Ok(made) => {
                taken.insert(name);
                functions.push(made);
            }
            Err(reason) => warnings.add(|| format!("the function {label} is not a tool: {reason}")),
        }
    }
    Described { functions, warnings: warnings.finish() }
}

/// A function that may become a tool.
struct Found {
    interface: Option<String>,
    name: String,
    ty: ComponentFunc,
    export: ComponentExportIndex,
}

impl Found {
    fn label(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{:?} of {interface}", self.name),
            None => format!("{:?}", self.name),
        }
    }
}

fn find(engine: &Engine, component: &Component, warnings: &mut Warnings) -> Vec<Found> {
    let mut found = Vec::new();
    let mut more = 0;
    let mut add = |interface: Option<(&str, &ComponentExportIndex)>, name: &str, ty: ComponentFunc, warnings: &mut Warnings| {
        if found.len() == MAX_FUNCTIONS {
            more += 1;
            return;
        }
        let Some(export) = component.get_export_index(interface.map(|(_, index)| index), name) else { return };
        let function = Found { interface: interface.map(|(name, _)| name.to_owned()), name: name.to_owned(), ty, export };
        // `[method]r.f` and the like.
        if name.starts_with('[') {
            warnings.add(|| {
                format!("the function {} is not a tool: it belongs to a resource, which cannot be written as JSON", function.label())
            });
        } else {
            found.push(function);
        }
    };
    let ty = component.component_type();
    for (name, item) in ty.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(ty) if is_left_by_build(name, ty.params().map(|(name, _)| name)) => {}
            ComponentItem::ComponentFunc(ty) => add(None, name, ty, warnings),
            ComponentItem::ComponentInstance(_) if is_for_the_host(name) => {}
            ComponentItem::ComponentInstance(instance) => {
                let Some(index) = component.get_export_index(None, name) else { continue };
                for (function, item) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(ty) = item.ty
                        && !is_left_over(name, function, &ty)
                    {
                        add(Some((name, &index)), function, ty, warnings);
                    }
                }
            }
            _ => {}
        }
    }
    if more > 0 {
        warnings.add(|| format!("{more} functions are not tools: a plugin can have {MAX_FUNCTIONS}"));
    }
    found
}

/// Whether an exported interface is one that the host itself calls, and no set of tools.
fn is_for_the_host(interface: &str) -> bool {
    interface.starts_with("wasi:") || interface.starts_with("toolbay:plugin/")
}

/// componentize-py leaves the function by which it took its snapshot among the exports. It is nobody's tool.
fn is_left_over(interface: &str, function: &str, ty: &ComponentFunc) -> bool {
    interface == "exports" && function == "init" && ty.params().any(|(name, _)| name == "stub-wasi")
}

/// componentize-qjs leaves the one by which it evaluated the plugin's code: `init: func(shim: string, script: string, entry-path: option<string>,
/// disable-gc: bool) -> result<_, string>`. Wizer, which keeps what a plugin has set up when it is built, leaves `wizer-initialize: func()`.
fn is_left_by_build<'a>(function: &str, mut params: impl Iterator<Item = &'a str>) -> bool {
    match function {
        "init" => params.eq(["shim", "script", "entry-path", "disable-gc"]),
        "wizer-initialize" => params.next().is_none(),
        _ => false,
    }
}

/// Whether a component holds CPython as componentize-py puts it there.
#[must_use]
pub fn is_python(engine: &Engine, component: &Component) -> bool {
    component.component_type().exports(engine).any(|(name, item)| match item.ty {
        ComponentItem::ComponentInstance(instance) => instance
            .exports(engine)
            .any(|(function, item)| matches!(&item.ty, ComponentItem::ComponentFunc(ty) if is_left_over(name, function, ty))),
        _ => false,
    })
}

/// `forecast` of `example:weather/forecast@1.0.0`; a name without a package is one already.
fn interface_name(export: &str) -> &str {
    let name = export.rsplit_once('/').map_or(export, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name)
}

#[derive(Default)]
struct Warnings {
    list: Vec<String>,
    more: usize,
}

impl Warnings {
    fn add(&mut self, warning: impl FnOnce() -> String) {
        if self.list.len() < MAX_WARNINGS {
            self.list.push(warning());
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.list.push(format!("and {} more warnings", self.more));
        }
        self.list
    }
}
