//! The import `context`: about the call in hand.

use super::bindings::toolbay::plugin::{context::Host, types};
use crate::{provider::Principal, wasm::instance::State};

impl Host for State {
    fn call_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.call_id.to_string())
    }

    fn principal(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.call.principal.as_ref().map(|principal| principal.subject().to_owned()))
    }

    fn roles(&mut self) -> wasmtime::Result<Vec<String>> {
        let roles = self.call.principal.as_ref().map(|principal| principal.roles().iter().map(str::to_owned).collect());
        Ok(roles.unwrap_or_default())
    }

    fn claims(&mut self) -> wasmtime::Result<Option<String>> {
        let claims = self.call.principal.as_ref().map(Principal::claims).filter(|claims| !claims.is_empty());
        Ok(claims.map(serde_json::to_string).transpose()?)
    }

    fn trace_parent(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.call.trace_parent().as_deref().map(str::to_owned))
    }

    fn meta(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.call.meta.as_deref().map(str::to_owned))
    }

    fn client_capabilities(&mut self) -> wasmtime::Result<String> {
        let declared = self.call.asker.as_ref().map(|asker| asker.capabilities()).filter(|declared| !declared.is_empty());
        Ok(declared.unwrap_or("{}").to_owned())
    }

    fn log_level(&mut self) -> wasmtime::Result<Option<types::LogLevel>> {
        Ok(self.call.notifier.as_ref().and_then(|notifier| notifier.log_level()).map(Into::into))
    }

    fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.deadline.left().as_millis()).unwrap_or(u64::MAX))
    }
}
