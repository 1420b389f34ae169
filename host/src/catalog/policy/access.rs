//! What a set of roles and the policies allow, and by which rule.

use std::{fmt, sync::Arc};

use super::{
    item::{prompt_item, tool_item},
    role::{Role, Table, names},
};
use crate::{
    catalog::Entry,
    policies::{Action, Bound, Item, Ruling},
    wildcard::fits,
};

/// What a set of roles allows: the union of what each allows, without what any of them denies; and of that what policies permit.
#[derive(Clone)]
pub struct Access {
    pub(super) roles: Vec<Arc<Role>>,
    /// There are no roles at all, so they limit nobody.
    pub(super) is_open: bool,
    /// The policies, if there are any.
    pub(super) bound: Option<Arc<Bound>>,
}

/// A decision, and the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A pattern in a list of a role allows it.
    Allowed(Rule),
    /// A pattern of `deny` in a role denies it.
    Denied(Rule),
    /// No role says anything of it.
    NotNamed,
    /// There are no roles.
    NoRoles,
    /// This policy permits it, and roles do too.
    Permitted(Arc<str>),
    /// Roles allow it, and these policies decide on each call.
    EachCall(Vec<Arc<str>>),
    /// Roles allow it, and this policy forbids it. None: no policy permits it.
    Forbidden(Option<Arc<str>>),
}

/// One pattern of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where the role stands.
    pub table: Table,
    /// The role.
    pub role: String,
    /// The list in which the pattern stands: `tools`.
    pub list: &'static str,
    /// The pattern.
    pub pattern: String,
}

impl Why {
    /// Whether it may be used.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_) | Self::NoRoles | Self::Permitted(_) | Self::EachCall(_))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {} of [{}.{}]", self.pattern, self.list, self.table, self.role)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed(rule) => write!(f, "allowed by {rule}"),
            Self::Denied(rule) => write!(f, "denied by {rule}"),
            Self::NotNamed => f.write_str("no role names it"),
            Self::NoRoles => f.write_str("there are no roles"),
            Self::Permitted(id) => write!(f, "permitted by policy {id:?}"),
            Self::EachCall(ids) => {
                let ids: Vec<String> = ids.iter().map(|id| format!("{id:?}")).collect();
                write!(f, "decided for each call by policy {}", ids.join(", "))
            }
            Self::Forbidden(Some(id)) => write!(f, "forbidden by policy {id:?}"),
            Self::Forbidden(None) => f.write_str("no policy permits it"),
        }
    }
}

impl Access {
    /// What one set of patterns allows.
    #[must_use]
    pub fn of(role: Role) -> Self {
        Self { roles: vec![Arc::new(role)], is_open: false, bound: None }
    }

