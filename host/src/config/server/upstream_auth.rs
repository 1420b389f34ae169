//! What a server is shown of who calls, and by whose token: headers passed on, a signed identity,
//! tokens of an authorization server.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::{HeaderName, header};
use serde_json::{Value, json};

use super::{
    super::{
        Secret,
        headers::header_name,
        introspection::not_empty,
        issuer::scope,
        key::TypeInfo,
        section::{Section, section},
        toml_reader::{Item, Table},
        trusted_url::server_url,
        types::{HOUR, SECOND, Type, choice, credential, duration, list, optional, text},
    },
    kind::{REMOTE, URL},
};
use crate::signing::SigningKey;

section! {
    /// What a server is shown of who calls.
    pub struct UpstreamAuth {
        /// Headers of the caller's request that are passed on, such as `["X-Request-Id"]`. Credentials,
        /// cookies and headers of the connection are never passed on.
        forward: Vec<HeaderName> = Vec::new(), list("header names", text("header", forwarded)) => only(REMOTE);
        /// Who calls, as a short signed JWT with every request.
        identity: Option<IdentityConfig> = None, optional(IDENTITY) => only(REMOTE);
        /// The host's own access token, by the client credentials grant.
        client_credentials: Option<TokenRequest> = None, optional(CLIENT_CREDENTIALS) => only(REMOTE);
        /// The caller's access token, exchanged at the authorization server for one that is meant for this
        /// server (RFC 8693). Only callers with a token of an `[auth.issuer.NAME]` can call it then.
        token_exchange: Option<TokenRequest> = None, optional(TOKEN_EXCHANGE) => only(REMOTE);
        /// Callers' own accounts at the server: each person connects theirs once, at the server's
        /// authorization server.
        oauth: Option<OAuthConfig> = None, optional(OAUTH) => only(&[URL]);
    }
}

section! {
    /// Callers' own accounts at a remote MCP server (OAuth 2.1 with PKCE). The authorization server is
    /// found by the server's metadata, and this host registers there.
    pub struct OAuthConfig {
        /// The client that this host is at the authorization server.
        client_id: Option<String> = None, optional(text("text", not_empty)) => unset("registered by itself (RFC 7591)");
        /// The secret of that client.
        client_secret: Option<Secret> = None, optional(credential(Ok)) => unset("a public client");
        /// The authorization server.
        issuer: Option<String> = None, optional(text("URL", server_url)) => unset("from the server's metadata (RFC 9728)");
        /// Scopes to ask for.
        scopes: Vec<String> = Vec::new(), list("texts", text("scope", scope)) => unset("what the server asks for");
        /// The caller with whose account the host reads the lists, such as `corp:ann`, where the server shows
        /// none without. All callers see that list.
        lists_as: Option<String> = None, optional(text("text", not_empty)) => unset("with `bearer`, `client_credentials` or no token");
    }
}

section! {
    /// Who calls, as a JWT that the server can verify by the keys at `/.well-known/jwks.json`. Its
    /// claims are `iss`, `sub`, `aud`, `iat`, `exp`, `jti`, `roles`, and those of `claims` in
    /// `[auth.issuer.NAME]`.
    pub struct IdentityConfig {
        /// Private keys (PEM, PKCS #8): P-256 (ES256), Ed25519 (EdDSA) or RSA (RS256). The first signs, the
        /// public halves of all are published.
        keys: Vec<Arc<SigningKey>> = Vec::new(), list("secrets", credential(signing_key)) => required;
        /// The claim `aud`: what the server knows itself by.
        audience: String = String::new(), text("text", not_empty) => required;
        /// How long a JWT is valid. Each request has its own.
        lifetime: Duration = SECOND * 60, duration(SECOND..=HOUR);
        /// The header. In `Authorization` it is a bearer token.
        header: HeaderName = HeaderName::from_static("toolbay-identity"), text("header", identity_header);
        /// The claim `iss`.
        issuer: Option<String> = None, optional(text("text", not_empty)) => unset("`resource_url` in `[auth]`, else `toolbay`");
    }
}

