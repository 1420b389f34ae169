//! What is on offer, and what callers with some roles see of it.

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::{Response, StatusCode, Uri};
use serde::Serialize;
use serde_json::Value;

use super::{Console, TokenRoles, query};
use crate::{
    catalog::{Access, Entry, Role, Snapshot, Why},
    http::answer,
    provider::{Principal, Roles},
};

/// Characters of a description in a list: the whole one is in the tool itself.
const ABOUT: usize = 300;

#[derive(Serialize)]
struct Offers<'a> {
    tools: Vec<Tool<'a>>,
    prompts: Vec<Named<'a>>,
    resources: Vec<Named<'a>>,
    templates: Vec<Named<'a>>,
    /// Names that clash, and what came of it.
    collisions: Vec<String>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    provider: &'a str,
    /// The provider's own name for it.
    own: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    about: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hints: Option<&'a Value>,
    disabled: bool,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    provider: &'a str,
}

impl<'a> Tool<'a> {
    fn of(entry: &'a Entry, disabled: bool) -> Self {
        let (tool, about) = (entry.tool(), entry.tool().description.as_deref().unwrap_or_default());
        Self {
            name: entry.name(),
            provider: entry.provider().id().as_str(),
            own: entry.own_name(),
            title: tool.title.as_deref(),
            about: about.get(..about.floor_char_boundary(ABOUT)).unwrap_or_default(),
            hints: tool.annotations.as_ref(),
            disabled,
        }
    }
}

pub(super) async fn offers(State(console): State<Arc<Console>>) -> Response<Body> {
    let snapshot = console.front.catalog().snapshot();
    let enabled = snapshot.tools().map(|entry| Tool::of(entry, false));
    let mut tools: Vec<Tool<'_>> = enabled.chain(snapshot.disabled().iter().map(|entry| Tool::of(entry, true))).collect();
    tools.sort_by_key(|tool| tool.provider);
    let prompts = snapshot.prompts().map(|entry| Named { name: entry.name(), provider: entry.provider().id().as_str() });
    let resources = snapshot.resources().map(|entry| Named { name: entry.uri(), provider: entry.provider().id().as_str() });
    let templates = snapshot.templates().map(|entry| Named { name: entry.uri(), provider: entry.provider().id().as_str() });
    let offers = Offers {
        tools,
        prompts: prompts.collect(),
        resources: resources.collect(),
        templates: templates.collect(),
        collisions: snapshot.collisions().iter().map(ToString::to_string).collect(),
    };
    answer::json(StatusCode::OK, &offers)
}

/// One tool, as clients read it.
pub(super) async fn tool(State(console): State<Arc<Console>>, uri: Uri) -> Response<Body> {
    let name = query::parameter(&uri, "name").unwrap_or_default();
    let snapshot = console.front.catalog().snapshot();
    // By the published name or, as in a call, by the qualified one.
    let is_meant = |entry: &Entry| {
        entry.name() == name
            || name.strip_prefix(entry.provider().id().as_str()).is_some_and(|rest| rest.strip_prefix("__") == Some(entry.own_name()))
    };
    let disabled = || snapshot.disabled().iter().find(|entry| is_meant(entry));
    match snapshot.resolve(&name).or_else(disabled) {
        Some(entry) => answer::json_text(StatusCode::OK, entry.json().to_owned()),
        None => {
            let error = format!("there is no tool {:?} any more", answer::echo(&name));
            answer::problem(StatusCode::NOT_FOUND, &error, "look at the list of tools again")
        }
    }
}

#[derive(Serialize)]
struct AllRoles {
    roles: Vec<RoleInfo>,
    tokens: Vec<TokenRoles>,
    default_roles: Vec<String>,
    view: Vec<String>,
    operate: Vec<String>,
}

#[derive(Serialize)]
struct RoleInfo {
    name: String,
    servers: Vec<String>,
    tools: Vec<String>,
    resources: Vec<String>,
    prompts: Vec<String>,
    deny: Vec<String>,
    limits: Vec<String>,
}

