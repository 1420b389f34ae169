//! What a client answers to a question, and whether it can be an answer to that.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::provider::{AskError, JsonText, QuestionKind};

/// A JSON-RPC response of a client.
#[derive(Deserialize)]
pub(in crate::mcp) struct Reply<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ReplyError>,
}

#[derive(Deserialize)]
struct ReplyError {
    #[serde(default)]
    code: i32,
    #[serde(default)]
    message: String,
}

impl Reply<'_> {
    /// The result, or why there is none.
    pub(in crate::mcp) fn take(self) -> Result<JsonText, AskError> {
        match (self.result, self.error) {
            (_, Some(error)) => Err(AskError::Refused { code: error.code, message: error.message }),
            (Some(result), None) => Ok(JsonText::from_writer(result.get().to_owned())),
            (None, None) => Err(AskError::Unanswered("the client answered with neither a result nor an error".to_owned())),
        }
    }
}

/// Whether this is a result of that kind of question, as far as every client can be held to it.
///
/// # Errors
///
/// What is wrong with it, to follow "the client's answer to METHOD".
pub(super) fn check(kind: QuestionKind, answer: &str) -> Result<(), String> {
    let answer: Value = serde_json::from_str(answer).map_err(|error| format!("is not JSON: {error}"))?;
    let Some(answer) = answer.as_object() else { return Err("must be an object".to_owned()) };
    match kind {
        QuestionKind::Elicitation => match answer.get("action").and_then(Value::as_str) {
            Some("accept" | "decline" | "cancel") => match answer.get("content") {
                None | Some(Value::Object(_) | Value::Null) => Ok(()),
                Some(_) => Err("has a \"content\" that is not an object".to_owned()),
            },
            _ => Err("needs an \"action\": \"accept\", \"decline\" or \"cancel\"".to_owned()),
        },
        QuestionKind::Sampling => match (answer.get("role").and_then(Value::as_str), answer.get("content")) {
            (Some("user" | "assistant"), Some(Value::Object(_) | Value::Array(_))) => Ok(()),
            _ => Err("needs a \"role\" (\"user\" or \"assistant\") and a \"content\"".to_owned()),
        },
        QuestionKind::Roots => match answer.get("roots") {
            Some(Value::Array(_)) => Ok(()),
            _ => Err("needs \"roots\": an array".to_owned()),
        },
    }
}

/// The same of an answer in `inputResponses`.
///
/// # Errors
///
/// What is wrong with it: a sentence.
pub(in crate::mcp) fn check_response(key: &str, kind: QuestionKind, response: &str) -> Result<(), String> {
    check(kind, response).map_err(|wrong| format!("the answer {key:?} in \"inputResponses\" {wrong} ({})", kind.method()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_shape_of_its_kind() {
        for (kind, good) in [
            (QuestionKind::Elicitation, r#"{"action":"accept","content":{"a":1},"vendor":1}"#),
            (QuestionKind::Elicitation, r#"{"action":"cancel"}"#),
            (QuestionKind::Sampling, r#"{"role":"assistant","content":{"type":"text","text":"t"},"model":"m"}"#),
            (QuestionKind::Sampling, r#"{"role":"assistant","content":[]}"#),
            (QuestionKind::Roots, r#"{"roots":[]}"#),
        ] {
            assert_eq!(check(kind, good), Ok(()), "{good}");
        }
        for (kind, bad) in [
            (QuestionKind::Elicitation, "12345"),
            (QuestionKind::Elicitation, "{}"),
            (QuestionKind::Elicitation, r#"{"action":"maybe"}"#),
            (QuestionKind::Elicitation, r#"{"action":"accept","content":[]}"#),
            (QuestionKind::Sampling, r#"{"action":"accept"}"#),
            (QuestionKind::Roots, r#"{"roots":{}}"#),
            (QuestionKind::Roots, "["),
        ] {
            assert!(check(kind, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reply_is_a_result_or_an_error() {
        let take = |text: &str| serde_json::from_str::<Reply<'_>>(text).unwrap().take();
        assert_eq!(take(r#"{"id":1,"result":{"a": 1.50}}"#).unwrap().as_str(), r#"{"a": 1.50}"#);
        assert_eq!(take(r#"{"error":{"code":-1,"message":"no"}}"#), Err(AskError::Refused { code: -1, message: "no".into() }));
        assert!(matches!(take("{}"), Err(AskError::Unanswered(_))));
    }
}
