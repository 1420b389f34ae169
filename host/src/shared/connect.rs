//! Makes a connection, and finds out whether it is of use.

use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, RedisResult, TlsCertificates, aio::MultiplexedConnection, cmd};
use tokio::time::timeout;

use super::{Fault, Script};
use crate::{config::SharedConfig, tls};

/// What a connection has to be able to do: what all scripts do.
const PROBE: &str = "return redis.call('SET', KEYS[1], '1', 'PX', 10000)";

/// What answers at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// `redis 7.0.15`.
    pub name: String,
    /// What may go wrong there.
    pub warnings: Vec<String>,
}

/// A connection that works, and what answers there.
pub(super) async fn connect(config: &SharedConfig) -> Result<(MultiplexedConnection, Server), Fault> {
    tls::install();
    let limit = config.connect_timeout;
    let connecting = async {
        let client =
            client(config).map_err(|error| Fault::of(&error, config))?.ok_or_else(|| Fault::unusable(config, "`redis` is not set"))?;
        let options = AsyncConnectionConfig::new().set_response_timeout(config.timeout).set_connection_timeout(limit);
        let failed = |error: redis::RedisError| Fault::of(&error, config);
        let mut connection = client.get_multiplexed_async_connection_with_config(&options).await.map_err(failed)?;
        cmd("PING").query_async::<()>(&mut connection).await.map_err(failed)?;
        let server = server(&mut connection, config).await;
        probe(&connection, config).await.map_err(failed)?;
        Ok((connection, server))
    };
    timeout(limit, connecting).await.unwrap_or_else(|_| Err(Fault::no_connection_within(config, limit)))
}

/// Whether a connection can do what all scripts do.
pub(super) async fn probe(connection: &MultiplexedConnection, config: &SharedConfig) -> RedisResult<()> {
    let script = Script::new(PROBE);
    script.with_keys([format!("{}:probe", config.prefix)]).run::<()>(connection.clone()).await
}

fn client(config: &SharedConfig) -> RedisResult<Option<Client>> {
    let Some(url) = &config.redis else { return Ok(None) };
    let mut info = url.url().clone().into_connection_info()?;
    if let Some(password) = &config.password {
        info.redis.password = Some(password.0.clone());
    }
    match &config.tls_ca {
        None => Client::open(info),
        Some(ca) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(ca.bytes().to_vec()) }),
    }
    .map(Some)
}

/// What the server says of itself. One that does not say it is as good.
async fn server(connection: &mut MultiplexedConnection, config: &SharedConfig) -> Server {
    let info: String = cmd("INFO").query_async(connection).await.unwrap_or_default();
    let value = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let name = match (value("valkey_version"), value("redis_version")) {
        (Some(version), _) => format!("valkey {version}"),
        (None, Some(version)) => format!("redis {version}"),
        (None, None) => "unknown".to_owned(),
    };
    let mut warnings = Vec::new();
    let place = config.redis.as_ref().map(ToString::to_string).unwrap_or_default();
    let limited = value("maxmemory").is_some_and(|bytes| bytes != "0");
    if let Some(policy) = value("maxmemory_policy").filter(|policy| limited && policy.starts_with("allkeys") && config.store) {
        warnings.push(format!(
            "Redis at {place} throws away what plugins keep when its memory is full (maxmemory-policy {policy}); set maxmemory-policy noeviction there"
        ));
    }
    if config.store && value("aof_enabled") == Some("0") {
        warnings.push(format!(
            "Redis at {place} has no append-only file: when it crashes, what plugins have kept last is lost; set appendonly yes there"
        ));
    }
    Server { name, warnings }
}
