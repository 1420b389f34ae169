//! `requestState`: what a client of 2026-07-28 carries between the rounds of one call, signed, so that it comes back as it was given out.
//!
//! It holds the answers of earlier rounds and a digest of each round's questions. Any process with the key can go on where another one stopped.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::digest::Digest;
use crate::{
    dispatch::Operation,
    mcp::{
        options::LiveOptions,
        signing::{OpenError, SignError, Signer},
    },
    provider::{CallError, Principal},
};

/// Bytes of answers that a state takes along: a long text of a model many times over, and still a request of the usual size.
const MAX_ANSWERS: usize = 256 << 10;

/// What the signature is for, so that it is good for nothing else.
const PURPOSE: &[u8] = b"toolbay/requestState/1";

/// Signs states and opens them.
pub(in crate::mcp) struct States {
    signer: Arc<Signer>,
    options: LiveOptions,
    /// Whether the log has been told of a key that another copy must have.
    told: AtomicBool,
}

/// What a request brought of its call's earlier rounds.
#[derive(Clone, Debug, Default)]
pub(in crate::mcp) struct Input {
    /// `requestState`.
    pub(in crate::mcp) state: Option<String>,
    /// `inputResponses`, as JSON text.
    pub(in crate::mcp) responses: Option<String>,
}

impl Input {
    /// Whether the request brought nothing.
    pub(in crate::mcp) fn is_empty(&self) -> bool {
        self.state.is_none() && self.responses.is_none()
    }
}

/// One round of questions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Round {
    /// Digest of the questions.
    #[serde(rename = "q")]
    pub(super) asked: String,
    /// The answers, in the order of the questions, as far as they are known.
    #[serde(rename = "a")]
    pub(super) answers: Vec<Option<Box<RawValue>>>,
}

/// Answers by the key of their question.
pub(in crate::mcp) type Responses = HashMap<String, Box<RawValue>>;

/// Reads `inputResponses`.
///
/// # Errors
///
/// What is wrong with them.
pub(in crate::mcp) fn responses(text: Option<&str>) -> Result<Responses, CallError> {
    let invalid = |message: String| CallError::InvalidParams(message);
    let responses: Responses = match text {
        None | Some("null") => Responses::new(),
        Some(text) => serde_json::from_str(text).map_err(|_| invalid("\"inputResponses\" must be an object".to_owned()))?,
    };
    if let Some((key, _)) = responses.iter().find(|(_, answer)| !answer.get().starts_with('{')) {
        let key: String = key.chars().take(100).collect();
        return Err(invalid(format!("the answer {key:?} in \"inputResponses\" must be an object: the result of the question of that key")));
    }
    Ok(responses)
}

/// Whose call it is, and which.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    /// Digest of the caller.
    #[serde(rename = "p")]
    principal: String,
    /// Digest of the method and of what it is called on.
    #[serde(rename = "t")]
    target: String,
    /// Digest of the arguments.
    #[serde(rename = "a")]
    arguments: String,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    #[serde(rename = "b")]
    bound: Bound,
    #[serde(rename = "r")]
    rounds: Vec<Round>,
}

impl States {
    /// Good for as long as the options say after they were given out.
    pub(in crate::mcp) fn new(signer: Arc<Signer>, options: LiveOptions) -> Self {
        Self { signer, options, told: AtomicBool::new(false) }
    }

    /// The rounds of a call so far, out of what its caller brought.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn open(
        &self,
        input: &Input,
        principal: Option<&Principal>,
        operation: &Operation<'_>,
    ) -> Result<(Vec<Round>, Responses), CallError> {
        let invalid = |message: String| CallError::InvalidParams(message);
        let responses = responses(input.responses.as_deref())?;
        // Answers may come with the first call: a client that knows the questions need not be asked. It could
        // answer without asking its person with a state as well, so this gives it nothing that it has not.
        let Some(state) = &input.state else { return Ok((Vec::new(), responses)) };
        let payload: Payload = self.signer.open(PURPOSE, state).map_err(|error| invalid(self.explain(&error)))?;
        let bound = Bound::new(principal, operation);
        let wrong = if payload.bound.principal != bound.principal {
            Some("it was given to another caller")
        } else if payload.bound.target != bound.target {
            Some("it was given for a call of something else")
        } else if payload.bound.arguments != bound.arguments {
            Some("it was given for a call with other arguments")
        } else {
            None
        };
        match wrong {
            None => Ok((payload.rounds, responses)),
            Some(wrong) => Err(invalid(format!("the \"requestState\" does not belong to this call: {wrong}; {AGAIN}"))),
        }
    }

    /// The state of a call that has asked so much.
    ///
    /// # Errors
    ///
    /// Where the answers are too long to be carried.
    pub(super) fn seal(&self, rounds: Vec<Round>, principal: Option<&Principal>, operation: &Operation<'_>) -> Result<String, CallError> {
        let bytes: usize = rounds.iter().flat_map(|round| &round.answers).flatten().map(|answer| answer.get().len()).sum();
        if bytes > MAX_ANSWERS {
            return Err(CallError::InvalidParams(format!(
                "the answers that this call was given so far have {bytes} bytes together, and at most {MAX_ANSWERS} can be carried to its next question"
            )));
        }
        let payload = Payload { bound: Bound::new(principal, operation), rounds };
        let unsigned = |error: SignError| CallError::Internal(format!("the call's state cannot be given to its caller: {error}"));
        self.signer.seal(PURPOSE, &payload, self.options.load().state.ttl).map_err(unsigned)
    }

    fn explain(&self, error: &OpenError) -> String {
        let why = match error {
            OpenError::Expired => format!("has expired: it was good for {} s", self.options.load().state.ttl.as_secs()),
            OpenError::UnknownKey => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "a requestState is signed with an unknown key: all instances behind one address need the same [state] keys, also after a restart"
                    );
                }
                "was signed with a key that this server does not have; all its instances need the same [state] keys".to_owned()
            }
            OpenError::Forged => "is not as this server gave it out: it was changed, or made by somebody else".to_owned(),
        };
        format!("the \"requestState\" {why}; {AGAIN}")
    }
}

const AGAIN: &str = "make the call again from its beginning, without \"requestState\" and \"inputResponses\"";

impl Bound {
    fn new(principal: Option<&Principal>, operation: &Operation<'_>) -> Self {
        let principal = match principal {
            None => Digest::new().text("nobody"),
            Some(principal) => Digest::new().text("principal").text(principal.subject()),
        };
        let target = |method: &str, provider: &str, name: &str| Digest::new().text(method).text(provider).text(name).finish();
        let (target, arguments) = match operation {
            Operation::Call { entry, arguments } => {
                (target("tools/call", entry.provider().id().as_str(), entry.own_name()), Digest::new().json(arguments))
            }
            Operation::Read { entry, uri } => (target("resources/read", entry.provider().id().as_str(), uri), Digest::new()),
            Operation::Prompt { entry, arguments } => {
                let mut arguments: Vec<_> = arguments.iter().collect();
                arguments.sort_unstable();
                let digest = arguments.into_iter().fold(Digest::new(), |digest, (name, value)| digest.text(name).text(value));
                (target("prompts/get", entry.provider().id().as_str(), entry.own_name()), digest)
            }
            Operation::Complete { provider, .. } => (target("completion/complete", provider.id().as_str(), ""), Digest::new()),
        };
        Self { principal: principal.finish(), target, arguments: arguments.finish() }
    }
}
