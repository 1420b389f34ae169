//! The name of a server here, from the one that it has in another program's file.

use crate::provider::ProviderId;

/// Characters of a name before what tells it from others.
const STEM: usize = 48;

/// A name as a provider can have it: `Brave Search` is `brave-search`, `microsoft/markitdown` is
/// `microsoft-markitdown`. What has no letter or digit of ASCII is called by a digest of its name.
pub(super) fn safe(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for c in name.trim().to_lowercase().chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
        // Two of `_` part a provider's name from a tool's.
        let is_doubled = matches!(c, '_' | '-') && safe.ends_with(c);
        if !is_doubled {
            safe.push(c);
        }
    }
    let safe = safe.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).trim_end_matches('-');
    if safe.is_empty() {
        return format!("server-{}", digest(name));
    }
    if ProviderId::new(safe).is_ok() { safe.to_owned() } else { unlike(safe, name, |_| false) }
}

/// Another name for what would be called like something else. It stays the same from start to start.
pub(super) fn unlike(safe: &str, name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let stem: String = safe.chars().take(STEM).collect();
    let other = format!("{}-{}", stem.trim_end_matches(['-', '_']), digest(name));
    let mut unique = other.clone();
    let mut number = 2;
    while is_taken(&unique) {
        unique = format!("{other}-{number}");
        number += 1;
    }
    unique
}

/// Whether the one name no longer tells what the other said.
pub(super) fn says_nothing(name: &str, safe: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
    letters(name) > name.chars().filter(char::is_ascii_alphanumeric).count() || safe.len() < name.len().min(STEM) / 2
}

fn digest(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex().chars().take(6).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_stays_what_it_was_as_far_as_it_can() {
        for (name, want) in [
            ("Brave Search", "brave-search"),
            ("microsoft/markitdown", "microsoft-markitdown"),
            ("__x__y__", "x_y_"),
            ("@scope/pkg", "scope-pkg"),
            ("天气 weather", "weather"),
            ("A.b_C", "a.b_c"),
        ] {
            assert_eq!(safe(name), want);
        }
        assert_eq!(safe("寸止"), safe("寸止"));
        assert_ne!(safe("寸止"), safe("止寸"));
        assert!(
            safe("寸止").starts_with("server-") && says_nothing("寸止", &safe("寸止")) && !says_nothing("Brave Search", "brave-search")
        );
        assert_ne!(safe(&"a".repeat(100)), safe(&"a".repeat(101)));
    }

    proptest! {
        #[test]
        fn any_name_gets_one_that_a_provider_can_have(name in ".{0,200}") {
            prop_assert!(ProviderId::new(safe(&name)).is_ok(), "{name:?}: {:?}", safe(&name));
            prop_assert!(ProviderId::new(unlike(&safe(&name), &name, |_| false)).is_ok());
        }
    }
}
