//! Computes through wasi-nn, rightly and wrongly.

mod decode;
mod wrong;

use wasi::nn::{
    errors::Error,
    graph::{self, ExecutionTarget, GraphEncoding},
    inference::GraphExecutionContext,
    tensor::{Tensor, TensorType},
};

wit_bindgen::generate!({ path: "wit", world: "test:neural/neural", generate_all });

struct Neural;

impl Guest for Neural {
    fn decode(model: String, ids: Vec<i64>, ragged: bool) -> Result<Vec<i64>, String> {
        decode::decode(&model, &ids, ragged)
    }

    fn wrong(model: String, what: String) -> Result<String, String> {
        wrong::wrong(&model, &what)
    }

    fn first_bytes(path: String) -> Result<String, String> {
        let bytes = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
        Ok(String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned())
    }

    fn bring(graph: Vec<u8>, count: u32) -> Result<Vec<f32>, String> {
        let mut held = Vec::new();
        for _ in 0..count {
            let graph = graph::load(&[graph.clone()], GraphEncoding::Onnx, ExecutionTarget::Cpu).map_err(said)?;
            let context = graph.init_execution_context().map_err(said)?;
            held.push((graph, context));
        }
        let (_, context) = held.first().ok_or("no graph")?;
        let x = Tensor::new(&[3], TensorType::Fp32, &[1.0_f32, 2.0, 3.0].map(f32::to_le_bytes).concat());
        let outputs = context.compute(vec![("x".to_owned(), x)]).map_err(said)?;
        let (_, y) = outputs.first().ok_or("no output")?;
        Ok(y.data().chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect())
    }

    fn spin(model: String, length: u32) -> Result<String, String> {
        let encoder = load(&format!("{model}/encoder_model"))?;
        loop {
            let ids = vec![5; length as usize];
            let ones = vec![1; length as usize];
            let inputs = vec![("input_ids".to_owned(), i64s(&[1, length], &ids)), ("attention_mask".to_owned(), i64s(&[1, length], &ones))];
            encoder.compute(inputs).map_err(said)?;
        }
    }
}

fn load(name: &str) -> Result<GraphExecutionContext, String> {
    graph::load_by_name(name).and_then(|graph| graph.init_execution_context()).map_err(said)
}

fn i64s(dims: &[u32], values: &[i64]) -> Tensor {
    Tensor::new(dims, TensorType::I64, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// `NotFound: there is no model …`.
fn said(error: Error) -> String {
    format!("{:?}: {}", error.code(), error.data()).replace("ErrorCode::", "")
}

export!(Neural);
