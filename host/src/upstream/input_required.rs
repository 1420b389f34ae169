//! Questions of a server: as requests on its stream, or (2026-07-28) as a result `input_required` after which the request is made again with the answers.

use std::time::Duration;

use super::{
    ChannelError,
    message::{self, INTERNAL_ERROR, METHOD_NOT_FOUND},
    raw::{RawObject, inside, write_key},
};
use crate::provider::{AskError, Asker, JsonText, Question, QuestionKind};

/// Rounds of one request. A server that asks on and on is at fault.
const MAX_ROUNDS: u32 = 16;

/// Between rounds in which nothing was asked: the server only wanted to be called again.
const PAUSE: Duration = Duration::from_millis(200);

/// The question that a request of a server is. None: it is none.
#[must_use]
fn question(method: &str, params: Option<&str>) -> Option<Question> {
    let kind = [QuestionKind::Elicitation, QuestionKind::Sampling, QuestionKind::Roots].into_iter().find(|kind| kind.method() == method)?;
    let params = params.filter(|params| params.starts_with('{')).unwrap_or("{}");
    Some(Question { key: None, kind, params: JsonText::parse(params.to_owned()).ok()? })
}

/// The question that a request of a server of the older era is. Roots were not offered to it: they would be those of one caller, kept for all.
#[must_use]
pub fn question_of_session(method: &str, params: Option<&str>) -> Option<Question> {
    question(method, params).filter(|question| question.kind != QuestionKind::Roots)
}

/// The message that answers a server's question, of this id (JSON text), by what came of asking its caller; and what the call ends with, where it ends here.
pub(crate) fn reply(id: &str, kind: QuestionKind, outcome: Result<Vec<JsonText>, AskError>) -> (String, Option<AskError>) {
    let method = kind.method();
    let (code, why, end) = match outcome {
        Ok(answers) => match answers.first() {
            Some(answer) => return (message::answer(id, answer.as_str()), None),
            None => (INTERNAL_ERROR, format!("{method} was not answered"), None),
        },
        Err(AskError::Refused { code, message }) => (code, message, None),
        Err(error @ AskError::MissingCapability(_)) => (METHOD_NOT_FOUND, error.to_string(), None),
        Err(error @ AskError::Unanswered(_)) => (INTERNAL_ERROR, error.to_string(), None),
        Err(error @ (AskError::Suspended | AskError::Diverged(_))) => {
            (INTERNAL_ERROR, format!("{method} is not answered: the call was cancelled"), Some(error))
        }
    };
    (message::refusal(id, code, &why), end)
}

/// What a server needs before it can answer.
struct Required {
    /// Its names of the questions, in their order.
    keys: Vec<String>,
    questions: Vec<Question>,
    /// JSON text of the state to send back.
    state: Option<String>,
}

impl Required {
    /// None: the result is a complete one.
    fn parse(result: &str) -> Option<Result<Self, ChannelError>> {
        // A look at the text first: most results are complete, and some are long.
        if !result.contains("input_required") {
            return None;
        }
        let result = RawObject::parse(result)?;
        if result.read::<String>("resultType")? != "input_required" {
            return None;
        }
        let mut required = Self { keys: Vec::new(), questions: Vec::new(), state: result.get("requestState").map(str::to_owned) };
        let requests: RawObject<'_> = result.read("inputRequests").unwrap_or_default();
        for (key, request) in requests.members() {
            let request = RawObject::parse(request).unwrap_or_default();
            let method: String = request.read("method").unwrap_or_default();
            match question(&method, request.get("params")) {
                Some(question) => {
                    required.keys.push(key.to_owned());
                    required.questions.push(Question { key: Some(key.to_owned()), ..question });
                }
                None => return Some(Err(ChannelError::Malformed(format!("the server asks for {method:?}, which no client can answer")))),
            }
        }
        Some(Ok(required))
    }

