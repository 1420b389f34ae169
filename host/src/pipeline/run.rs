//! One call of a pipeline: its steps, each when those before it have ended.

use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{self, FuturesUnordered},
};
use serde_json::Value;

use super::{
    answer::{self, Ended},
    plan::Plan,
};
use crate::{
    composition::{Deadline, Passage, Place, Told, Turns},
    config::{OnError, StepConfig, Uses},
    json::is_too_deep,
    offload::{self, Offload},
    pick::{Document, Scope},
    provider::{Call, CallError, CallOutput, NestedError, Notifier, start_signal::mark_started},
    schema::Schema,
};

/// Bytes of the arguments of one step.
const ARGUMENTS: usize = 16 << 20;

/// Why a pipeline ends before its last step has.
enum Stop {
    /// As the call of a step did.
    Call(CallError),
    /// With this as its answer.
    Failed(String),
}

/// Runs a pipeline.
pub(super) async fn run(plan: &Arc<Plan>, offload: &Offload, call: Call<'_>) -> Result<CallOutput, CallError> {
    mark_started(call.context.started.as_deref());
    let Some(calls) = call.context.calls().cloned() else {
        return Err(CallError::Internal(format!("pipeline {} has no way to call tools here", plan.name)));
    };
    let bytes = call.arguments.len();
    let scope = if plan.picks || plan.input.is_some() {
        let (plan, text) = (Arc::clone(plan), call.arguments.to_owned());
        let is_quick = plan.input.as_ref().is_none_or(|schema: &Schema| schema.is_quick(bytes));
        let read = beside(offload, is_quick && bytes <= offload::SMALL, move || read(&plan, &text)).await?;
        match read {
            Ok(args) => Scope { args, ..Scope::default() },
            Err(why) => return Ok(CallOutput::error(why)),
        }
    } else {
        Scope::default()
    };
    let own = plan.config.timeout;
    let limit = call.context.time_left().map_or(own, |left| left.min(own));
    let deadline = Arc::new(Deadline::new(limit));
    let turns = Turns::new(plan.config.steps.len());
    let notifier = call.context.notifier.clone().filter(|notifier| notifier.wants_progress());
    let told = notifier.as_ref().map(|_| Arc::new(Told::new(0.0, Some(count(plan.config.steps.len())))));
    let run = Run {
        plan: Arc::clone(plan),
        offload: offload.clone(),
        passage: Passage::new(calls, call.context, Arc::clone(&deadline), told.clone(), Arc::clone(&turns)),
        turns,
        progress: notifier.zip(told),
        arguments: call.arguments,
    };
    let ended = tokio::select! {
        biased;
        ended = run.steps(scope, bytes) => ended,
        () = deadline.over() => Err(Stop::Failed(run.too_long(limit, own))),
    };
    match ended {
        Ok(output) => Ok(output),
        Err(Stop::Call(error)) => Err(error),
        Err(Stop::Failed(why)) => Ok(CallOutput::error(why)),
    }
}

/// The arguments, if they fit.
fn read(plan: &Plan, text: &str) -> Result<Arc<Document>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("the arguments are not JSON: {error}"))?;
    if let Some(schema) = &plan.input {
        schema.check_arguments(&plan.name, text)?;
    }
    Ok(Document::new(value))
}

/// One call while it runs.
struct Run<'a> {
    plan: Arc<Plan>,
    offload: Offload,
    passage: Passage,
    turns: Arc<Turns>,
    /// Where somebody wants to know how far it has come.
    progress: Option<(Arc<dyn Notifier>, Arc<Told>)>,
    /// JSON text of the pipeline's arguments.
    arguments: &'a str,
}

/// What came of a step.
struct Done {
    at: usize,
    /// None: it was skipped.
    ended: Option<Vec<Ended>>,
    /// As others pick from it.
    document: Option<Arc<Document>>,
    bytes: usize,
}

