//! Greedy decoding. What a step gives goes into the next one by handle: no cache is ever copied to this side.

use crate::{i64s, load, said, wasi::nn::tensor::Tensor};

pub(crate) fn decode(model: &str, ids: &[i64], ragged: bool) -> Result<Vec<i64>, String> {
    let encoder = load(&format!("{model}/encoder_model"))?;
    let first = load(&format!("{model}/decoder_model"))?;
    let next = load(&format!("{model}/decoder_with_past_model{}", if ragged { "_ragged" } else { "" }))?;
    let length = ids.len() as u32;
    let ones = |length: u32| i64s(&[1, length], &vec![1; length as usize]);
    let mask = || ("encoder_attention_mask".to_owned(), ones(length));
    let text = vec![("input_ids".to_owned(), i64s(&[1, length], ids)), ("attention_mask".to_owned(), ones(length))];
    let (_, hidden) = encoder.compute(text).map_err(said)?.pop().ok_or("no output")?;
    let start = ("input_ids".to_owned(), i64s(&[1, 1], &[0]));
    let mut outputs = first.compute(vec![start, mask(), ("encoder_hidden_states".to_owned(), hidden)]).map_err(said)?;
    let mut tokens = Vec::new();
    loop {
        let (mut inputs, mut token) = (Vec::new(), 0);
        for (name, tensor) in outputs {
            if name == "logits" {
                token = best(&tensor);
            } else {
                inputs.push((name.replace("present.", "past_key_values."), tensor));
            }
        }
        tokens.push(token);
        if token == 1 || tokens.len() == 64 {
            return Ok(tokens);
        }
        inputs.push(("input_ids".to_owned(), i64s(&[1, 1], &[token])));
        inputs.push(mask());
        if ragged {
            inputs.push(("decoder_attention_mask".to_owned(), ones(tokens.len() as u32 + 1)));
        }
        outputs = next.compute(inputs).map_err(said)?;
    }
}

fn best(logits: &Tensor) -> i64 {
    let (mut best, mut at) = (f32::NEG_INFINITY, 0);
    for (index, bytes) in logits.data().chunks_exact(4).enumerate() {
        let value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if value > best {
            (best, at) = (value, index as i64);
        }
    }
    at
}