    /// Whether it is everything there is, and whatever comes.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        let by_roles = || self.denies_nothing() && self.roles.iter().flat_map(|role| &role.servers).any(|pattern| pattern == "*");
        self.policies_permit_all() && (self.is_open || by_roles())
    }

    /// Whether everything of a provider may be used, whatever that offers.
    #[must_use]
    pub fn covers(&self, provider: &str) -> bool {
        self.policies_permit_all() && (self.is_open || self.denies_nothing() && self.serves(provider).is_some())
    }

    /// Whether its callers may learn of a provider that offers nothing now.
    #[must_use]
    pub fn names_provider(&self, provider: &str) -> bool {
        let names = |pattern: &String| pattern.split_once("__").is_some_and(|(server, _)| fits(provider, server));
        let denied = self.denying(|pattern| {
            fits(provider, pattern) || pattern.split_once("__").is_some_and(|(server, name)| name == "*" && fits(provider, server))
        });
        self.bound.as_ref().is_none_or(|bound| bound.names_server(provider))
            && denied.is_none()
            && (self.is_open
                || self.serves(provider).is_some()
                || self.roles.iter().any(|role| role.tools.iter().chain(&role.prompts).any(names)))
    }

    /// About a tool in the catalog.
    #[must_use]
    pub fn tool(&self, entry: &Entry) -> Why {
        let why = self.named(entry.provider().id().as_str(), entry.own_name(), entry.name(), "tools", |role| &role.tools);
        self.and_policies(why, Action::Call, &tool_item(entry))
    }

    /// Whether a tool that may be called is listed.
    #[must_use]
    pub fn lists_tool(&self, entry: &Entry) -> bool {
        self.lists(Action::ListTool, &tool_item(entry))
    }

    /// Whether a prompt that may be used is listed.
    #[must_use]
    pub fn lists_prompt(&self, provider: &str, own: &str) -> bool {
        self.lists(Action::ListPrompt, &prompt_item(provider, own))
    }

    /// Whether a resource that may be read is listed.
    #[must_use]
    pub fn lists_resource(&self, provider: &str, uri: &str) -> bool {
        self.lists(Action::ListResource, &Item::Resource { server: provider, uri })
    }

    /// Whether policies decide beside roles.
    #[must_use]
    pub fn has_policies(&self) -> bool {
        self.bound.is_some()
    }

    fn policies_permit_all(&self) -> bool {
        self.bound.as_ref().is_none_or(|bound| bound.is_everything())
    }

    fn lists(&self, action: Action, item: &Item<'_>) -> bool {
        self.bound.as_ref().is_none_or(|bound| bound.ruling(action, item).is_allowed())
    }

    /// What roles say, and where they allow it, what policies say.
    fn and_policies(&self, why: Why, action: Action, item: &Item<'_>) -> Why {
        match &self.bound {
            Some(bound) if why.is_allowed() => bound.ruling(action, item).into(),
            _ => why,
        }
    }

    /// What the roles say about a tool that a provider offers by this name.
    #[must_use]
    pub fn tool_named(&self, provider: &str, name: &str) -> Why {
        self.named(provider, name, name, "tools", |role| &role.tools)
    }

    /// About a prompt. `published`: its name in the catalog.
    #[must_use]
    pub fn prompt(&self, provider: &str, own: &str, published: &str) -> Why {
        let why = self.named(provider, own, published, "prompts", |role| &role.prompts);
        self.and_policies(why, Action::Get, &prompt_item(provider, own))
    }

    /// About a resource, or the text of a template.
    #[must_use]
    pub fn resource(&self, provider: &str, uri: &str) -> Why {
        let why = self.by_roles(provider, uri);
        match &self.bound {
            Some(bound) if why.is_allowed() => rulings(bound, provider, uri).into(),
            _ => why,
        }
    }

    fn by_roles(&self, provider: &str, uri: &str) -> Why {
        if self.is_open {
            return Why::NoRoles;
        }
        let plain = decoded(uri);
        let denied = self
            .denying(|pattern| fits(provider, pattern) || fits(uri, pattern) || plain.as_deref().is_some_and(|plain| fits(plain, pattern)));
        let allowed = || {
            // What a path leads up and out of is only known to its provider.
            let climbs = has_dot_segment(plain.as_deref().unwrap_or(uri));
            self.find("resources", |role| &role.resources, |pattern| !climbs && fits(uri, pattern))
        };
        match denied {
            Some(rule) => Why::Denied(rule),
            None => self.serves(provider).or_else(allowed).map_or(Why::NotNamed, Why::Allowed),
        }
    }

    fn named(&self, provider: &str, own: &str, published: &str, list: &'static str, of: fn(&Role) -> &Vec<String>) -> Why {
        if self.is_open {
            return Why::NoRoles;
        }
        let is_it = |pattern: &str| names(pattern, provider, own, published);
        let denied = self.denying(|pattern| {
            // Where a pattern can be read in two ways, both are denied.
            is_it(pattern)
                || fits(provider, pattern)
                || fits(own, pattern)
                || fits(published, pattern)
                || (pattern.contains("__") && fits(&format!("{provider}__{own}"), pattern))
        });
        match denied {
            Some(rule) => Why::Denied(rule),
            None => self.serves(provider).or_else(|| self.find(list, of, is_it)).map_or(Why::NotNamed, Why::Allowed),
        }
    }

    fn denies_nothing(&self) -> bool {
        self.roles.iter().all(|role| role.deny.is_empty())
    }

    fn serves(&self, provider: &str) -> Option<Rule> {
        self.find("servers", |role| &role.servers, |pattern| fits(provider, pattern))
    }

    fn denying(&self, is_it: impl Fn(&str) -> bool) -> Option<Rule> {
        self.find("deny", |role| &role.deny, is_it)
    }

    fn find(&self, list: &'static str, of: fn(&Role) -> &Vec<String>, is_it: impl Fn(&str) -> bool) -> Option<Rule> {
        self.roles.iter().find_map(|role| {
            let pattern = of(role).iter().find(|pattern| is_it(pattern))?;
            Some(Rule { table: role.table, role: role.name.clone(), list, pattern: pattern.clone() })
        })
    }
}

