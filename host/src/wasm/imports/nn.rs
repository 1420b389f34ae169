//! The imports of wasi-nn: a plugin computes with the models that it was granted.
//!
//! Everything that a guest can get wrong is answered by an error of wasi-nn. Tensors stay on the host behind their handles: what one compute gives and the
//! next one takes is never copied into the guest.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource};

use self::bindings::wasi::nn::{
    errors::{self, ErrorCode},
    graph::{self, ExecutionTarget, GraphEncoding},
    inference,
    tensor::{self, TensorType},
};
use crate::{
    inference::{Account, Code, ElementType, Graph, Loading, NnError, Tensor},
    wasm::{instance::State, permissions::Refusal},
};

/// The Rust side of wasi-nn's WIT.
mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "generated"
    )]
    wasmtime::component::bindgen!({
        path: "../wit/deps/wasi-nn",
        world: "ml",
        imports: {
            "wasi:nn/graph.load": async | trappable,
            "wasi:nn/inference.[method]graph-execution-context.compute": async | trappable,
            default: trappable,
        },
        with: {
            "wasi:nn/graph.graph": super::Held,
            "wasi:nn/tensor.tensor": crate::inference::Tensor,
            "wasi:nn/inference.graph-execution-context": super::Held,
            "wasi:nn/errors.error": crate::inference::NnError,
        },
    });
}

/// What a call does with models.
pub(crate) struct Nn {
    account: Arc<Account>,
    loading: Loading,
}

/// A graph in the hands of a guest.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated code gives it out again")]
pub struct Held {
    graph: Graph,
    /// What the graph takes of the call's account, where the guest brought it.
    _bytes: Option<Arc<Tensor>>,
}

/// Puts wasi-nn into a linker.
///
/// # Errors
///
/// Where it is there already: a fault in this program.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    errors::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    tensor::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    graph::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    inference::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

type Answer<T> = wasmtime::Result<Result<T, Resource<NnError>>>;

impl State {
    fn nn(&mut self) -> &mut Nn {
        self.reaches();
        let shared = &self.shared;
        self.nn.get_or_insert_with(|| {
            let limits = &shared.config.limits;
            let account = Account::new(shared.id.as_str(), limits.nn_memory, shared.models.max_tensor(), limits.nn_time);
            Box::new(Nn { account, loading: Loading::default() })
        })
    }

    /// Hands an error to the guest. What was not granted is told to the operator too.
    fn fault<T>(&mut self, fault: NnError) -> Answer<T> {
        if fault.code == Code::Security {
            self.refusals.push(Refusal::model(&self.shared.id, fault.message.clone()));
        }
        Ok(Err(self.table.push(fault)?))
    }

    fn handed(&mut self, graph: Result<Held, NnError>) -> Answer<Resource<Held>> {
        match graph {
            Ok(held) => Ok(Ok(self.table.push(held)?)),
            Err(fault) => self.fault(fault),
        }
    }

    /// Opens a graph that the guest brings.
    async fn bring(&mut self, mut builder: Vec<Vec<u8>>, encoding: GraphEncoding, target: ExecutionTarget) -> Result<Held, NnError> {
        let plugin = self.shared.id.clone();
        let limit = self.shared.config.grants.nn_load;
        if limit == 0 {
            let told = format!(
                "plugin {plugin} may not bring graphs of its own; to allow it, put  nn_load = \"16MiB\"  (the largest that it may bring) into [plugin.{plugin}] of toolbay.toml or into {plugin}.toml, or name a model that the host has (load-by-name)"
            );
            return Err(NnError::new(Code::Security, told));
        }
        if !matches!(encoding, GraphEncoding::Onnx | GraphEncoding::Autodetect) {
            return Err(NnError::new(Code::InvalidEncoding, format!("this host runs graphs in the encoding onnx, not {encoding:?}")));
        }
        if target != ExecutionTarget::Cpu {
            return Err(NnError::new(Code::Unsupported, "a graph that a plugin brings runs on the CPU; ask for the target cpu"));
        }
        let (Some(bytes), true) = (builder.pop(), builder.is_empty()) else {
            return Err(NnError::new(Code::InvalidArgument, "a graph in the encoding onnx is one part; give exactly one"));
        };
        if bytes.len() as u64 > limit {
            let told = format!(
                "the graph has {} bytes, over the limit of {limit}; raise `nn_load` in [plugin.{plugin}] of toolbay.toml",
                bytes.len()
            );
            return Err(NnError::new(Code::TooLarge, told));
        }
        let account = self.nn().account.clone();
        let models = self.shared.models.clone();
        let opening = tokio::task::spawn_blocking(move || models.bring(&account, bytes)).await;
        let (graph, bytes) = opening.map_err(|error| NnError::new(Code::Runtime, format!("the graph could not be opened: {error}")))??;
        Ok(Held { graph, _bytes: Some(Arc::new(bytes)) })
    }
}

impl errors::Host for State {}

