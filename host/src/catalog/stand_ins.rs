//! Some of what a caller may not use, which stand in for names that are nowhere: see `lacks`.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use super::{Entry, PromptEntry, ResourceEntry};

/// Hidden ones of each kind that stand in for names that are nowhere. Judging them takes as long as judging all would on average.
const STAND_INS: usize = 64;

/// Bytes of a name by which its stand-in is chosen: a name can have megabytes.
const CHOOSES: usize = 256;

/// Some of what a part does not have of its whole.
#[derive(Default)]
pub(super) struct Hidden {
    pub(super) tools: Vec<Arc<Entry>>,
    pub(super) prompts: Vec<Arc<PromptEntry>>,
    pub(super) resources: Vec<Arc<ResourceEntry>>,
}

impl Hidden {
    /// Some of all that a part does not have.
    pub(super) fn of<'a>(
        tools: impl Iterator<Item = &'a Arc<Entry>>,
        prompts: impl Iterator<Item = &'a Arc<PromptEntry>>,
        resources: impl Iterator<Item = &'a Arc<ResourceEntry>>,
    ) -> Self {
        Self { tools: some(tools), prompts: some(prompts), resources: some(resources) }
    }
}

/// Some of all, of every provider that has many.
fn some<'a, T: 'a>(all: impl Iterator<Item = &'a Arc<T>>) -> Vec<Arc<T>> {
    let all: Vec<&Arc<T>> = all.collect();
    let step = all.len().div_ceil(STAND_INS).max(1);
    all.into_iter().step_by(step).cloned().collect()
}

/// The one that stands in for a name: always the same, so that asking again and again tells no more.
pub(super) fn stand_in<'a, T>(hidden: &'a [Arc<T>], name: &str) -> Option<&'a Arc<T>> {
    let mut hasher = DefaultHasher::new();
    name.as_bytes().get(..name.len().min(CHOOSES)).hash(&mut hasher);
    let place = hasher.finish().checked_rem(u64::try_from(hidden.len()).ok()?)?;
    hidden.get(usize::try_from(place).ok()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_has_one_stand_in_and_names_have_many() {
        let all: Vec<Arc<usize>> = (0..500).map(Arc::new).collect();
        let hidden = some(all.iter());
        assert!((STAND_INS / 2..=STAND_INS).contains(&hidden.len()), "{}", hidden.len());
        let of = |name: &str| **stand_in(&hidden, name).unwrap();
        assert_eq!(of("nothing"), of("nothing"));
        let different: BTreeSet<usize> = (0..200).map(|number| of(&format!("nothing_{number}"))).collect();
        assert!(different.len() > STAND_INS / 3, "{different:?}");
        assert!(*different.first().unwrap() < 100 && *different.last().unwrap() > 400, "of all that there are");
        let _ = (of(""), of(&"x".repeat(1 << 20)), of(&"ä".repeat(1_000)));
        assert_eq!(some(all.iter().take(3)).len(), 3);
        assert!(stand_in::<usize>(&[], "x").is_none());
    }
}
