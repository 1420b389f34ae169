//! What a step answers: for each row, how much the model is for each token.

use crate::wasi::nn::tensor::{Tensor, TensorType};

/// Rows of 32-bit numbers, as the host gave them.
pub struct Logits {
    bytes: Vec<u8>,
    /// Tokens in the vocabulary.
    width: usize,
}

/// A token, and the logarithm of how likely the way to it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub score: f32,
    /// The row from which it goes on.
    pub row: usize,
    pub token: u32,
}

impl Logits {
    pub fn of(tensor: &Tensor) -> Result<Self, String> {
        if !matches!(tensor.ty(), TensorType::Fp32) {
            return Err(format!("its logits are {:?}; export it with float32 logits", tensor.ty()));
        }
        let width = tensor.dimensions().last().copied().unwrap_or(0) as usize;
        Self::new(tensor.data(), width)
    }

    fn new(bytes: Vec<u8>, width: usize) -> Result<Self, String> {
        if width == 0 || bytes.is_empty() || !bytes.len().is_multiple_of(width * 4) {
            return Err("its logits are empty".to_owned());
        }
        Ok(Self { bytes, width })
    }

    fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = f32> + Clone + '_> + '_ {
        self.bytes.chunks_exact(self.width * 4).map(|row| {
            let (numbers, _) = row.as_chunks::<4>();
            numbers.iter().map(|bytes| f32::from_le_bytes(*bytes))
        })
    }

    /// By row, the token that it is most for; of equals the first.
    pub fn best(&self) -> Vec<u32> {
        self.rows()
            .map(|row| {
                let mut best = (f32::NEG_INFINITY, 0);
                for (token, logit) in row.enumerate() {
                    if logit > best.0 {
                        best = (logit, token);
                    }
                }
                best.1 as u32
            })
            .collect()
    }

    /// The `count` best ways on from rows with these scores, the best first.
    pub fn best_of(&self, scores: &[f32], count: usize) -> Vec<Candidate> {
        let mut best: Vec<Candidate> = Vec::with_capacity(count + 1);
        for (row, (logits, score)) in self.rows().zip(scores).enumerate() {
            let highest = logits.clone().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = logits.clone().map(|logit| (logit - highest).exp()).sum();
            let all = sum.ln();
            for (token, logit) in logits.enumerate() {
                let score = logit - highest - all + score;
                if best.len() < count || best.last().is_some_and(|last| score > last.score) {
                    let place = best.partition_point(|other| other.score >= score);
                    best.insert(place, Candidate { score, row, token: token as u32 });
                    best.truncate(count);
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(rows: &[&[f32]]) -> Logits {
        let bytes = rows.iter().flat_map(|row| row.iter().flat_map(|logit| logit.to_le_bytes())).collect();
        Logits::new(bytes, rows[0].len()).expect("logits")
    }

    #[test]
    fn the_first_of_equals_is_the_best() {
        assert_eq!(logits(&[&[0.0, 3.0, -1.0, 3.0], &[9.0, 3.0, -1.0, 3.0]]).best(), [1, 0]);
        assert_eq!(logits(&[&[f32::NAN, f32::NEG_INFINITY]]).best(), [0]);
    }

    #[test]
    fn scores_are_logarithms_of_likelihoods_over_all_rows() {
        let half = 0.5_f32.ln();
        let found = logits(&[&[7.0, 7.0, -90.0], &[-90.0, 5.0, 5.0]]).best_of(&[0.0, -1.0], 3);
        let expected = [(half, 0, 0), (half, 0, 1), (half - 1.0, 1, 1)];
        for (candidate, (score, row, token)) in found.iter().zip(expected) {
            assert!((candidate.score - score).abs() < 1e-6, "{found:?}");
            assert_eq!((candidate.row, candidate.token), (row, token));
        }
        assert_eq!(found.len(), 3);
    }
}
