//! Asking a person whether a call may go on.

use serde_json::{Value, json};

use crate::provider::{AskError, Asker, CallError, JsonText, Question, QuestionKind};

/// Characters of the arguments that the person is shown.
const SHOWN: usize = 2000;

/// What came of the question.
pub(super) enum Consent {
    /// The person said yes.
    Given,
    /// Nobody did. Why: the end of a sentence.
    Refused(String),
}

/// Asks the person. `key` names the question for callers that come back with the answer.
///
/// # Errors
///
/// [`CallError::InputRequired`]: the caller is asked by the result of its call.
pub(super) async fn consent(key: String, message: &str, asker: Option<&dyn Asker>) -> Result<Consent, CallError> {
    let refused = |why: &str| Ok(Consent::Refused(why.to_owned()));
    let Some(asker) = asker else { return refused("this client cannot ask one") };
    let params = json!({ "mode": "form", "message": message, "requestedSchema": { "type": "object", "properties": {} } });
    let Ok(params) = JsonText::from_value(&params) else { return refused("the question cannot be written") };
    let question = Question { key: Some(key), kind: QuestionKind::Elicitation, params };
    match asker.ask(vec![question]).await {
        Ok(answers) => {
            let answer: Option<Value> = answers.first().and_then(|answer| serde_json::from_str(answer.as_str()).ok());
            match answer.as_ref().and_then(|answer| answer.get("action")).and_then(Value::as_str) {
                Some("accept") => Ok(Consent::Given),
                _ => refused("the person did not"),
            }
        }
        Err(AskError::Suspended) => Err(CallError::InputRequired),
        Err(AskError::MissingCapability(_)) => refused("this client did not declare that it can ask one (`elicitation`)"),
        Err(error) => Ok(Consent::Refused(error.to_string())),
    }
}

/// Text for a person to read: not without end, and with nothing in it that hides.
pub(super) fn shown(text: &str) -> String {
    let escaped = |c: char| {
        let is_plain = c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
        if is_plain { vec![c] } else { c.escape_unicode().collect() }
    };
    let mut shown: String = text.chars().take(SHOWN).flat_map(escaped).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