impl errors::HostError for State {
    fn code(&mut self, error: Resource<NnError>) -> wasmtime::Result<ErrorCode> {
        Ok(match self.table.get(&error)?.code {
            Code::InvalidArgument => ErrorCode::InvalidArgument,
            Code::InvalidEncoding => ErrorCode::InvalidEncoding,
            Code::Timeout => ErrorCode::Timeout,
            Code::Runtime => ErrorCode::RuntimeError,
            Code::Unsupported => ErrorCode::UnsupportedOperation,
            Code::TooLarge => ErrorCode::TooLarge,
            Code::NotFound => ErrorCode::NotFound,
            Code::Security => ErrorCode::Security,
        })
    }

    fn data(&mut self, error: Resource<NnError>) -> wasmtime::Result<String> {
        Ok(self.table.get(&error)?.message.clone())
    }

    fn drop(&mut self, error: Resource<NnError>) -> wasmtime::Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}

impl tensor::Host for State {}

impl tensor::HostTensor for State {
    fn new(&mut self, dimensions: Vec<u32>, ty: TensorType, data: Vec<u8>) -> wasmtime::Result<Resource<Tensor>> {
        let tensor = Tensor::new(&self.nn().account, element_type(ty), dimensions, data);
        Ok(self.table.push(tensor)?)
    }

    fn dimensions(&mut self, tensor: Resource<Tensor>) -> wasmtime::Result<Vec<u32>> {
        Ok(self.table.get(&tensor)?.dims().to_vec())
    }

    fn ty(&mut self, tensor: Resource<Tensor>) -> wasmtime::Result<TensorType> {
        Ok(tensor_type(self.table.get(&tensor)?.ty()))
    }

    fn data(&mut self, tensor: Resource<Tensor>) -> wasmtime::Result<Vec<u8>> {
        // There is no place for an error here: a device that does not give its memory back ends the call.
        self.table.get(&tensor)?.bytes().map_err(wasmtime::Error::from)
    }

    fn drop(&mut self, tensor: Resource<Tensor>) -> wasmtime::Result<()> {
        self.table.delete(tensor)?;
        Ok(())
    }
}

impl graph::Host for State {
    async fn load(&mut self, builder: Vec<Vec<u8>>, encoding: GraphEncoding, target: ExecutionTarget) -> Answer<Resource<Held>> {
        let graph = self.bring(builder, encoding, target).await;
        self.handed(graph)
    }

    fn load_by_name(&mut self, name: String) -> Answer<Resource<Held>> {
        let shared = self.shared.clone();
        let graph = shared.models.graph(shared.id.as_str(), &name, &mut self.nn().loading);
        self.handed(graph.map(|graph| Held { graph, _bytes: None }))
    }
}

impl graph::HostGraph for State {
    fn init_execution_context(&mut self, graph: Resource<Held>) -> Answer<Resource<Held>> {
        let held = self.table.get(&graph)?.clone();
        Ok(Ok(self.table.push(held)?))
    }

    fn drop(&mut self, graph: Resource<Held>) -> wasmtime::Result<()> {
        self.table.delete(graph)?;
        Ok(())
    }
}

impl inference::Host for State {}

impl inference::HostGraphExecutionContext for State {
    async fn compute(
        &mut self,
        context: Resource<Held>,
        inputs: Vec<(String, Resource<Tensor>)>,
    ) -> Answer<Vec<(String, Resource<Tensor>)>> {
        let mut tensors = Vec::with_capacity(inputs.len());
        for (name, tensor) in inputs {
            tensors.push((name, self.table.delete(tensor)?));
        }
        let graph = self.table.get(&context)?.graph.clone();
        let account = self.nn().account.clone();
        match graph.compute(&account, tensors).await {
            Ok(outputs) => {
                let mut handles = Vec::with_capacity(outputs.len());
                for (name, tensor) in outputs {
                    handles.push((name, self.table.push(tensor)?));
                }
                Ok(Ok(handles))
            }
            Err(fault) => self.fault(fault),
        }
    }

    fn drop(&mut self, context: Resource<Held>) -> wasmtime::Result<()> {
        self.table.delete(context)?;
        Ok(())
    }
}

fn element_type(ty: TensorType) -> ElementType {
    match ty {
        TensorType::Fp16 => ElementType::F16,
        TensorType::Fp32 => ElementType::F32,
        TensorType::Fp64 => ElementType::F64,
        TensorType::Bf16 => ElementType::Bf16,
        TensorType::U8 => ElementType::U8,
        TensorType::I32 => ElementType::I32,
        TensorType::I64 => ElementType::I64,
    }
}

/// What carries a type, in the words of wasi-nn.
fn tensor_type(ty: ElementType) -> TensorType {
    match ty {
        ElementType::F16 | ElementType::U16 | ElementType::I16 => TensorType::Fp16,
        ElementType::Bf16 => TensorType::Bf16,
        ElementType::F32 => TensorType::Fp32,
        ElementType::F64 => TensorType::Fp64,
        ElementType::Bool | ElementType::U8 | ElementType::I8 => TensorType::U8,
        ElementType::U32 | ElementType::I32 => TensorType::I32,
        ElementType::U64 | ElementType::I64 => TensorType::I64,
    }
}
