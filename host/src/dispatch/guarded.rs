//! A call between its guards: what each of them is asked before it and after it, and what becomes of what they say.

use std::{borrow::Cow, sync::Arc};

use futures::future::BoxFuture;

use super::{
    consent::{Consent, consent, shown},
    conversations::Conversations,
};
use crate::{
    catalog::{Catalog, Entry, GuardRule, Labels, Marks},
    provider::{
        CallContext, CallError, CallOutput, Content, GuardFailure, GuardHooks, GuardedCall, GuardedTool, Nesting, Provider, Verdict,
        check_object,
    },
    shared::Shared,
    telemetry::metrics::{GuardWord, Metrics},
};

/// What the audit calls the rule on what may leave a conversation.
const FLOW: &str = "flow";
/// Bytes of a guard's reason that are told.
const REASON: usize = 2_000;
/// Bytes of a conversation's name in `_meta`.
const NAME: usize = 256;
/// Members of `_meta` by which clients name a conversation.
const NAMES: [&str; 3] = ["toolbay/conversation", "conversationId", "openai/session"];

/// What guards need beside the call.
pub(super) struct Around<'a> {
    /// Where guards are found. None: nowhere, so that they fail.
    pub(super) catalog: Option<&'a Catalog>,
    pub(super) metrics: &'a Metrics,
    pub(super) conversations: &'a Conversations,
    pub(super) shared: &'a Shared,
    /// Of who calls.
    pub(super) roles: Vec<String>,
}

/// What is left of a call that its guards have looked at.
pub(super) enum Checked<'a> {
    /// It is made with these arguments.
    Go(Cow<'a, str>),
    /// It is not made: this is its answer.
    Stop(CallOutput),
}

/// One call, as its guards see it.
pub(super) struct Guarded<'a> {
    around: Around<'a>,
    marks: Arc<Marks>,
    entry: Arc<Entry>,
    context: CallContext,
}

/// The plugin that judges, or why there is none.
type Found = Result<Arc<dyn Provider>, String>;

/// What one guard makes of what it is shown.
enum Decision {
    Same,
    Other(String),
    Denied(CallOutput),
}

impl<'a> Guarded<'a> {
    /// `context`: of the call. What is needed of it is kept.
    pub(super) fn new(around: Around<'a>, marks: Arc<Marks>, entry: &Arc<Entry>, context: &CallContext) -> Self {
        let context = CallContext {
            call_id: context.call_id,
            principal: context.principal.clone(),
            caller_trace: context.caller_trace.clone(),
            span: context.span.clone(),
            meta: context.meta.clone(),
            asker: context.asker.clone(),
            conversation: context.conversation.clone(),
            // Of the places of the pool it takes one as deep as the call itself. It calls nobody.
            nesting: context.nesting.as_deref().map(|above| Arc::new(Nesting { calls: None, ..above.clone() })),
            ..CallContext::default()
        };
        Self { around, marks, entry: Arc::clone(entry), context }
    }

