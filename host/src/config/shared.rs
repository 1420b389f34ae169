//! `[shared]`: what several hosts share through Redis or Valkey.

use std::{fmt, time::Duration};

use redis::IntoConnectionInfo as _;
use serde_json::{Value, json};
use url::Url;

use super::{
    Secret,
    key::TypeInfo,
    secret::{self, Plain},
    section::{Section, section},
    tls::{self, Pem, PemFile},
    toml_reader::{Item, Table},
    types::{Boolean, MILLISECOND, Type, choice, credential, duration, optional, text},
};

section! {
    /// What several instances share through Redis or Valkey: how often callers have called, what
    /// plugins keep, which DPoP proofs were used, and what conversations have read (`[flow.NAME]`).
    /// Those with the same `redis` and `prefix` share all of it.
    pub struct SharedConfig {
        /// The URL of Redis or Valkey: `redis://HOST:6379`, `rediss://` with TLS, `unix:///PATH`;
        /// `/2` at its end is a database. A URL with a password comes from
        /// `{ from_env = "VARIABLE" }` or `{ from_file = "path" }`.
        redis: Option<RedisUrl> = None, optional(UrlOrSource) => unset("nothing is shared"), restart;
        /// The password, where it isn't in the URL.
        password: Option<Secret> = None, optional(credential(password)) => unset("that of the URL, or none");
        /// Authorities (PEM) that sign the server's certificate, with `rediss://`.
        tls_ca: Option<Pem> = None, PemFile => unset("those that this machine trusts");
        /// Whether `rate` and `daily` of roles count the calls of a caller at all instances together.
        /// `concurrency` is always of each instance.
        limits: bool = true, Boolean;
        /// Whether plugins keep keys and values there and not in the file of `[store]`.
        store: bool = true, Boolean => restart;
        /// What becomes of calls that are limited by `rate` or `daily`, come with a DPoP proof, or are of
        /// a tool that `[flow.NAME]` labels, while Redis can't be reached: `"open"`: each instance goes
        /// by what it knows itself; `"closed"`: they are refused.
        on_failure: OnOutage = OnOutage::Open, choice(ON_OUTAGE);
        /// How long an answer may take.
        timeout: Duration = Duration::from_millis(500), duration(Duration::from_millis(5)..=Duration::from_secs(60));
        /// How long connecting may take.
        connect_timeout: Duration = Duration::from_secs(2), duration(10 * MILLISECOND..=Duration::from_secs(60));
        /// What all keys begin with. Instances that share nothing with each other have different ones.
        prefix: String = "toolbay".to_owned(), text("text", prefix) => restart;
    }
}

/// What becomes of limited calls while nothing can be counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOutage {
    /// Each host counts by itself.
    #[default]
    Open,
    /// They are refused.
    Closed,
}

/// The words for it.
const ON_OUTAGE: &[(&str, OnOutage)] = &[("open", OnOutage::Open), ("closed", OnOutage::Closed)];

/// Where Redis or Valkey is. `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(Url);

impl RedisUrl {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without showing it: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        const RIGHT: &str = "write \"redis://HOST:6379\", \"rediss://HOST:6379\" for TLS, or \"unix:///PATH\"";
        let url = Url::parse(text.trim()).map_err(|error| format!("is not a URL ({error}); {RIGHT}"))?;
        if !matches!(url.scheme(), "redis" | "rediss" | "valkey" | "valkeys" | "unix" | "redis+unix" | "valkey+unix") {
            return Err(format!("the scheme {:?} is not that of Redis or Valkey; {RIGHT}", url.scheme()));
        }
        if url.fragment().is_some() {
            return Err(format!("the URL of Redis or Valkey has no part behind \"#\"; {RIGHT}"));
        }
        let known = url.clone().into_connection_info().map_err(|error| format!("is not the URL of Redis or Valkey: {error}; {RIGHT}"));
        known.map(|_| Self(url))
    }

    /// The whole of it.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.0.scheme(), "rediss" | "valkeys")
    }

    /// Whether a password stands in it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.0.password().is_some_and(|password| !password.is_empty()) || self.0.query_pairs().any(|(name, _)| name == "pass")
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path().trim_end_matches('/'))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A URL without a password, or where one is taken from.
struct UrlOrSource;

