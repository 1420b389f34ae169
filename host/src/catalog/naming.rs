//! Qualified names, and what there is to say about names that clash.

use std::{collections::HashMap, fmt};

use super::address;
use crate::provider::ProviderId;

/// Between the provider and the tool in a qualified name.
const SEPARATOR: &str = "__";

/// Longest name of a tool that model APIs take; all of them take `^[A-Za-z0-9_-]{1,64}$`.
pub(super) const MAX_NAME: usize = 64;

/// Longest name of a prompt, which no model API sees.
const MAX_PROMPT_NAME: usize = 128;

/// Hex digits of a hash that tell one name from another.
const DIGITS: usize = 8;

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
    /// Several providers offer a tool or prompt of the same name: all are published in the qualified form, but the one that had the name already.
    SameName {
        /// What has the name.
        kind: Kind,
        /// The name that all of them have.
        name: String,
        /// Who was published under it when the others came, and still is.
        holder: Option<ProviderId>,
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
    /// Names that model APIs refuse: each is published under a safe one.
    Unsafe {
        /// What has the names.
        kind: Kind,
        /// Whose they are.
        provider: ProviderId,
        /// The own name and the published one.
        names: Vec<(String, String)>,
    },
    /// Even the cut name is taken: it is not published.
    Unpublished {
        /// What has the name.
        kind: Kind,
        /// The qualified name as it would be.
        qualified: String,
    },
    /// Several providers offer something at the same address: that of one is published there, the others in the qualified form.
    SameUri {
        /// What is there.
        kind: Kind,
        /// The URI or the template.
        uri: String,
        /// Whose is published there.
        published: ProviderId,
        /// Whose are published elsewhere, in order.
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
            Self::Unsafe { kind, provider, .. } => return (std::mem::discriminant(self), *kind, provider.to_string()),
            Self::BadTemplate { template, .. } => (Kind::Template, template),
        };
        (std::mem::discriminant(self), kind, name.clone())
    }
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameName { kind, name, holder: None, providers } => {
                write!(f, "{kind} {name:?} is offered by several plugins or servers, each is published under its qualified name:")?;
                providers.iter().take(SHOWN).try_for_each(|provider| write!(f, " {provider}{SEPARATOR}{name}"))?;
                more(f, providers)
            }
            Self::SameName { kind, name, holder: Some(holder), providers } => {
                write!(f, "{kind} {name:?} of {holder:?} keeps its name; that of others is published under its qualified name:")?;
                let others = providers.iter().filter(|provider| *provider != holder);
                others.take(SHOWN).try_for_each(|provider| write!(f, " {provider}{SEPARATOR}{name}"))?;
                more_of(f, providers.len() - 1)
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
                "the qualified name {qualified:?} of a {kind} is longer than {} characters, has others than A-Z, a-z, 0-9, _ and -, or belongs to \
                 another: it is published as {published:?}; a shorter file name or {kind} name avoids this",
                longest(*kind)
            ),
            Self::Unsafe { kind, provider, names } => {
                write!(
                    f,
                    "{provider:?} has {kind} names that model APIs reject (they take 1 to {MAX_NAME} of A-Z, a-z, 0-9, _ and -); they are published \
                     under others, and both work in a call:"
                )?;
                names.iter().take(SHOWN).try_for_each(|(own, published)| {
                    let shown: String = own.chars().take(2 * MAX_NAME).collect();
                    write!(f, " {shown:?} as {published}")
                })?;
                more_of(f, names.len())
            }
            Self::Unpublished { kind, qualified } => {
                write!(f, "{kind} {qualified:?} cannot be published, its name is taken: rename the plugin or the {kind}")
            }
            Self::SameUri { kind, uri, published, others } => {
                write!(
                    f,
                    "{kind} {uri:?} is offered by several plugins or servers: that of {published:?} is published, and those of others as"
                )?;
                others.iter().take(SHOWN).try_for_each(|provider| write!(f, " {}", address::qualified(provider, uri)))?;
                more(f, others)
            }
            Self::BadTemplate { template, provider, fault } => {
                write!(f, "resource template {template:?} of plugin {provider:?} matches nothing: {fault} (RFC 6570)")
            }
        }
    }
}

fn more(f: &mut fmt::Formatter<'_>, providers: &[ProviderId]) -> fmt::Result {
    more_of(f, providers.len())
}

fn more_of(f: &mut fmt::Formatter<'_>, all: usize) -> fmt::Result {
    match all.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

/// `provider__name`, of any length.
pub(super) fn qualified(provider: &ProviderId, name: &str) -> String {
    format!("{provider}{SEPARATOR}{name}")
}

/// The longest name that is published.
fn longest(kind: Kind) -> usize {
    if kind == Kind::Tool { MAX_NAME } else { MAX_PROMPT_NAME }
}

/// Whether a name can be published as it is.
pub(super) fn is_safe(kind: Kind, name: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    kind != Kind::Tool || (!name.is_empty() && name.len() <= MAX_NAME && name.chars().all(safe))
}

/// The name with `_` in place of what may not be in it.
fn cleaned(kind: Kind, name: &str) -> String {
    if kind != Kind::Tool {
        return name.to_owned();
    }
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let all: String = name.chars().map(safe).collect();
    all.trim_matches('_').to_owned()
}

/// The published forms of a provider's own names, in the same order. They depend on nothing but the set of names.
pub(super) fn plain_names(kind: Kind, own: &[&str]) -> Vec<String> {
    let mut taken: HashMap<String, usize> = HashMap::new();
    for name in own {
        let name = if is_safe(kind, name) { (*name).to_owned() } else { cleaned(kind, name) };
        *taken.entry(name).or_default() += 1;
    }
    let plain = |name: &&str| {
        if is_safe(kind, name) {
            return (*name).to_owned();
        }
        let clean = cleaned(kind, name);
        let is_free = taken.get(&clean).is_none_or(|count| *count == 1);
        if is_free && is_safe(kind, &clean) { clean } else { hashed(kind, &clean, &[name.as_bytes()]) }
    };
    own.iter().map(plain).collect()
}

/// The qualified name where it can be published, else a cut one with a hash of the whole, which is the same on every host.
pub(super) fn publishable(kind: Kind, provider: &ProviderId, name: &str) -> String {
    let clean = qualified_clean(kind, provider, name);
    if clean.len() <= longest(kind) && is_safe(kind, &clean) { clean } else { cut(kind, provider, name) }
}

/// The name with eight hex digits of a hash at its end. The hash tells `a` + `_b` from `a_` + `b`.
pub(super) fn cut(kind: Kind, provider: &ProviderId, name: &str) -> String {
    hashed(kind, &qualified_clean(kind, provider, name), &[provider.as_str().as_bytes(), &[0], name.as_bytes()])
}

fn qualified_clean(kind: Kind, provider: &ProviderId, name: &str) -> String {
    let provider = if kind == Kind::Tool { provider.as_str().replace('.', "_") } else { provider.to_string() };
    format!("{provider}{SEPARATOR}{name}")
}

fn hashed(kind: Kind, name: &str, parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let hash = hasher.finalize().to_hex();
    // A prompt's name may be of any characters: cut between two of them.
    let head = name.get(..name.floor_char_boundary(longest(kind) - DIGITS - 1)).unwrap_or_default();
    let tail: String = hash.chars().take(DIGITS).collect();
    if head.is_empty() { format!("{kind}_{tail}") } else { format!("{head}_{tail}") }
}
