//! The import `calls`: calling other tools, by the [`Calls`] of the call in hand.

use std::sync::Arc;

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde_json::value::RawValue;

use super::bindings::toolbay::plugin::{
    calls::{Answer, CallError as Problem, Host, Request, Tool},
    types::Error,
};
use crate::{
    composition::{Passage, Told, Turns},
    json::is_too_deep,
    provider::{self, CallError, CallOutput, JsonText, NestedError},
    wasm::{
        content::typed,
        instance::{Ended, State},
    },
};

/// Calls at once.
const AT_ONCE: usize = 64;

/// JSON-RPC: a fault of the host, or of what was called.
const INTERNAL_ERROR: i32 = -32603;
/// JSON-RPC: parameters that are wrong.
const INVALID_PARAMS: i32 = -32602;

impl Host for State {
    fn list_tools(&mut self) -> wasmtime::Result<Vec<Tool>> {
        let tools = self.call.calls().map(|calls| calls.list()).unwrap_or_default();
        Ok(tools.iter().map(|tool| described(tool)).collect())
    }

    async fn call(&mut self, name: String, arguments: String) -> wasmtime::Result<Result<Answer, Problem>> {
        let mut answers = self.call_others(vec![Request { name, arguments }]).await?;
        Ok(answers.pop().unwrap_or_else(|| Err(Problem::Failed(failure(INTERNAL_ERROR, "there is no answer")))))
    }

    async fn call_all(&mut self, requests: Vec<Request>) -> wasmtime::Result<Vec<Result<Answer, Problem>>> {
        if requests.len() > AT_ONCE {
            let why = format!("these are {} calls; {AT_ONCE} may be made at once", requests.len());
            return Ok(requests.iter().map(|_| Err(Problem::Failed(failure(INVALID_PARAMS, &why)))).collect());
        }
        self.call_others(requests).await
    }
}

impl State {
    async fn call_others(&mut self, requests: Vec<Request>) -> wasmtime::Result<Vec<Result<Answer, Problem>>> {
        let Some(calls) = self.call.calls().cloned() else {
            let why = if self.listing {
                "lists are the same for every caller, so no tool can be called for one while a list is made"
            } else {
                "this call has no way to call other tools"
            };
            return Ok(requests.iter().map(|_| Err(Problem::Denied(why.to_owned()))).collect());
        };
        let turns = Turns::new(requests.len());
        let told = self.told();
        let passage = Passage::new(calls, self.call.clone(), Arc::clone(&self.deadline), told, Arc::clone(&turns));
        // Others may run meanwhile, among them what is called.
        if let Some(turn) = &self.turn {
            turn.give_back();
        }
        let results = make_all(&passage, &turns, &requests).await;
        if let Some(turn) = &self.turn {
            turn.take().await;
        }
        results?.into_iter().map(|result| read(result, &self.shared.id)).collect()
    }

    /// How far the call has come with what it calls, where somebody wants to know.
    fn told(&mut self) -> Option<Arc<Told>> {
        self.call.notifier.as_ref().filter(|notifier| notifier.wants_progress())?;
        let told = self.told.get_or_insert_with(|| Arc::new(Told::new(self.progress, self.total)));
        told.begin();
        Some(Arc::clone(told))
    }
}

type Called = Result<CallOutput, NestedError>;

/// Makes all of them at once. Err: the call in hand ends as one of them did.
async fn make_all(passage: &Passage, turns: &Turns, requests: &[Request]) -> wasmtime::Result<Vec<Called>> {
    let mut results: Vec<Option<Called>> = requests.iter().map(|_| None).collect();
    let make = |(index, request)| async move {
        let Request { name, arguments }: &Request = request;
        match object(arguments) {
            Ok(arguments) => (index, passage.call((index, 0), name, arguments).await),
            Err(why) => (index, Err(CallError::InvalidParams(why).into())),
        }
    };
    let mut running: FuturesUnordered<_> = requests.iter().enumerate().map(make).collect();
    while let Some((index, result)) = running.next().await {
        if let Err(NestedError::Call(end @ (CallError::InputRequired | CallError::MissingCapability(_)))) = result {
            return Err(Ended(end).into());
        }
        turns.moved(index, None);
        if let Some(place) = results.get_mut(index) {
            *place = Some(result);
        }
    }
    Ok(results.into_iter().flatten().collect())
}

/// Arguments as they can be sent on: an object, with nothing around it.
fn object(text: &str) -> Result<String, String> {
    let text = text.trim_ascii();
    if is_too_deep(text.as_bytes()) {
        return Err("the arguments are nested too deep".to_owned());
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) if text.starts_with('{') => Ok(text.to_owned()),
        Ok(_) => Err("the arguments must be a JSON object".to_owned()),
        Err(error) => Err(format!("the arguments are not JSON: {error}")),
    }
}

fn described(tool: &provider::Tool) -> Tool {
    let json = |value: &serde_json::Map<_, _>| serde_json::to_string(value).unwrap_or_default();
    Tool {
        name: tool.name.as_str().to_owned(),
        title: tool.title.clone(),
        description: tool.description.clone(),
        input_schema: json(&tool.input_schema),
        output_schema: tool.output_schema.as_deref().map(json),
        annotations: tool.annotations.as_ref().map(ToString::to_string),
    }
}

fn failure(code: i32, message: &str) -> Error {
    Error { code, message: message.to_owned(), data: None }
}

/// What came of a call, in the contract's words.
fn read(result: Called, plugin: &provider::ProviderId) -> wasmtime::Result<Result<Answer, Problem>> {
    let error = match result {
        Ok(output) => {
            let json = |json: JsonText| json.as_str().to_owned();
            return Ok(Ok(Answer {
                content: output.content.into_iter().map(typed).collect(),
                structured_content: output.structured.map(json),
                is_error: output.is_error,
                meta: output.meta.map(json),
            }));
        }
        Err(error) => error,
    };
    tracing::debug!(%plugin, "a call that the plugin made has no answer: {error}");
    let why = error.to_string();
    Ok(Err(match error {
        NestedError::Denied(_) => Problem::Denied(why),
        NestedError::Circular(_) => Problem::Circular(why),
        NestedError::Call(CallError::UnknownTool(_)) => Problem::Unknown(why),
        NestedError::Call(CallError::Busy { .. } | CallError::Limited { .. } | CallError::Uncounted { .. }) => Problem::Busy(why),
        NestedError::Call(CallError::InvalidParams(_)) => Problem::Failed(failure(INVALID_PARAMS, &why)),
        NestedError::Call(CallError::Protocol { code, data, .. }) => {
            Problem::Failed(Error { data: data.map(|data| data.to_string()), ..failure(code, &why) })
        }
        NestedError::Call(_) => Problem::Failed(failure(INTERNAL_ERROR, &why)),
    }))
}
