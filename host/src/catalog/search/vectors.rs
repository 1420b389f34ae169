//! Vectors as whole numbers of eight bits: a quarter of the memory, and several times as fast to compare.
//!
//! A vector of a sentence has hundreds of small numbers, so that what is lost by rounding changes a cosine by less than a hundredth.

use blake3::Hash;

/// The largest number of eight bits that has a negative.
const LARGEST: f32 = 127.0;

/// A direction: a vector of length 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vector {
    numbers: Box<[i8]>,
    /// What one step of the numbers is.
    step: f32,
}

/// Vectors of one model, one for each place.
pub(super) struct Vectors {
    pub(super) version: Hash,
    length: usize,
    numbers: Vec<i8>,
    /// 0: there is no vector at this place.
    steps: Vec<f32>,
}

impl Vector {
    /// The direction of these numbers. None: they have none.
    #[expect(clippy::cast_possible_truncation, reason = "the largest of them becomes 127")]
    pub(super) fn of(numbers: &[f32]) -> Option<Self> {
        let largest = numbers.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
        // By the largest first: squares of very small and very large ones are no numbers any more.
        let norm = numbers.iter().map(|number| (number / largest).powi(2)).sum::<f32>().sqrt();
        let is_one = largest > 0.0 && norm.is_finite();
        let rounded = numbers.iter().map(|number| (number / largest * LARGEST).round() as i8);
        is_one.then(|| Self { numbers: rounded.collect(), step: 1.0 / LARGEST / norm })
    }

    pub(super) fn length(&self) -> usize {
        self.numbers.len()
    }

    /// As bytes, to be kept in a file.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.step.to_le_bytes());
        to.extend(self.numbers.iter().map(|number| number.cast_unsigned()));
    }

    /// From such bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (step, numbers) = bytes.split_first_chunk::<4>()?;
        let step = f32::from_le_bytes(*step);
        let is_one = step.is_finite() && step > 0.0 && !numbers.is_empty();
        is_one.then(|| Self { numbers: numbers.iter().map(|byte| byte.cast_signed()).collect(), step })
    }
}

impl Vectors {
    /// Of these places. Those of another length than the first are left out: they are of another model.
    pub(super) fn new(version: Hash, all: &[Option<Vector>]) -> Self {
        let length = all.iter().flatten().map(Vector::length).next().unwrap_or_default();
        let mut vectors = Self { version, length, numbers: Vec::with_capacity(length * all.len()), steps: Vec::with_capacity(all.len()) };
        for vector in all {
            match vector.as_ref().filter(|vector| vector.length() == length) {
                Some(vector) => {
                    vectors.numbers.extend_from_slice(&vector.numbers);
                    vectors.steps.push(vector.step);
                }
                None => {
                    vectors.numbers.resize(vectors.numbers.len() + length, 0);
                    vectors.steps.push(0.0);
                }
            }
        }
        vectors
    }

    /// The cosine between a vector and that of each place. 0 where there is none.
    pub(super) fn cosines(&self, to: &Vector) -> impl Iterator<Item = f32> {
        let same = if to.length() == self.length { &*to.numbers } else { &[] };
        let rows = self.numbers.chunks_exact(self.length.max(1)).map(Some).chain(std::iter::repeat(None));
        rows.zip(&self.steps).map(move |(row, step)| {
            #[expect(clippy::cast_precision_loss, reason = "it is below 127 * 127 * 1000")]
            row.map_or(0.0, |row| dot(row, same) as f32 * step * to.step)
        })
    }
}

/// In this shape the compiler has one instruction for eight products, each of which has room in 16 bits, on every processor of x86-64 and ARM.
fn dot(a: &[i8], b: &[i8]) -> i32 {
    let product = |(a, b): (&i8, &i8)| i32::from(i16::from(*a) * i16::from(*b));
    let ((blocks, rest), (others, last)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let sum: i32 = blocks.iter().zip(others).map(|(a, b)| a.iter().zip(b).map(product).sum::<i32>()).sum();
    sum + rest.iter().zip(last).map(product).sum::<i32>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(a: &[f32], b: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    proptest! {
        #[test]
        fn a_cosine_is_what_it_is_with_all_digits(
            a in proptest::collection::vec(-1.0_f32..1.0, 384),
            b in proptest::collection::vec(-1.0_f32..1.0, 384),
            scale in 0.001_f32..1000.0,
        ) {
            let scaled: Vec<f32> = b.iter().map(|number| number * scale).collect();
            let (x, y) = (Vector::of(&a).unwrap(), Vector::of(&scaled).unwrap());
            let all = Vectors::new(blake3::hash(b""), &[None, Some(x.clone()), Some(y.clone())]);
            let found: Vec<f32> = all.cosines(&y).collect();
            prop_assert_eq!(found[0], 0.0);
            prop_assert!((found[1] - exact(&a, &b)).abs() < 0.01 && (found[2] - 1.0).abs() < 0.01, "{:?}", found);
            let mut bytes = Vec::new();
            y.write(&mut bytes);
            prop_assert_eq!(Vector::read(&bytes).unwrap(), y);
        }

        #[test]
        fn whatever_a_model_gives_has_a_direction_or_none(numbers in proptest::collection::vec(any::<f32>(), 0..8)) {
            if let Some(vector) = Vector::of(&numbers) {
                let all = Vectors::new(blake3::hash(b""), &[Some(vector.clone())]);
                prop_assert!(all.cosines(&vector).all(|cosine| (0.9..1.1).contains(&cosine)), "{:?}", numbers);
            }
        }
    }

    #[test]
    fn products_are_exact_at_the_ends_of_their_range_and_at_any_length() {
        for length in [0, 1, 15, 16, 17, 100, 384] {
            for (a, b) in [(-128, -128), (127, -128), (127, 127), (-3, 5)] {
                assert_eq!(dot(&vec![a; length], &vec![b; length]), i32::from(a) * i32::from(b) * length as i32);
            }
        }
        assert_eq!(dot(&[1; 40], &[]), 0);
    }

    #[test]
    fn vectors_of_two_lengths_are_not_compared() {
        let (short, long) = (Vector::of(&[1.0, 0.0]).unwrap(), Vector::of(&[1.0, 0.0, 0.0]).unwrap());
        let all = Vectors::new(blake3::hash(b""), &[Some(short.clone()), Some(long.clone())]);
        assert_eq!(all.cosines(&long).collect::<Vec<_>>(), [0.0, 0.0]);
        assert!((all.cosines(&short).next().unwrap() - 1.0).abs() < 0.01);
        assert_eq!(Vectors::new(blake3::hash(b""), &[None, None]).cosines(&short).collect::<Vec<_>>(), [0.0, 0.0]);
        assert!(Vector::of(&[]).is_none() && Vector::of(&[0.0]).is_none() && Vector::of(&[f32::NAN]).is_none());
    }
}
