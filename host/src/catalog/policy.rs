//! Roles: which tools, resources and prompts callers may use, and by which rule.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};

use super::Entry;
use crate::{
    provider::{Principal, Roles},
    wildcard::fits,
};

/// Which table of the configuration a set of patterns stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Table {
    /// `[role.NAME]`.
    #[default]
    Role,
    /// `[endpoint.NAME]`.
    Endpoint,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Role => "role",
            Self::Endpoint => "endpoint",
        })
    }
}

/// What those who have a role may use, or what an endpoint offers. `*` stands for any characters in all patterns.
///
/// A pattern of a tool or a prompt is `server__name`, which is about that plugin or server alone, or
/// `name`, which is about all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Where it stands.
    pub table: Table,
    /// Its name.
    pub name: String,
    /// Plugins and servers of which everything may be used.
    pub servers: Vec<String>,
    /// Tools.
    pub tools: Vec<String>,
    /// Resources, by URI.
    pub resources: Vec<String>,
    /// Prompts.
    pub prompts: Vec<String>,
    /// What may not be used, whatever allows it: tools, prompts, URIs, and plugins and servers as a
    /// whole.
    pub deny: Vec<String>,
    /// How often each caller with it may call.
    pub limits: Vec<Limit>,
}

/// How often each caller with a role may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// The role.
    pub role: String,
    /// The tools that it is about, together. None: everything that a caller does.
    pub pattern: Option<String>,
    /// The most calls in a time.
    pub rate: Option<RateOf>,
    /// The most calls at once.
    pub concurrency: Option<usize>,
    /// The most calls in a day.
    pub daily: Option<u32>,
}

/// So many calls in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateOf {
    /// Calls.
    pub calls: u32,
    /// In this time.
    pub per: Duration,
    /// At once, after a pause.
    pub burst: u32,
}

impl fmt::Display for RateOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "a second",
            60 => "a minute",
            3600 => "an hour",
            _ => "a day",
        };
        write!(f, "{} calls {unit}", self.calls)
    }
}

impl Limit {
    /// Whether a call of this tool counts.
    #[must_use]
    pub fn is_about(&self, entry: &Entry) -> bool {
        self.pattern.as_deref().is_none_or(|pattern| entry.is_named(pattern))
    }

    /// Where it stands in the configuration.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.pattern {
            None => format!("[role.{}]", self.role),
            Some(pattern) => format!("[role.{}.limits.{pattern:?}]", self.role),
        }
    }
}

/// All roles at one moment. Without any, everybody may use everything.
#[derive(Debug)]
pub struct Policy {
    roles: BTreeMap<String, Arc<Role>>,
    default: Roles,
    /// Of callers whose roles stand in the configuration, by subject.
    of_tokens: HashMap<String, Roles>,
    version: u64,
    has_limits: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(Vec::new(), Roles::default(), HashMap::new())
    }
}

impl Policy {
    /// `default`: of callers that have no roles. `of_tokens`: of those whose roles stand in the
    /// configuration, by subject.
    #[must_use]
    pub fn new(roles: Vec<Role>, default: Roles, of_tokens: HashMap<String, Roles>) -> Self {
        // Two policies never have one version, whoever made them.
        static VERSION: AtomicU64 = AtomicU64::new(0);
        let version = VERSION.fetch_add(1, Ordering::Relaxed);
        let has_limits = roles.iter().any(|role| !role.limits.is_empty());
        let roles = roles.into_iter().map(|role| (role.name.clone(), Arc::new(role))).collect();
        Self { roles, default, of_tokens, version, has_limits }
    }

    /// Whether everybody may use everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.roles.is_empty()
    }

    /// A number that no other policy has.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether some role limits how often callers may call.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        self.has_limits
    }

    /// The limits of all these roles.
    pub fn limits<'a>(&'a self, roles: &'a Roles) -> impl Iterator<Item = &'a Limit> {
        self.roles(roles).flat_map(|role| &role.limits)
    }

    /// The roles of a caller as it was authenticated.
    #[must_use]
    pub fn roles_of<'a>(&'a self, principal: Option<&'a Principal>) -> &'a Roles {
        principal.map(Principal::roles).filter(|roles| !roles.is_empty()).unwrap_or(&self.default)
    }

    /// The same as they are by now, for who was authenticated long ago.
    #[must_use]
    pub fn roles_now<'a>(&'a self, principal: Option<&'a Principal>) -> &'a Roles {
        let known = principal.and_then(|principal| self.of_tokens.get(principal.subject()));
        known.filter(|roles| !roles.is_empty()).unwrap_or_else(|| self.roles_of(principal))
    }

    /// Those of these roles that there are.
    pub fn roles<'a>(&'a self, roles: &'a Roles) -> impl Iterator<Item = &'a Role> {
        roles.iter().filter_map(|name| self.roles.get(name).map(|role| &**role))
    }

    /// What these roles allow together. A name that no role has allows nothing.
    #[must_use]
    pub fn access(&self, roles: &Roles) -> Access {
        Access { roles: roles.iter().filter_map(|name| self.roles.get(name).cloned()).collect() }
    }
}