impl From<Ruling> for Why {
    fn from(ruling: Ruling) -> Self {
        match ruling {
            Ruling::Allowed(id) => Self::Permitted(id),
            Ruling::EachCall(ids) => Self::EachCall(ids),
            Ruling::Denied(id) => Self::Forbidden(id),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("roles", &self.roles).field("has_policies", &self.has_policies()).finish_non_exhaustive()
    }
}

/// The forms of an address on which policies are asked: as it is written, and without percent-encoding. All have to be allowed. None: a part of its path
/// leads up, and where to is only known to its provider.
pub(super) fn forms(uri: &str) -> Option<(&str, Option<String>)> {
    let plain = decoded(uri);
    (!has_dot_segment(plain.as_deref().unwrap_or(uri))).then_some((uri, plain))
}

/// What policies say of reading an address.
fn rulings(bound: &Bound, provider: &str, uri: &str) -> Ruling {
    let of = |uri: &str| bound.ruling(Action::Read, &Item::Resource { server: provider, uri });
    if let Some(constant) = bound.constant(Action::Read, provider) {
        return constant;
    }
    let Some((uri, plain)) = forms(uri) else { return Ruling::Denied(None) };
    let ruling = of(uri);
    match plain.map(|plain| of(&plain)) {
        Some(other) if ruling.is_allowed() && !matches!(other, Ruling::Allowed(_)) => other,
        _ => ruling,
    }
}

/// A URI without percent-encoding, where it has some. What is encoded several times is decoded as often.
fn decoded(uri: &str) -> Option<String> {
    /// Nobody means more than this, and each costs its length.
    const TIMES: usize = 4;
    let mut text = uri.to_owned();
    for _ in 0..TIMES {
        if !text.contains('%') {
            break;
        }
        let bytes = text.as_bytes();
        let mut plain = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let hex = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
            match hex.filter(|_| *byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(decoded) => {
                    plain.push(decoded);
                    at += 3;
                }
                None => {
                    plain.push(*byte);
                    at += 1;
                }
            }
        }
        text = String::from_utf8_lossy(&plain).into_owned();
    }
    (text != uri).then_some(text)
}

