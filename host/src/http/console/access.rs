//! Who may see the console, and who may act in it.

use std::net::SocketAddr;

use axum::body::Body;
use http::{HeaderMap, Response, StatusCode, request::Parts};

use super::Console;
use crate::{
    catalog::Policy,
    config::ConsoleConfig,
    http::{answer, own_page::is_own_page},
    provider::Principal,
    telemetry::audit::{Arguments, End, Facts},
};

/// What somebody may do in the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rights {
    /// Nothing.
    None,
    /// See everything that it shows.
    View,
    /// Also act.
    Operate,
}

impl Rights {
    pub(super) fn of(config: &ConsoleConfig, policy: &Policy, principal: Option<&Principal>) -> Self {
        if policy.is_open() {
            // There are no roles: whoever came in may call everything, and steer it.
            return Self::Operate;
        }
        let roles = policy.roles_of(principal);
        let has_one_of = |list: &[String]| roles.iter().any(|role| list.iter().any(|name| name == role));
        if has_one_of(&config.operate) {
            Self::Operate
        } else if has_one_of(&config.view) || (config.view.is_empty() && policy.access_of(principal, roles).is_everything()) {
            Self::View
        } else {
            Self::None
        }
    }
}

/// Checks everything, and notes who asks for those further down.
///
/// # Errors
///
/// The answer to send.
pub(super) async fn admit(console: &Console, head: &mut Parts, peer: SocketAddr, acts: bool) -> Result<(), Box<Response<Body>>> {
    // A page of another origin is none of ours, also one on loopback, which may otherwise call.
    if !is_own_page(&head.uri, &head.headers) {
        let hint = "open the console at this server's own address";
        return Err(problem(StatusCode::FORBIDDEN, "only the console's own page may ask this", hint));
    }
    if console.admission.is_open() && is_forwarded(&head.headers) {
        let hint = "give callers tokens ([auth.tokens]), or open the console on the server's own machine";
        let error = "this request came through a proxy, and the server has no authentication: everybody could use its console";
        return Err(problem(StatusCode::FORBIDDEN, error, hint));
    }
    console.admission.admit(head, peer, false).await?;
    let principal = head.extensions.get::<Principal>();
    let (config, policy) = (console.host.console(), console.host.policy());
    let rights = Rights::of(&config, &policy.load(), principal);
    let (needed, key, what) =
        if acts { (Rights::Operate, "operate", "act in the console") } else { (Rights::View, "view", "see the console") };
    if rights >= needed {
        head.extensions.insert(rights);
        return Ok(());
    }
    let who = principal.map(Principal::subject);
    tracing::info!(principal = who, path = head.uri.path(), "denied: this caller may not {what}");
    if let Some(audit) = &console.audit {
        let peer = console.admission.client(head, peer).to_string();
        let facts = Facts { event: "console", caller: who, peer: Some(&peer), front: "http", ..Facts::default() };
        audit.write(&facts, Arguments::default(), &End { outcome: "denied", error: Some("denied"), took: None });
    }
    let roles = policy.load().roles_of(principal).to_string();
    let have = if roles.is_empty() { "you have no role".to_owned() } else { format!("your roles are {roles}") };
    let hint = format!("the server's operator can add one of your roles to `{key}` in [console]");
    Err(problem(StatusCode::FORBIDDEN, &format!("you may not {what}: {have}"), &hint))
}

fn problem(status: StatusCode, error: &str, hint: &str) -> Box<Response<Body>> {
    Box::new(answer::problem(status, error, hint))
}

/// Whether a proxy has handed it on.
fn is_forwarded(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"].iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{catalog::Role, provider::Roles};

    #[test]
    fn who_may_see_and_who_may_act_goes_by_roles() {
        let role = |name: &str, servers: &[&str]| Role {
            name: name.to_owned(),
            servers: servers.iter().map(|server| (*server).to_owned()).collect(),
            ..Role::default()
        };
        let roles = vec![role("all", &["*"]), role("some", &["weather"]), role("ops", &[])];
        let policy = Policy::new(roles, Roles::default(), HashMap::new());
        let rights = |view: &[&str], operate: &[&str], names: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let config = ConsoleConfig { view: list(view), operate: list(operate), ..ConsoleConfig::default() };
            let principal = Principal::with_roles("ann", Roles::new(names.iter().copied()));
            Rights::of(&config, &policy, Some(&principal))
        };
        assert_eq!(rights(&[], &[], &["all"]), Rights::View);
        assert_eq!(rights(&[], &[], &["some"]), Rights::None);
        assert_eq!(rights(&[], &[], &[]), Rights::None);
        assert_eq!(rights(&["some"], &[], &["all"]), Rights::None, "who is named is meant, and nobody else");
        assert_eq!(rights(&["some"], &["ops"], &["some"]), Rights::View);
        assert_eq!(rights(&["some"], &["ops"], &["ops"]), Rights::Operate, "to act is to see");
        let open = Policy::default();
        assert_eq!(Rights::of(&ConsoleConfig::default(), &open, None), Rights::Operate);
    }

    #[test]
    fn what_a_proxy_hands_on_is_known_by_its_headers() {
        let mut headers = HeaderMap::new();
        assert!(!is_forwarded(&headers));
        headers.insert("x-forwarded-for", "10.0.0.1".parse().unwrap());
        assert!(is_forwarded(&headers));
    }
}