/// The policy as it is now. It can change while calls run.
#[derive(Debug, Default)]
pub struct LivePolicy(ArcSwap<Policy>);

impl LivePolicy {
    /// Begins with this one.
    #[must_use]
    pub fn new(policy: Policy) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(policy)))
    }

    /// The policy of this moment.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Policy>> {
        self.0.load()
    }

    /// Goes by another one from now on.
    pub fn put(&self, policy: Policy) {
        self.0.store(Arc::new(policy));
    }
}

/// What a set of roles allows: the union of what each allows, without what any of them denies.
#[derive(Clone, Debug)]
pub struct Access {
    roles: Vec<Arc<Role>>,
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
        matches!(self, Self::Allowed(_))
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
        }
    }
}

impl Access {
    /// What one set of patterns allows.
    #[must_use]
    pub fn of(role: Role) -> Self {
        Self { roles: vec![Arc::new(role)] }
    }

    /// Whether it is everything there is, and whatever comes.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.denies_nothing() && self.roles.iter().flat_map(|role| &role.servers).any(|pattern| pattern == "*")
    }

    /// Whether everything of a provider may be used, whatever that offers.
    #[must_use]
    pub fn covers(&self, provider: &str) -> bool {
        self.denies_nothing() && self.serves(provider).is_some()
    }

    /// Whether its callers may learn of a provider that offers nothing now.
    #[must_use]
    pub fn names_provider(&self, provider: &str) -> bool {
        let names = |pattern: &String| pattern.split_once("__").is_some_and(|(server, _)| fits(provider, server));
        let denied = self.denying(|pattern| {
            fits(provider, pattern) || pattern.split_once("__").is_some_and(|(server, name)| name == "*" && fits(provider, server))
        });
        denied.is_none()
            && (self.serves(provider).is_some() || self.roles.iter().any(|role| role.tools.iter().chain(&role.prompts).any(names)))
    }

    /// About a tool in the catalog.
    #[must_use]
    pub fn tool(&self, entry: &Entry) -> Why {
        self.named(entry.provider().id().as_str(), entry.own_name(), entry.name(), "tools", |role| &role.tools)
    }

    /// About a tool that a provider offers by this name.
    #[must_use]
    pub fn tool_named(&self, provider: &str, name: &str) -> Why {
        self.named(provider, name, name, "tools", |role| &role.tools)
    }

    /// About a prompt. `published`: its name in the catalog.
    #[must_use]
    pub fn prompt(&self, provider: &str, own: &str, published: &str) -> Why {
        self.named(provider, own, published, "prompts", |role| &role.prompts)
    }

    /// About a resource, or the text of a template.
    #[must_use]
    pub fn resource(&self, provider: &str, uri: &str) -> Why {
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

impl Entry {
    /// Whether a pattern names it: `server__name`, which is about that plugin or server alone, or `name`.
    #[must_use]
    pub fn is_named(&self, pattern: &str) -> bool {
        names(pattern, self.provider().id().as_str(), self.own_name(), self.name())
    }
}

/// Whether a pattern names a tool or a prompt.
fn names(pattern: &str, provider: &str, own: &str, published: &str) -> bool {
    // A name that model APIs refuse is published as another, and either is what an operator sees.
    let other = published.strip_prefix(provider).and_then(|rest| rest.strip_prefix("__")).unwrap_or(published);
    match pattern.split_once("__") {
        Some((server, name)) => fits(provider, server) && (fits(own, name) || fits(other, name)),
        None => fits(own, pattern) || fits(other, pattern),
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
        Access { roles: roles.iter().cloned().map(Arc::new).collect() }
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

    #[test]
    fn no_roles_allow_nothing_and_no_policy_allows_all() {
        let policy =
            Policy::new(vec![Role { name: "r".to_owned(), tools: list(&["*"]), ..Role::default() }], Roles::default(), HashMap::new());
        assert!(!policy.is_open() && Policy::default().is_open());
        let nobody = policy.access(policy.roles_of(None));
        assert!(!nobody.tool_named("a", "b").is_allowed() && !nobody.names_provider("a"));
        assert!(!policy.access(&Roles::new(["gone"])).tool_named("a", "b").is_allowed());
        assert!(policy.access(&Roles::new(["gone", "r"])).tool_named("a", "b").is_allowed());
        // Roles that have changed in the configuration count for who is there already.
        let now = Policy::new(Vec::new(), Roles::new(["d"]), HashMap::from([("ann".to_owned(), Roles::new(["new"]))]));
        let ann = Principal::with_roles("ann", Roles::new(["old"]));
        assert_eq!(now.roles_of(Some(&ann)).to_string(), "old");
        assert_eq!(now.roles_now(Some(&ann)).to_string(), "new");
        assert_eq!(now.roles_now(Some(&Principal::new("bob"))).to_string(), "d");
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
