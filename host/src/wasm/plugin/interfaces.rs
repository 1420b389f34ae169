//! The interfaces of the contract that a component exports: each is optional, in any mix.

use wasmtime::{
    Engine,
    component::{Component, InstancePre, types::ComponentItem},
};

use wasmtime_wasi_http::p2::bindings::exports::wasi::http::incoming_handler;

use super::{Code, http, run::Failure};
use crate::{
    provider::CallError,
    wasm::{
        folder::LoadError,
        imports::bindings::exports::toolbay::plugin::{after_call, before_call, completion, prompts, resources, tool_list, tools},
        instance::State,
    },
};

/// Where the functions of each interface are in an instance. None: the component does not export it.
pub(super) struct Interfaces {
    pub(super) tools: Option<tools::GuestIndices>,
    pub(super) resources: Option<resources::GuestIndices>,
    pub(super) prompts: Option<prompts::GuestIndices>,
    pub(super) completion: Option<completion::GuestIndices>,
    pub(super) before_call: Option<before_call::GuestIndices>,
    pub(super) after_call: Option<after_call::GuestIndices>,
    pub(super) tool_list: Option<tool_list::GuestIndices>,
    /// It answers requests of HTTP.
    pub(super) http: Option<incoming_handler::GuestIndices>,
}

impl Interfaces {
    /// Looks at what a component exports.
    ///
    /// # Errors
    ///
    /// Where an interface has the name of one of ours, but not its functions.
    pub(super) fn of(component: &Component, engine: &Engine, pre: &InstancePre<State>) -> Result<Self, LoadError> {
        let ty = component.component_type();
        let exported: Vec<&str> = ty
            .exports(engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
            .filter_map(|(name, _)| name.strip_prefix("toolbay:plugin/")?.split_once('@').map(|(interface, _)| interface))
            .collect();
        let serves_http = ty.exports(engine).any(|(name, _)| name.split_once('@').is_some_and(|(name, _)| name == http::EXPORT));
        Ok(Self {
            tools: known(&exported, "tools", || tools::GuestIndices::new(pre))?,
            resources: known(&exported, "resources", || resources::GuestIndices::new(pre))?,
            prompts: known(&exported, "prompts", || prompts::GuestIndices::new(pre))?,
            completion: known(&exported, "completion", || completion::GuestIndices::new(pre))?,
            before_call: known(&exported, "before-call", || before_call::GuestIndices::new(pre))?,
            after_call: known(&exported, "after-call", || after_call::GuestIndices::new(pre))?,
            tool_list: known(&exported, "tool-list", || tool_list::GuestIndices::new(pre))?,
            http: serves_http
                .then(|| incoming_handler::GuestIndices::new(pre))
                .transpose()
                .map_err(|error| LoadError(format!("its interface `{}` is not one of WASI 0.2: {error:#}", http::EXPORT)))?,
        })
    }
}

impl Interfaces {
    /// Whether it has any of the contract.
    pub(super) fn any_of_contract(&self) -> bool {
        let Self { tools, resources, prompts, completion, before_call, after_call, tool_list, http: _ } = self;
        tools.is_some()
            || resources.is_some()
            || prompts.is_some()
            || completion.is_some()
            || before_call.is_some()
            || after_call.is_some()
            || tool_list.is_some()
    }
}

fn known<I>(exported: &[&str], interface: &str, indices: impl FnOnce() -> wasmtime::Result<I>) -> Result<Option<I>, LoadError> {
    if !exported.contains(&interface) {
        return Ok(None);
    }
    indices().map(Some).map_err(|error| {
        LoadError(format!(
            "its interface `toolbay:plugin/{interface}` is not the one that this host knows (toolbay:plugin/{interface}@0.1.0): {error:#}"
        ))
    })
}

impl Code {
    /// An interface of an instance, ready to be called.
    pub(super) fn bound<G>(&self, interface: &str, guest: Option<wasmtime::Result<G>>) -> Result<G, Failure> {
        let missing = || Failure::Call(CallError::Internal(format!("plugin {} has no interface `{interface}`", self.shared.id)));
        guest.ok_or_else(missing)?.map_err(|error| {
            tracing::warn!(plugin = %self.shared.id, %error, "the interface `{interface}` cannot be called");
            missing()
        })
    }
}
