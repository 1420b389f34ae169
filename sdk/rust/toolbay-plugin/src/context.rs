//! The call in hand, as a tool sees it.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

#[cfg(not(target_arch = "wasm32"))]
use crate::testing as host;
#[cfg(target_arch = "wasm32")]
use crate::wasm as host;
use crate::{
    AskError, Reply, ask,
    http::{Method, Request},
};

/// The call in hand: a tool that takes `ctx: &Ctx` can report progress, log, ask and use HTTP.
///
/// In a test it comes from [`testing::Fake::ctx`](crate::testing::Fake::ctx).
pub struct Ctx<'a> {
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) host: &'a crate::testing::Fake,
    #[cfg(target_arch = "wasm32")]
    pub(crate) host: std::marker::PhantomData<&'a ()>,
}

/// How serious a log message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are syslog's")]
pub enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

/// A number of things that are done: of any type of number, such as a `usize`.
pub trait Amount {
    /// As it is told.
    fn amount(self) -> f64;
}

macro_rules! amounts {
    ($($number:ty)*) => {
        $(impl Amount for $number {
            #[allow(clippy::cast_precision_loss, clippy::cast_lossless, clippy::unnecessary_cast, reason = "progress is no exact count")]
            fn amount(self) -> f64 {
                self as f64
            }
        })*
    };
}

amounts!(f64 f32 i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

impl Ctx<'_> {
    /// Tells the client how far the call has come, if it wants to know. `done` only ever rises; `total` is where it ends.
    pub fn progress(&self, done: impl Amount, total: impl Amount, text: &str) {
        host::progress(self, done.amount(), Some(total.amount()), text);
    }

    /// The same where nobody knows the end.
    pub fn progress_so_far(&self, done: impl Amount, text: &str) {
        host::progress(self, done.amount(), None, text);
    }

    /// Logs a sentence: for the operator and, where it asked for messages, for the client.
    pub fn log(&self, level: Level, text: &str) {
        host::log(self, level, text);
    }

    /// Logs something as JSON, under the name of a part of the plugin.
    pub fn log_data(&self, level: Level, part: &str, data: &impl Serialize) {
        match serde_json::to_string(data) {
            Ok(json) => host::log_data(self, level, part, json),
            Err(error) => self.log(Level::Error, &format!("{part} cannot be logged as JSON: {error}")),
        }
    }

    /// [`Level::Debug`].
    pub fn debug(&self, text: &str) {
        self.log(Level::Debug, text);
    }

    /// [`Level::Info`].
    pub fn info(&self, text: &str) {
        self.log(Level::Info, text);
    }

    /// [`Level::Warning`].
    pub fn warn(&self, text: &str) {
        self.log(Level::Warning, text);
    }

    /// Asks the person to fill in a form, whose fields are those of `T`: a struct with [`data`](crate::data) of texts, numbers, booleans and choices.
    ///
    /// What stands before a question may run twice, so ask first and act afterwards.
    ///
    /// # Errors
    ///
    /// [`AskError`]: nobody can be asked, or nobody answered.
    pub fn ask<T: serde::de::DeserializeOwned + schemars::JsonSchema>(&self, message: &str) -> Result<Reply<T>, AskError> {
        ask::form(self, message)
    }

    /// Asks the person to agree.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub fn confirm(&self, message: &str) -> Result<bool, AskError> {
        ask::confirm(self, message)
    }

    /// Asks the person to visit a page: for passwords, payments and consent, which must not pass through the client.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub fn ask_link(&self, message: &str, url: &str) -> Result<Reply<()>, AskError> {
        ask::link(self, message, url)
    }

    /// Has the client's model write something.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub fn ask_model(&self, prompt: &str, max_tokens: u32) -> Result<String, AskError> {
        ask::model(self, prompt, max_tokens)
    }

    /// A GET request. The operator grants the hosts that a plugin may reach.
    #[must_use]
    pub fn get(&self, url: &str) -> Request<'_> {
        Request::new(self, Method::Get, url)
    }

    /// A POST request.
    #[must_use]
    pub fn post(&self, url: &str) -> Request<'_> {
        Request::new(self, Method::Post, url)
    }

    /// A request by any method.
    #[must_use]
    pub fn request(&self, method: Method, url: &str) -> Request<'_> {
        Request::new(self, method, url)
    }

    /// The id that the host's log has for this call.
    #[must_use]
    pub fn call_id(&self) -> String {
        host::call_id(self)
    }

    /// The name under which the caller was let in. None: the host has no authentication.
    #[must_use]
    pub fn principal(&self) -> Option<String> {
        host::principal(self)
    }

    /// The roles that the caller was given when it was let in.
    #[must_use]
    pub fn roles(&self) -> Vec<String> {
        host::roles(self)
    }

    /// Claims of the caller's token that the operator lets plugins know: an object. None: there are none.
    #[must_use]
    pub fn claims(&self) -> Option<Value> {
        host::claims(self).and_then(|text| serde_json::from_str(&text).ok())
    }

    /// The caller's W3C `traceparent`.
    #[must_use]
    pub fn trace_parent(&self) -> Option<String> {
        host::trace_parent(self)
    }

    /// `_meta` of the request.
    #[must_use]
    pub fn meta(&self) -> Option<Value> {
        host::meta(self).and_then(|text| serde_json::from_str(&text).ok())
    }

    /// What the client declared that it can: MCP's `ClientCapabilities`.
    #[must_use]
    pub fn client_capabilities(&self) -> Value {
        serde_json::from_str(&host::client_capabilities(self)).unwrap_or_default()
    }

    /// How long until the host ends this call. Time in which the client is asked does not count.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        host::remaining(self)
    }

    /// Lets a client that knows tasks go while the call runs on. False: it waits for the answer.
    pub fn begin_task(&self) -> bool {
        host::begin_task(self)
    }
}
