//! The endpoints of a configuration, as the front goes by them.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    catalog::{Access, Role, Table},
    config::{Config, EndpointConfig},
    mcp::EndpointOptions,
};

/// The endpoints that a configuration says.
pub(super) fn of(config: &Config) -> Arc<BTreeMap<String, EndpointOptions>> {
    Arc::new(config.endpoint.iter().map(|(name, endpoint)| (name.clone(), options(name, endpoint))).collect())
}

fn options(name: &str, endpoint: &EndpointConfig) -> EndpointOptions {
    EndpointOptions {
        offers: Arc::new(Access::of(offers(name, endpoint))),
        search: endpoint.search,
        roles: endpoint.roles.iter().cloned().collect(),
        callers: endpoint.callers.iter().cloned().collect(),
        instructions: endpoint.instructions.clone(),
    }
}

/// What an endpoint offers: patterns as those of a role.
fn offers(name: &str, endpoint: &EndpointConfig) -> Role {
    let EndpointConfig { servers, tools, resources, prompts, deny, .. } = endpoint.clone();
    let is_everything = [&servers, &tools, &resources, &prompts].into_iter().all(Vec::is_empty);
    let servers = if is_everything { vec!["*".to_owned()] } else { servers };
    Role { table: Table::Endpoint, name: name.to_owned(), servers, tools, resources, prompts, deny, limits: Vec::new() }
}
