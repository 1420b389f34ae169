//! What a model says of each token, as one vector of the sentence.

use super::folder::Pooling;
use crate::inference::{ElementType, Tensor};

/// The output that is the vector of the sentence already, where a graph has it.
const SENTENCE: &str = "sentence_embedding";

/// The vector of the one sentence that was computed.
pub(super) fn pool(outputs: &[(String, Tensor)], pooling: Pooling) -> Result<Vec<f32>, String> {
    let named = outputs.iter().find(|(name, _)| name == SENTENCE);
    // Else the first one: `last_hidden_state`, or `token_embeddings`.
    let (name, tensor) = named.or_else(|| outputs.first()).ok_or("its graph gives nothing")?;
    let shape =
        |dims: &[u32]| format!("its graph gives {name} of the shape {dims:?}, and [1, N] or [1, tokens, N] is a vector of a sentence");
    if tensor.ty() != ElementType::F32 {
        return Err(format!("its graph gives {name} as {}, and only f32 is read", tensor.ty()));
    }
    let bytes = tensor.bytes().map_err(|error| error.to_string())?;
    let numbers: Vec<f32> = bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap_or_default())).collect();
    match *tensor.dims() {
        [1, length] if length > 0 => Ok(numbers),
        [1, tokens, length] if tokens > 0 && length > 0 => {
            let length = usize::try_from(length).map_err(|error| error.to_string())?;
            Ok(one(&numbers, length, pooling))
        }
        _ => Err(shape(tensor.dims())),
    }
}

/// One vector of those of the tokens.
fn one(numbers: &[f32], length: usize, pooling: Pooling) -> Vec<f32> {
    let mut rows = numbers.chunks_exact(length);
    let mut vector = rows.next().map(<[f32]>::to_vec).unwrap_or_default();
    if pooling == Pooling::Mean {
        // Its direction is that of the sum.
        rows.for_each(|row| vector.iter_mut().zip(row).for_each(|(sum, number)| *sum += number));
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_all_of_its_tokens_or_the_first() {
        let tokens = [1.0, 2.0, 3.0, -4.0, 5.0, 0.0];
        assert_eq!(one(&tokens, 2, Pooling::Mean), [9.0, -2.0]);
        assert_eq!(one(&tokens, 2, Pooling::First), [1.0, 2.0]);
    }
}