impl Type<RedisUrl> for UrlOrSource {
    fn read(&self, item: &Item<'_>) -> Option<RedisUrl> {
        let is_plain = item.value.as_str().is_some();
        let Secret(text) = secret::read(item, Plain::Allowed)?;
        let url = RedisUrl::parse(&text).map_err(|message| item.fail(message)).ok()?;
        if is_plain && url.has_password() {
            item.fail(
                "a password cannot be written in the configuration; write the URL without it and \
                 password = { from_env = \"VARIABLE\" } beside it, or take the whole URL from { from_env = \"VARIABLE\" }",
            );
            return None;
        }
        Some(url)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("URL or secret", json!({ "$ref": "#/$defs/EnvSource" })).secret()
    }

    fn write(&self, _: &RedisUrl) -> Option<Value> {
        None
    }
}

fn password(secret: Secret) -> Result<Secret, String> {
    if secret.0.is_empty() { Err("the password is empty".to_owned()) } else { Ok(secret) }
}

fn prefix(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
    if fits { Ok(text.to_owned()) } else { Err("a prefix must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\", \".\" and \":\"".to_owned()) }
}

/// Reads the table, and says what no key alone shows to be wrong.
pub(super) fn read(table: Table<'_>, config: &mut SharedConfig) {
    config.read(&table);
    let Some(url) = &config.redis else {
        // One that cannot be read was told already.
        let is_unset = table.get("redis").is_none();
        let set = config.changed(&SharedConfig::default());
        for item in table.items().filter(|item| is_unset && set.iter().any(|key| key.name == item.key)) {
            item.fail_key("is of no use without \"redis\", the URL of Redis or Valkey: redis = \"redis://HOST:6379\"");
        }
        table.finish();
        return;
    };
    if let Some(item) = table.get("password").filter(|_| url.has_password()) {
        item.fail_key("stands beside a URL that has a password too; keep one");
    }
    if let Some(item) = table.get("tls_ca").filter(|_| !url.is_tls()) {
        item.fail_key("is of no use with a URL that isn't encrypted; write rediss://");
    }
    if let (Some(item), Some(ca)) = (table.get("tls_ca"), &config.tls_ca)
        && let Err(why) = tls::roots(ca)
    {
        item.fail(why);
    }
    table.finish();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("rediss://ann:s3cret@cache.example/2", "rediss://cache.example/2"),
            ("redis://:s3cret@[::1]:7000/", "redis://[::1]:7000"),
            ("unix:///run/redis.sock?pass=s3cret&db=1", "unix:///run/redis.sock"),
            ("valkey://h", "valkey://h"),
        ] {
            let url = RedisUrl::parse(text).unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
            assert_eq!(url.has_password(), text.contains("s3cret"), "{text}");
        }
    }

    fn parse(text: &str) -> Result<SharedConfig, String> {
        let config = crate::config::Config::parse(text, std::path::Path::new("/x/toolbay.toml"));
        config.map(|config| config.shared).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_of_no_use_or_twice_is_refused() {
        let right = parse("[shared]\nredis = \"redis://h:1/2\"\non_failure = \"closed\"\nlimits = false\nprefix = \"a:b\"").unwrap();
        assert_eq!((right.on_failure, right.limits, right.store, right.prefix.as_str()), (OnOutage::Closed, false, true, "a:b"));
        assert!(parse("[shared]\nlimits = true\n").is_ok_and(|config| config == SharedConfig::default()));
        for (text, why) in [
            ("on_failure = \"closed\"", "\"on_failure\" in [shared]: is of no use without \"redis\""),
            ("redis = \"redis://:pw@h\"", "a password cannot be written in the configuration"),
            ("redis = \"unix:///x?pass=pw\"", "a password cannot be written in the configuration"),
            ("redis = \"redis://h/x\"", "is not the URL of Redis or Valkey"),
            ("redis = \"h:6379\"", "the scheme \"h\" is not that of Redis or Valkey"),
            ("redis = \"redis://h\"\nprefix = \"a b\"", "a prefix must be 1 to 64 of"),
            ("redis = \"redis://h\"\npassword = \"pw\"", "a secret cannot be written in the configuration"),
            ("redis = \"redis://h\"\ntls_ca = \"/dev/null\"", "\"tls_ca\" in [shared]: is of no use with a URL that isn't encrypted"),
        ] {
            let told = parse(&format!("[shared]\n{text}\n")).unwrap_err();
            assert!(told.contains(why) && !told.contains(":pw@"), "{text}: {told}");
        }
    }

    proptest! {
        #[test]
        fn what_is_no_url_of_redis_is_refused_without_showing_a_password(scheme in "[a-z]{1,8}", rest in "[a-z0-9:@/?#.]{0,30}") {
            if let Err(message) = RedisUrl::parse(&format!("{scheme}://u:s3cret@{rest}")) {
                prop_assert!(!message.contains("s3cret"), "{message}");
            }
        }
    }
}
