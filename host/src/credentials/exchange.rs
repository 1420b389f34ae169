//! Callers' tokens, exchanged for others that are meant for one server (RFC 8693): one for each token, kept
//! as long as both are good.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderValue;

use super::{
    cell::{Shown, TokenCell},
    token_endpoint::TokenEndpoint,
};
use crate::provider::{CallerToken, Principal, ProviderId};
use crate::unix_time;

/// Tokens that are kept at most: some kilobytes for each.
const MOST: usize = 10_000;

/// Exchanges tokens for one server.
pub(super) struct Exchange {
    endpoint: TokenEndpoint,
    /// By the digest of the caller's token.
    kept: Mutex<HashMap<blake3::Hash, Kept>>,
}

struct Kept {
    cell: Arc<TokenCell>,
    /// When the caller's own token ends, in seconds since 1970.
    ends: u64,
}

impl Exchange {
    pub(super) fn new(endpoint: TokenEndpoint) -> Self {
        Self { endpoint, kept: Mutex::default() }
    }

    /// The token in the name of a caller.
    pub(super) async fn token(&self, server: &ProviderId, principal: Option<&Principal>) -> Result<Shown, String> {
        let Some(token) = principal.and_then(Principal::token) else {
            return Err(format!(
                "a call of it is made in the caller's own name (`token_exchange` of [server.{server}]), and this caller came in without an access token of an [auth.issuer.NAME]"
            ));
        };
        let left = token.ends().saturating_sub(unix_time::seconds());
        if left == 0 {
            return Err("the caller's access token has expired; call again with a new one".to_owned());
        }
        let cell = self.cell(token);
        cell.get(|| async {
            let mut granted = self.endpoint.exchange(token.expose()).await?;
            granted.lifetime = granted.lifetime.min(Duration::from_secs(left));
            Ok(granted)
        })
        .await
    }

    pub(super) fn forget(&self, principal: Option<&Principal>, token: &HeaderValue) -> bool {
        principal.and_then(Principal::token).is_some_and(|own| self.cell(own).forget(token))
    }

    fn cell(&self, token: &CallerToken) -> Arc<TokenCell> {
        let digest = blake3::hash(token.expose().as_bytes());
        let mut kept = self.lock();
        if let Some(known) = kept.get(&digest) {
            return Arc::clone(&known.cell);
        }
        if kept.len() >= MOST {
            let now = unix_time::seconds();
            kept.retain(|_, known| now < known.ends && known.cell.is_good());
            if kept.len() >= MOST {
                kept.clear();
            }
        }
        let cell = Arc::<TokenCell>::default();
        kept.insert(digest, Kept { cell: Arc::clone(&cell), ends: token.ends() });
        cell
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<blake3::Hash, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
