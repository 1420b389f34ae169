//! Whether arguments fit the schema of their tool: checked before anything is started or sent for them, whoever runs the tool.

mod cost;

use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::{Map, Value};

/// Problems of one set of arguments that are told.
const PROBLEMS: usize = 5;

/// Bytes of arguments whose problems are told: the validator collects all of them, some 300 bytes for each, before the first is seen.
const TOLD: usize = 64 << 10;

/// Levels of objects and arrays in a schema or in arguments: a validator recurses once for each.
const DEPTH: usize = 64;

/// A JSON Schema (2020-12) that can be held against arguments. Whatever the schema says, that ends in good time and asks nobody for anything.
pub(crate) struct Checker {
    validator: Validator,
    /// Levels of arguments that the schema can be held against in good time.
    levels: usize,
}

impl Checker {
    /// Takes a schema.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that go on with "its input-schema".
    pub(crate) fn new(schema: &Map<String, Value>) -> Result<Self, String> {
        let schema = Value::Object(schema.clone());
        if deeper_than(&schema, DEPTH) {
            return Err(format!("is nested more than {DEPTH} levels deep"));
        }
        let levels = cost::levels(&schema, DEPTH)?;
        let validator = jsonschema::options()
            // Linear in the length of the text: a pattern of a plugin's must not be able to hold a worker.
            .with_pattern_options(PatternOptions::regex().size_limit(1 << 20))
            .build(&schema)
            .map_err(|error| format!("is no JSON Schema: {error}"))?;
        Ok(Self { validator, levels })
    }

    /// Whether arguments fit; if not, says where and why. `tool` is the tool's name.
    pub(crate) fn check(&self, tool: &str, arguments: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(arguments).map_err(|error| format!("the arguments are not JSON: {error}"))?;
        if self.fits(&value)? {
            return Ok(());
        }
        if arguments.len() > TOLD {
            return Err(format!(
                "the arguments do not fit the input schema of tool {tool}; they are too long ({} bytes) to say where",
                arguments.len()
            ));
        }
        Err(format!("the arguments do not fit tool {tool}: {}", self.problems(&value, "argument ")))
    }

    /// Whether a value fits. The error says that it is too deep to be held against the schema.
    pub(crate) fn fits(&self, value: &Value) -> Result<bool, String> {
        if deeper_than(value, self.levels) {
            return Err(format!("the arguments are nested more than {} levels deep", self.levels));
        }
        Ok(self.validator.is_valid(value))
    }

    /// Where a value does not fit and why, the first few places. `what` stands before each path.
    pub(crate) fn problems(&self, value: &Value, what: &str) -> String {
        let problem = |error: ValidationError<'_>| {
            let path = error.instance_path().to_string();
            let path = path.trim_start_matches('/').replace('/', ".");
            let text: String = said(&error).chars().take(500).collect();
            if path.is_empty() { text } else { format!("{what}`{path}`: {text}") }
        };
        self.validator.iter_errors(value).take(PROBLEMS).map(problem).collect::<Vec<_>>().join("; ")
    }
}

/// What is wrong, with all that is allowed where that is a list.
fn said(error: &ValidationError<'_>) -> String {
    if let ValidationErrorKind::Enum { options } = error.kind()
        && let Value::Array(options) = &**options
    {
        let allowed: Vec<String> = options.iter().map(ToString::to_string).collect();
        return format!("{} is not one of {}", error.instance(), allowed.join(", "));
    }
    error.to_string()
}

fn deeper_than(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth == 0 || items.iter().any(|item| deeper_than(item, depth - 1)),
        Value::Object(members) => depth == 0 || members.values().any(|member| deeper_than(member, depth - 1)),
        _ => false,
    }
}
