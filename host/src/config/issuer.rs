//! `[auth.issuer.NAME]`: authorization servers whose tokens are accepted.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    Secret,
    introspection::{Introspection, IntrospectionConfig, not_empty},
    key::TypeInfo,
    role::role_name,
    section::{Section, section},
    toml_reader::{Item, Table},
    trusted_url::server_url,
    types::{Boolean, Type, duration, list, optional, text},
};

section! {
    /// An OAuth 2.1 authorization server whose access tokens are accepted.
    #[derive(Eq)]
    pub struct IssuerConfig {
        /// Its issuer identifier, exactly as its metadata and the claim `iss` of its tokens have it.
        /// `https`, or `http` on loopback.
        issuer: String = String::new(), text("URL", server_url) => required;
        /// Accepted values of the claim `aud`. Unset: the URL of the endpoint that is asked, below
        /// `resource_url` in `[auth]`.
        audience: Vec<String> = Vec::new(), list("texts", text("text", not_empty));
        /// Where its keys are.
        jwks: Option<String> = None, optional(text("URL", server_url)) => unset("from its metadata");
        /// How far its clock may be from this host's.
        leeway: Duration = Duration::from_secs(5), duration(Duration::ZERO..=MOST_LEEWAY);
        /// Scopes that each token needs. Clients are told to ask for them.
        scopes: Vec<String> = Vec::new(), list("texts", text("scope", scope));
        /// The claim that says what a caller is, such as `roles`, `groups` or `realm_access.roles`: a
        /// text with spaces between its values, or a list.
        roles_claim: Option<String> = None, optional(text("claim", not_empty)) => unset("scopes alone");
        /// The claim by which callers are known.
        subject_claim: String = "sub".to_owned(), text("claim", not_empty);
        /// By a scope, or a value of `roles_claim`: roles that it gives. Unset: the values of
        /// `roles_claim` are themselves the names of roles.
        roles: BTreeMap<String, Vec<String>> = BTreeMap::new(), RolesByValue;
        /// Scopes of the table `roles` that callers may ask for when they need them. What these
        /// would allow is listed to callers of this issuer that lack them, and using it answers 403
        /// with the scope. Unlisted, a caller doesn't learn what another scope would allow.
        step_up: Vec<String> = Vec::new(), list("texts", text("scope", scope));
        /// Roles of every caller with a token of this issuer.
        default_roles: Vec<String> = Vec::new(), list("names", text("name", role_name));
        /// `[auth.issuer.NAME.introspection]`: how the issuer is asked about tokens that are not
        /// JWTs. At most one issuer can have it, since such a token does not say whose it is.
        introspection: Option<IntrospectionConfig> = None, Introspection => unset("only JWTs are accepted");
        /// Whether each token has to be bound to a key that its caller proves to have (DPoP).
        /// Tokens that are bound need the proof in any case.
        require_dpop: bool = false, Boolean;
        /// Whether each proof needs a nonce that this host gave (RFC 9449, 9). A client gets one, and
        /// the next every five minutes, by an answer 401 with the header `DPoP-Nonce`, and repeats the
        /// request. Nonces are signed with `keys` in `[state]`, so that every instance accepts them.
        dpop_nonces: bool = false, Boolean;
        /// Claims that plugins and servers with `identity` are told, such as `email` or `org.unit`.
        claims: Vec<String> = Vec::new(), list("texts", text("claim", told_claim));
        /// A server exchanges the tokens of its callers, so they are kept until they end.
        keeps_tokens: bool = false;
        /// What signs nonces: `keys` of `[state]`, where there are nonces.
        nonce_keys: Vec<Secret> = Vec::new();
    }
}

/// Clocks that are further apart than that are broken.
const MOST_LEEWAY: Duration = Duration::from_secs(300);

/// The tables `[auth.issuer.NAME]`.
pub(super) struct Issuers;

impl Type<BTreeMap<String, IssuerConfig>> for Issuers {
    fn read(&self, item: &Item<'_>) -> Option<BTreeMap<String, IssuerConfig>> {
        let mut issuers: BTreeMap<String, IssuerConfig> = BTreeMap::new();
        for item in item.table()?.items() {
            if let Err(message) = role_name(&item.key) {
                item.fail_key(message.replace("role", "issuer"));
            }
            let Some(table) = item.table() else { continue };
            let mut issuer = IssuerConfig::default();
            issuer.read(&table);
            check(&item, &table, &issuer, &issuers);
            table.finish();
            issuers.insert(item.key, issuer);
        }
        Some(issuers)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("tables", json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/IssuerSection" } }))
    }

    fn write(&self, _: &BTreeMap<String, IssuerConfig>) -> Option<Value> {
        None
    }
}

/// What no key alone shows to be wrong.
fn check(item: &Item<'_>, table: &Table<'_>, issuer: &IssuerConfig, others: &BTreeMap<String, IssuerConfig>) {
    if table.get("issuer").is_none() {
        item.fail_key("has no \"issuer\"; write its issuer identifier: issuer = \"https://login.example.com\"");
    }
    if let Some(unknown) = issuer.step_up.iter().find(|scope| !issuer.roles.contains_key(*scope))
        && let Some(item) = table.get("step_up")
    {
        item.fail(format_args!("{unknown:?} gives no role; write which in `roles`: {{ {unknown:?} = [\"ROLE\"] }}"));
    }
    if issuer.introspection.is_some()
        && let Some((other, _)) = others.iter().find(|(_, other)| other.introspection.is_some())
    {
        item.fail_key(format_args!(
            "and {other:?} both have \"introspection\"; an opaque token does not say whose it is, and is not shown to an issuer that did not make it: keep one"
        ));
    }
    if let Some((other, _)) = others.iter().find(|(_, other)| other.issuer == issuer.issuer && !issuer.issuer.is_empty()) {
        item.fail_key(format_args!("has the same issuer as {other:?}; a token says its issuer only"));
    }
}

/// `"value" = ["role"]`.
struct RolesByValue;

impl Type<BTreeMap<String, Vec<String>>> for RolesByValue {
    fn read(&self, item: &Item<'_>) -> Option<BTreeMap<String, Vec<String>>> {
        let names = list("names", text("name", role_name));
        Some(item.table()?.items().filter_map(|item| Some((item.key.clone(), names.read(&item)?))).collect())
    }

    fn info(&self) -> TypeInfo {
        let names = json!({ "type": "array", "items": { "type": "string" } });
        TypeInfo::new("table of lists", json!({ "type": "object", "additionalProperties": names }))
    }

    fn write(&self, _: &BTreeMap<String, Vec<String>>) -> Option<Value> {
        None
    }
}

/// Claims that the host sets itself.
const OWN_CLAIMS: [&str; 9] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "roles", "cnf"];

/// A claim that is handed on beside those that say who calls.
fn told_claim(text: &str) -> Result<String, String> {
    if OWN_CLAIMS.contains(&text) {
        return Err(format!("{text:?} is a claim that the host sets itself"));
    }
    not_empty(text)
}

/// RFC 6749, 3.3.
pub(super) fn scope(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if fits { Ok(text.to_owned()) } else { Err(format!("{text:?} is not a scope: one word without quotes")) }
}
