//! Guards: an operator's own rules, as a provider that runs no tools but judges the calls and lists of others.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{CallContext, CallError};

/// Judges calls and lists. Each call is judged in an instance of its own, and each question about it can fail.
pub trait Guard: Send + Sync {
    /// What it wants to be asked.
    fn hooks(&self) -> GuardHooks;

    /// Whether a call may be made. `arguments`: JSON text of an object. Dropping the future ends it.
    fn before(&self, call: GuardedCall, arguments: String, context: Box<CallContext>) -> BoxFuture<'_, Result<Verdict, GuardFailure>>;

    /// Whether the caller may have the answer: JSON text of an object, MCP's result of `tools/call`.
    fn after(
        &self,
        call: GuardedCall,
        arguments: String,
        answer: String,
        context: Box<CallContext>,
    ) -> BoxFuture<'_, Result<Verdict, GuardFailure>>;

    /// How these tools are to be listed, one answer for each.
    fn list(&self, list: GuardedList) -> BoxFuture<'_, Result<Vec<Listing>, GuardFailure>>;
}

/// What a guard wants to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardHooks {
    /// Before calls.
    pub before: bool,
    /// After calls.
    pub after: bool,
    /// When tools are listed.
    pub list: bool,
}

impl GuardHooks {
    /// Whether it is a guard at all.
    #[must_use]
    pub fn any(self) -> bool {
        self.before || self.after || self.list
    }
}

/// A tool, as a guard is told of it.
#[derive(Clone, Debug)]
pub struct GuardedTool {
    /// The published name.
    pub name: String,
    /// Who offers it.
    pub provider: String,
    /// The provider's own name of it.
    pub own_name: String,
    /// JSON text of an object.
    pub annotations: Option<String>,
}

/// A call, as a guard is told of it.
#[derive(Clone, Debug)]
pub struct GuardedCall {
    /// The guard's name in the configuration.
    pub guard: Arc<str>,
    /// What the configuration tells it: JSON text of an object.
    pub settings: Arc<str>,
    /// Who calls.
    pub subject: Option<String>,
    /// In the order of their names.
    pub roles: Vec<String>,
    /// What is called.
    pub tool: GuardedTool,
}

/// Tools of one provider, as a guard is told of them.
#[derive(Clone, Debug)]
pub struct GuardedList {
    /// The guard's name in the configuration.
    pub guard: Arc<str>,
    /// What the configuration tells it: JSON text of an object.
    pub settings: Arc<str>,
    /// All that it guards of the provider.
    pub tools: Vec<ListedTool>,
}

/// A tool in a list.
#[derive(Clone, Debug)]
pub struct ListedTool {
    /// Which one.
    pub tool: GuardedTool,
    /// A name for people.
    pub title: Option<String>,
    /// What the model would read.
    pub description: Option<String>,
    /// JSON text of an object.
    pub input_schema: String,
}

/// What a guard says of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as it is.
    Allow,
    /// It ends here. Why.
    Deny(String),
    /// It goes on with this in place of what the guard was given.
    Change(String),
    /// A person has to say yes to this.
    Ask(String),
}

/// What a guard says of a tool in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It is listed as it is.
    Show,
    /// It is not there. Why.
    Hide(String),
    /// It is listed with this description.
    Describe(String),
}

/// Why a guard has not judged.
#[derive(Clone, Debug, PartialEq)]
pub enum GuardFailure {
    /// It crashed, went over a limit, or says that it cannot. A sentence.
    Failed(String),
    /// It was not run, since too much runs, for example.
    NotRun(CallError),
}
