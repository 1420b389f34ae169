//! Which names in the folder count, and what they stand for.

use crate::provider::ProviderId;

/// The configuration file of the host itself, which may lie in the plugins folder and is no sidecar of a `toolbay.wasm`.
const HOST_CONFIG: &str = "toolbay.toml";

/// What a file is by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    /// `NAME.wasm`.
    Plugin(&'a str),
    /// `NAME.toml`.
    Sidecar(&'a str),
}

/// Reads a file's name. None: nothing of ours. Hidden files and the names that copying tools and editors use for the time being (`.x.wasm.tmp`,
/// `x.wasm~`, `x.wasm.part`, `x.wasm.crdownload`) all fall under that, since they start with a dot or end in something else.
pub(super) fn role(name: &str) -> Option<Role<'_>> {
    if name.starts_with('.') || name == HOST_CONFIG {
        return None;
    }
    if let Some(stem) = name.strip_suffix(".wasm") {
        return Some(Role::Plugin(stem));
    }
    name.strip_suffix(".toml").map(Role::Sidecar)
}

/// The provider's name, or a sentence that says why there is none and what to do.
pub(super) fn provider_id(stem: &str) -> Result<ProviderId, String> {
    ProviderId::new(stem).map_err(|error| match suggestion(stem) {
        Some(better) => format!("{error}; rename the file, to {better}.wasm for example"),
        None => format!("{error}; rename the file"),
    })
}

/// The nearest name that is allowed.
fn suggestion(stem: &str) -> Option<ProviderId> {
    let mut name = String::with_capacity(stem.len());
    for c in stem.chars().flat_map(char::to_lowercase) {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.') { c } else { '-' };
        // Never two separators in a row: `__` is not allowed, and `--` is what several odd characters would become.
        if c.is_ascii_alphanumeric() || name.chars().next_back().is_some_and(|last| last.is_ascii_alphanumeric()) {
            name.push(c);
        }
    }
    name.truncate(64);
    ProviderId::new(name.trim_end_matches(['-', '_', '.'])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wasm_and_toml_files_count() {
        assert_eq!(role("weather.wasm"), Some(Role::Plugin("weather")));
        assert_eq!(role("weather.toml"), Some(Role::Sidecar("weather")));
        for name in
            [".x.wasm", ".x.wasm.tmp", "x.wasm~", "x.wasm.part", "x.crdownload", "x.cwasm", "toolbay.toml", ".wasm", "wasm", "#x.wasm#"]
        {
            assert_eq!(role(name), None, "{name}");
        }
    }

    #[test]
    fn a_bad_name_gets_the_rule_and_a_better_name() {
        let message = provider_id("My  Tool (2)").unwrap_err();
        assert!(message.contains("starting with a letter or a digit"), "{message}");
        assert!(message.ends_with("rename the file, to my-tool-2.wasm for example"), "{message}");
        assert!(provider_id("a__b").unwrap_err().contains("to a_b.wasm"));
        assert!(provider_id(&"x".repeat(80)).unwrap_err().contains(&format!("to {}.wasm", "x".repeat(64))));
        assert!(provider_id("天気").unwrap_err().ends_with("; rename the file"));
        assert_eq!(provider_id("weather-2").unwrap().as_str(), "weather-2");
    }
}
