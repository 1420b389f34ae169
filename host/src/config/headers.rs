//! HTTP headers and addresses that the operator gives: parsed once, into what is sent.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use url::Url;

use super::{
    Secret,
    key::TypeInfo,
    toml_reader::Item,
    types::{Credential, Type, text_or_source},
};

/// A table of headers that are sent with every request.
pub(super) struct Headers;

impl Type<HeaderMap> for Headers {
    fn read(&self, item: &Item<'_>) -> Option<HeaderMap> {
        let of: Credential<HeaderValue> = text_or_source(header_value);
        let mut read = HeaderMap::new();
        for item in item.table()?.items() {
            match header_name(&item.key) {
                Err(message) => item.fail_key(message),
                Ok(name) => read.extend(of.read(&item).map(|value| (name, value))),
            }
        }
        Some(read)
    }

    fn read_into(&self, item: &Item<'_>, value: &mut HeaderMap) {
        value.extend(self.read(item).unwrap_or_default());
    }

    fn info(&self) -> TypeInfo {
        let of: Credential<HeaderValue> = text_or_source(header_value);
        TypeInfo::new("table", json!({ "type": "object", "additionalProperties": of.info().schema })).secret()
    }

    fn write(&self, _: &HeaderMap) -> Option<Value> {
        None
    }
}

/// A header that may be set: those of the protocol and of the connection are the host's own.
pub(super) fn header_name(name: &str) -> Result<HeaderName, String> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return Err("is not a name of an HTTP header".to_owned()) };
    let own = ["host", "content-type", "content-length", "accept", "connection", "transfer-encoding", "upgrade"];
    if own.contains(&name.as_str()) || name.as_str().starts_with("mcp-") {
        return Err("is a header that the host sets itself".to_owned());
    }
    Ok(name)
}

/// The value of a header, which is never shown.
#[allow(clippy::needless_pass_by_value, reason = "as all that parse a secret take it")]
pub(super) fn header_value(value: Secret) -> Result<HeaderValue, String> {
    match HeaderValue::try_from(&value.0) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Ok(value)
        }
        Err(_) => Err("holds a character that the value of a header cannot, such as a newline".to_owned()),
    }
}

/// `Authorization: Bearer` with this token.
#[allow(clippy::needless_pass_by_value, reason = "as all that parse a secret take it")]
pub(super) fn bearer(token: Secret) -> Result<HeaderValue, String> {
    if token.0.is_empty() || !token.0.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token must be visible ASCII without white space".to_owned());
    }
    header_value(Secret(format!("Bearer {}", token.0)))
}

/// The address of a server.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL ({error}); write \"https://host/mcp\""))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => {}
        // A host and its port, which is a scheme and a path to whoever reads URLs.
        _ if url.path().split('/').next().is_some_and(|port| port.parse::<u16>().is_ok()) => {
            return Err(format!("{text:?} says neither http:// nor https://; write \"http://{text}\" or \"https://{text}\""));
        }
        scheme => return Err(format!("{scheme:?} is not spoken here; write an http or https URL")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL holds no password here; write bearer = { from_env = \"VARIABLE\" } or headers".to_owned());
    }
    Ok(url)
}
