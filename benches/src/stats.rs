//! Medians and percentiles.

/// The middle value; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values.get(odd / 2).copied().unwrap_or_default(),
        even => values.get(even / 2 - 1..=even / 2).map(|two| two.iter().sum::<f64>() / 2.0).unwrap_or_default(),
    }
}

/// The value that a quarter of them do not exceed: for CPU time, to which whatever else runs on the machine can only add.
pub(crate) fn lower_quartile(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().div_ceil(4).saturating_sub(1)).copied().unwrap_or_default()
}

/// The value that this share of the sorted values does not exceed.
pub(crate) fn percentile(sorted: &[u32], share: f64) -> f64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a slice in memory"
    )]
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(at).copied().map(f64::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middles_and_shares() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
        assert_eq!(lower_quartile((1..=15).rev().map(f64::from).collect()), 4.0);
        assert_eq!((lower_quartile(vec![7.0]), lower_quartile(Vec::new())), (7.0, 0.0));
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!((percentile(&hundred, 0.5), percentile(&hundred, 0.99), percentile(&hundred, 1.0)), (50.0, 99.0, 100.0));
    }
}
