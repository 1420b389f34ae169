//! The layer before the provider: a person confirms the calls that the operator wants confirmed, whatever the
//! upstream does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::Operation;
use crate::{
    catalog::Confirm,
    provider::{AskError, Asker, CallError, CallOutput, JsonText, Question, QuestionKind},
};

/// The name of the question, for callers that come back with the answer.
const KEY: &str = "toolbay-confirm";
/// Characters of the arguments that the person is shown.
const SHOWN: usize = 2000;

/// The rules of this moment. They can change while calls run.
#[derive(Debug, Default)]
pub struct LiveConfirm {
    /// Nearly always: so that a call pays for one look.
    is_empty: NotAny,
    rules: ArcSwap<Confirm>,
}

#[derive(Debug)]
struct NotAny(AtomicBool);

impl Default for NotAny {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl LiveConfirm {
    /// Goes by other rules from now on.
    pub fn put(&self, rules: Confirm) {
        let is_empty = rules.is_empty();
        self.rules.store(Arc::new(rules));
        self.is_empty.0.store(is_empty, Ordering::Release);
    }

    /// The rule by which a call has to be confirmed, if there is one.
    pub(super) fn rule_for(&self, operation: &Operation<'_>) -> Option<String> {
        if self.is_empty.0.load(Ordering::Acquire) {
            return None;
        }
        let Operation::Call { entry, .. } = operation else { return None };
        let rules = self.rules.load();
        rules.rule_for(entry.provider().id().as_str(), entry.own_name(), entry.name(), entry.tool()).map(str::to_owned)
    }
}

/// Asks the person. None: the call may be made. Else the answer of the call, which says why it was not made.
///
/// # Errors
///
/// [`CallError::InputRequired`]: the caller is asked by the result of its call.
pub(super) async fn confirmed(rule: String, operation: &Operation<'_>, asker: Option<&dyn Asker>) -> Result<Option<CallOutput>, CallError> {
    let rule = rule.as_str();
    let Operation::Call { entry, arguments } = operation else { return Ok(None) };
    let (name, provider) = (entry.name(), entry.provider().id());
    let denied = |why: &str| {
        tracing::info!(outcome = "denied", tool = name, %provider, rule, "a call that has to be confirmed was not made: {why}");
        let text = format!(
            "denied: calls of {name} have to be confirmed by a person ({rule:?} in `confirm` of [trust]), and {why}; nothing was done"
        );
        Ok(Some(CallOutput::error(text)))
    };
    let Some(asker) = asker else { return denied("this client cannot ask one") };
    let shown = shown(arguments);
    let message = format!("May {name} of {provider} be called with these arguments?\n{shown}");
    let params = json!({ "mode": "form", "message": message, "requestedSchema": { "type": "object", "properties": {} } });
    let Ok(params) = JsonText::from_value(&params) else { return denied("the question cannot be written") };
    let question = Question { key: Some(KEY.to_owned()), kind: QuestionKind::Elicitation, params };
    match asker.ask(vec![question]).await {
        Ok(answers) => {
            let answer: Option<Value> = answers.first().and_then(|answer| serde_json::from_str(answer.as_str()).ok());
            match answer.as_ref().and_then(|answer| answer.get("action")).and_then(Value::as_str) {
                Some("accept") => Ok(None),
                _ => denied("the person did not"),
            }
        }
        Err(AskError::Suspended) => Err(CallError::InputRequired),
        Err(AskError::MissingCapability(_)) => denied("this client did not declare that it can ask one (`elicitation`)"),
        Err(error) => denied(&error.to_string()),
    }
}

/// Arguments for a person to read: not without end, and with nothing in them that hides.
fn shown(arguments: &str) -> String {
    let mut text: String = arguments
        .chars()
        .take(SHOWN)
        .flat_map(|c| if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() { vec![c] } else { c.escape_unicode().collect() })
        .collect();
    if arguments.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    text
}
