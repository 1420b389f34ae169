//! `toolbay check --role` and `--as`: what a caller sees of everything on offer, and by which rule.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value};

use super::Failure;
use crate::{
    catalog::{Access, Policy, Role, Snapshot, Why},
    config::Config,
    identity::would_be,
    provider::{Principal, Roles},
    similar,
};

/// What somebody sees.
#[derive(Debug, Serialize)]
pub(super) struct Seen {
    /// Whose roles these are, where it is about a caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    roles: Vec<String>,
    /// Everything on offer.
    offers: Vec<Offer>,
    /// What of the roles is about nothing that is on offer.
    unused: Vec<String>,
}

/// One thing on offer, and whether it may be used.
#[derive(Debug, Serialize)]
struct Offer {
    kind: &'static str,
    name: String,
    allowed: bool,
    why: String,
}

/// Which roles somebody asks about.
pub(super) enum About<'a> {
    Roles(&'a [String]),
    /// The name of a token.
    Subject(&'a str),
    /// A caller of an issuer, as `ISSUER:SUBJECT`, and the claims of its token.
    Issued(&'a str, &'a Map<String, Value>),
}

impl Seen {
    /// What they see of a snapshot.
    ///
    /// # Errors
    ///
    /// There is no such role or token.
    pub(super) fn of(about: &About<'_>, config: &Config, policy: &Policy, snapshot: &Arc<Snapshot>) -> Result<Self, Failure> {
        if policy.is_open() {
            return Err(Failure::usage(
                "there is neither [role.NAME] nor [policy] in the configuration, so every caller may use everything",
            ));
        }
        let (principal, roles) = match about {
            About::Roles(names) => {
                if let Some(name) = names.iter().find(|name| !config.role.contains_key(*name)) {
                    return Err(unknown(&format!("[role.{name}]"), name, config.role.keys().map(String::as_str)));
                }
                (None, Roles::new(names.iter().map(String::as_str)))
            }
            About::Subject(subject) => {
                if config.auth.tokens.iter().all(|(name, _)| name != *subject) {
                    let names: Vec<_> = config.auth.tokens.iter().map(|(name, _)| name).collect();
                    return Err(unknown(&format!("token {subject:?} in [auth.tokens]"), subject, names));
                }
                let principal = Principal::new(subject);
                let roles = policy.roles_now(Some(&principal)).clone();
                (Some(principal), roles)
            }
            About::Issued(caller, claims) => {
                let principal = issued(caller, claims, config)?;
                let roles = policy.roles_of(Some(&principal)).clone();
                (Some(principal), roles)
            }
        };
        let access = policy.access_of(principal.as_ref(), &roles);
        let used: Vec<Role> = policy.roles(&roles).cloned().collect();
        Ok(Self {
            subject: principal.map(|principal| principal.subject().to_owned()),
            roles: roles.iter().map(str::to_owned).collect(),
            offers: offers(&access, snapshot),
            unused: used.iter().flat_map(|role| unused(role, snapshot)).collect(),
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { subject, roles, offers, unused } = self;
        let mut text = String::new();
        let names = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
        // Writing to a String cannot fail.
        let _ = match subject {
            Some(subject) => writeln!(text, "{subject} has {names}"),
            None => writeln!(text, "{names}"),
        };
        let width = offers.iter().map(|offer| offer.name.chars().count()).max().unwrap_or(0).min(48);
        for Offer { kind, name, allowed, why } in offers {
            let word = if *allowed { "sees   " } else { "hidden " };
            let _ = writeln!(text, "{word} {kind:<8}  {name:<width$}  {why}");
        }
        for pattern in unused {
            let _ = writeln!(text, "warning {pattern} is about nothing that is on offer now");
        }
        let seen = offers.iter().filter(|offer| offer.allowed).count();
        let _ = writeln!(text, "{seen} of {} visible", offers.len());
        text
    }
}

/// A caller with a token of an issuer.
fn issued(caller: &str, claims: &Map<String, Value>, config: &Config) -> Result<Principal, Failure> {
    let (name, subject) = caller.split_once(':').unwrap_or((caller, ""));
    let Some(issuer) = config.auth.issuer.get(name) else {
        return Err(unknown(&format!("[auth.issuer.{name}]"), name, config.auth.issuer.keys().map(String::as_str)));
    };
    let mut claims = claims.clone();
    // At the top, where a claim with the whole path for its name goes before all.
    claims.insert(issuer.subject_claim.clone(), subject.into());
    would_be(name, issuer, &claims).map_err(|why| Failure::usage(format!("no caller is authenticated as {caller:?}: {why}")))
}

fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
    let near = similar::did_you_mean(name, known);
    Failure::usage(format!("there is no {what}{near}"))
}

fn offers(access: &Access, snapshot: &Snapshot) -> Vec<Offer> {
    let offer = |kind, name: &str, why: &Why| Offer { kind, name: name.to_owned(), allowed: why.is_allowed(), why: why.to_string() };
    let resource = |provider: &str, uri: &str| access.resource(provider, uri);
    let mut all: Vec<Offer> = snapshot.tools().map(|entry| offer("tool", entry.name(), &access.tool(entry))).collect();
    all.extend(
        snapshot
            .prompts()
            .map(|entry| offer("prompt", entry.name(), &access.prompt(entry.provider().id().as_str(), entry.own_name(), entry.name()))),
    );
    all.extend(
        snapshot
            .resources()
            .map(|entry| offer("resource", entry.uri(), &resource(entry.provider().id().as_str(), entry.own_uri(entry.uri())))),
    );
    all.extend(
        snapshot
            .templates()
            .map(|entry| offer("template", entry.uri(), &resource(entry.provider().id().as_str(), entry.own_uri(entry.uri())))),
    );
    all
}

/// The patterns of a role that are about nothing on offer, in words.
fn unused(role: &Role, snapshot: &Snapshot) -> Vec<String> {
    let lists = [
        ("servers", &role.servers),
        ("tools", &role.tools),
        ("resources", &role.resources),
        ("prompts", &role.prompts),
        ("deny", &role.deny),
    ];
    let is_unused = |list: &str, pattern: &String| {
        let mut alone = Role { name: role.name.clone(), ..Role::default() };
        let only = match list {
            "servers" => &mut alone.servers,
            "tools" => &mut alone.tools,
            "resources" => &mut alone.resources,
            "prompts" => &mut alone.prompts,
            _ => &mut alone.deny,
        };
        only.push(pattern.clone());
        let policy = Policy::new(vec![alone], Roles::new([role.name.as_str()]), HashMap::new());
        offers(&policy.access(policy.roles_of(None)), snapshot).iter().all(|offer| !offer.why.contains(" by "))
    };
    let named = lists.into_iter().flat_map(|(list, patterns)| patterns.iter().map(move |pattern| (list, pattern)));
    named
        .filter(|(list, pattern)| is_unused(list, pattern))
        .map(|(list, pattern)| format!("{pattern:?} in {list} of [role.{}]", role.name))
        .collect()
}
