//! `[auth.issuer.NAME.introspection]`: how an issuer is asked what its opaque tokens mean.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Secret,
    key::TypeInfo,
    section::{Section, section},
    toml_reader::Item,
    trusted_url::server_url,
    types::{HOUR, SECOND, Type, credential, duration, optional, text},
};

section! {
    /// Token introspection (RFC 7662): the issuer is asked about access tokens that are not JWTs.
    #[derive(Eq)]
    pub struct IntrospectionConfig {
        /// Where the issuer is asked.
        endpoint: Option<String> = None, optional(text("URL", server_url)) => unset("from its metadata");
        /// The name of this host at the issuer.
        client_id: String = String::new(), text("text", not_empty) => required;
        /// What this host authenticates with there.
        client_secret: Secret = Secret(String::new()), credential(filled) => required;
        /// How long the issuer's answer about a good token counts, at most until the token expires:
        /// a token that is revoked is accepted for so long.
        cache: Duration = Duration::from_secs(30), duration(SECOND..=HOUR);
    }
}

/// The table, if it is there.
pub(super) struct Introspection;

impl Type<Option<IntrospectionConfig>> for Introspection {
    fn read(&self, item: &Item<'_>) -> Option<Option<IntrospectionConfig>> {
        let table = item.table()?;
        let mut introspection = IntrospectionConfig::default();
        introspection.read(&table);
        for key in ["client_id", "client_secret"] {
            if table.get(key).is_none() {
                item.fail_key(format_args!(
                    "has no {key:?}; write {{ client_id = \"toolbay\", client_secret = {{ from_env = \"VARIABLE\" }} }}"
                ));
            }
        }
        table.finish();
        Some(Some(introspection))
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("table", json!({ "$ref": "#/$defs/IntrospectionSection" }))
    }

    fn write(&self, _: &Option<IntrospectionConfig>) -> Option<Value> {
        None
    }
}

fn filled(secret: Secret) -> Result<Secret, String> {
    if secret.0.is_empty() { Err("it cannot be empty".to_owned()) } else { Ok(secret) }
}

pub(super) fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}
