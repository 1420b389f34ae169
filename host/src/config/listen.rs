//! An address to listen on, as a key of the configuration.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{address::parse_listen, key::TypeInfo, toml_reader::Item, types::Type};

/// An address to listen on.
pub(super) struct Listen;

impl Type<SocketAddr> for Listen {
    fn read(&self, item: &Item<'_>) -> Option<SocketAddr> {
        if item.value.is_integer() {
            item.fail("a port alone is not enough; write \"127.0.0.1:8000\"");
            return None;
        }
        item.parsed(parse_listen)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("address and port", json!({ "type": "string" }))
    }

    fn write(&self, value: &SocketAddr) -> Option<Value> {
        Some(value.to_string().into())
    }
}
