//! `[endpoint.NAME]`: a part of everything, at an address of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AuthConfig, RoleConfig,
    role::{pattern, role_name},
    section::{Section, section},
    taken::Taken,
    toml_reader::{Item, Table},
    types::{Boolean, list, optional, text},
};
use crate::{provider::ProviderId, similar};

section! {
    /// An MCP endpoint at `/NAME/mcp` that offers a part of everything: what its lists name, without
    /// what `deny` names. Without `servers`, `tools`, `resources` and `prompts` it offers everything.
    /// What a caller sees there is also limited by its roles. `*` stands for any characters.
    #[derive(Eq)]
    pub struct EndpointConfig {
        /// Plugins and servers of which everything is offered, by name.
        servers: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// Tools. `weather__get_*` is about the plugin or server `weather`; a name without `__` is
        /// about that tool of any plugin or server.
        tools: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// Resources and templates, by URI.
        resources: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// Prompts, as `tools`.
        prompts: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// What is not offered, whatever the other lists name: tools and prompts as in `tools`,
        /// resources by URI, and plugins or servers by name.
        deny: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// The roles of callers who may use the endpoint. Without `roles` and `callers`, everybody who
        /// is let in may; for others there is no such endpoint.
        roles: Vec<String> = Vec::new(), list("names", text("name", role_name));
        /// The names of callers who may use it, besides those with one of `roles`: names in
        /// `[auth.tokens]`, or subjects of access tokens.
        callers: Vec<String> = Vec::new(), list("names", text("name", caller_name));
        /// Whether the endpoint lists the two tools `find_tools` and `call_tool` in place of its tools,
        /// so that a client with many tools reads few of them. Tools can still be called by their names.
        search: bool = false, Boolean;
        /// What the endpoint tells a client's model about itself (MCP's `instructions`).
        instructions: Option<String> = None, optional(text("text", words));
    }
}

/// What the names of endpoints and of those who may use them are held against.
pub(super) struct Known<'a> {
    pub(super) roles: &'a BTreeMap<String, RoleConfig>,
    pub(super) auth: &'a AuthConfig,
    pub(super) taken: Taken<'a>,
}

/// The tables `[endpoint.NAME]`.
pub(super) fn endpoints(table: &Table<'_>, known: &Known<'_>) -> BTreeMap<String, EndpointConfig> {
    let mut endpoints = BTreeMap::new();
    for item in table.items() {
        if let Err(error) = ProviderId::new(item.key.as_str()) {
            item.source.problem(item.key_offset, error.to_string().replacen("plugin", "endpoint", 1));
        } else {
            known.check_name(&item);
        }
        let Some(keys) = item.table() else { continue };
        let mut endpoint = EndpointConfig::default();
        endpoint.read(&keys);
        known.check_who(&keys, &endpoint);
        keys.finish();
        endpoints.insert(item.key, endpoint);
    }
    endpoints
}

impl Known<'_> {
    /// `/NAME/mcp` is either an endpoint's or a provider's.
    fn check_name(&self, item: &Item<'_>) {
        let name = item.key.as_str();
        if let Some(other) = self.taken.by(name) {
            item.fail_key(format_args!("{other}, whose own endpoint is /{name}/mcp too; give the endpoint another name"));
        }
    }

    /// Says of each role and caller whether there is such a one.
    fn check_who(&self, keys: &Table<'_>, endpoint: &EndpointConfig) {
        let tokens: BTreeSet<&str> = self.auth.tokens.iter().map(|(name, _)| name).collect();
        let roles: BTreeSet<&str> = self.roles.keys().map(String::as_str).collect();
        let unknown = |item: Option<Item<'_>>, names: &[String], known: &BTreeSet<&str>, what: &dyn Fn(&str) -> String| {
            let Some(item) = item else { return };
            for name in names.iter().filter(|name| !known.contains(name.as_str())) {
                let near = similar::did_you_mean(name, known.iter().copied());
                item.fail(format_args!("there is no {}{near}", what(name)));
            }
        };
        unknown(keys.get("roles"), &endpoint.roles, &roles, &|name| format!("[role.{name}]"));
        // The subjects of an issuer are not known here.
        if self.auth.issuer.is_empty() {
            unknown(keys.get("callers"), &endpoint.callers, &tokens, &|name| format!("token {name:?} in [auth.tokens]"));
        }
    }
}

fn caller_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("the name of a caller cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn words(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("instructions cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}
