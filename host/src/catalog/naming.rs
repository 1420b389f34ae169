//! Qualified names, and what there is to say about names that clash.

use std::fmt;

use crate::provider::{MAX_TOOL_NAME, ProviderId};

/// Between the provider and the tool in a qualified name.
const SEPARATOR: &str = "__";

/// Names that are told of those that clash.
const SHOWN: usize = 5;

/// What is offered under a name or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A tool, by name.
    Tool,
    /// A prompt, by name.
    Prompt,
    /// A resource, by URI.
    Resource,
    /// A resource template, by its text.
    Template,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "resource template",
        })
    }
}

/// Two claims to one name, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Collision {
    /// Several providers offer a tool or prompt of the same name: all are published in the qualified form.
    SameName {
        /// What has the name.
        kind: Kind,
        /// The name that all of them have.
        name: String,
        /// Who offers it, in order.
        providers: Vec<ProviderId>,
    },
    /// An own name reads like the qualified name of another's: it is published in its qualified form.
    LooksQualified {
        /// What has the name.
        kind: Kind,
        /// The own name.
        name: String,
        /// Whose it is.
        provider: ProviderId,
        /// Who has something with that name for its qualified form.
        other: ProviderId,
    },
    /// A provider offers two things of one name or address: the first is published.
    Twice {
        /// What has the name.
        kind: Kind,
        /// The name.
        name: String,
        /// Who offers it twice.
        provider: ProviderId,
    },
    /// The qualified name is too long or taken: a cut one with a hash is published.
    Cut {
        /// What has the name.
        kind: Kind,
        /// The qualified name as it would be.
        qualified: String,
        /// The name that is published.
        published: String,
    },
    /// Even the cut name is taken: it is not published.
    Unpublished {
        /// What has the name.
        kind: Kind,
        /// The qualified name as it would be.
        qualified: String,
    },
    /// Several providers offer something at the same address: that of the first is published.
    SameUri {
        /// What is there.
        kind: Kind,
        /// The URI or the template.
        uri: String,
        /// Whose is published.
        published: ProviderId,
        /// Whose are not, in order.
        others: Vec<ProviderId>,
    },
    /// A resource template is none: it is listed, and matches nothing.
    BadTemplate {
        /// Its text.
        template: String,
        /// Who offers it.
        provider: ProviderId,
        /// What is wrong with it.
        fault: &'static str,
    },
}

impl Collision {
    /// What it is about: a collision that only grows is still the same one.
    pub(super) fn subject(&self) -> (std::mem::Discriminant<Self>, Kind, String) {
        let (kind, name) = match self {
            Self::SameName { kind, name, .. } | Self::Twice { kind, name, .. } | Self::LooksQualified { kind, name, .. } => (*kind, name),
            Self::Cut { kind, qualified, .. } | Self::Unpublished { kind, qualified } => (*kind, qualified),
            Self::SameUri { kind, uri, .. } => (*kind, uri),
            Self::BadTemplate { template, .. } => (Kind::Template, template),
        };
        (std::mem::discriminant(self), kind, name.clone())
    }
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameName { kind, name, providers } => {
                write!(f, "{kind} {name:?} is offered by several plugins, each is published under its qualified name:")?;
                providers.iter().take(SHOWN).try_for_each(|provider| write!(f, " {provider}{SEPARATOR}{name}"))?;
                more(f, providers)
            }
            Self::LooksQualified { kind, name, provider, other } => write!(
                f,
                "{kind} {name:?} of plugin {provider:?} reads like a {kind} of plugin {other:?} and is published as {provider}{SEPARATOR}{name}; \
                 its name should have no {SEPARATOR:?} in it"
            ),
            Self::Twice { kind, name, provider } => {
                write!(f, "plugin {provider:?} offers {kind} {name:?} twice: the first one is published")
            }
            Self::Cut { kind, qualified, published } => write!(
                f,
                "the qualified name {qualified:?} of a {kind} is longer than {MAX_TOOL_NAME} characters or belongs to another: it is published as \
                 {published:?}; a shorter file name or {kind} name avoids this"
            ),
            Self::Unpublished { kind, qualified } => {
                write!(f, "{kind} {qualified:?} cannot be published, its name is taken: rename the plugin or the {kind}")
            }
            Self::SameUri { kind, uri, published, others } => {
                write!(f, "{kind} {uri:?} is offered by several plugins: that of {published:?} is published, and not that of")?;
                others.iter().take(SHOWN).try_for_each(|provider| write!(f, " {provider:?}"))?;
                more(f, others)
            }
            Self::BadTemplate { template, provider, fault } => {
                write!(f, "resource template {template:?} of plugin {provider:?} matches nothing: {fault} (RFC 6570)")
            }
        }
    }
}

fn more(f: &mut fmt::Formatter<'_>, providers: &[ProviderId]) -> fmt::Result {
    match providers.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

/// `provider__name`, of any length.
pub(super) fn qualified(provider: &ProviderId, name: &str) -> String {
    format!("{provider}{SEPARATOR}{name}")
}

/// The qualified name where it fits, else a cut one with a hash of the whole, which is the same on every host.
pub(super) fn publishable(provider: &ProviderId, name: &str) -> String {
    let qualified = qualified(provider, name);
    if qualified.len() <= MAX_TOOL_NAME { qualified } else { cut(provider, name) }
}

/// The name with eight hex digits of a hash at its end. The hash tells `a` + `_b` from `a_` + `b`.
pub(super) fn cut(provider: &ProviderId, name: &str) -> String {
    const DIGITS: usize = 8;
    let mut hasher = blake3::Hasher::new();
    hasher.update(provider.as_str().as_bytes()).update(&[0]).update(name.as_bytes());
    let hash = hasher.finalize().to_hex();
    let qualified = qualified(provider, name);
    // A prompt's name may be of any characters: cut between two of them.
    let head = qualified.get(..qualified.floor_char_boundary(MAX_TOOL_NAME - DIGITS - 1)).unwrap_or_default();
    let tail: String = hash.chars().take(DIGITS).collect();
    format!("{head}_{tail}")
}