impl From<&Role> for RoleInfo {
    fn from(role: &Role) -> Self {
        let limit = |limit: &crate::catalog::Limit| {
            let parts = [
                limit.rate.map(|rate| rate.to_string()),
                limit.concurrency.map(|calls| format!("{calls} at once")),
                limit.daily.map(|calls| format!("{calls} a day")),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            match &limit.pattern {
                Some(pattern) => format!("{pattern}: {}", parts.join(", ")),
                None => parts.join(", "),
            }
        };
        Self {
            name: role.name.clone(),
            servers: role.servers.clone(),
            tools: role.tools.clone(),
            resources: role.resources.clone(),
            prompts: role.prompts.clone(),
            deny: role.deny.clone(),
            limits: role.limits.iter().map(limit).collect(),
        }
    }
}

pub(super) async fn roles(State(console): State<Arc<Console>>) -> Response<Body> {
    let (policy, config) = (console.host.policy(), console.host.console());
    let policy = policy.load();
    let all = AllRoles {
        roles: policy.all_roles().map(RoleInfo::from).collect(),
        tokens: console.host.tokens(),
        default_roles: policy.roles_of(None).iter().map(str::to_owned).collect(),
        view: config.view,
        operate: config.operate,
    };
    answer::json(StatusCode::OK, &all)
}

#[derive(Serialize)]
struct SeenBy {
    roles: Vec<String>,
    offers: Vec<Offer>,
}

#[derive(Serialize)]
struct Offer {
    kind: &'static str,
    name: String,
    provider: String,
    allowed: bool,
    why: String,
}

/// What callers see: those with `roles`, with commas between them, or who has a `token` of that name.
pub(super) async fn seen(State(console): State<Arc<Console>>, uri: Uri) -> Response<Body> {
    let policy = console.host.policy();
    let policy = policy.load();
    let principal = query::parameter(&uri, "token").map(|token| Principal::new(&token));
    let roles = match (&principal, query::parameter(&uri, "roles")) {
        (Some(_), _) => policy.roles_now(principal.as_ref()).clone(),
        (None, Some(roles)) => Roles::new(roles.split(',').filter(|role| !role.is_empty())),
        (None, None) => policy.roles_of(None).clone(),
    };
    let snapshot = console.front.catalog().snapshot();
    let access = (!policy.is_open()).then(|| policy.access_of(principal.as_ref(), &roles));
    let offers = offered(access.as_ref(), &snapshot);
    answer::json(StatusCode::OK, &SeenBy { roles: roles.iter().map(str::to_owned).collect(), offers })
}

/// Everything on offer. `access`: None, where everybody may use everything.
fn offered(access: Option<&Access>, snapshot: &Snapshot) -> Vec<Offer> {
    let offer = |kind, name: &str, provider: &str, why: &dyn Fn(&Access) -> Why| {
        let why = access.map(why);
        Offer {
            kind,
            name: name.to_owned(),
            provider: provider.to_owned(),
            allowed: why.as_ref().is_none_or(Why::is_allowed),
            why: why.map_or_else(|| "there are no roles".to_owned(), |why| why.to_string()),
        }
    };
    let mut all: Vec<Offer> = Vec::new();
    for entry in snapshot.tools() {
        all.push(offer("tool", entry.name(), entry.provider().id().as_str(), &|access| access.tool(entry)));
    }
    for entry in snapshot.prompts() {
        let provider = entry.provider().id().as_str();
        all.push(offer("prompt", entry.name(), provider, &|access| access.prompt(provider, entry.own_name(), entry.name())));
    }
    for (kind, entry) in snapshot.resources().map(|entry| ("resource", entry)).chain(snapshot.templates().map(|entry| ("template", entry)))
    {
        let provider = entry.provider().id().as_str();
        all.push(offer(kind, entry.uri(), provider, &|access| access.resource(provider, entry.own_uri(entry.uri()))));
    }
    all
}
