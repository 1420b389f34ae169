//! One policy, taken apart: whom, what and which actions its scope is about, and what its conditions read.

use std::sync::Arc;

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PolicyId, PrincipalConstraint, ResourceConstraint};

use super::{
    caller::{Caller, Reads},
    conditions::{self, Arguments},
    item::Action,
};

/// One policy.
pub(super) struct Rule {
    /// Its `@id`, or its file and place there.
    pub(super) id: Arc<str>,
    /// Its `@reason`, for who is denied by it.
    pub(super) reason: Option<Arc<str>>,
    pub(super) permits: bool,
    /// The host's own, which stands in no file.
    pub(super) is_own: bool,
    pub(super) principal: Who,
    pub(super) resource: What,
    actions: Vec<&'static str>,
    pub(super) policy: Policy,
    /// What is left of it without a call. None: it depends on none.
    without_call: Option<Policy>,
    pub(super) has_conditions: bool,
    pub(super) arguments: Arguments,
    /// Whether it reads where the caller is.
    pub(super) reads_address: bool,
    pub(super) reads: Reads,
}

/// Whom a scope is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Anyone,
    Role(String),
    Caller(String),
    Nobody,
}

/// What a scope is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Anything,
    /// All of a type.
    Kind(String),
    /// All of a server, or of a type there.
    Server(String, Option<String>),
    /// One of a type.
    One(String, String),
    Nothing,
}

/// All that can be done.
const ACTIONS: [&str; 4] = ["list", "call", "read", "get"];
/// What is more than to be shown.
const USES: [&str; 3] = ["call", "read", "get"];

impl Rule {
    /// Takes a policy apart.
    ///
    /// # Errors
    ///
    /// It has no JSON form.
    pub(super) fn new(policy: &Policy, id: &str, is_own: bool) -> Result<Self, String> {
        let json = policy.to_json().map_err(|error| error.to_string())?;
        let found = conditions::found(&json);
        let name = PolicyId::new(id);
        let without_call = match found.call {
            true => Some(Policy::from_json(Some(name.clone()), conditions::without_call(&json)).map_err(|error| error.to_string())?),
            false => None,
        };
        let principal = who(policy.principal_constraint());
        let by_name = Reads { subject: matches!(principal, Who::Caller(_)), ..Reads::default() };
        Ok(Self {
            id: id.into(),
            reason: policy.annotation("reason").filter(|reason| !reason.is_empty()).map(Arc::from),
            permits: policy.effect() == Effect::Permit,
            is_own,
            principal,
            resource: what(policy.resource_constraint()),
            actions: actions(policy.action_constraint()),
            without_call,
            has_conditions: policy.has_non_scope_constraint(),
            arguments: found.arguments,
            reads_address: found.address,
            reads: found.caller.and(by_name),
            policy: policy.new_id(name),
        })
    }

    /// Whether it depends on the call.
    pub(super) fn is_of_call(&self) -> bool {
        self.without_call.is_some()
    }

    pub(super) fn is_about(&self, action: Action) -> bool {
        self.actions.contains(&action.name())
    }

    /// Whether all that can be done with anything is meant.
    pub(super) fn is_about_everything(&self) -> bool {
        self.resource == What::Anything && !self.has_conditions && USES.iter().all(|action| self.actions.contains(action))
    }

    /// The policy as far as it does not depend on the call.
    pub(super) fn known(&self) -> &Policy {
        self.without_call.as_ref().unwrap_or(&self.policy)
    }

    /// Roles, servers, tools and prompts that it names.
    pub(super) fn named(&self) -> Vec<(&'static str, String)> {
        let kinds = ["Role", "Server", "Tool", "Prompt"];
        let of = |entity: EntityUid| {
            let kind = kinds.into_iter().find(|kind| *kind == entity.type_name().basename())?;
            Some((kind, entity.id().unescaped().to_owned()))
        };
        let mut named: Vec<_> = self.policy.entity_literals().into_iter().filter_map(of).collect();
        named.sort();
        named.dedup();
        named
    }
}

impl Who {
    /// Whether a caller may be one of them.
    pub(super) fn is(&self, caller: &Caller<'_>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Role(name) => caller.roles.iter().any(|role| role == name),
            Self::Caller(subject) => caller.subject.unwrap_or_default() == subject,
            Self::Nobody => false,
        }
    }
}

impl What {
    /// Whether something of this type at that server may be among it.
    pub(super) fn may_be_of(&self, kind: &str, server: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::Kind(of) => of == kind,
            Self::Server(name, of) => name == server && of.as_ref().is_none_or(|of| of == kind),
            Self::One(of, id) => of == kind && id.strip_prefix("toolbay://").unwrap_or(id).starts_with(server),
            Self::Nothing => false,
        }
    }

    /// Whether it is one thing alone.
    pub(super) fn is_one(&self) -> bool {
        matches!(self, Self::One(..))
    }
}

fn who(scope: PrincipalConstraint) -> Who {
    let of = |entity: &EntityUid, is_exact: bool| match entity.type_name().basename() {
        "Role" if !is_exact => Who::Role(entity.id().unescaped().to_owned()),
        "Caller" => Who::Caller(entity.id().unescaped().to_owned()),
        _ => Who::Nobody,
    };
    match scope {
        PrincipalConstraint::Any => Who::Anyone,
        PrincipalConstraint::Is(kind) if kind.basename() == "Caller" => Who::Anyone,
        PrincipalConstraint::Is(_) => Who::Nobody,
        PrincipalConstraint::Eq(entity) => of(&entity, true),
        PrincipalConstraint::In(entity) => of(&entity, false),
        PrincipalConstraint::IsIn(kind, entity) if kind.basename() == "Caller" => of(&entity, false),
        PrincipalConstraint::IsIn(..) => Who::Nobody,
    }
}

fn what(scope: ResourceConstraint) -> What {
    let of = |entity: &EntityUid, kind: Option<&str>, is_exact: bool| {
        let (own, id) = (entity.type_name().basename().to_owned(), entity.id().unescaped().to_owned());
        match own.as_str() {
            "Server" if is_exact => What::Nothing,
            "Server" => What::Server(id, kind.map(str::to_owned)),
            own_kind if kind.is_some_and(|kind| kind != own_kind) => What::Nothing,
            _ => What::One(own, id),
        }
    };
    match scope {
        ResourceConstraint::Any => What::Anything,
        ResourceConstraint::Is(kind) => What::Kind(kind.basename().to_owned()),
        ResourceConstraint::Eq(entity) => of(&entity, None, true),
        ResourceConstraint::In(entity) => of(&entity, None, false),
        ResourceConstraint::IsIn(kind, entity) => of(&entity, Some(kind.basename()), false),
    }
}

fn actions(scope: ActionConstraint) -> Vec<&'static str> {
    let known = |entity: &EntityUid| ACTIONS.into_iter().find(|action| *action == entity.id().unescaped());
    match scope {
        ActionConstraint::Any => ACTIONS.to_vec(),
        ActionConstraint::Eq(entity) => known(&entity).into_iter().collect(),
        ActionConstraint::In(entities) => {
            let is_use = entities.iter().any(|entity| entity.id().unescaped() == "use");
            let mut all: Vec<_> = entities.iter().filter_map(known).collect();
            all.extend(USES.into_iter().filter(|_| is_use));
            all
        }
    }
}
