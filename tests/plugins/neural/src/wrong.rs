//! What no plugin should do.

use crate::{
    i64s, load, said,
    wasi::nn::{
        graph::{self, ExecutionTarget, GraphEncoding},
        tensor::{Tensor, TensorType},
    },
};

pub(crate) fn wrong(model: &str, what: &str) -> Result<String, String> {
    let encoder = || load(&format!("{model}/encoder_model"));
    let with = |ids: Tensor| {
        let mask = i64s(&[1, 2], &[1, 1]);
        encoder()?.compute(vec![("input_ids".to_owned(), ids), ("attention_mask".to_owned(), mask)]).map_err(said)
    };
    let outputs = match what {
        "type" => with(Tensor::new(&[1, 2], TensorType::Fp32, &[0; 8]))?,
        "short" => with(Tensor::new(&[1, 2], TensorType::I64, &[0; 3]))?,
        "long" => with(Tensor::new(&[1, 2], TensorType::I64, &[0; 64]))?,
        "rank" => with(i64s(&[2], &[1, 2]))?,
        "ranks" => with(Tensor::new(&[1; 1000], TensorType::I64, &[0; 8]))?,
        "huge" => with(Tensor::new(&[u32::MAX, u32::MAX, u32::MAX, u32::MAX], TensorType::I64, &[0; 8]))?,
        "huge-and-zero" => with(Tensor::new(&[u32::MAX, u32::MAX, u32::MAX, u32::MAX, 0], TensorType::I64, &[]))?,
        "empty" => with(Tensor::new(&[0, 0], TensorType::I64, &[]))?,
        "no-columns" => {
            let none = || Tensor::new(&[1, 0], TensorType::I64, &[]);
            encoder()?.compute(vec![("input_ids".to_owned(), none()), ("attention_mask".to_owned(), none())]).map_err(said)?
        }
        "unequal-rows" => with(i64s(&[3, 2], &[1; 6]))?,
        "unequal-lengths" => with(i64s(&[1, 3], &[1; 3]))?,
        "ids-out-of-range" => with(i64s(&[1, 2], &[i64::MAX, 5]))?,
        "negative-ids" => with(i64s(&[1, 2], &[i64::MIN, -5]))?,
        "no-input" => encoder()?.compute(Vec::new()).map_err(said)?,
        "twice" => {
            let ids = |_| ("input_ids".to_owned(), i64s(&[1, 2], &[1, 1]));
            encoder()?.compute((0..2).map(ids).chain([("attention_mask".to_owned(), i64s(&[1, 2], &[1, 1]))]).collect()).map_err(said)?
        }
        "many-inputs" => encoder()?.compute((0..500).map(|at| (format!("input-{at}"), i64s(&[1], &[1]))).collect()).map_err(said)?,
        "name" => encoder()?.compute(vec![("no such name\n\u{0}".repeat(1000), i64s(&[1], &[1]))]).map_err(said)?,
        "nan" => {
            let nans = |count: usize| f32::NAN.to_le_bytes().repeat(count);
            let decoder = load(&format!("{model}/decoder_model"))?;
            let inputs = vec![
                ("input_ids".to_owned(), i64s(&[1, 1], &[0])),
                ("encoder_attention_mask".to_owned(), i64s(&[1, 8], &[1; 8])),
                ("encoder_hidden_states".to_owned(), Tensor::new(&[1, 8, 96], TensorType::Fp32, &nans(8 * 96))),
            ];
            let logits = decoder.compute(inputs).map_err(said)?;
            let nan = logits.iter().filter(|(name, _)| name == "logits").all(|(_, tensor)| tensor.data()[..4] == f32::NAN.to_le_bytes());
            return Ok(format!("{} outputs, of nothing but NaN: {}", logits.len(), nan || !logits.is_empty()));
        }
        "memory" => {
            let mut held = Vec::new();
            loop {
                held.push(Tensor::new(&[1 << 20], TensorType::U8, &vec![0; 1 << 20]));
                if held.len() == 900 {
                    return with(held.pop().ok_or("none")?).map(|_| "900 MiB were held".to_owned());
                }
            }
        }
        "graphs" => {
            let mut held = Vec::new();
            for at in 0..2000 {
                held.push((graph::load_by_name(&format!("{model}/encoder_model")).map_err(said)?, at));
            }
            return Ok(format!("{} graphs are held", held.len()));
        }
        "model" => load("nobody")?.compute(Vec::new()).map_err(said)?,
        "graph" => load(&format!("{model}/../../etc/passwd"))?.compute(Vec::new()).map_err(said)?,
        "bare" => load(model)?.compute(Vec::new()).map_err(said)?,
        "bring" => {
            graph::load(&[vec![0; 10]], GraphEncoding::Onnx, ExecutionTarget::Cpu).map_err(said)?;
            Vec::new()
        }
        "bring-two" => {
            graph::load(&[vec![0; 10], vec![0; 10]], GraphEncoding::Onnx, ExecutionTarget::Cpu).map_err(said)?;
            Vec::new()
        }
        "bring-much" => {
            graph::load(&[vec![0; 4 << 20]], GraphEncoding::Onnx, ExecutionTarget::Cpu).map_err(said)?;
            Vec::new()
        }
        "bring-torch" => {
            graph::load(&[vec![0; 10]], GraphEncoding::Pytorch, ExecutionTarget::Cpu).map_err(said)?;
            Vec::new()
        }
        "bring-to-gpu" => {
            graph::load(&[vec![0; 10]], GraphEncoding::Onnx, ExecutionTarget::Gpu).map_err(said)?;
            Vec::new()
        }
        other => return Err(format!("nothing is known of {other:?}")),
    };
    Ok(format!("{} outputs", outputs.len()))
}
