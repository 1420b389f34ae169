//! Whether a server may listen at an address: beyond loopback only where callers have to say who they are.

use std::net::SocketAddr;

use super::Authenticator;

/// Anybody in the network could call every tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to listen on {0}: it can be reached from other machines, and no authentication is configured.\n\
     Either give callers tokens, in toolbay.toml:\n\
     \n    [auth.tokens]\n    me = {{ from_env = \"TOOLBAY_TOKEN\" }}\n\n\
     or let an authorization server say who calls: [auth.issuer.NAME], see docs/authorization.md;\n\
     or have clients show a certificate: tls_client_ca in [http];\n\
     or listen on 127.0.0.1 only, or, where something in front asks for them, start with --insecure"
)]
pub struct Exposed(pub SocketAddr);

/// Whether a server with this authentication may listen at this address. `certificates`: clients have to show one.
///
/// # Errors
///
/// [`Exposed`], with both ways out, where others than this machine could come in without a token and nobody said that this is meant.
pub fn may_listen(addr: SocketAddr, auth: &Authenticator, certificates: bool, insecure: bool) -> Result<(), Exposed> {
    // `::ffff:127.0.0.1` is loopback too.
    if addr.ip().to_canonical().is_loopback() || !auth.is_open() || certificates {
        return Ok(());
    }
    if insecure {
        tracing::warn!(%addr, "anybody who can reach {addr} can call every tool: no tokens are configured and --insecure was given");
        return Ok(());
    }
    Err(Exposed(addr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AuthConfig, Tokens};

    #[test]
    fn beyond_loopback_needs_tokens_or_a_clear_word() {
        let open = Authenticator::Open;
        let tokens = AuthConfig { tokens: Tokens::parse([("me", "0123456789abcdef")]).unwrap(), ..AuthConfig::default() };
        let closed = Authenticator::from_config(&tokens);
        for addr in ["0.0.0.0:8000", "[::]:8000", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
            let addr = addr.parse().unwrap();
            let error = may_listen(addr, &open, false, false).unwrap_err().to_string();
            assert!(
                error.contains(&addr.to_string()) && error.contains("[auth.tokens]\n    me = { from_env") && error.contains("--insecure"),
                "{error}"
            );
            assert_eq!(may_listen(addr, &open, false, true), Ok(()));
            assert_eq!(may_listen(addr, &open, true, false), Ok(()));
            assert_eq!(may_listen(addr, &closed, false, false), Ok(()));
        }
        for addr in ["127.0.0.1:0", "127.8.0.1:1", "[::1]:8000", "[::ffff:127.0.0.1]:80"] {
            assert_eq!(may_listen(addr.parse().unwrap(), &open, false, false), Ok(()));
        }
    }
}