section! {
    /// How an access token is asked for at an authorization server.
    pub struct TokenRequest {
        /// Its issuer identifier, by whose metadata the token endpoint is found. `https`, or `http` on loopback.
        issuer: Option<String> = None, optional(text("URL", server_url));
        /// Its token endpoint, in place of `issuer`.
        token_url: Option<String> = None, optional(text("URL", server_url)) => unset("from the metadata of `issuer`");
        /// The client that the host is there.
        client_id: String = String::new(), text("text", not_empty) => required;
        /// The secret of that client.
        client_secret: Option<Secret> = None, optional(credential(Ok)) => unset("a public client");
        /// How the client authenticates: `"basic"` (a header) or `"post"` (in the body).
        authentication: ClientAuthentication = ClientAuthentication::Basic, choice(AUTHENTICATIONS);
        /// Scopes to ask for.
        scopes: Vec<String> = Vec::new(), list("texts", text("scope", scope)) => unset("the authorization server's default");
        /// What the token is for, as a URL (RFC 8707).
        resource: Option<String> = None, optional(text("URL", not_empty));
        /// What the token is for, by a name of the authorization server.
        audience: Option<String> = None, optional(text("text", not_empty));
    }
}

/// How a client says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientAuthentication {
    /// `client_secret_basic`.
    #[default]
    Basic,
    /// `client_secret_post`.
    Post,
}

const AUTHENTICATIONS: &[(&str, ClientAuthentication)] = &[("basic", ClientAuthentication::Basic), ("post", ClientAuthentication::Post)];

impl UpstreamAuth {
    /// Whether it has anything to say of a request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes what is not said here from what `[auth]` says.
    pub(in crate::config) fn complete(&mut self, resource_url: Option<&String>) {
        if let Some(identity) = &mut self.identity
            && identity.issuer.is_none()
        {
            identity.issuer = resource_url.cloned();
        }
    }
}

/// What no key alone shows to be wrong. `sent`: headers that are sent with every request.
pub(super) fn check(table: &Table<'_>, auth: &UpstreamAuth, sent: &http::HeaderMap) {
    let own = auth.identity.as_ref().map(|identity| &identity.header);
    if let Some(item) = table.get("forward") {
        let mut seen = BTreeSet::new();
        for name in &auth.forward {
            if sent.contains_key(name) {
                item.fail(format_args!(
                    "{name} is set by \"headers\" already, so that of the caller would never be sent; keep one of them"
                ));
            } else if own == Some(name) {
                item.fail(format_args!("{name} is the header of \"identity\": a caller could write its own identity"));
            } else if !seen.insert(name.as_str()) {
                item.fail(format_args!("{name} is named twice"));
            }
        }
    }
    if let (Some(item), Some(name)) = (table.get("identity"), own)
        && sent.contains_key(name)
    {
        item.fail(format_args!("its header {name} is set by \"headers\" or \"bearer\" already; keep one of them"));
    }
    let in_authorization = own.is_some_and(|name| *name == header::AUTHORIZATION);
    if let Some(item) = table.get("client_credentials")
        && (sent.contains_key(header::AUTHORIZATION) || in_authorization)
    {
        item.fail_key("sets the header Authorization, as \"bearer\", \"headers\" or \"identity\" does already; keep one of them");
    }
    if let Some(item) = table.get("oauth").filter(|_| in_authorization || auth.token_exchange.is_some()) {
        item.fail_key("calls with the caller's own account, as \"token_exchange\" or \"identity\" set the header Authorization already; keep one of them");
    }
    if let Some(item) = table.get("token_exchange").filter(|_| in_authorization) {
        item.fail_key("sets the header Authorization, as \"identity\" does already; keep one of them");
    }
}

/// The keys of a section as one value.
struct Keys<S> {
    title: &'static str,
    check: fn(&Item<'_>, &Table<'_>, &S),
}

const IDENTITY: Keys<IdentityConfig> = Keys { title: "IdentitySection", check: check_identity };
const CLIENT_CREDENTIALS: Keys<TokenRequest> = Keys { title: "ClientCredentialsSection", check: check_client };
const OAUTH: Keys<OAuthConfig> = Keys { title: "OAuthSection", check: check_oauth };
const TOKEN_EXCHANGE: Keys<TokenRequest> = Keys { title: "TokenExchangeSection", check: check_exchange };

impl<S: Section> Type<S> for Keys<S> {
    fn read(&self, item: &Item<'_>) -> Option<S> {
        let table = item.table()?;
        let mut section = S::default();
        section.read(&table);
        (self.check)(item, &table, &section);
        table.finish();
        Some(section)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("table", json!({ "$ref": format!("#/$defs/{}", self.title) })).secret()
    }

    fn write(&self, _: &S) -> Option<Value> {
        None
    }
}

