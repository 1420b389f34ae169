//! rmcp as a server would use it that has no Wasm: one tool in Rust, stateless, answers as JSON.

use std::sync::Arc;

use axum::Router;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult, PaginatedRequestParams, ServerCapabilities,
        ServerConfig, Tool,
    },
    service::RequestContext,
    transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager},
};
use serde_json::{Value, json};

use crate::requests::TOOL;

struct Native;

pub(super) fn router() -> Router {
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
    let service: StreamableHttpService<Native, NeverSessionManager> =
        StreamableHttpService::new(|| Ok(Native), Arc::new(NeverSessionManager::default()), config);
    Router::new().nest_service("/mcp", service)
}

impl ServerHandler for Native {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: RequestContext<RoleServer>) -> Result<ListToolsResult, ErrorData> {
        let mut schema = serde_json::Map::new();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), json!({ "a": { "type": "number" }, "b": { "type": "number" } }));
        schema.insert("required".to_owned(), json!(["a", "b"]));
        Ok(ListToolsResult::with_all_items(vec![Tool::new(TOOL, "Adds two numbers.", schema)]))
    }

    async fn call_tool(&self, request: CallToolRequestParams, _: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let term = |name: &str| arguments.get(name).and_then(Value::as_f64);
        let (TOOL, Some(a), Some(b)) = (&*request.name, term("a"), term("b")) else {
            return Err(ErrorData::invalid_params("only `add` of two numbers is known here", None));
        };
        let sum = a + b;
        let mut result = CallToolResult::success(vec![ContentBlock::text(sum.to_string())]);
        result.structured_content = Some(json!({ "result": sum }));
        Ok(result.into())
    }
}
