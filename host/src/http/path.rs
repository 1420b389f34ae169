//! The one path that clients are given.

/// The path of the MCP endpoint. Below a provider's name (`/weather/mcp`) it is the endpoint of that provider
/// alone.
pub const MCP_PATH: &str = "/mcp";
