//! The import `progress`: how far a call has come.

use super::bindings::toolbay::plugin::progress::Host;
use crate::wasm::instance::State;

impl Host for State {
    fn wanted(&mut self) -> wasmtime::Result<bool> {
        Ok(self.call.notifier.as_ref().is_some_and(|notifier| notifier.wants_progress()))
    }

    fn report(&mut self, progress: f64, total: Option<f64>, text: Option<String>) -> wasmtime::Result<()> {
        let Some(notifier) = self.call.notifier.as_ref().filter(|notifier| notifier.wants_progress()) else { return Ok(()) };
        // MCP: progress MUST increase. JSON has no infinity, and what is not over the last value is not told.
        let least = self.told.as_ref().map_or(self.progress, |told| told.highest());
        if progress.is_finite() && progress > least && self.shared.output.admit(text.as_ref().map_or(0, String::len)) {
            let total = total.filter(|total| total.is_finite());
            (self.progress, self.total) = (progress, total);
            if let Some(told) = &self.told {
                told.reached(progress, total);
            }
            notifier.progress(progress, total, text);
        }
        Ok(())
    }
}