impl Run<'_> {
    /// Runs all steps.
    async fn steps(&self, mut scope: Scope, mut bytes: usize) -> Result<CallOutput, Stop> {
        let steps = &self.plan.config.steps;
        let (mut begun, mut ended) = (vec![false; steps.len()], vec![false; steps.len()]);
        let mut last: Option<(usize, Vec<Ended>)> = None;
        let mut running: FuturesUnordered<BoxFuture<'_, Result<Done, Stop>>> = FuturesUnordered::new();
        loop {
            for (at, before) in self.plan.order.iter().enumerate() {
                let is_due = before.iter().all(|before| ended.get(*before).copied().unwrap_or(true));
                if let Some(begun) = begun.get_mut(at).filter(|begun| !**begun && is_due) {
                    *begun = true;
                    running.push(self.step(at, scope.clone(), bytes).boxed());
                }
            }
            let Some(done) = running.next().await else { break };
            let Done { at, ended: answers, document, bytes: more } = done?;
            self.turns.moved(at, None);
            if let Some(ended) = ended.get_mut(at) {
                *ended = true;
            }
            bytes = bytes.saturating_add(more);
            let step = steps.get(at);
            if let (Some(step), Some(document)) = (step, document) {
                scope.steps.insert(step.name.as_str().into(), document);
            }
            let answers = answers.filter(|answers| answers.is_empty() || answers.iter().any(|ended| matches!(ended, Ended::Answered(_))));
            if let Some(answers) = answers.filter(|_| last.as_ref().is_none_or(|(other, _)| *other < at)) {
                last = Some((at, answers));
            }
            self.tell(count(ended.iter().filter(|ended| **ended).count()), step);
        }
        let plan = Arc::clone(&self.plan);
        let output = self.beside(bytes, move || answer::by_output(&plan, &scope)).await?;
        Ok(output.map_err(Stop::Failed)?.unwrap_or_else(|| answer::of_last(&self.plan, last)))
    }

    /// Runs one step.
    async fn step(&self, at: usize, scope: Scope, bytes: usize) -> Result<Done, Stop> {
        let Some(step) = self.plan.config.steps.get(at) else { return Err(Stop::Failed("there is no such step".to_owned())) };
        let uses = self.plan.uses.get(at).copied().unwrap_or_default();
        if let Some(when) = step.when.clone() {
            let seen = scope.clone();
            let holds = self.beside(bytes, move || when.holds(&seen)).await?;
            if !holds.map_err(|why| self.failed(step, None, &why))? {
                let document = uses.any.then(|| answer::skipped(step.each.is_some()));
                return Ok(Done { at, ended: None, document, bytes: 0 });
            }
        }
        if let Some((_, told)) = &self.progress {
            told.begin();
        }
        if step.each.is_some() {
            return self.each(at, step, scope, bytes, uses).await;
        }
        let ended = self.call((at, 0), step, None, scope, bytes).await?;
        let bytes = weight(&ended);
        let document = uses.any.then(|| answer::of_one(&ended, uses));
        Ok(Done { at, ended: Some(vec![ended]), document, bytes })
    }

    /// Calls the tool of a step for each item of a list.
    async fn each(&self, at: usize, step: &StepConfig, scope: Scope, bytes: usize, uses: Uses) -> Result<Done, Stop> {
        let (each, seen) = (step.each.clone(), scope.clone());
        let items = self
            .beside(bytes, move || match each.map(|each| each.pick(&seen).map(|found| found.map(|found| found.into_owned()))) {
                None | Some(Ok(None)) => Ok(Vec::new()),
                Some(Ok(Some(Value::Array(items)))) => Ok(items),
                Some(Ok(Some(_))) => Err("`each` needs a list, and picked something else".to_owned()),
                Some(Err(why)) => Err(why),
            })
            .await?
            .map_err(|why| self.failed(step, None, &why))?;
        if items.len() > step.most as usize {
            let why = format!("`each` has {} items, and `most` of this step is {}", items.len(), step.most);
            return Err(self.failed(step, None, &why));
        }
        let mut answers: Vec<Option<Ended>> = items.iter().map(|_| None).collect();
        {
            let call = |(index, item): (usize, Value)| {
                let scope = Scope { item: Some((Document::new(item), index)), ..scope.clone() };
                async move { (index, self.call((at, index), step, Some(index), scope, bytes).await) }.boxed()
            };
            let mut running = stream::iter(items.into_iter().enumerate()).map(call).buffer_unordered(step.concurrency as usize);
            while let Some((index, ended)) = running.next().await {
                if let Some(place) = answers.get_mut(index) {
                    *place = Some(ended?);
                }
                self.turns.moved(at, Some(answers.iter().position(Option::is_none).unwrap_or(answers.len())));
            }
        }
        let answers: Vec<Ended> = answers.into_iter().flatten().collect();
        let bytes = answers.iter().map(weight).sum();
        let document = uses.any.then(|| answer::of_each(&answers, uses));
        Ok(Done { at, ended: Some(answers), document, bytes })
    }

    /// Makes one call.
    async fn call(&self, place: Place, step: &StepConfig, item: Option<usize>, scope: Scope, bytes: usize) -> Result<Ended, Stop> {
        let arguments = match &step.arguments {
            None if place.0 == 0 => Ok(self.arguments.to_owned()),
            None => Ok("{}".to_owned()),
            Some(made) if made.picks().is_empty() => written(made, &scope),
            Some(made) => {
                let made = made.clone();
                self.beside(bytes, move || written(&made, &scope)).await?
            }
        };
        let arguments = arguments.map_err(|why| self.failed(step, item, &why))?;
        let why = match self.passage.call(place, &step.tool, arguments).await {
            Ok(output) if !output.is_error => return Ok(Ended::Answered(output)),
            Ok(output) => answer::text(&output),
            Err(NestedError::Call(end @ (CallError::InputRequired | CallError::MissingCapability(_)))) => return Err(Stop::Call(end)),
            Err(NestedError::Call(CallError::Busy { what, retry_after })) if step.on_error == OnError::Stop => {
                let what = format!("{}: {what}", self.place(step, item));
                return Err(Stop::Call(CallError::Busy { what, retry_after }));
            }
            Err(NestedError::Call(CallError::Uncounted { what, retry_after })) if step.on_error == OnError::Stop => {
                let what = format!("{}: {what}", self.place(step, item));
                return Err(Stop::Call(CallError::Uncounted { what, retry_after }));
            }
            Err(NestedError::Call(CallError::Limited { what, retry_after })) if step.on_error == OnError::Stop => {
                let what = format!("{}: {what}", self.place(step, item));
                return Err(Stop::Call(CallError::Limited { what, retry_after }));
            }
            // Which one it is, is for those to know who may call it. The log names it.
            Err(NestedError::Call(CallError::UnknownTool(_))) => {
                let why = "it calls a tool that is not there, or not for this caller";
                return match step.on_error {
                    OnError::Continue => Ok(Ended::Failed(why.to_owned())),
                    OnError::Stop => Err(Stop::Failed(format!("step {:?} of pipeline {} failed: {why}", step.name, self.plan.name))),
                };
            }
            Err(error) => error.to_string(),
        };
        match step.on_error {
            OnError::Continue => Ok(Ended::Failed(why)),
            OnError::Stop => Err(self.failed(step, item, &why)),
        }
    }

    /// Which step it is, and which tool.
    fn place(&self, step: &StepConfig, item: Option<usize>) -> String {
        let item = item.map(|item| format!(", item {item}")).unwrap_or_default();
        format!("step {:?} of pipeline {} (tool {}{item})", step.name, self.plan.name, step.tool)
    }

    fn failed(&self, step: &StepConfig, item: Option<usize>, why: &str) -> Stop {
        Stop::Failed(format!("{} failed: {why}", self.place(step, item)))
    }

    /// What is said when time is up.
    fn too_long(&self, limit: Duration, own: Duration) -> String {
        let at = self.plan.config.steps.get(self.turns.first()).map(|step| format!(" at {}", self.place(step, None))).unwrap_or_default();
        let name = &self.plan.name;
        let seconds = limit.as_secs_f64();
        if limit < own {
            return format!("pipeline {name} did not end within the {seconds:.3} s that were left of the call that made it{at}");
        }
        format!("pipeline {name} did not end within {seconds} s{at}; the operator can raise `timeout` in [pipeline.{name}] of toolbay.toml")
    }

    /// Tells the client how far it has come.
    fn tell(&self, done: f64, step: Option<&StepConfig>) {
        let Some((notifier, told)) = &self.progress else { return };
        let total = count(self.plan.config.steps.len());
        if told.step(done, total) {
            notifier.progress(done, Some(total), step.map(|step| format!("step {} is done", step.name)));
        }
    }

    /// Does work on this many bytes.
    async fn beside<T: Send + 'static>(&self, bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stop> {
        beside(&self.offload, bytes <= offload::SMALL, work).await.map_err(Stop::Call)
    }
}

