//! One script of Redis: compiled into the program, sent once to each server, and called by its digest.

use redis::{FromRedisValue, aio::MultiplexedConnection};

/// A script.
#[derive(Debug)]
pub(crate) struct Script(redis::Script);

/// A script with its keys and arguments.
pub(crate) struct Call<'a>(redis::ScriptInvocation<'a>);

impl Script {
    pub(crate) fn new(code: &str) -> Self {
        Self(redis::Script::new(code))
    }

    /// To be called with these keys.
    pub(crate) fn with_keys<'a>(&'a self, keys: impl IntoIterator<Item = String>) -> Call<'a> {
        let mut call = self.0.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        Call(call)
    }
}

impl Call<'_> {
    pub(crate) fn arg(mut self, arg: impl redis::ToRedisArgs) -> Self {
        self.0.arg(arg);
        self
    }

    pub(super) async fn run<T: FromRedisValue>(&self, mut connection: MultiplexedConnection) -> redis::RedisResult<T> {
        self.0.invoke_async(&mut connection).await
    }
}
