//! `toolbay check`: what the endpoints of the configuration offer.

use std::fmt::Write as _;

use serde::Serialize;

use super::{counted, unused};
use crate::{catalog::Catalog, config::Config};

/// Names of one list that are shown to people.
const SHOWN: usize = 12;

/// What one endpoint offers.
#[derive(Debug, Serialize)]
pub(super) struct Offered {
    name: String,
    path: String,
    /// Whether it lists two tools that find and call the others.
    search: bool,
    tools: Vec<String>,
    resources: Vec<String>,
    prompts: Vec<String>,
    /// Who may use it. Empty: every caller.
    roles: Vec<String>,
    callers: Vec<String>,
    warnings: Vec<String>,
}

impl Offered {
    /// Of the endpoint of this name.
    pub(super) fn of(name: &str, config: &Config, catalog: &Catalog, whole: &Catalog) -> Self {
        let snapshot = catalog.snapshot();
        let endpoint = config.endpoint.get(name).cloned().unwrap_or_default();
        let resources = snapshot.resources().chain(snapshot.templates());
        let mut offered = Self {
            name: name.to_owned(),
            path: format!("/{name}/mcp"),
            search: endpoint.search,
            tools: snapshot.callable().map(|entry| entry.name().to_owned()).collect(),
            resources: resources.map(|entry| entry.uri().to_owned()).collect(),
            prompts: snapshot.prompts().map(|entry| entry.name().to_owned()).collect(),
            roles: endpoint.roles.clone(),
            callers: endpoint.callers.clone(),
            warnings: unused::of_endpoint(&endpoint, &whole.snapshot()),
        };
        if whole.has_provider(name) {
            offered.warnings.push(format!("the plugin {name} has no endpoint of its own, since this one has its address"));
        }
        offered
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let what = [("tool", &self.tools), ("resource", &self.resources), ("prompt", &self.prompts)];
        let counts: Vec<String> =
            what.iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| counted(names.len(), what)).collect();
        let counts = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
        let search = if self.search { "; lists find_tools and call_tool in place of them" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "ok      endpoint {}: {counts}{search}", self.path);
        for (what, names) in what.iter().filter(|(_, names)| !names.is_empty()) {
            let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
            let _ = writeln!(text, "        {what}s: {}{more}", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "));
        }
        let who: Vec<String> =
            self.roles.iter().map(|role| format!("[role.{role}]")).chain(self.callers.iter().map(|caller| format!("{caller:?}"))).collect();
        if !who.is_empty() {
            let _ = writeln!(text, "        for {}", who.join(", "));
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "        warning: {warning}");
        }
        text
    }
}
