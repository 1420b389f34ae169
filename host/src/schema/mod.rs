//! A JSON Schema that a tool gives, and whether JSON fits it. Arguments are checked before anything is started or sent for them, whoever runs the tool.

mod cost;
mod pattern;
pub(crate) mod portable;
pub(crate) mod promise;

use std::sync::Arc;

use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::{Map, Value};

pub(crate) use pattern::Budget;
use pattern::Patterns;

use crate::{json, offload};

/// Problems of one value that are told.
const PROBLEMS: usize = 5;

/// Bytes of JSON whose problems are told: the validator collects all of them, some 300 bytes for each, before the first is seen.
const TOLD: usize = 64 << 10;

/// Levels of objects and arrays in a schema or in a value: a validator recurses once for each, as do those who read it.
const DEPTH: usize = 64;

/// Bytes of the compiled patterns of a schema that stands alone.
const PATTERNS: usize = 4 << 20;

/// What a check may take at most, in nanoseconds, so that it is made where it is wanted. Estimated for the worst text.
const AT_ONCE: usize = 1_000_000;

/// What looking at a value, a step of a pattern, and a comparison take, in nanoseconds.
const VISIT: usize = 50;
const STEP: usize = 20;
const COMPARISON: usize = 10;

/// A schema, compiled.
pub(crate) struct Schema {
    validator: Validator,
    /// Levels of a value that the schema can be held against in good time.
    levels: usize,
    /// Nanoseconds that one byte of JSON can take to check.
    dear: usize,
}

/// Why a value does not fit.
pub(crate) enum Unfit {
    NotJson(String),
    /// It has more than so many levels.
    Deep(usize),
    /// It has so many bytes, which are too many to say where it does not.
    Long(usize),
    /// Where (members and positions with dots between them) and why.
    Problems(Vec<(String, String)>),
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as the end of a sentence.
    pub(crate) fn new(schema: &Map<String, Value>) -> Result<Self, String> {
        Self::within(schema, &Budget::new(PATTERNS))
    }

    /// The same, with patterns whose memory is counted together with those of others.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub(crate) fn within(schema: &Map<String, Value>, budget: &Budget) -> Result<Self, String> {
        let mut schema = Value::Object(schema.clone());
        if deeper_than(&schema, DEPTH) {
            return Err(format!("is nested more than {DEPTH} levels deep"));
        }
        let cost::Cost { levels, visits, choices } = cost::of(&schema, DEPTH)?;
        let patterns = Patterns::new(budget.clone());
        patterns.count_names(&schema)?;
        pattern::ascii_names(&mut schema);
        let keyword = Arc::clone(&patterns);
        let validator = jsonschema::options()
            .with_keyword("pattern", move |_, value, _| keyword.keyword(value))
            // Of `patternProperties`. Linear in the length of the text too.
            .with_pattern_options(PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(64 << 10))
            .build(&schema)
            .map_err(|error| patterns.refused().unwrap_or_else(|| format!("is not a JSON Schema: {error}")))?;
        let dear = visits.saturating_mul(VISIT) / 2 + patterns.states().saturating_mul(STEP) + choices.saturating_mul(COMPARISON) / 2;
        Ok(Self { validator, levels, dear })
    }

    /// Whether so many bytes of JSON are checked in no time, whatever they say. Where not, they are checked beside the async workers.
    pub(crate) fn is_quick(&self, bytes: usize) -> bool {
        bytes <= offload::SMALL && bytes.saturating_mul(self.dear) <= AT_ONCE
    }

    /// Levels of objects and arrays that a value may have.
    pub(crate) fn levels(&self) -> usize {
        self.levels
    }

    /// Whether this JSON text fits.
    ///
    /// # Errors
    ///
    /// Where and why it does not.
    pub(crate) fn check(&self, json: &str) -> Result<(), Unfit> {
        let value: Value = serde_json::from_str(json).map_err(|error| Unfit::NotJson(error.to_string()))?;
        self.check_value(&value, || json.len())
    }

    /// Whether this value fits. `bytes` says how long it is as JSON, and is asked only where it does not.
    ///
    /// # Errors
    ///
    /// Where and why it does not.
    pub(crate) fn check_value(&self, value: &Value, bytes: impl FnOnce() -> usize) -> Result<(), Unfit> {
        if deeper_than(value, self.levels) {
            return Err(Unfit::Deep(self.levels));
        }
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let bytes = bytes();
        if bytes > TOLD {
            return Err(Unfit::Long(bytes));
        }
        let problem = |error: ValidationError<'_>| {
            let path = error.instance_path().to_string();
            (path.trim_start_matches('/').replace('/', "."), said(&error).chars().take(500).collect())
        };
        Err(Unfit::Problems(self.validator.iter_errors(value).take(PROBLEMS).map(problem).collect()))
    }

    /// Whether arguments of a tool fit its input schema; if not, says where and why.
    ///
    /// # Errors
    ///
    /// A sentence for whoever called the tool.
    pub(crate) fn check_arguments(&self, tool: &str, arguments: &str) -> Result<(), String> {
        self.check(arguments).map_err(|unfit| unfit.of_arguments(tool))
    }
}

impl Unfit {
    /// What is wrong with the arguments of a tool: a sentence for whoever called it.
    pub(crate) fn of_arguments(self, tool: &str) -> String {
        match self {
            Self::NotJson(error) => format!("the arguments are not JSON: {error}"),
            Self::Deep(levels) => format!("the arguments are nested more than {levels} levels deep"),
            Self::Long(bytes) => {
                format!("the arguments do not fit the input schema of tool {tool}; they are too long ({bytes} bytes) to say where")
            }
            Self::Problems(problems) => format!("the arguments do not fit tool {tool}: {}", places("argument ", problems)),
        }
    }
}

/// Problems in one line; `what` stands before each path.
pub(crate) fn places(what: &str, problems: Vec<(String, String)>) -> String {
    let place = |(path, text): (String, String)| if path.is_empty() { text } else { format!("{what}`{path}`: {text}") };
    problems.into_iter().map(place).collect::<Vec<_>>().join("; ")
}

/// Whether this JSON text has no more levels than those who read it take, where no schema says more.
///
/// # Errors
///
/// [`Unfit::Deep`].
pub(crate) fn check_depth(json: &str) -> Result<(), Unfit> {
    if json::is_deeper_than(json.as_bytes(), DEPTH) { Err(Unfit::Deep(DEPTH)) } else { Ok(()) }
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
