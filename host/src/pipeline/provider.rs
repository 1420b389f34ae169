//! A pipeline as a provider: it has one tool, of its own name.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::BoxFuture;

use super::{plan::Plan, run::run};
use crate::{
    config::PipelineConfig,
    offload::Offload,
    provider::{Call, CallError, CallOutput, Provider, ProviderId, Tool},
};

/// Its steps name what they call, and the operator has written them.
static ANY: LazyLock<[String; 1]> = LazyLock::new(|| ["*".to_owned()]);

/// One pipeline.
pub(super) struct PipelineProvider {
    id: ProviderId,
    tools: [Arc<Tool>; 1],
    plan: Arc<Plan>,
    offload: Offload,
    in_flight: AtomicUsize,
}

impl PipelineProvider {
    /// # Errors
    ///
    /// Why it cannot be offered.
    pub(super) fn new(id: ProviderId, config: &PipelineConfig, tool: Arc<Tool>) -> Result<Self, String> {
        let plan = Arc::new(Plan::new(config, &tool)?);
        Ok(Self { id, tools: [tool], plan, offload: Offload::default(), in_flight: AtomicUsize::new(0) })
    }

    /// Whether it is one of this configuration, as this tool.
    pub(super) fn is(&self, config: &PipelineConfig, tool: &Tool) -> bool {
        self.plan.config == *config && *self.tools[0] == *tool
    }

    /// Calls that run now.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// A call that runs until this is dropped.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Provider for PipelineProvider {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        Box::pin(async move {
            if call.tool != self.plan.name {
                return Err(CallError::UnknownTool(call.tool.to_owned()));
            }
            let _running = Running::begin(&self.in_flight);
            run(&self.plan, &self.offload, call).await
        })
    }

    fn default_tool(&self) -> Option<&str> {
        Some(&self.plan.name)
    }

    fn calls(&self) -> Option<&[String]> {
        Some(&*ANY)
    }

    fn calls_through(&self) -> &'static str {
        "pipeline"
    }
}
