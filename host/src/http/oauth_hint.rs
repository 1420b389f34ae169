//! What a client that looks for OAuth is told: that there is none here, and how callers authenticate instead.
//!
//! The status stays 404, by which clients know that a document is not there. Those that go on and
//! try to register show `error_description` to their user.

use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;

use super::{MCP_PATH, answer};

/// Where OAuth clients look when no document says otherwise (MCP 2025-03-26, "Fallbacks").
const ENDPOINTS: [&str; 3] = ["/register", "/authorize", "/token"];

/// The documents of RFC 9728, RFC 8414 and OpenID Connect Discovery, before or behind a path.
const DOCUMENTS: [&str; 3] =
    ["/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

/// Whether only a client that looks for OAuth asks for this path.
pub(super) fn is_asked_for(path: &str) -> bool {
    ENDPOINTS.contains(&path) || DOCUMENTS.iter().any(|document| path.contains(document))
}

#[derive(Serialize)]
struct NoOAuth {
    /// RFC 6749, 5.2. None of the codes says it better.
    error: &'static str,
    error_description: &'static str,
    #[serde(rename = "try")]
    hint: &'static str,
}

/// The answer. `open`: callers need not authenticate at all.
pub(super) fn response(open: bool) -> Response<Body> {
    let (error_description, hint) = if open {
        ("This server has no OAuth: it needs no authentication. Connect to it without.", MCP_PATH)
    } else {
        (
            "This server has no OAuth: it takes the bearer tokens of [auth.tokens] in its toolbay.toml. Ask its operator for one, and set the header Authorization: Bearer TOKEN for this server in your client.",
            "send the header `Authorization: Bearer TOKEN`",
        )
    };
    answer::json(StatusCode::NOT_FOUND, &NoOAuth { error: "invalid_request", error_description, hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_oauth_are_known_before_and_behind_the_endpoint() {
        for path in [
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
            "/weather/mcp/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration",
            "/register",
            "/token",
        ] {
            assert!(is_asked_for(path), "{path}");
        }
        for path in ["/mcp", "/", "/registers", "/tools", "/.well-known/other", "/weather/call"] {
            assert!(!is_asked_for(path), "{path}");
        }
    }
}
