//! The import `context`: about the call in hand.

use std::time::Instant;

use super::bindings::toolbay::plugin::context::Host;
use crate::wasm::instance::State;

impl Host for State {
    fn call_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.call_id.to_string())
    }

    fn principal(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.call.principal.as_deref().map(str::to_owned))
    }

    fn trace_parent(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.call.trace_parent.as_deref().map(str::to_owned))
    }

    fn meta(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.call.meta.as_deref().map(str::to_owned))
    }

    fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Ok(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }
}
