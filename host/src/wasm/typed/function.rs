//! One exported function as a tool: what is published of it, and the plan by which it is called.

use std::sync::Arc;

use serde_json::{Map, Value};
use wasmtime::component::{ComponentExportIndex, Val, types::ComponentFunc};

use super::{
    ArgumentError, OutputError, decode,
    docs::{cut, split},
    encode, schema,
    tags::{Tags, tags},
    types::TypeDocs,
    wit_type::{self, Budget, Fields, Shape, Unfit},
};
use crate::{
    config::ToolOverride,
    provider::{CallOutput, Content, JsonText, Tool, ToolName},
};

/// The property that holds an answer which is no record: MCP wants an object.
const RESULT: &str = "result";

/// A function of a component that is a tool.
#[derive(Debug, Clone)]
pub struct TypedFunction {
    tool: Arc<Tool>,
    export: ComponentExportIndex,
    params: Fields,
    answer: Answer,
}

/// What a function gives back.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Nothing,
    Value(Shape),
    /// `result<T, E>`: T is the answer, E is why there is none.
    Result {
        ok: Option<Shape>,
        error: Option<Shape>,
    },
}

/// What a [`TypedFunction`] is made of.
pub(super) struct Source<'a> {
    pub(super) ty: &'a ComponentFunc,
    pub(super) export: ComponentExportIndex,
    /// Its doc comment.
    pub(super) doc: Option<&'a str>,
    pub(super) types: &'a TypeDocs<'a>,
    /// What the operator says of it.
    pub(super) said: Option<&'a ToolOverride>,
}

impl TypedFunction {
    /// Plans a function, or says why it cannot be a tool.
    pub(super) fn new(name: ToolName, source: &Source<'_>, budget: &mut Budget, mut warn: impl FnMut(String)) -> Result<Self, String> {
        let mut params = wit_type::fields(source.ty.params(), 0, budget, source.types).map_err(|(unfit, at)| match at {
            Some(param) => format!("its parameter {param:?} is or has in it {unfit}"),
            None => format!("its parameters are {unfit}"),
        })?;
        let answer = answer(source, budget).map_err(|unfit| format!("its result is or has in it {unfit}"))?;

        let Tags { mut title, hints, meta, rest } = tags(source.doc.unwrap_or_default());
        let mut description = split(&rest, &mut params.names);
        if let Some(said) = source.said {
            title = said.title.clone().or(title);
            description = said.description.clone().or(description);
            for (param, text) in &said.params {
                match params.names.find(said.own_param(param)).and_then(|at| params.names.iter_mut().nth(at)) {
                    Some(name) => name.doc = Some(text.as_str().into()),
                    None => warn(format!("the configuration describes a parameter {param:?} that it does not have")),
                }
            }
        }
        let tool = Arc::new(Tool {
            name,
            title,
            description: description.map(|text| cut(&text).to_owned()),
            input_schema: Arc::new(schema::published(schema::object(&params))),
            output_schema: answer.schema().map(|schema| Arc::new(schema::published(schema))),
            annotations: hints,
            icons: None,
            meta,
            extra: Map::new(),
            notifies: false,
        });
        Ok(Self { tool, export: source.export, params, answer })
    }

    /// What is published.
    #[must_use]
    pub fn tool(&self) -> &Arc<Tool> {
        &self.tool
    }

    /// The same, with [`Tool::notifies`] as it is given: whether the plugin can tell the client anything is seen from its imports, not from its functions.
    #[must_use]
    pub fn with_notifies(mut self, notifies: bool) -> Self {
        Arc::make_mut(&mut self.tool).notifies = notifies;
        self
    }

    /// The function in any instance of the component.
    #[must_use]
    pub fn export(&self) -> ComponentExportIndex {
        self.export
    }

    /// How many results it has: so many places have to be ready for them.
    #[must_use]
    pub fn result_count(&self) -> usize {
        usize::from(self.answer != Answer::Nothing)
    }

    /// Checks the JSON text of the arguments, an object, against the input schema, and converts them: one value for each parameter, in order.
    ///
    /// # Errors
    ///
    /// [`ArgumentError`], which names up to five problems and is meant to be read by the model.
    pub fn arguments(&self, json: &str) -> Result<Vec<Val>, ArgumentError> {
        decode::arguments(&self.params, json)
    }

    /// Makes an answer of the results: the structured content, at most `max_bytes` of it, and a text copy. Where the value is a JSON string, the copy is
    /// the string itself.
    ///
    /// # Errors
    ///
    /// [`OutputError`] where the answer is larger, or has something in it that JSON has not.
    pub fn output(&self, results: &[Val], max_bytes: usize) -> Result<CallOutput, OutputError> {
        match (&self.answer, results.first()) {
            (Answer::Value(shape), Some(value)) => answered(shape, value, max_bytes),
            (Answer::Result { ok: Some(shape), .. }, Some(Val::Result(Ok(Some(value))))) => answered(shape, value, max_bytes),
            (Answer::Result { error: Some(shape), .. }, Some(Val::Result(Err(Some(value))))) => {
                encode::value(shape, value, max_bytes, "error").map(|json| CallOutput::error(plain(json)))
            }
            (Answer::Result { .. }, Some(Val::Result(Err(_)))) => Ok(CallOutput::error("the tool failed without a message")),
            (Answer::Nothing, _) | (Answer::Result { ok: None, .. }, Some(Val::Result(Ok(_)))) => Ok(CallOutput::default()),
            _ => Err(OutputError::NotJson { path: RESULT.into(), what: "a value of another type than was declared".into() }),
        }
    }
}

fn answer(source: &Source<'_>, budget: &mut Budget) -> Result<Answer, Unfit> {
    let Some(ty) = source.ty.results().next() else { return Ok(Answer::Nothing) };
    Ok(match wit_type::shape(&ty, 0, budget, source.types)? {
        Shape::Result(ok, error) => Answer::Result { ok: ok.map(|shape| *shape), error: error.map(|shape| *shape) },
        shape => Answer::Value(shape),
    })
}

impl Answer {
    fn schema(&self) -> Option<Map<String, Value>> {
        let (Self::Value(shape) | Self::Result { ok: Some(shape), .. }) = self else { return None };
        Some(match shape {
            Shape::Record(fields) => schema::object(fields),
            shape => schema::only(RESULT, schema::of(shape)),
        })
    }
}

fn answered(shape: &Shape, value: &Val, max_bytes: usize) -> Result<CallOutput, OutputError> {
    let is_record = matches!(shape, Shape::Record(_));
    let json = encode::value(shape, value, max_bytes, if is_record { "" } else { RESULT })?;
    let structured = if is_record { json.clone() } else { ["{\"", RESULT, "\":", &json, "}"].concat() };
    Ok(CallOutput {
        content: vec![Content::Text(plain(json))],
        structured: Some(JsonText::from_writer(structured)),
        ..CallOutput::default()
    })
}

/// A string without its quotes and escapes; anything else as the JSON it is.
fn plain(json: String) -> String {
    if json.starts_with('"') { serde_json::from_str(&json).unwrap_or(json) } else { json }
}