    /// Asks all guards whether the call may be made, one after the other: each sees the arguments as the one before left them.
    ///
    /// # Errors
    ///
    /// [`CallError::InputRequired`]: the caller is asked by the result of its call. Else why a guard was not run.
    pub(super) async fn before<'c>(&self, arguments: &'c str) -> Result<Checked<'c>, CallError> {
        let mut arguments = Cow::Borrowed(arguments);
        for rule in &self.marks.guards {
            let Some((guard, call)) = self.guard(rule, |hooks| hooks.before) else { continue };
            let asked = guard.map(|provider| {
                let (call, arguments, context) = (call, arguments.to_string(), self.alone());
                Box::pin(async move {
                    let Some(guard) = provider.guard() else { return Err(GuardFailure::Failed("it is no guard any more".to_owned())) };
                    guard.before(call, arguments, context).await
                }) as BoxFuture<'_, _>
            });
            match self.decide(rule, asked, When::Before).await? {
                Decision::Same => {}
                Decision::Other(changed) => arguments = Cow::Owned(changed),
                Decision::Denied(output) => return Ok(Checked::Stop(output)),
            }
        }
        Ok(Checked::Go(arguments))
    }

    /// Asks the person first, where the call would send outside what must not leave the conversation. None: it may be made. From here on
    /// counts what it reads.
    ///
    /// # Errors
    ///
    /// [`CallError::InputRequired`]: the caller is asked by the result of its call. [`CallError::Uncounted`]: nobody knows what other hosts have read.
    pub(super) async fn flow(&self, arguments: &str) -> Result<Option<CallOutput>, CallError> {
        let labels = self.marks.labels;
        if labels == Default::default() {
            return Ok(None);
        }
        let named = self.conversation();
        let caller = self.context.principal.as_ref().map(|principal| principal.subject());
        let (conversations, shared) = (self.around.conversations, self.around.shared);
        let is_asked = labels.outside && conversations.must_confirm(caller, named.as_deref());
        // One look at what other hosts know, with what this call reads. Where that has to be confirmed, both are known there, and it adds nothing.
        let reads = Labels { outside: false, ..labels };
        if is_asked || (conversations.together(shared, caller, named.as_deref(), reads).await? && labels.outside) {
            let (name, provider) = (self.entry.name(), self.entry.provider().id());
            let message = format!(
                "This conversation has read private things and things that strangers wrote. May {name} of {provider}, which sends to others, be \
                 called with these arguments?\n{}",
                shown(arguments)
            );
            if let Consent::Refused(why) = consent("toolbay-flow".to_owned(), &message, self.context.asker.as_deref()).await? {
                tracing::warn!(outcome = "denied", tool = name, %provider, "a call that sends outside was not made after private and untrusted reads: {why}");
                let text = format!(
                    "denied: this conversation has read private things and things that strangers wrote, so calls of {name}, which sends to others, \
                     have to be confirmed by a person, and {why}; nothing was sent"
                );
                return Ok(Some(CallOutput::denied(FLOW, text)));
            }
            if is_asked && reads != Labels::default() {
                conversations.together(shared, caller, named.as_deref(), reads).await?;
            }
        }
        conversations.reads(caller, named.as_deref(), labels);
        Ok(None)
    }

    /// Asks the guards whether the caller may have what came of the call, in the opposite order. `arguments`: with which it was made.
    ///
    /// # Errors
    ///
    /// As the call had, or why a guard was not run.
    pub(super) async fn after(&self, arguments: &str, result: Result<CallOutput, CallError>) -> Result<CallOutput, CallError> {
        // What an upstream says of its failure is read too.
        let (mut output, error) = match result {
            Ok(output) => (output, None),
            Err(error @ (CallError::Protocol { .. } | CallError::InvalidParams(_) | CallError::Internal(_))) => {
                let mut output = CallOutput::error(error.to_string());
                if let CallError::Protocol { data: Some(data), .. } = &error {
                    output.content.push(Content::text(data.to_string()));
                }
                (output, Some(error))
            }
            Err(error) => return Err(error),
        };
        let mut is_changed = false;
        for rule in self.marks.guards.iter().rev() {
            let Some((guard, call)) = self.guard(rule, |hooks| hooks.after) else { continue };
            let asked = guard.map(|provider| {
                let (call, arguments, answer, context) = (call, arguments.to_owned(), output.to_json(), self.alone());
                Box::pin(async move {
                    let Some(guard) = provider.guard() else { return Err(GuardFailure::Failed("it is no guard any more".to_owned())) };
                    guard.after(call, arguments, answer, context).await
                }) as BoxFuture<'_, _>
            });
            match self.decide(rule, asked, When::After).await? {
                Decision::Same => {}
                Decision::Other(changed) => match CallOutput::from_json(&changed) {
                    Ok(changed) => (output, is_changed) = (changed, true),
                    Err(why) => {
                        if let Some(denied) = self.failed(rule, &format!("its answer cannot be used: {why}"), When::After) {
                            return Ok(denied);
                        }
                    }
                },
                Decision::Denied(denied) => return Ok(denied),
            }
        }
        match error {
            Some(error) if !is_changed => Err(error),
            _ => Ok(output),
        }
    }

    /// The guard of a rule, as it is now, and what it is told. None: it does not want to be asked this. An error inside: it cannot be asked.
    fn guard(&self, rule: &GuardRule, wants: impl Fn(GuardHooks) -> bool) -> Option<(Found, GuardedCall)> {
        let found = self.around.catalog.and_then(|catalog| catalog.snapshot().guard(&rule.plugin).cloned());
        if let Some(hooks) = found.as_ref().and_then(|provider| provider.guard()).map(|guard| guard.hooks())
            && !wants(hooks)
        {
            return None;
        }
        let tool = self.entry.tool();
        let call = GuardedCall {
            guard: Arc::clone(&rule.name),
            settings: Arc::clone(&rule.settings),
            subject: self.context.principal.as_ref().map(|principal| principal.subject().to_owned()),
            roles: self.around.roles.clone(),
            tool: GuardedTool {
                name: self.entry.name().to_owned(),
                provider: self.entry.provider().id().to_string(),
                own_name: self.entry.own_name().to_owned(),
                annotations: tool.annotations.as_ref().map(ToString::to_string),
            },
        };
        Some((found.ok_or_else(|| format!("there is no guard {:?} among the plugins that are loaded", rule.plugin)), call))
    }

    /// The context of a guard's own call: it tells and asks nobody by itself.
    fn alone(&self) -> Box<CallContext> {
        Box::new(CallContext { asker: None, ..self.context.clone() })
    }

    async fn decide(
        &self,
        rule: &GuardRule,
        asked: Result<BoxFuture<'_, Result<Verdict, GuardFailure>>, String>,
        when: When,
    ) -> Result<Decision, CallError> {
        let said = match asked {
            Ok(asked) => asked.await,
            Err(missing) => Err(GuardFailure::Failed(missing)),
        };
        let failed = |why: &str| Ok(self.failed(rule, why, when).map_or(Decision::Same, Decision::Denied));
        match said {
            Ok(Verdict::Allow) => {
                self.count(rule, GuardWord::Allow);
                Ok(Decision::Same)
            }
            Ok(Verdict::Change(to)) => match check_object(&to) {
                Ok(()) => {
                    self.count(rule, GuardWord::Change);
                    Ok(Decision::Other(to))
                }
                Err(why) => failed(&format!("what it wants to go on with cannot be used: {why}")),
            },
            Ok(Verdict::Deny(why)) => Ok(Decision::Denied(self.denied(rule, &why, when))),
            Ok(Verdict::Ask(question)) => {
                self.count(rule, GuardWord::Ask);
                let message = format!("{} ({})", shown(&question), rule.label);
                let asked = consent(format!("toolbay-guard-{}", rule.name), &message, self.context.asker.as_deref()).await;
                match asked {
                    Ok(Consent::Given) => Ok(Decision::Same),
                    Ok(Consent::Refused(why)) => {
                        Ok(Decision::Denied(self.denied(rule, &format!("a person has to agree, and {why}"), when)))
                    }
                    // The call is not made twice for a question on its answer.
                    Err(CallError::InputRequired) if when == When::After => {
                        let why = "a person has to agree, and this client can only be asked before a call";
                        Ok(Decision::Denied(self.denied(rule, why, when)))
                    }
                    Err(error) => Err(error),
                }
            }
            Err(GuardFailure::Failed(why)) => failed(&why),
            Err(GuardFailure::NotRun(error)) if rule.passes => failed(&error.to_string()),
            Err(GuardFailure::NotRun(error)) => {
                self.count(rule, GuardWord::Error);
                Err(error)
            }
        }
    }

    fn denied(&self, rule: &GuardRule, why: &str, when: When) -> CallOutput {
        self.count(rule, GuardWord::Deny);
        let why = cut(why);
        let (name, provider) = (self.entry.name(), self.entry.provider().id());
        tracing::info!(outcome = "denied", tool = name, %provider, guard = &*rule.name, "{}: {why}", when.logged());
        CallOutput::denied(Arc::clone(&rule.label), format!("denied by guard {}: {why}; {}", rule.name, when.done()))
    }

    /// A guard failed. None: the call goes on all the same.
    fn failed(&self, rule: &GuardRule, why: &str, when: When) -> Option<CallOutput> {
        self.count(rule, GuardWord::Error);
        let (name, provider) = (self.entry.name(), self.entry.provider().id());
        if rule.passes {
            tracing::warn!(tool = name, %provider, guard = &*rule.name, "a guard failed, and the call goes on without it, since its on_failure is \"pass\": {why}");
            return None;
        }
        tracing::warn!(outcome = "denied", tool = name, %provider, guard = &*rule.name, "a guard failed, so the call is denied: {why}");
        let text = format!("denied: guard {} failed: {}; {}", rule.name, cut(why), when.done());
        Some(CallOutput::denied(Arc::clone(&rule.label), text))
    }

    fn count(&self, rule: &GuardRule, word: GuardWord) {
        self.around.metrics.guard(&rule.name, word);
    }

    /// The caller's own name for the conversation.
    fn conversation(&self) -> Option<Cow<'_, str>> {
        if let Some(session) = &self.context.conversation {
            return Some(Cow::Borrowed(session));
        }
        let meta: serde_json::Map<String, serde_json::Value> = serde_json::from_str(self.context.meta.as_deref()?).ok()?;
        let named = NAMES.iter().find_map(|name| meta.get(*name)?.as_str())?;
        (!named.is_empty() && named.len() <= NAME).then(|| Cow::Owned(format!("_meta {named}")))
    }
}

/// Which of the two questions it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

impl When {
    fn logged(self) -> &'static str {
        match self {
            Self::Before => "a guard denied a call",
            Self::After => "a guard denied an answer",
        }
    }

    /// What that means for who called.
    fn done(self) -> &'static str {
        match self {
            Self::Before => "nothing was done",
            Self::After => "the tool has run, and its answer is withheld",
        }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REASON)).unwrap_or_default()
}
