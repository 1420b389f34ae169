//! Who calls.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Who was authenticated. Put into a request's extensions by the layer that checks credentials, which
/// never puts the credentials themselves there. A clone costs one reference count.
#[derive(Clone)]
pub struct Principal(Arc<Identity>);

/// What is known of a principal. Roles and claims of an issuer will stand here, beside the subject.
struct Identity {
    subject: Box<str>,
}

impl Principal {
    /// With this name, and no more rights than everybody has.
    #[must_use]
    pub fn new(subject: &str) -> Self {
        Self(Arc::new(Identity { subject: subject.into() }))
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
