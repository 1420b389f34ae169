//! `[registry.NAME]`: how an OCI registry is reached, and where a plugin in one is.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{
    OciReference, Secret,
    oci::is_host,
    section::{Section, section},
    toml_reader::Table,
    types::{Boolean, FilePath, MONTH, SECOND, choice, credential, duration, optional, text},
};

section! {
    /// How an OCI registry is reached that is named in a `source`. NAME is its host, with the port if
    /// `source` has one: `[registry."localhost:5000"]`. A registry without such a table is reached
    /// over HTTPS, with what `docker login` or `podman login` has kept for it, if anything.
    pub struct RegistryConfig {
        /// The user. Needs `password`.
        username: Option<String> = None, optional(text("text", filled));
        /// The user's password, or an access token that takes its place.
        password: Option<Secret> = None, optional(credential(secret));
        /// A bearer token, in place of `username` and `password`.
        token: Option<Secret> = None, optional(credential(secret));
        /// A PEM file of certificate authorities, trusted beside the usual ones.
        ca: Option<PathBuf> = None, optional(FilePath);
        /// Plain HTTP instead of HTTPS. Everybody on the way can then read the credentials.
        insecure: Option<bool> = None, optional(Boolean) => unset("`true` for a registry on loopback without `ca`, else `false`");
    }
}

section! {
    /// Where a plugin comes from that is not in the plugin folder.
    pub struct PluginOrigin {
        /// The plugin in an OCI registry: `"oci://registry/repository:tag"` or
        /// `"oci://registry/repository@sha256:…"`. It is served as NAME. Not in `[plugin.default]` or a
        /// sidecar.
        source: Option<OciReference> = None, optional(text("oci:// address", OciReference::parse));
        /// `"always"`: the registry is asked what the tag names at every start, and every `interval`.
        /// `"missing"`: it's asked only for what isn't in the cache.
        pull: PullPlugin = PullPlugin::Always, choice(PULL);
        /// How often the registry is asked for the tag. A `source` with a digest is pulled once.
        interval: Duration = SECOND * 300, duration(SECOND..=MONTH);
        /// Whether the sidecar that is in the registry beside the plugin counts. It can grant access,
        /// unless `sidecar_grants` of `[host]` is false.
        sidecar: bool = false, Boolean;
    }
}

/// When a plugin is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPlugin {
    /// At every start of the host, and from time to time.
    #[default]
    Always,
    /// When it is not in the cache.
    Missing,
}

const PULL: &[(&str, PullPlugin)] = &[("always", PullPlugin::Always), ("missing", PullPlugin::Missing)];

fn filled(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn secret(secret: Secret) -> Result<Secret, String> {
    if secret.0.is_empty() { Err("it cannot be empty".to_owned()) } else { Ok(secret) }
}

/// The tables `[registry.NAME]`.
pub(super) fn registries(table: &Table<'_>) -> BTreeMap<String, RegistryConfig> {
    let mut registries = BTreeMap::new();
    for item in table.items() {
        if !is_host(&item.key) {
            item.fail_key("is not the host of a registry; write it as in `source`: [registry.\"localhost:5000\"]");
        }
        let Some(keys) = item.table() else { continue };
        let mut registry = RegistryConfig::default();
        registry.read(&keys);
        match (keys.get("username"), keys.get("password"), keys.get("token")) {
            (Some(_), None, None) => item.fail_key("has a \"username\" and no \"password\""),
            (None, Some(_), None) => item.fail_key("has a \"password\" and no \"username\""),
            (user, password, Some(token)) if user.is_some() || password.is_some() => {
                token.fail_key("takes the place of \"username\" and \"password\"; keep one of the two ways");
            }
            _ => {}
        }
        if registry.insecure == Some(true)
            && let Some(ca) = keys.get("ca")
        {
            ca.fail_key("means nothing with insecure = true, which is plain HTTP; keep one of them");
        }
        keys.finish();
        registries.insert(item.key.to_ascii_lowercase(), registry);
    }
    registries
}