/// Whether a part of a path leads up, or nowhere.
fn has_dot_segment(uri: &str) -> bool {
    uri.split(['/', '\\']).any(|segment| matches!(segment.split(['?', '#', ';']).next(), Some("." | "..")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn access(roles: &[Role]) -> Access {
        Access { roles: roles.iter().cloned().map(Arc::new).collect(), is_open: false, bound: None }
    }

    fn list(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    #[test]
    fn a_qualified_pattern_is_about_one_provider_and_a_bare_one_about_all() {
        let role = access(&[Role { tools: list(&["calc__add*", "echo"]), ..Role::default() }]);
        for (provider, own, published, allowed) in [
            ("calc", "add", "add", true),
            ("calc", "add_all", "calc__add_all", true),
            ("calc", "sub", "sub", false),
            ("evil", "add", "evil__add", false),
            ("evil", "calc__add", "calc__add", false),
            ("evil", "echo", "evil__echo", true),
            ("calc", "echoes", "echoes", false),
            ("calc2", "add", "add", false),
        ] {
            assert_eq!(role.named(provider, own, published, "tools", |role| &role.tools).is_allowed(), allowed, "{provider} {own}");
        }
        assert!(
            access(&[Role { tools: list(&["files__a_b"]), ..Role::default() }])
                .named("files", "a/b", "files__a_b", "tools", |role| &role.tools)
                .is_allowed()
        );
    }

    #[test]
    fn what_one_role_denies_no_other_allows() {
        let all = Role { name: "all".to_owned(), servers: list(&["*"]), ..Role::default() };
        assert!(access(std::slice::from_ref(&all)).is_everything());
        for (deny, denied) in [
            ("calc__*", true),
            ("calc", true),
            ("add", true),
            ("*add", true),
            ("c*__a*", true),
            ("calc__add", true),
            ("calc2__*", false),
            ("sub", false),
        ] {
            let some = Role { name: "some".to_owned(), deny: list(&[deny]), ..Role::default() };
            let both = access(&[all.clone(), some]);
            assert!(!both.is_everything() && !both.covers("calc"));
            let why = both.tool_named("calc", "add");
            assert_eq!(why.is_allowed(), !denied, "{deny}: {why}");
            if denied {
                assert_eq!(why.to_string(), format!("denied by {deny:?} in deny of [role.some]"));
            }
        }
    }

    #[test]
    fn a_pattern_of_uris_is_not_walked_out_of() {
        let role = Role { resources: list(&["docs://public/*"]), deny: list(&["*secret*"]), ..Role::default() };
        let role = access(&[role]);
        for (uri, allowed) in [
            ("docs://public/a", true),
            ("docs://public/a/b?c=..", true),
            ("docs://public/a..b", true),
            ("docs://private/a", false),
            ("docs://public/../private/a", false),
            ("docs://public/%2e%2e/private", false),
            ("docs://public/%2E./private", false),
            ("docs://public/%252e%252e%252fprivate", false),
            ("docs://public/..\\private", false),
            ("docs://public/x%2f..%2f..%2fprivate", false),
            ("docs://public/..?x", false),
            ("docs://public/secret", false),
            ("docs://public/sec%72et", false),
            ("docs://public/100%", true),
        ] {
            assert_eq!(role.resource("docs", uri).is_allowed(), allowed, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn a_deny_pattern_made_of_a_name_denies_it_however_it_is_published(
            provider in "[a-z0-9][a-z0-9_.-]{0,6}", own in "[a-zA-Z_./ -]{1,12}", qualified in any::<bool>(), cut in 0..8usize
        ) {
            prop_assume!(!provider.contains("__") && own.trim() == own && !own.is_empty());
            let name = format!("{provider}__{own}");
            let start: String = name.chars().take(cut).collect();
            let patterns = [name.clone(), format!("{start}*"), format!("{provider}__*"), own.clone()];
            let published = if qualified { name } else { own.clone() };
            for pattern in patterns {
                let role = access(&[
                    Role { servers: list(&["*"]), ..Role::default() },
                    Role { deny: vec![pattern.clone()], ..Role::default() },
                ]);
                let why = role.named(&provider, &own, &published, "tools", |role| &role.tools);
                // A cut inside of the provider's name is a pattern of names.
                if pattern.contains("__") || pattern == own || fits(&published, &pattern) {
                    prop_assert!(!why.is_allowed(), "{pattern} {provider} {own}");
                }
            }
        }

        #[test]
        fn nothing_is_decided_by_a_panic(uri in ".{0,40}", pattern in "[a-z*_/.:%]{0,8}") {
            let role = access(&[Role { resources: vec![pattern.clone()], deny: vec![format!("x{pattern}")], ..Role::default() }]);
            let _ = role.resource("p", &uri);
            let _ = role.tool_named("p", &uri);
        }
    }
}
