//! The kinds of servers, and which of them are alike.

/// The kinds of servers, by the key that makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Command,
    Image,
    Url,
    OpenApi,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Command, Self::Image, Self::Url, Self::OpenApi];

    /// The key that makes a server one of this kind.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Command => COMMAND,
            Self::Image => IMAGE,
            Self::Url => URL,
            Self::OpenApi => OPENAPI,
        }
    }
}

pub(super) const COMMAND: &str = "command";
pub(super) const IMAGE: &str = "image";
pub(super) const URL: &str = "url";
pub(super) const OPENAPI: &str = "openapi";
/// Kinds whose servers are processes of this machine.
pub(super) const PROCESSES: &[&str] = &[COMMAND, IMAGE];
/// Kinds whose servers speak MCP.
pub(super) const MCP: &[&str] = &[COMMAND, IMAGE, URL];
/// Kinds whose servers are reached by HTTP.
pub(super) const REMOTE: &[&str] = &[URL, OPENAPI];
