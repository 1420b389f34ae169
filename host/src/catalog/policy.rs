//! All roles and policies at one moment: which roles a caller has, and what they allow together.

mod access;
mod confirm;
mod denial;
mod item;
mod role;
mod safeguards;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};

pub use access::{Access, Rule, Why};
pub use confirm::Confirm;
pub use denial::{Asked, denial};
pub use role::{Limit, RateOf, Role, Table};
pub use safeguards::{FlowRule, Safeguards};

use serde_json::{Map, Value};

use crate::{
    policies::{Bound, Caller, Policies},
    provider::{Principal, Roles},
};

/// All roles and policies at one moment. Without any, everybody may use everything.
#[derive(Debug)]
pub struct Policy {
    roles: BTreeMap<String, Arc<Role>>,
    default: Roles,
    /// Of callers whose roles stand in the configuration, by subject.
    of_tokens: HashMap<String, Roles>,
    version: u64,
    has_limits: bool,
    policies: Option<Arc<Policies>>,
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
        Self { roles, default, of_tokens, version, has_limits, policies: None }
    }

    /// The same, and what these policies allow. Both have to.
    #[must_use]
    pub fn with_policies(self, policies: Option<Arc<Policies>>) -> Self {
        Self { policies, ..self }
    }

    /// The policies beside the roles.
    #[must_use]
    pub fn policies(&self) -> Option<&Arc<Policies>> {
        self.policies.as_ref()
    }

    /// Whether everybody may use everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.roles.is_empty() && self.policies.is_none()
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

    /// All roles, by name.
    pub fn all_roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values().map(|role| &**role)
    }

    /// What somebody without a name may use who has these roles. A name that no role has allows nothing.
    #[must_use]
    pub fn access(&self, roles: &Roles) -> Access {
        self.access_of(None, roles)
    }

    /// What a caller may use who has these roles.
    #[must_use]
    pub fn access_of(&self, principal: Option<&Principal>, roles: &Roles) -> Access {
        Access {
            roles: roles.iter().filter_map(|name| self.roles.get(name).cloned()).collect(),
            is_open: self.roles.is_empty(),
            bound: self.bound(principal, roles),
        }
    }

    /// Whether a caller is set apart from the others by being allowed everything. Where everybody is, nobody is known to be an operator.
    #[must_use]
    pub fn is_operator(&self, principal: Option<&Principal>) -> bool {
        let stranger = Principal::new("");
        let is_allowed_everything = |who| self.access_of(who, self.roles_of(who)).is_everything();
        !self.is_open() && is_allowed_everything(principal) && !is_allowed_everything(Some(&stranger))
    }

    /// The policies as far as they are about a caller who has these roles.
    #[must_use]
    pub fn bound(&self, principal: Option<&Principal>, roles: &Roles) -> Option<Arc<Bound>> {
        Some(self.policies.as_ref()?.bind(&caller(principal, roles)))
    }

    /// What decisions on a caller depend on beside its roles. None: nothing.
    #[must_use]
    pub(super) fn facts(&self, principal: Option<&Principal>, roles: &Roles) -> Option<[u8; 32]> {
        self.policies.as_ref()?.facts(&caller(principal, roles))
    }
}

/// A caller as policies see it.
fn caller<'a>(principal: Option<&'a Principal>, roles: &'a Roles) -> Caller<'a> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    Caller {
        subject: principal.map(Principal::subject),
        issuer: principal.and_then(Principal::issuer),
        scopes: principal.map_or(&[], Principal::scopes),
        claims: principal.map_or(&NONE, Principal::claims),
        roles,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_roles_allow_nothing_and_no_policy_allows_all() {
        let policy = Policy::new(
            vec![Role { name: "r".to_owned(), tools: vec!["*".to_owned()], ..Role::default() }],
            Roles::default(),
            HashMap::new(),
        );
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

    #[test]
    fn an_operator_is_who_may_do_everything_where_not_everybody_may() {
        let role = |name: &str, servers: &[&str], deny: &[&str]| Role {
            name: name.to_owned(),
            servers: servers.iter().map(|server| (*server).to_owned()).collect(),
            deny: deny.iter().map(|pattern| (*pattern).to_owned()).collect(),
            ..Role::default()
        };
        let roles = || vec![role("all", &["*"], &[]), role("few", &["a"], &[]), role("most", &["*"], &["b"])];
        let is_operator =
            |policy: &Policy, names: &[&str]| policy.is_operator(Some(&Principal::with_roles("ann", Roles::new(names.iter().copied()))));
        let policy = Policy::new(roles(), Roles::default(), HashMap::new());
        assert!(is_operator(&policy, &["all"]) && is_operator(&policy, &["few", "all"]));
        for names in [&[][..], &["few"], &["most"], &["all", "most"], &["gone"]] {
            assert!(!is_operator(&policy, names), "{names:?}");
        }
        assert!(!policy.is_operator(None));
        // Nobody is told apart.
        assert!(!is_operator(&Policy::default(), &[]) && !is_operator(&Policy::default(), &["all"]));
        let everybody = Policy::new(roles(), Roles::new(["all"]), HashMap::new());
        assert!(!is_operator(&everybody, &[]) && !is_operator(&everybody, &["all"]));
    }
}
