//! Which lines are logged.

use tracing_subscriber::{
    EnvFilter,
    filter::{LevelFilter, ParseError, Targets},
};

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read the log filter {filter:?} of {origin}: {error}; write a level (error, warn, info, debug, trace, off), or pairs as in `toolbay=debug,warn`"
)]
pub struct FilterError {
    filter: String,
    origin: String,
    error: ParseError,
}

pub(super) fn parse(filter: &str, origin: &str) -> Result<EnvFilter, FilterError> {
    let broken = |error| FilterError { filter: filter.to_owned(), origin: origin.to_owned(), error };
    let text = filter.trim();
    // A bare word that is no level would be taken as the name of a module, and nothing be logged at all.
    if !text.is_empty() && !text.contains(['=', ',', ':', '[']) {
        let level: LevelFilter = text.parse().map_err(|error| broken(ParseError::from(error)))?;
        let directives = match level {
            // rmcp calls it an error when a client hangs up in the middle, which is every day's business and logged by us.
            LevelFilter::INFO => "warn,rmcp=off,toolbay=info".to_owned(),
            level if level > LevelFilter::WARN => format!("warn,toolbay={level}"),
            level => level.to_string(),
        };
        return EnvFilter::builder().parse(directives).map_err(broken);
    }
    EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse(text).map_err(broken)
}

/// The same filter where it looks at nothing but targets and levels, as nearly all do. It decides once for each place in the code; the other one takes locks
/// whenever a span begins, is entered or ends.
pub(super) fn simple(filter: &EnvFilter) -> Option<Targets> {
    let text = filter.to_string();
    if text.contains(['[', '{']) { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_mean_what_they_say() {
        for (filter, meaning) in [
            ("info", "toolbay=info,rmcp=off,warn"),
            (" TRACE ", "toolbay=trace,warn"),
            ("error", "error"),
            ("off", "off"),
            ("toolbay=debug,info", "toolbay=debug,info"),
            ("wasmtime=info", "wasmtime=info"),
            ("", "warn"),
        ] {
            assert_eq!(parse(filter, "test").unwrap().to_string(), meaning, "{filter}");
        }
    }

    #[test]
    fn a_filter_without_spans_and_fields_is_simple() {
        use tracing::Level;
        for (filter, target, level, passes) in [
            ("info", "toolbay::mcp", Level::INFO, true),
            ("info", "toolbay::mcp", Level::DEBUG, false),
            ("info", "rmcp::service", Level::ERROR, false),
            ("info", "hyper", Level::WARN, true),
            ("", "toolbay", Level::WARN, true),
            ("", "toolbay", Level::INFO, false),
            ("off", "toolbay", Level::ERROR, false),
            ("toolbay::wasm=trace", "toolbay::wasm::admission", Level::TRACE, true),
            ("toolbay::wasm", "toolbay::wasm::admission", Level::TRACE, true),
            ("toolbay::wasm=trace", "toolbay::mcp", Level::ERROR, false),
        ] {
            let targets = simple(&parse(filter, "test").unwrap()).unwrap_or_else(|| panic!("{filter}"));
            assert_eq!(targets.would_enable(target, &level), passes, "{filter} {target} {level}");
        }
        for filter in ["[call]=debug", "toolbay[call{id=1}]=trace,warn"] {
            assert!(simple(&parse(filter, "test").unwrap()).is_none(), "{filter}");
        }
    }

    #[test]
    fn a_broken_filter_names_itself_and_shows_a_good_one() {
        for filter in ["loud", "toolbay=loud", "toolbay=debug=info", "verbose "] {
            let error = parse(filter, "TOOLBAY_LOG").unwrap_err().to_string();
            assert!(
                error.contains(&format!("{filter:?}")) && error.contains("TOOLBAY_LOG") && error.contains("toolbay=debug,warn"),
                "{error}"
            );
        }
    }
}
