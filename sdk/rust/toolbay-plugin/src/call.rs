//! Calling other tools, wherever they live.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

#[cfg(not(target_arch = "wasm32"))]
use crate::testing as host;
#[cfg(target_arch = "wasm32")]
use crate::wasm as host;
use crate::{Answer, Ctx};

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// There is no such tool for the caller of this tool.
    Unknown(String),
    /// The operator has not granted it. The text has the line that would.
    Denied(String),
    /// The calls go in a circle, or too deep. The text has the chain.
    Circular(String),
    /// The tool has too much to do, or the caller calls too often.
    Busy(String),
    /// The tool could not run, or it ran and failed: see [`Answer::ok`].
    Failed(String),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Unknown(why) | Self::Denied(why) | Self::Circular(why) | Self::Busy(why) | Self::Failed(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for CallError {}

/// A tool that may be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Callable {
    /// The name to call it by.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub input: Value,
    /// JSON Schema of its structured content.
    pub output: Option<Value>,
}

impl Ctx<'_> {
    /// Calls another tool, of any plugin or server, by the name that clients know or as `plugin__tool`. `arguments` is a struct or a map.
    ///
    /// The operator grants it: `calls = ["NAME"]` in `[plugin.NAME]`. It runs in the name of whoever called this tool, in the time that is left.
    ///
    /// A tool that ran and failed has an answer too: `ctx.call("resize", &arguments)?.ok()?`.
    ///
    /// # Errors
    ///
    /// [`CallError`]: it was not run, or could not answer.
    pub fn call(&self, name: &str, arguments: &(impl Serialize + ?Sized)) -> Result<Answer, CallError> {
        host::call_other(self, name, object(name, arguments)?)
    }

    /// Calls several at once, 64 at most, each by its name and arguments. The answers come in the same order.
    pub fn call_all(&self, calls: &[(&str, Value)]) -> Vec<Result<Answer, CallError>> {
        let named = |(name, arguments): &(&str, Value)| object(name, arguments).map(|arguments| ((*name).to_owned(), arguments));
        match calls.iter().map(named).collect::<Result<Vec<_>, CallError>>() {
            Ok(calls) => host::call_others(self, calls),
            Err(error) => calls.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// The tools that may be called: granted, and allowed to whoever called this one.
    #[must_use]
    pub fn callable(&self) -> Vec<Callable> {
        host::callable(self)
    }
}

impl Answer {
    /// This answer, or its text as the error where the tool failed.
    ///
    /// # Errors
    ///
    /// [`CallError::Failed`].
    pub fn ok(self) -> Result<Self, CallError> {
        if self.is_error { Err(CallError::Failed(self.to_text())) } else { Ok(self) }
    }

    /// Its structured content, or else its text, as JSON. Structured content is an object always: where that has `result` only, and `T` is no such
    /// object, it is what `result` has.
    ///
    /// # Errors
    ///
    /// [`CallError::Failed`]: the tool failed, or that is no JSON, or of another form.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        if self.is_error {
            return Err(CallError::Failed(self.to_text()));
        }
        let read = match &self.structured {
            Some(value) => T::deserialize(value).or_else(|error| match value.as_object() {
                Some(object) if object.len() == 1 => object.get("result").map_or(Err(error), |inner| T::deserialize(inner)),
                _ => Err(error),
            }),
            None => serde_json::from_str(&self.to_text()),
        };
        read.map_err(|error| CallError::Failed(format!("the answer cannot be read: {error}")))
    }
}

fn object(name: &str, arguments: &(impl Serialize + ?Sized)) -> Result<Value, CallError> {
    match serde_json::to_value(arguments) {
        Ok(Value::Null) => Ok(Value::Object(Map::new())),
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(other) => Err(CallError::Failed(format!("the arguments of {name} must be an object, not {other}"))),
        Err(error) => Err(CallError::Failed(format!("the arguments of {name} cannot be written as JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Fake;

    #[test]
    fn a_tool_is_called_by_its_name_and_what_it_answers_is_read() {
        let host = Fake::new()
            .tool("add", |arguments| Answer { structured: Some(json!({ "sum": arguments["a"].as_i64().unwrap() + 1 })), ..Answer::new() })
            .tool("wrapped", |_| Answer { structured: Some(json!({ "result": 2.5 })), ..Answer::new() })
            .tool("fail", |_| Answer::error("no"));
        let ctx = host.ctx();
        let answer = ctx.call("add", &json!({ "a": 2 })).unwrap().ok().unwrap();
        assert_eq!(answer.read::<Value>().unwrap(), json!({ "sum": 3 }));
        assert_eq!(ctx.call("fail", &()).unwrap().ok(), Err(CallError::Failed("no".to_owned())));
        assert_eq!(ctx.call("fail", &()).unwrap().read::<Value>(), Err(CallError::Failed("no".to_owned())));
        let wrapped = ctx.call("wrapped", &()).unwrap();
        assert_eq!(wrapped.read::<f64>(), Ok(2.5));
        assert_eq!(wrapped.read::<Value>(), Ok(json!({ "result": 2.5 })));
        assert!(answer.read::<f64>().unwrap_err().to_string().contains("cannot be read"));
        assert!(matches!(ctx.call("other", &()), Err(CallError::Unknown(_))));
        assert!(matches!(ctx.call("add", &[1]), Err(CallError::Failed(_))));
        let both = ctx.call_all(&[("add", json!({ "a": 1 })), ("other", json!({}))]);
        assert!(both[0].is_ok() && both[1].is_err());
        assert_eq!(host.calls().len(), 7);
        assert_eq!(host.calls()[0], ("add".to_owned(), json!({ "a": 2 })));
        assert_eq!(ctx.callable().len(), 3);
    }
}