fn check_identity(item: &Item<'_>, table: &Table<'_>, _: &IdentityConfig) {
    for key in ["keys", "audience"] {
        if table.get(key).is_none() {
            item.fail_key(format_args!(
                "has no {key:?}; write identity = {{ keys = [{{ from_file = \"key.pem\" }}], audience = \"https://this.server\" }}"
            ));
        }
    }
    if let Some(keys) = table.get("keys").filter(|keys| keys.value.as_array().is_some_and(|list| list.is_empty())) {
        keys.fail(
            "no key is named, so nothing could be signed; make one by: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        );
    }
}

fn check_request(item: &Item<'_>, table: &Table<'_>, request: &TokenRequest) {
    if table.get("issuer").is_none() && table.get("token_url").is_none() {
        item.fail_key("says no authorization server; write issuer = \"https://login.example.com\", or token_url");
    }
    if let (Some(_), Some(item)) = (table.get("issuer"), table.get("token_url")) {
        item.fail_key("there is \"issuer\" already, which says the token endpoint; keep one of them");
    }
    if table.get("client_id").is_none() {
        item.fail_key("has no \"client_id\"; write the client that the host is at the authorization server");
    }
    if let (Some(item), None) = (table.get("authentication"), &request.client_secret) {
        item.fail_key("is how a \"client_secret\" is sent, and there is none");
    }
}

fn check_client(item: &Item<'_>, table: &Table<'_>, request: &TokenRequest) {
    check_request(item, table, request);
    if table.get("client_secret").is_none() {
        item.fail_key("has no \"client_secret\", without which no client is given a token of its own");
    }
}

fn check_exchange(item: &Item<'_>, table: &Table<'_>, request: &TokenRequest) {
    check_request(item, table, request);
    if request.resource.is_none() && request.audience.is_none() {
        item.fail_key("does not say what the token is for; write resource = \"https://this.server/mcp\", or audience");
    }
}

fn check_oauth(_: &Item<'_>, table: &Table<'_>, oauth: &OAuthConfig) {
    if let (Some(item), None) = (table.get("client_secret"), &oauth.client_id) {
        item.fail_key("is the secret of a \"client_id\", and there is none");
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as all that parse a secret take it")]
fn signing_key(secret: Secret) -> Result<Arc<SigningKey>, String> {
    SigningKey::from_pem(&secret.0).map(Arc::new)
}

/// A header that the identity can stand in.
fn identity_header(name: &str) -> Result<HeaderName, String> {
    header_name(name)
}

/// A header of a caller that another server may read.
fn forwarded(name: &str) -> Result<HeaderName, String> {
    let name = header_name(name).map_err(|why| format!("{name:?} cannot be passed on: it {why}"))?;
    let why = match name.as_str() {
        "authorization" | "proxy-authorization" | "proxy-authenticate" => {
            "it has the caller's credentials, which are meant for this host alone; use `token_exchange` or `identity`"
        }
        "cookie" | "set-cookie" => "cookies are meant for this host alone",
        "te" | "trailer" | "keep-alive" | "proxy-connection" | "expect" | "max-forwards" | "upgrade-insecure-requests" => {
            "it is about one connection, and the next one is another"
        }
        "accept-encoding"
        | "content-encoding"
        | "range"
        | "if-match"
        | "if-none-match"
        | "if-modified-since"
        | "if-unmodified-since"
        | "if-range"
        | "last-event-id" => "it is about the answer to this host's own request",
        "origin" | "referer" => "servers reject pages by it, and this host is none",
        "user-agent" | "traceparent" | "tracestate" => "the host sends its own",
        other if other.starts_with("sec-") || other.starts_with("access-control-") => "servers reject pages by it, and this host is none",
        _ => return Ok(name),
    };
    Err(format!("{:?} cannot be passed on: {why}", name.as_str()))
}

/// The tables that these keys have, for the reference page.
pub(in crate::config) fn tables() -> [(&'static str, &'static str, &'static str, &'static str, Vec<super::Key>); 4] {
    [
        ("server.NAME.identity", "in identity of [server.NAME]", IDENTITY.title, IdentityConfig::ABOUT, IdentityConfig::keys()),
        (
            "server.NAME.client_credentials",
            "in client_credentials of [server.NAME]",
            CLIENT_CREDENTIALS.title,
            "The host's own access token, by the client credentials grant. It is asked for at the first request and renewed before it ends.",
            TokenRequest::keys(),
        ),
        (
            "server.NAME.token_exchange",
            "in token_exchange of [server.NAME]",
            TOKEN_EXCHANGE.title,
            "The caller's access token, exchanged for one that is meant for this server (RFC 8693).",
            TokenRequest::keys(),
        ),
        ("server.NAME.oauth", "in oauth of [server.NAME]", OAUTH.title, OAuthConfig::ABOUT, OAuthConfig::keys()),
    ]
}
