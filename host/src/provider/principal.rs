//! Who calls.

use std::{
    collections::BTreeSet,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use serde_json::{Map, Value};

/// Who was authenticated. Put into a request's extensions by the layer that checks credentials, which
/// puts the credentials themselves there only where a server needs the caller's token to be exchanged.
/// A clone costs one reference count.
#[derive(Clone)]
pub struct Principal(Arc<Identity>);

/// What is known of a principal.
struct Identity {
    subject: Box<str>,
    roles: Roles,
    steps: Option<Steps>,
    claims: Map<String, Value>,
    issuer: Option<Box<str>>,
    scopes: Vec<String>,
    token: Option<CallerToken>,
}

/// What a principal could have more roles by, if it asked for it.
#[derive(Debug)]
pub struct Steps {
    /// One scope more.
    pub each: Vec<Step>,
    /// The roles of all of them together.
    pub all: Roles,
}

/// What one more scope would give.
#[derive(Debug)]
pub struct Step {
    /// All roles that the principal would have.
    pub roles: Roles,
    /// What to ask for, with spaces between: that scope, and those that are needed or held already.
    pub scopes: String,
}

/// The access token by which a caller came in. It is exchanged for others, and never sent to anybody else.
pub struct CallerToken {
    secret: Box<str>,
    ends: u64,
}

impl CallerToken {
    /// One that is good until then, in seconds since 1970.
    #[must_use]
    pub fn new(secret: &str, ends: u64) -> Self {
        Self { secret: secret.into(), ends }
    }

    /// The token itself, which nobody but its authorization server may see.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// Until when it is good, in seconds since 1970.
    #[must_use]
    pub fn ends(&self) -> u64 {
        self.ends
    }
}

impl fmt::Debug for CallerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The names of roles, in order and each once. A clone costs one reference count.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Roles(Arc<[Box<str>]>);

impl Roles {
    /// These, in any order.
    #[must_use]
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: BTreeSet<Box<str>> = names.into_iter().map(Box::from).collect();
        Self(names.into_iter().collect())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl Principal {
    /// With this name, and no roles of its own.
    #[must_use]
    pub fn new(subject: &str) -> Self {
        Self::with_roles(subject, Roles::default())
    }

    /// With this name and these roles.
    #[must_use]
    pub fn with_roles(subject: &str, roles: Roles) -> Self {
        Self::with_token(subject, roles, Map::new(), None)
    }

    /// With this name and these roles, some claims of its token, and that token, where somebody has a use for it.
    #[must_use]
    pub fn with_token(subject: &str, roles: Roles, claims: Map<String, Value>, token: Option<CallerToken>) -> Self {
        Self(Arc::new(Identity { subject: subject.into(), roles, claims, issuer: None, scopes: Vec::new(), token, steps: None }))
    }

    /// The same that could have more roles.
    #[must_use]
    pub fn with_steps(mut self, steps: Option<Steps>) -> Self {
        // It was made just now, so that nobody else has it.
        if let Some(identity) = Arc::get_mut(&mut self.0) {
            identity.steps = steps;
        }
        self
    }

    /// The same with a token of this issuer, by its name here, that has these scopes.
    #[must_use]
    pub fn issued_by(mut self, issuer: &str, scopes: Vec<String>) -> Self {
        // As above.
        if let Some(identity) = Arc::get_mut(&mut self.0) {
            (identity.issuer, identity.scopes) = (Some(issuer.into()), scopes);
        }
        self
    }

    /// The name of the issuer of its token. None: it came in by something else.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }

    /// The scopes of its token.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// What it could have more roles by.
    #[must_use]
    pub fn steps(&self) -> Option<&Steps> {
        self.0.steps.as_ref()
    }

    /// Those claims of its token that plugins and servers may be told.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.0.claims
    }

    /// The access token by which it came in. None: it came in by something else, or nobody has a use for it.
    #[must_use]
    pub fn token(&self) -> Option<&CallerToken> {
        self.0.token.as_ref()
    }

    /// The roles that it was given when it was authenticated.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.0.roles
    }

    /// The name in logs, for plugins, and by which sessions and tasks know their owner.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }
}

/// The same caller, whatever it may do by now: a session outlives the token that opened it.
impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        self.subject() == other.subject()
    }
}

impl Eq for Principal {}

impl Hash for Principal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.subject().hash(state);
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Principal").field(&self.subject()).finish()
    }
}
