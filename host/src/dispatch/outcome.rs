//! How a call ended, in one word.

use super::OperationResult;
use crate::provider::CallError;

/// How a call ended: for the log, metrics and audit. New ones may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// With a result.
    Ok,
    /// The caller is asked something, and makes the call again with the answers.
    InputRequired,
    /// The tool ran and says that it failed.
    ToolError,
    /// There is no such tool (any more).
    UnknownTool,
    /// There is no such resource (any more).
    UnknownResource,
    /// There is no such prompt (any more).
    UnknownPrompt,
    /// What was asked for lacks something or does not fit.
    InvalidParams,
    /// The provider answered by an error of its own.
    ProtocolError,
    /// It needs a capability that the caller did not declare.
    MissingCapability,
    /// As many calls run and wait as may.
    Busy,
    /// Its caller calls more often than its roles allow.
    Limited,
    /// A policy, a guard, a flow or a person has denied it.
    Denied,
    /// A fault of the host or the provider.
    Internal,
    /// Nobody wanted the result any more: the call was dropped before its end.
    Cancelled,
}

impl Outcome {
    /// All of them, each at its own place.
    pub const ALL: &[Self] = &[
        Self::Ok,
        Self::InputRequired,
        Self::ToolError,
        Self::UnknownTool,
        Self::UnknownResource,
        Self::UnknownPrompt,
        Self::InvalidParams,
        Self::ProtocolError,
        Self::MissingCapability,
        Self::Busy,
        Self::Limited,
        Self::Denied,
        Self::Internal,
        Self::Cancelled,
    ];

    /// How a call with this result ended.
    #[must_use]
    pub fn of(result: &Result<OperationResult, CallError>) -> Self {
        match result {
            Ok(OperationResult::Call(output)) if output.denied.is_some() => Self::Denied,
            Ok(OperationResult::Call(output)) if output.is_error => Self::ToolError,
            Ok(OperationResult::InputRequired(_)) => Self::InputRequired,
            Ok(_) => Self::Ok,
            Err(error) => Self::of_error(error),
        }
    }

    /// How a call with this error ended.
    #[must_use]
    pub fn of_error(error: &CallError) -> Self {
        match error {
            CallError::InputRequired => Self::InputRequired,
            CallError::UnknownTool(_) => Self::UnknownTool,
            CallError::UnknownResource(_) => Self::UnknownResource,
            CallError::UnknownPrompt(_) => Self::UnknownPrompt,
            CallError::InvalidParams(_) => Self::InvalidParams,
            CallError::Protocol { .. } => Self::ProtocolError,
            CallError::MissingCapability(_) => Self::MissingCapability,
            CallError::Busy { .. } | CallError::Uncounted { .. } => Self::Busy,
            CallError::Limited { .. } => Self::Limited,
            CallError::NeedsScopes { .. } | CallError::Denied { .. } => Self::Denied,
            CallError::Internal(_) => Self::Internal,
        }
    }

    /// As the log and metrics write it. These are API: they are not renamed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::InputRequired => "input_required",
            Self::ToolError => "tool_error",
            Self::UnknownTool => "unknown_tool",
            Self::UnknownResource => "unknown_resource",
            Self::UnknownPrompt => "unknown_prompt",
            Self::InvalidParams => "invalid_params",
            Self::ProtocolError => "protocol_error",
            Self::MissingCapability => "missing_capability",
            Self::Busy => "busy",
            Self::Limited => "limited",
            Self::Denied => "denied",
            Self::Internal => "internal",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_at_its_own_place() {
        for (place, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, place);
        }
        // A new one does not compile here before it is in the list.
        let last = |outcome: Outcome| match outcome {
            Outcome::Ok | Outcome::InputRequired | Outcome::ToolError | Outcome::UnknownTool | Outcome::UnknownResource => false,
            Outcome::UnknownPrompt | Outcome::InvalidParams | Outcome::ProtocolError | Outcome::MissingCapability => false,
            Outcome::Busy | Outcome::Limited | Outcome::Denied | Outcome::Internal => false,
            Outcome::Cancelled => true,
        };
        assert!(last(*Outcome::ALL.last().unwrap()));
    }
}
