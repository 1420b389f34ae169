//! Names: WIT's kebab-case on one side, the published snake_case on the other.
//!
//! `-` becomes `_` and nothing else changes (`get-URL` → `get_URL`), because `_` reads as one word in every language that models write. No two names of
//! one type can fall together: a WIT name has no `_` in it.

use crate::similar;

/// One name of a field, parameter, case or flag.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Name {
    /// As WIT has it.
    pub(super) wit: Box<str>,
    /// As it is published.
    pub(super) json: Box<str>,
    /// What the author says of it.
    pub(super) doc: Option<Box<str>>,
}

/// The names of one record, enum, variant or flags type, or of a function's parameters, in their order, and what the author says of the whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Names {
    list: Box<[Name]>,
    /// Positions in `list`, sorted by published name. Empty where there are so few that looking at each is faster.
    sorted: Box<[u32]>,
    /// What the author says of the type.
    pub(super) doc: Option<Box<str>>,
}

/// Up to here every name is compared; from here on by halves.
const FEW: usize = 8;

/// The published form of a WIT name.
pub(super) fn published(wit: &str) -> String {
    wit.replace('-', "_")
}

impl Names {
    /// Takes WIT names, in their order.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let list: Box<[Name]> =
            names.into_iter().map(|wit| Name { wit: wit.into(), json: published(wit).into_boxed_str(), doc: None }).collect();
        let mut sorted: Vec<u32> = Vec::new();
        if list.len() > FEW {
            let mut order: Vec<(u32, &Name)> = (0..).zip(list.iter()).collect();
            order.sort_unstable_by(|a, b| a.1.json.cmp(&b.1.json));
            sorted = order.into_iter().map(|(position, _)| position).collect();
        }
        Self { list, sorted: sorted.into_boxed_slice(), doc: None }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// All, in their order.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Name> {
        self.list.iter()
    }

    /// All, to add what the author says of them.
    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Name> {
        self.list.iter_mut()
    }

    /// The one at a position.
    pub(super) fn get(&self, position: usize) -> Option<&Name> {
        self.list.get(position)
    }

    /// Where a published name stands.
    pub(super) fn find(&self, json: &str) -> Option<usize> {
        if self.sorted.is_empty() {
            return self.list.iter().position(|name| &*name.json == json);
        }
        self.halve(|name| (*name.json).cmp(json))
    }

    /// Where a WIT name stands.
    pub(super) fn find_wit(&self, wit: &str) -> Option<usize> {
        if self.sorted.is_empty() {
            return self.list.iter().position(|name| &*name.wit == wit);
        }
        let as_published = |byte: u8| if byte == b'-' { b'_' } else { byte };
        self.halve(|name| name.json.bytes().cmp(wit.bytes().map(as_published)))
    }

    fn halve(&self, mut compare: impl FnMut(&Name) -> std::cmp::Ordering) -> Option<usize> {
        let less = std::cmp::Ordering::Less;
        let found = self.sorted.binary_search_by(|&at| self.list.get(at as usize).map_or(less, &mut compare)).ok()?;
        self.sorted.get(found).map(|&at| at as usize)
    }

    /// The published name that is most like one that is none.
    pub(super) fn nearest(&self, wrong: &str) -> Option<&str> {
        if !similar::comparable(wrong) {
            return None;
        }
        let wrong = published(wrong).to_lowercase();
        let names = self.list.iter().filter(|name| similar::comparable(&name.json)).take(1000);
        let nearest = names.map(|name| (strsim::damerau_levenshtein(&wrong, &name.json.to_lowercase()), &*name.json));
        let (distance, name) = nearest.min_by_key(|(distance, _)| *distance)?;
        (distance <= (wrong.len() / 3).max(1)).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_both_forms_whatever_the_number() {
        for count in [1, 8, 9, 40] {
            let wit: Vec<String> = (0..count).map(|i| format!("n{}-x{i}", i % 3)).collect();
            let names = Names::new(wit.iter().map(String::as_str));
            for (position, name) in wit.iter().enumerate() {
                assert_eq!(names.find_wit(name), Some(position));
                assert_eq!(names.find(&published(name)), Some(position));
            }
            assert_eq!(names.find("n"), None);
            assert_eq!(names.find_wit("zz"), None);
        }
    }

    #[test]
    fn the_nearest_name_is_one_that_could_have_been_meant() {
        let names = Names::new(["latitude", "longitude"]);
        assert_eq!(names.nearest("latitud"), Some("latitude"));
        assert_eq!(names.nearest("Longitude"), Some("longitude"));
        assert_eq!(names.nearest("city"), None);
    }
}
