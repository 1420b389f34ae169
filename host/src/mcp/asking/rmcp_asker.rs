//! Asking a client with a session by rmcp, for the calls that rmcp handles. Members of an answer that rmcp's model does not know are lost.

use std::time::Duration;

use futures::future::{BoxFuture, try_join_all};
use rmcp::{
    Peer, RoleServer, ServiceError,
    model::{CustomRequest, ServerRequest},
};

use super::{answers, capabilities, questions::late};
use crate::provider::{AskError, Asker, JsonText, Question};

/// The asker of one call. rmcp sends what is asked while a request is handled on that request's stream.
pub(in crate::mcp) struct RmcpAsker {
    pub(in crate::mcp) peer: Peer<RoleServer>,
    pub(in crate::mcp) capabilities: String,
    pub(in crate::mcp) patience: Duration,
}

impl RmcpAsker {
    async fn one(&self, question: Question) -> Result<JsonText, AskError> {
        let method = question.kind.method();
        let unanswered = |error: &dyn std::fmt::Display| AskError::Unanswered(format!("the client could not be asked: {error}"));
        let params = serde_json::from_str(question.params.as_str()).map_err(|error| unanswered(&error))?;
        let request = ServerRequest::CustomRequest(CustomRequest::new(method, Some(params)));
        let answer = self.peer.send_request(request).await.map_err(|error| match error {
            ServiceError::McpError(error) => AskError::Refused { code: error.code.0, message: error.message.into_owned() },
            error => unanswered(&error),
        })?;
        let answer = JsonText::from_value(&answer).map_err(|error| unanswered(&error))?;
        answers::check(question.kind, answer.as_str())
            .map_err(|wrong| AskError::Unanswered(format!("the client's answer to {method} {wrong}")))?;
        Ok(answer)
    }
}

impl Asker for RmcpAsker {
    fn capabilities(&self) -> &str {
        &self.capabilities
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        Box::pin(async move {
            if let Some(missing) = capabilities::missing(&self.capabilities, &questions) {
                return Err(AskError::MissingCapability(missing));
            }
            let answers = try_join_all(questions.into_iter().map(|question| self.one(question)));
            tokio::time::timeout(self.patience, answers).await.unwrap_or_else(|_| Err(late(self.patience)))
        })
    }
}
