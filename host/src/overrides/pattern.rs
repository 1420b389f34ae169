//! Patterns in `rename`: what a name that fits becomes.

use std::collections::BTreeMap;

/// What each `*` of the pattern stands for. None: the name does not fit, as [`fits`](crate::wildcard::fits) says.
fn captures<'a>(name: &'a str, pattern: &str) -> Option<Vec<&'a str>> {
    let Some((head, rest)) = pattern.split_once('*') else { return (name == pattern).then(Vec::new) };
    let mut left = name.strip_prefix(head)?;
    let mut found = Vec::new();
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            found.push(left.strip_suffix(part)?);
            break;
        }
        // The first place where a part fits leaves the most for those behind it.
        let (stars, behind) = left.split_once(part)?;
        found.push(stars);
        left = behind;
    }
    Some(found)
}

/// The new name that a table of own names and patterns gives. A name itself goes before patterns, and of these the one with the most
/// characters that are no `*`.
pub(super) fn renamed(own: &str, rename: &BTreeMap<String, String>) -> Option<String> {
    if let Some(name) = rename.get(own) {
        return Some(name.clone());
    }
    let fitting = rename.iter().filter_map(|(pattern, name)| Some((pattern, name, captures(own, pattern)?)));
    let literal = |pattern: &str| pattern.len() - pattern.matches('*').count();
    // The first of several that say as much, in the order of their names.
    let (_, name, found) = fitting.rev().max_by_key(|(pattern, ..)| literal(pattern))?;
    let mut found = found.into_iter();
    let mut parts = name.split('*');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(found.next().unwrap_or_default());
        out.push_str(part);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wildcard::fits;

    #[test]
    fn a_pattern_keeps_what_its_stars_stand_for() {
        let table = |list: &[(&str, &str)]| list.iter().map(|(own, new)| ((*own).to_owned(), (*new).to_owned())).collect();
        let rename: BTreeMap<String, String> = table(&[
            ("github_*", "gh_*"),
            ("github_get_*", "get_*_of_gh"),
            ("github_get_me", "whoami"),
            ("*_v1", "old_*"),
            ("a*b*c", "*-*"),
        ]);
        for (own, want) in [
            ("github_list", Some("gh_list")),
            ("github_get_repo", Some("get_repo_of_gh")),
            ("github_get_me", Some("whoami")),
            ("list_v1", Some("old_list")),
            ("aXbYc", Some("X-Y")),
            ("other", None),
        ] {
            assert_eq!(renamed(own, &rename).as_deref(), want, "{own}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_that_is_its_own_new_name_changes_nothing(name in "[ab]{0,8}", pattern in "[ab*]{1,6}") {
            let rename = BTreeMap::from([(pattern.clone(), pattern.clone())]);
            match renamed(&name, &rename) {
                Some(new) => prop_assert!(new == name && fits(&name, &pattern)),
                None => prop_assert!(!fits(&name, &pattern)),
            }
        }
    }
}
