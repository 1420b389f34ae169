//! Which known names are near to one that is not known: every "did you mean" is made here.

/// Bytes of a name that is compared. No tool, plugin or key has a longer one, and comparing costs by the product of the lengths.
const LONGEST: usize = 128;

/// Products of two lengths that one search may come to: some milliseconds.
const WORK: usize = 4 << 20;

/// How alike two names are at least, from 0 to 1, so that one may have been meant by the other.
const ALIKE: f64 = 0.8;

/// Whether a name may be compared at all. Who compares by a measure of their own asks first.
pub(crate) fn comparable(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST
}

/// The name that was most likely meant.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    near(wrong, names, 1).pop()
}

/// The end of a sentence on an unknown name: the one that was most likely meant, or nothing.
pub(crate) fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, names).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

/// The names that may have been meant, the likeliest first, at most `most` of them.
pub(crate) fn near<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    if !comparable(wrong) {
        return Vec::new();
    }
    let mut left = WORK;
    let mut found: Vec<(f64, &str)> = Vec::new();
    for name in names.into_iter().filter(|name| comparable(name)) {
        let Some(rest) = left.checked_sub(wrong.len() * name.len()) else { break };
        left = rest;
        let score = match name.strip_suffix(wrong) {
            // The bare name of what is published qualified.
            Some(provider) if provider.ends_with("__") => 1.0,
            _ => strsim::jaro_winkler(wrong, name),
        };
        if score >= ALIKE {
            found.push((score, name));
        }
    }
    found.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
    found.truncate(most);
    found.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_likeliest_comes_first() {
        let names = ["subtract", "add", "adder", "weather__ad"];
        assert_eq!(near("ad", names, 3), ["weather__ad", "add", "adder"]);
        assert_eq!(nearest("substract", names), Some("subtract"));
        assert_eq!(nearest("translate", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn a_name_that_is_longer_than_any_is_compared_with_none() {
        let looked_at = Cell::new(0);
        let names = ["add"; 100].into_iter().inspect(|_| looked_at.set(looked_at.get() + 1));
        assert_eq!(nearest(&"a".repeat(4 << 20), names), None);
        assert_eq!(looked_at.get(), 0, "its length is looked at first");
    }

    #[test]
    fn one_search_ends_whatever_the_number_of_names() {
        let looked_at = Cell::new(0);
        let long = "n".repeat(LONGEST);
        let names = std::iter::repeat_n(long.as_str(), 1_000_000).inspect(|_| looked_at.set(looked_at.get() + 1));
        assert!(near(&"m".repeat(LONGEST), names, 3).is_empty());
        assert!(looked_at.get() < 1_000, "{}", looked_at.get());
    }
}
