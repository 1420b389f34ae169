//! The floor: what `bare` does, and the sum computed by a fresh instance of the component that Toolbay runs.
//!
//! It has what isolation itself costs: a pooled instance for each call, on a fiber, interrupted by epochs, its memory reset afterwards. It has none of what
//! a host does around it: no limits counted, no time limit, no permissions, no protocol checks, no choice between tools, no types found at run time.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::anyhow;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Response, StatusCode},
    response::IntoResponse as _,
    routing::post,
};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{Component, ComponentExportIndex, InstancePre, Linker},
    error::Context as _,
};

use super::rpc::{self, Terms};
use crate::requests::TOOL;

/// Instances at once.
const INSTANCES: u32 = 1000;
/// How often guests are made to yield.
const TICK: Duration = Duration::from_millis(5);

struct Adder {
    engine: Engine,
    pre: InstancePre<()>,
    add: ComponentExportIndex,
}

pub(super) fn router(plugin: &Path) -> anyhow::Result<Router> {
    let adder = Adder::load(plugin).map_err(|error| anyhow!("{error:#}"))?;
    Ok(Router::new().route("/mcp", post(call)).with_state(Arc::new(adder)))
}

async fn call(State(adder): State<Arc<Adder>>, body: Bytes) -> Response<Body> {
    let Some((id, terms)) = rpc::read(&body, TOOL) else { return rpc::refused() };
    match adder.add(terms).await {
        Ok(sum) => rpc::answer(id, sum, &sum.to_string()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}

impl Adder {
    fn load(plugin: &Path) -> wasmtime::Result<Self> {
        let engine = Engine::new(&config())?;
        let component = Component::from_file(&engine, plugin).with_context(|| format!("cannot load {}", plugin.display()))?;
        let add = component.get_export_index(None, crate::requests::TOOL).context("the component has no function `add`")?;
        let pre = Linker::new(&engine).instantiate_pre(&component)?;
        let clock = engine.weak();
        std::thread::spawn(move || {
            while let Some(engine) = clock.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        });
        Ok(Self { engine, pre, add })
    }

    async fn add(&self, terms: Terms) -> wasmtime::Result<f64> {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = self.pre.instantiate_async(&mut store).await?;
        let add = instance.get_typed_func::<(f64, f64), (f64,)>(&mut store, &self.add)?;
        let (sum,) = add.call_async(&mut store, (terms.a, terms.b)).await?;
        Ok(sum)
    }
}

/// The settings that were found to be the fastest. They are written down here and not taken from the host, so that the floor stays where it is.
fn config() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_stacks(INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES)
        .total_core_instances(INSTANCES * 2)
        .max_memory_size(256 << 20)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(1 << 20)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .concurrency_support(false)
        .gc_support(false)
        .wasm_memory64(false)
        .wasm_component_model(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20);
    config
}