/// Does work at once, or beside the async workers where it may take long.
async fn beside<T: Send + 'static>(offload: &Offload, at_once: bool, work: impl FnOnce() -> T + Send + 'static) -> Result<T, CallError> {
    if at_once { Ok(work()) } else { offload.run(work).await.map_err(|lost| CallError::Internal(lost.to_string())) }
}

/// The arguments of a call as JSON text.
fn written(made: &crate::pick::Template, scope: &Scope) -> Result<String, String> {
    let mut text = String::new();
    if !made.write(&mut text, scope)? || !text.starts_with('{') {
        return Err("its `arguments` are to be an object, and what they pick is none".to_owned());
    }
    if text.len() > ARGUMENTS {
        return Err(format!("its arguments have {} bytes; {ARGUMENTS} is the most", text.len()));
    }
    if is_too_deep(text.as_bytes()) {
        return Err("its arguments are nested too deep".to_owned());
    }
    Ok(text)
}

/// Bytes of an answer.
fn weight(ended: &Ended) -> usize {
    match ended {
        Ended::Answered(output) => {
            let blocks = output.content.iter().map(|block| match block {
                crate::provider::Content::Text(text) => text.len(),
                crate::provider::Content::Block(json) => json.as_str().len(),
            });
            blocks.sum::<usize>() + output.structured.as_ref().map_or(0, |json| json.as_str().len())
        }
        Ended::Failed(text) => text.len(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "steps are at most a hundred")]
fn count(number: usize) -> f64 {
    number as f64
}
