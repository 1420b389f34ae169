//! `toolbay.toml`: typed, and checked whole before any port is bound.

mod address;
mod audit;
mod auth;
mod differences;
mod dirs;
mod endpoint;
mod engine;
mod error;
mod files;
mod host;
mod http;
mod imported;
mod include;
mod issuer;
mod key;
mod limit;
mod listen;
mod load;
mod mcp_json;
mod metrics;
mod model;
#[cfg(test)]
mod pages;
mod plugin;
mod plugin_view;
mod publish;
mod read;
mod reader;
mod role;
mod schema;
mod secret;
mod section;
mod server;
mod settings;
mod source;
mod state;
mod store;
mod syntax;
mod tables;
mod tasks;
mod telemetry;
#[cfg(test)]
mod tests;
mod types;
mod units;

pub use address::{AllowedHost, AllowedOrigin, HostMatch, HostPattern, canonical_host, parse_listen};
pub use audit::{AuditArguments, AuditConfig};
pub use auth::{AuthConfig, Token, Tokens};
pub use differences::{Difference, restart_keys};
pub use dirs::DirGrant;
pub use endpoint::EndpointConfig;
pub use engine::EngineChoice;
pub use error::{ConfigError, Place, Problem};
pub use files::Files;
pub use host::HostConfig;
pub use http::{HttpConfig, RestResult, Sessions};
pub use imported::ImportedServer;
pub use issuer::IssuerConfig;
pub(crate) use issuer::server_url;
pub use limit::{CallRate, LimitConfig};
pub use load::{Loaded, Overrides, load};
pub use metrics::MetricsConfig;
pub use model::{Device, GpuMemory, InferenceConfig, ModelConfig};
pub use plugin::{Grants, PluginConfig, PluginLimits};
pub use plugin_view::PluginView;
pub use publish::{NameRules, ToolOverride};
pub use role::RoleConfig;
pub use schema::json_schema;
pub use secret::{Secret, known_secrets};
pub use server::{
    CommandSource, ImageSource, OpenApiSource, OutputSchema, PublishRules, Pull, Replicas, ServerConfig, ServerLimits, ServerSource,
    UrlSource,
};
pub use settings::Config;
pub use state::StateConfig;
pub use store::{StoreConfig, StoreGrant, StoreScope};
pub use tasks::TasksConfig;
pub use telemetry::{LogFormat, TelemetryConfig, parse_log_filter};
pub use units::{parse_duration, parse_size};
