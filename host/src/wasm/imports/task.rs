//! The import `task`: letting the caller go, by the [`Deferral`](crate::provider::Deferral) of the call in hand.

use super::bindings::toolbay::plugin::task::Host;
use crate::{
    provider::{CallError, NotDeferred},
    wasm::instance::{Ended, State},
};

impl Host for State {
    fn begin(&mut self) -> wasmtime::Result<bool> {
        Ok(self.defer().is_ok())
    }

    fn require(&mut self) -> wasmtime::Result<()> {
        self.defer().map_err(|error| {
            let error = match error {
                NotDeferred::Undeclared(needed) => CallError::MissingCapability(needed),
                NotDeferred::Unavailable(why) => {
                    CallError::Internal(format!("plugin {} answers this call by a task only, and {why}", self.shared.id))
                }
            };
            Ended(error).into()
        })
    }
}

impl State {
    fn defer(&self) -> Result<(), NotDeferred> {
        if self.listing {
            return Err(NotDeferred::Unavailable("a list is not a call".to_owned()));
        }
        match &self.call.deferral {
            Some(deferral) => deferral.defer(),
            None => Err(NotDeferred::Unavailable("the caller of this call cannot be answered with a task".to_owned())),
        }
    }
}
