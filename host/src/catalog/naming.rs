//! Qualified names, and what there is to say about names that clash.

use std::fmt;

use crate::provider::{MAX_TOOL_NAME, ProviderId, ToolName};

/// Between the provider and the tool in a qualified name.
const SEPARATOR: &str = "__";

/// Names that are told of those that clash.
const SHOWN: usize = 5;

/// Two claims to one name, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Collision {
    /// Several providers offer a tool of the same name: all are published in the qualified form.
    SameName {
        /// The name that all of them have.
        name: ToolName,
        /// Who offers it, in order.
        providers: Vec<ProviderId>,
    },
    /// A tool's own name reads like the qualified name of another's tool: it is published in its qualified form.
    LooksQualified {
        /// The tool's own name.
        name: ToolName,
        /// Whose tool it is.
        provider: ProviderId,
        /// Whose tool has that name for its qualified form.
        other: ProviderId,
    },
    /// A provider offers two tools of one name: the first is published.
    Twice {
        /// The name.
        name: ToolName,
        /// Who offers it twice.
        provider: ProviderId,
    },
    /// The qualified name is too long or taken: a cut one with a hash is published.
    Cut {
        /// The qualified name as it would be.
        qualified: String,
        /// The name that is published.
        published: ToolName,
    },
    /// Even the cut name is taken: the tool is not published.
    Unpublished {
        /// The qualified name as it would be.
        qualified: String,
    },
}

impl Collision {
    /// What it is about: a collision that only grows is still the same one.
    pub(super) fn subject(&self) -> (std::mem::Discriminant<Self>, String) {
        let name = match self {
            Self::SameName { name, .. } | Self::Twice { name, .. } | Self::LooksQualified { name, .. } => name.as_str(),
            Self::Cut { qualified, .. } | Self::Unpublished { qualified } => qualified,
        };
        (std::mem::discriminant(self), name.to_owned())
    }
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameName { name, providers } => {
                write!(f, "tool {name:?} is offered by several plugins, each is published under its qualified name:")?;
                providers.iter().take(SHOWN).try_for_each(|provider| write!(f, " {provider}{SEPARATOR}{name}"))?;
                match providers.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::LooksQualified { name, provider, other } => write!(
                f,
                "tool {name:?} of plugin {provider:?} reads like a tool of plugin {other:?} and is published as {provider}{SEPARATOR}{name}; \
                 a tool's name should have no {SEPARATOR:?} in it"
            ),
            Self::Twice { name, provider } => write!(f, "plugin {provider:?} offers tool {name:?} twice: the first one is published"),
            Self::Cut { qualified, published } => write!(
                f,
                "the qualified name {qualified:?} is longer than {MAX_TOOL_NAME} characters or belongs to another tool: it is published as {published:?}; \
                 a shorter file name or tool name avoids this"
            ),
            Self::Unpublished { qualified } => {
                write!(f, "tool {qualified:?} cannot be published, its name is taken: rename the plugin or the tool")
            }
        }
    }
}

/// `provider__tool`, of any length.
pub(super) fn qualified(provider: &ProviderId, tool: &ToolName) -> String {
    format!("{provider}{SEPARATOR}{tool}")
}

/// The qualified name where it fits, else a cut one with a hash of the whole, which is the same on every host.
pub(super) fn publishable(provider: &ProviderId, tool: &ToolName) -> Option<ToolName> {
    let qualified = qualified(provider, tool);
    if qualified.len() <= MAX_TOOL_NAME { ToolName::new(qualified).ok() } else { cut(provider, tool) }
}

/// The name with eight hex digits of a hash at its end. The hash tells `a` + `_b` from `a_` + `b`.
pub(super) fn cut(provider: &ProviderId, tool: &ToolName) -> Option<ToolName> {
    const DIGITS: usize = 8;
    let mut hasher = blake3::Hasher::new();
    hasher.update(provider.as_str().as_bytes()).update(&[0]).update(tool.as_str().as_bytes());
    let hash = hasher.finalize().to_hex();
    // Both parts are ASCII by their types, so a cut anywhere is between characters.
    let head: String = qualified(provider, tool).chars().take(MAX_TOOL_NAME - DIGITS - 1).collect();
    let tail: String = hash.chars().take(DIGITS).collect();
    ToolName::new(format!("{head}_{tail}")).ok()
}