    /// The request's params for the next round.
    fn params(&self, params: &str, answers: &[JsonText]) -> String {
        let mut next = String::from("{");
        next.push_str(inside(params));
        if !self.keys.is_empty() {
            write_key(&mut next, "inputResponses");
            next.push('{');
            for (key, answer) in self.keys.iter().zip(answers) {
                write_key(&mut next, key);
                next.push_str(answer.as_str());
            }
            next.push('}');
        }
        if let Some(state) = &self.state {
            write_key(&mut next, "requestState");
            next.push_str(state);
        }
        next.push('}');
        next
    }
}

/// Makes a request, and makes it again with the answers as long as the server asks something.
///
/// # Errors
///
/// Those of `send`; [`ChannelError::Ask`], where a question is not answered.
pub async fn answered<F>(params: &str, asker: Option<&dyn Asker>, mut send: impl FnMut(String) -> F) -> Result<JsonText, ChannelError>
where
    F: Future<Output = Result<JsonText, ChannelError>>,
{
    let mut next = params.to_owned();
    for _ in 0..MAX_ROUNDS {
        let result = send(next).await?;
        let Some(required) = Required::parse(result.as_str()) else { return Ok(result) };
        let required = required?;
        let answers = match asker {
            _ if required.questions.is_empty() => {
                tokio::time::sleep(PAUSE).await;
                Vec::new()
            }
            Some(asker) => asker.ask(required.questions.clone()).await?,
            None => return Err(ChannelError::Ask(nobody(&required.questions))),
        };
        next = required.params(params, &answers);
    }
    Err(ChannelError::Malformed(format!("the server requested input {MAX_ROUNDS} times in one call, which is the limit")))
}

/// The error for a caller that can be asked nothing.
fn nobody(questions: &[Question]) -> AskError {
    let capability = |question: &Question| {
        let name = match question.kind {
            QuestionKind::Elicitation => "elicitation",
            QuestionKind::Sampling => "sampling",
            QuestionKind::Roots => "roots",
        };
        (name.to_owned(), serde_json::json!({}))
    };
    AskError::MissingCapability(questions.iter().map(capability).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::{FutureExt, future::BoxFuture};

    use super::*;

    struct Echo(Mutex<Vec<Question>>);

    impl Asker for Echo {
        fn capabilities(&self) -> &str {
            r#"{"elicitation":{}}"#
        }
        fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
            let answers = questions.iter().map(|question| question.params.clone()).collect();
            self.0.lock().unwrap().extend(questions);
            async { Ok(answers) }.boxed()
        }
    }

    fn json(text: &str) -> JsonText {
        JsonText::parse(text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_made_again_with_the_answers_and_the_state() {
        let asker = Echo(Mutex::default());
        let sent = Mutex::new(Vec::new());
        let result = answered("{\"name\":\"t\"}", Some(&asker), |params| {
            let mut sent = sent.lock().unwrap();
            sent.push(params);
            let result = match sent.len() {
                1 => r#"{"resultType":"input_required","requestState":"s\n1","inputRequests":{"b":{"method":"elicitation/create","params":{"m": 1}},"a":{"method":"roots/list"}}}"#,
                _ => r#"{"resultType":"complete","text":"input_required"}"#,
            };
            async move { Ok(json(result)) }
        })
        .await
        .unwrap();
        assert_eq!(result.as_str(), r#"{"resultType":"complete","text":"input_required"}"#);
        let want = r#"{"name":"t","inputResponses":{"b":{"m": 1},"a":{}},"requestState":"s\n1"}"#;
        assert_eq!(*sent.lock().unwrap(), ["{\"name\":\"t\"}", want]);
        assert_eq!(asker.0.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn who_cannot_be_asked_is_told_what_is_missing_and_who_is_asked_for_ever_is_not() {
        let ask = r#"{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}}"#;
        let error = answered("{}", None, |_| async { Ok(json(ask)) }).await.unwrap_err();
        assert!(matches!(&error, ChannelError::Ask(AskError::MissingCapability(what)) if what.contains_key("sampling")), "{error}");
        let error = answered("{}", Some(&Echo(Mutex::default())), |_| async { Ok(json(ask)) }).await.unwrap_err();
        assert!(matches!(&error, ChannelError::Malformed(why) if why.contains("which is the limit")), "{error}");
    }
}
