//! The functions of JMESPath, and one of ours.

use std::sync::{Arc, LazyLock};

use jmespath::{
    Context, ErrorReason, JmespathError, Rcvar, Runtime, Variable,
    functions::{ArgumentType, CustomFunction, Signature},
};

/// All functions that there are.
pub(super) const NAMES: [&str; 27] = [
    "abs",
    "avg",
    "ceil",
    "contains",
    "ends_with",
    "floor",
    "join",
    "keys",
    "length",
    "map",
    "max",
    "max_by",
    "merge",
    "min",
    "min_by",
    "not_null",
    "parse_json",
    "reverse",
    "sort",
    "sort_by",
    "starts_with",
    "sum",
    "to_array",
    "to_number",
    "to_string",
    "type",
    "values",
];

/// JMESPath's functions and `parse_json`.
pub(super) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Runtime::new();
    runtime.register_builtin_functions();
    let parse = CustomFunction::new(Signature::new(vec![ArgumentType::String], None), Box::new(parse_json));
    runtime.register_function("parse_json", Box::new(parse));
    runtime
});

/// `parse_json(text)`: the value that the text is as JSON. Many tools answer with such a text.
fn parse_json(arguments: &[Rcvar], context: &mut Context<'_>) -> Result<Rcvar, JmespathError> {
    let text = arguments.first().and_then(|text| text.as_string()).map(String::as_str).unwrap_or_default();
    Variable::from_json(text).map(Arc::new).map_err(|error| {
        let why = format!("parse_json() was given text that is not JSON: {error}");
        JmespathError::from_ctx(context, ErrorReason::Parse(why))
    })
}

/// What is wrong, in one line.
pub(super) fn reason(error: &JmespathError) -> String {
    match &error.reason {
        ErrorReason::Parse(why) => why.clone(),
        ErrorReason::Runtime(why) => why.to_string(),
    }
}
