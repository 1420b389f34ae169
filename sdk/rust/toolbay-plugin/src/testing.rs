//! The host's double for tests: it records what a tool tells, and answers what it asks as the test prepared it.
//!
//! ```
//! use toolbay_plugin::{Ctx, testing::Fake};
//!
//! fn page(ctx: &Ctx) -> Result<String, toolbay_plugin::HttpError> {
//!     ctx.progress(1, 2, "asking");
//!     ctx.get("https://example.com/").fetch_text()
//! }
//!
//! let host = Fake::new().http("https://example.com/", 200, "hello");
//! assert_eq!(page(&host.ctx()).as_deref(), Ok("hello"));
//! assert_eq!(host.progress().len(), 1);
//! ```
//!
//! Files, the clock and random numbers need no double: the standard library works natively.

#[cfg(not(target_arch = "wasm32"))]
pub use native::*;

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::{
        cell::{Cell, RefCell},
        collections::{BTreeMap, VecDeque},
        time::Duration,
    };

    use serde_json::Value;

    use crate::{
        Answer, AskError, CallError, Callable, Ctx, Entry, HttpError, Level, Reply, Response, StoreError, Tool, When,
        ask::{Answered, Question},
        http::Exchange,
    };

    /// The host, as a test plays it.
    #[derive(Debug, Default)]
    pub struct Fake {
        progress: RefCell<Vec<Progress>>,
        logs: RefCell<Vec<(Level, String)>>,
        questions: RefCell<Vec<Question>>,
        requests: RefCell<Vec<SeenRequest>>,
        answers: RefCell<VecDeque<Result<Answered, AskError>>>,
        pages: Vec<(String, Response)>,
        principal: Option<String>,
        roles: Vec<String>,
        claims: Option<Value>,
        meta: Option<Value>,
        capabilities: Option<Value>,
        tools: Vec<(String, Double)>,
        calls: RefCell<Vec<(String, Value)>>,
        store: RefCell<BTreeMap<String, Entry>>,
        last_version: Cell<u64>,
        store_error: Option<StoreError>,
    }

    /// Another tool, as a test plays it.
    struct Double(Box<dyn Fn(&Value) -> Result<Answer, CallError>>);

    impl std::fmt::Debug for Double {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Double")
        }
    }

    /// Progress that a tool told.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Progress {
        /// How far.
        pub done: f64,
        /// Of how much.
        pub total: Option<f64>,
        /// What goes on.
        pub text: String,
    }

    /// A request that a tool sent.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SeenRequest {
        /// Such as GET.
        pub method: String,
        /// Where to.
        pub url: String,
        /// Names in small letters, and values.
        pub headers: Vec<(String, String)>,
        /// What was sent.
        pub body: Vec<u8>,
    }

    impl SeenRequest {
        /// The first header of this name.
        #[must_use]
        pub fn header(&self, name: &str) -> Option<&str> {
            self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        }
    }

    impl Fake {
        /// A host that answers nothing yet.
        #[must_use]
        pub fn new() -> Self {
            Self::default()
        }

        /// What a tool takes.
        #[must_use]
        pub fn ctx(&self) -> Ctx<'_> {
            Ctx { host: self }
        }

        /// Calls a tool as a client does: by its name, with JSON.
        ///
        /// # Panics
        ///
        /// Where there is no such tool.
        #[must_use]
        #[allow(clippy::panic, reason = "it is for tests")]
        pub fn call(&self, tools: &[Tool], name: &str, arguments: &Value) -> Answer {
            let Some(tool) = tools.iter().find(|tool| tool.name == name) else {
                panic!("there is no tool {name}; there are {:?}", tools.iter().map(|tool| tool.name).collect::<Vec<_>>());
            };
            (tool.run)(&self.ctx(), &arguments.to_string())
        }

        /// The next form is filled in with this.
        #[must_use]
        pub fn accept(self, content: Value) -> Self {
            self.answer(Ok(Answered::Reply(Reply::Accepted(Some(content.to_string())))))
        }

        /// The next form or page is declined.
        #[must_use]
        pub fn decline(self) -> Self {
            self.answer(Ok(Answered::Reply(Reply::Declined)))
        }

        /// The next form or page is closed.
        #[must_use]
        pub fn cancel(self) -> Self {
            self.answer(Ok(Answered::Reply(Reply::Cancelled)))
        }

        /// The model writes this next.
        #[must_use]
        pub fn model_writes(self, text: &str) -> Self {
            self.answer(Ok(Answered::Text(text.to_owned())))
        }

        /// The next question fails.
        #[must_use]
        pub fn ask_fails(self, error: AskError) -> Self {
            self.answer(Err(error))
        }

        fn answer(self, answer: Result<Answered, AskError>) -> Self {
            self.answers.borrow_mut().push_back(answer);
            self
        }

        /// What is at this URL.
        #[must_use]
        pub fn http(self, url: &str, status: u16, body: impl Into<Vec<u8>>) -> Self {
            self.http_response(url, Response { status, body: body.into(), ..Response::default() })
        }

        /// Where this URL leads.
        #[must_use]
        pub fn redirect(self, url: &str, status: u16, location: &str) -> Self {
            let headers = vec![("location".to_owned(), location.to_owned())];
            self.http_response(url, Response { status, headers, ..Response::default() })
        }

        /// What is at this URL, with headers.
        #[must_use]
        pub fn http_response(mut self, url: &str, response: Response) -> Self {
            self.pages.push((url.to_owned(), response));
            self
        }

        /// Another tool, which answers its arguments with this.
        #[must_use]
        pub fn tool(self, name: &str, run: impl Fn(&Value) -> Answer + 'static) -> Self {
            self.tool_or_error(name, move |arguments| Ok(run(arguments)))
        }

        /// The same, which may be denied or unable to answer.
        #[must_use]
        pub fn tool_or_error(mut self, name: &str, run: impl Fn(&Value) -> Result<Answer, CallError> + 'static) -> Self {
            self.tools.push((name.to_owned(), Double(Box::new(run))));
            self
        }

        /// The calls of other tools, by name and arguments.
        #[must_use]
        pub fn calls(&self) -> Vec<(String, Value)> {
            self.calls.borrow().clone()
        }

        /// What the store has in the end, in the order of the keys. Time stands still: nothing expires.
        #[must_use]
        pub fn stored(&self) -> Vec<(String, Vec<u8>)> {
            self.store.borrow().iter().map(|(key, entry)| (key.clone(), entry.value.clone())).collect()
        }

        /// The store answers nothing but this.
        #[must_use]
        pub fn store_fails(mut self, error: StoreError) -> Self {
            self.store_error = Some(error);
            self
        }

        /// Who calls.
        #[must_use]
        pub fn with_principal(mut self, name: &str) -> Self {
            self.principal = Some(name.to_owned());
            self
        }

        /// Its roles.
        #[must_use]
        pub fn with_roles(mut self, roles: &[&str]) -> Self {
            self.roles = roles.iter().map(|role| (*role).to_owned()).collect();
            self
        }

        /// Claims of its token that plugins may know: an object.
        #[must_use]
        pub fn with_claims(mut self, claims: Value) -> Self {
            self.claims = Some(claims);
            self
        }

        /// `_meta` of the request.
        #[must_use]
        pub fn with_meta(mut self, meta: Value) -> Self {
            self.meta = Some(meta);
            self
        }

        /// What the client can.
        #[must_use]
        pub fn with_capabilities(mut self, capabilities: Value) -> Self {
            self.capabilities = Some(capabilities);
            self
        }

        /// The progress told so far.
        #[must_use]
        pub fn progress(&self) -> Vec<Progress> {
            self.progress.borrow().clone()
        }

        /// What was logged.
        #[must_use]
        pub fn logs(&self) -> Vec<(Level, String)> {
            self.logs.borrow().clone()
        }

        /// The requests sent.
        #[must_use]
        pub fn requests(&self) -> Vec<SeenRequest> {
            self.requests.borrow().clone()
        }

        /// The texts of all questions, in order.
        #[must_use]
        pub fn questions(&self) -> Vec<String> {
            self.questions.borrow().iter().map(|question| question.text().to_owned()).collect()
        }

        /// The schema of the last form that was asked.
        #[must_use]
        pub fn last_form(&self) -> Option<Value> {
            self.questions.borrow().iter().rev().find_map(Question::schema)
        }
    }

    pub(crate) fn progress(ctx: &Ctx<'_>, done: f64, total: Option<f64>, text: &str) {
        ctx.host.progress.borrow_mut().push(Progress { done, total, text: text.to_owned() });
    }

    pub(crate) fn log(ctx: &Ctx<'_>, level: Level, text: &str) {
        ctx.host.logs.borrow_mut().push((level, text.to_owned()));
    }

    pub(crate) fn log_data(ctx: &Ctx<'_>, level: Level, part: &str, json: String) {
        ctx.host.logs.borrow_mut().push((level, format!("{part}: {json}")));
    }

    pub(crate) fn ask(ctx: &Ctx<'_>, question: Question) -> Result<Answered, AskError> {
        ctx.host.questions.borrow_mut().push(question);
        let answer = ctx.host.answers.borrow_mut().pop_front();
        answer.unwrap_or_else(|| Err(AskError::Unsupported("the test prepared no answer: see Fake::accept, decline, cancel".to_owned())))
    }

    pub(crate) fn exchange(ctx: &Ctx<'_>, exchange: &Exchange<'_>) -> Result<Response, HttpError> {
        let url = exchange.url.to_string();
        ctx.host.requests.borrow_mut().push(SeenRequest {
            method: exchange.method.as_str().to_owned(),
            url: url.clone(),
            headers: exchange.headers.to_vec(),
            body: exchange.body.to_vec(),
        });
        match ctx.host.pages.iter().find(|(known, _)| *known == url) {
            Some((_, page)) if page.body.len() > exchange.max_body => Err(HttpError::TooLarge(url, exchange.max_body)),
            Some((_, page)) => Ok(Response { url, ..page.clone() }),
            None => Err(HttpError::Unreachable(url, "the test prepared nothing there: see Fake::http".to_owned())),
        }
    }

    pub(crate) fn call_other(ctx: &Ctx<'_>, name: &str, arguments: Value) -> Result<Answer, CallError> {
        ctx.host.calls.borrow_mut().push((name.to_owned(), arguments.clone()));
        match ctx.host.tools.iter().find(|(known, _)| known == name) {
            Some((_, Double(run))) => run(&arguments),
            None => Err(CallError::Unknown(format!("there is no tool {name:?}: the test prepared none, see Fake::tool"))),
        }
    }

    pub(crate) fn call_others(ctx: &Ctx<'_>, calls: Vec<(String, Value)>) -> Vec<Result<Answer, CallError>> {
        calls.into_iter().map(|(name, arguments)| call_other(ctx, &name, arguments)).collect()
    }

    pub(crate) fn callable(ctx: &Ctx<'_>) -> Vec<Callable> {
        let callable = |(name, _): &(String, Double)| Callable { name: name.clone(), description: None, input: Value::Null, output: None };
        ctx.host.tools.iter().map(callable).collect()
    }

    fn works(ctx: &Ctx<'_>) -> Result<(), StoreError> {
        ctx.host.store_error.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn store_get(ctx: &Ctx<'_>, key: &str) -> Result<Option<Entry>, StoreError> {
        works(ctx)?;
        Ok(ctx.host.store.borrow().get(key).cloned())
    }

    pub(crate) fn store_set(ctx: &Ctx<'_>, key: &str, value: &[u8], _: Option<Duration>, when: When) -> Result<Option<u64>, StoreError> {
        works(ctx)?;
        let mut store = ctx.host.store.borrow_mut();
        let holds = match (when, store.get(key)) {
            (When::Always, _) | (When::Absent, None) => true,
            (When::Version(version), Some(entry)) => entry.version == version,
            (When::Absent, Some(_)) | (When::Version(_), None) => false,
        };
        if !holds {
            return Ok(None);
        }
        let version = ctx.host.last_version.get() + 1;
        ctx.host.last_version.set(version);
        store.insert(key.to_owned(), Entry { value: value.to_vec(), version });
        Ok(Some(version))
    }

    pub(crate) fn store_delete(ctx: &Ctx<'_>, key: &str) -> Result<bool, StoreError> {
        works(ctx)?;
        Ok(ctx.host.store.borrow_mut().remove(key).is_some())
    }

    pub(crate) fn store_increment(ctx: &Ctx<'_>, key: &str, by: i64) -> Result<i64, StoreError> {
        let before = match store_get(ctx, key)? {
            None => 0,
            Some(entry) => {
                let number = String::from_utf8(entry.value).ok().and_then(|text| text.parse::<i64>().ok());
                number.ok_or_else(|| StoreError::Invalid(format!("{key:?} holds no number")))?
            }
        };
        let number = before.checked_add(by).ok_or_else(|| StoreError::Invalid(format!("{before} and {by} are too large together")))?;
        store_set(ctx, key, number.to_string().as_bytes(), None, When::Always)?;
        Ok(number)
    }

    pub(crate) fn store_keys(ctx: &Ctx<'_>, prefix: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        works(ctx)?;
        let store = ctx.host.store.borrow();
        let fits = |key: &&String| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
        Ok(store.keys().filter(fits).cloned().collect())
    }

    pub(crate) fn call_id(_: &Ctx<'_>) -> String {
        "1".to_owned()
    }

    pub(crate) fn principal(ctx: &Ctx<'_>) -> Option<String> {
        ctx.host.principal.clone()
    }

    pub(crate) fn roles(ctx: &Ctx<'_>) -> Vec<String> {
        ctx.host.roles.clone()
    }

    pub(crate) fn claims(ctx: &Ctx<'_>) -> Option<String> {
        ctx.host.claims.as_ref().map(Value::to_string)
    }

    pub(crate) fn trace_parent(_: &Ctx<'_>) -> Option<String> {
        None
    }

    pub(crate) fn meta(ctx: &Ctx<'_>) -> Option<String> {
        ctx.host.meta.as_ref().map(Value::to_string)
    }

    pub(crate) fn client_capabilities(ctx: &Ctx<'_>) -> String {
        ctx.host.capabilities.as_ref().map_or_else(|| "{}".to_owned(), Value::to_string)
    }

    pub(crate) fn remaining(_: &Ctx<'_>) -> Duration {
        Duration::from_secs(60)
    }

    pub(crate) fn begin_task(_: &Ctx<'_>) -> bool {
        false
    }
}
