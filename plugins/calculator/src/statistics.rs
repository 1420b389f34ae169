//! What a list of numbers comes to.

use crate::{Summary, finite};

/// Counts, sums and orders the numbers. There must be at least one.
pub fn summary(mut numbers: Vec<f64>) -> Result<Summary, String> {
    numbers.sort_unstable_by(f64::total_cmp);
    let (Some(&minimum), Some(&maximum)) = (numbers.first(), numbers.last()) else {
        return Err("there are no numbers: give at least one".into());
    };
    let count = u32::try_from(numbers.len()).map_err(|_| "there are too many numbers")?;
    let size = f64::from(count);
    let sum = finite(numbers.iter().sum())?;
    let mean = sum / size;
    let middle = numbers.len() / 2;
    let median = if count % 2 == 1 { numbers[middle] } else { numbers[middle - 1] / 2.0 + numbers[middle] / 2.0 };
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    let standard_deviation = (count > 1).then(|| finite((squares / (size - 1.0)).sqrt())).transpose()?;
    Ok(Summary { count, sum, mean, median, minimum, maximum, standard_deviation })
}
