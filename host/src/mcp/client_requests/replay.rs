//! Asking a client of 2026-07-28: the call ends at its first question that has no answer yet, and is made again from its beginning with what is known.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    answers, capabilities,
    digest::Digest,
    keys::keys,
    state::{Input, Responses, Round, States},
};
use crate::{
    dispatch::{CallRequest, InputRequired, Operation, Rounds},
    provider::{AskError, Asker, CallError, JsonText, Principal, ProviderId, Question},
};

/// The asker of one call.
pub(super) struct Replay {
    states: Arc<States>,
    /// What the caller brought.
    input: Input,
    principal: Option<Principal>,
    /// The plugin that asks, for messages.
    provider: ProviderId,
    /// The request's `_meta`.
    meta: Option<Arc<str>>,
    /// What of it the client can.
    capabilities: OnceLock<String>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// All rounds that are known of; the last one may be without some answers.
    rounds: Vec<Round>,
    /// How many of them this run of the call has passed.
    passed: usize,
    /// What the caller brought for the last round.
    responses: Responses,
    /// How the run ended.
    end: Option<End>,
}

enum End {
    /// By these questions, by key.
    Asked(Vec<(String, Question)>),
    /// By an answer that is none.
    Fault(String),
}

impl Replay {
    /// Of a call whose caller brought this.
    pub(super) fn new(states: Arc<States>, input: Input, request: &CallRequest<'_>) -> Self {
        let context = request.context();
        Self {
            states,
            input,
            principal: context.principal.clone(),
            provider: request.operation().provider().id().clone(),
            meta: context.meta.clone(),
            capabilities: OnceLock::new(),
            progress: Mutex::default(),
        }
    }

    fn now(&self, questions: Vec<Question>) -> Result<Vec<JsonText>, AskError> {
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(missing) = capabilities::missing(self.capabilities(), &questions) {
            return Err(AskError::MissingCapability(missing));
        }
        let keys = keys(&questions, &mut HashSet::new());
        let asked = digest(&keys, &questions);
        let mut progress = self.lock();
        let progress = &mut *progress;
        if progress.end.is_some() {
            return Err(AskError::Suspended);
        }
        let index = progress.passed;
        if index == progress.rounds.len() {
            progress.rounds.push(Round { asked: asked.clone(), answers: vec![None; questions.len()] });
        }
        let is_last = index + 1 == progress.rounds.len();
        let Some(round) = progress.rounds.get_mut(index) else { return Err(AskError::Suspended) };
        if round.asked != asked || round.answers.len() != questions.len() {
            return Err(AskError::Diverged(format!(
                "round {} of the questions of plugin {} is not the one that was answered",
                index + 1,
                self.provider
            )));
        }
        if is_last {
            let responses = std::mem::take(&mut progress.responses);
            for ((key, question), answer) in keys.iter().zip(&questions).zip(&mut round.answers) {
                let Some(response) = responses.get(key).filter(|_| answer.is_none()) else { continue };
                if let Err(wrong) = answers::check_response(key, question.kind, response.get()) {
                    progress.end = Some(End::Fault(wrong));
                    return Err(AskError::Suspended);
                }
                *answer = Some(response.clone());
            }
        }
        let answers: Vec<JsonText> = round.answers.iter().flatten().map(|answer| JsonText::from_writer(answer.get().to_owned())).collect();
        if answers.len() == questions.len() {
            progress.passed += 1;
            return Ok(answers);
        }
        let open = keys.into_iter().zip(questions).zip(&round.answers).filter(|(_, answer)| answer.is_none()).map(|(asked, _)| asked);
        progress.end = Some(End::Asked(open.collect()));
        Err(AskError::Suspended)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rounds for Replay {
    fn open(self: Arc<Self>, operation: &Operation<'_>) -> Result<Arc<dyn Asker>, CallError> {
        let (rounds, responses) = self.states.open(&self.input, self.principal.as_ref(), operation)?;
        *self.lock() = Progress { rounds, responses, ..Progress::default() };
        Ok(self)
    }

    fn suspended(&self, operation: &Operation<'_>) -> Result<InputRequired, CallError> {
        let (end, rounds) = {
            let mut progress = self.lock();
            (progress.end.take(), std::mem::take(&mut progress.rounds))
        };
        match end {
            Some(End::Asked(questions)) => {
                Ok(InputRequired { questions, state: self.states.seal(rounds, self.principal.as_ref(), operation)? })
            }
            Some(End::Fault(message)) => Err(CallError::InvalidParams(message)),
            None => Err(CallError::Internal(format!("{} ended its call for a question, and had asked none", self.provider))),
        }
    }
}

impl Asker for Replay {
    fn capabilities(&self) -> &str {
        #[derive(Deserialize)]
        struct Meta<'a> {
            #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
            capabilities: Option<&'a RawValue>,
        }
        self.capabilities.get_or_init(|| {
            let meta = self.meta.as_deref().and_then(|meta| serde_json::from_str::<Meta<'_>>(meta).ok());
            meta.and_then(|meta| meta.capabilities).map_or_else(|| "{}".to_owned(), |capabilities| capabilities.get().to_owned())
        })
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        Box::pin(async move { self.now(questions) })
    }
}

fn digest(keys: &[String], questions: &[Question]) -> String {
    let one = |digest: Digest, (key, question): (&String, &Question)| {
        digest.text(key).text(question.kind.method()).json(question.params.as_str())
    };
    keys.iter().zip(questions).fold(Digest::new(), one).finish()
}
