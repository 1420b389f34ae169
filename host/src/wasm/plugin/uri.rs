//! Whether text is an absolute URI (RFC 3986) or a URI template (RFC 6570).

use url::Url;

/// Whether a resource can be addressed by it.
///
/// # Errors
///
/// One sentence that says what is wrong with it.
pub(super) fn absolute(uri: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    if let Some(c) = uri.chars().find(|c| !allowed(*c)) {
        return Err(format!("it has {c:?} in it, which a URI writes as %XX"));
    }
    percent(uri)?;
    Url::parse(uri).map(|_| ()).map_err(|error| format!("it is not an absolute URI: {error}"))
}

/// Whether it is a template.
///
/// # Errors
///
/// One sentence that says what is wrong with it.
pub(super) fn template(text: &str) -> Result<(), String> {
    let mut rest = text;
    loop {
        let (literal, expression) = match rest.split_once('{') {
            Some((literal, more)) => (literal, Some(more)),
            None => (rest, None),
        };
        let refused = |c: &char| c.is_control() || " \"'<>\\^`|}".contains(*c);
        if let Some(c) = literal.chars().find(refused) {
            return Err(format!("it is not a URI template (RFC 6570): it has {c:?} outside of an expression"));
        }
        percent(literal)?;
        let Some(expression) = expression else { return Ok(()) };
        let Some((expression, more)) = expression.split_once('}') else {
            return Err("it is not a URI template (RFC 6570): a `{` is not closed".to_owned());
        };
        let variables = expression.strip_prefix(['+', '#', '.', '/', ';', '?', '&']).unwrap_or(expression);
        if let Some(variable) = variables.split(',').find(|variable| !is_variable(variable)) {
            return Err(format!("it is not a URI template (RFC 6570): {variable:?} in {{{expression}}} is not a variable"));
        }
        rest = more;
    }
}

/// A name, with what says how much of it is taken: `id`, `id:3`, `id*`.
fn is_variable(text: &str) -> bool {
    let name = match text.split_once(':') {
        Some((name, length)) => {
            let digits = length.len() <= 4 && !length.starts_with('0') && !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
            if !digits {
                return false;
            }
            name
        }
        None => text.strip_suffix('*').unwrap_or(text),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '%');
    name.split('.').all(|part| !part.is_empty() && part.chars().all(allowed) && percent(part).is_ok())
}

/// Each `%` has two hexadecimal digits after it.
fn percent(text: &str) -> Result<(), String> {
    let encoded = |after: &str| after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    if text.split('%').skip(1).all(encoded) { Ok(()) } else { Err("it has a % without two hexadecimal digits after it".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_uris_of_any_scheme_are_taken() {
        for uri in
            ["test://static-text", "file:///a/b.txt", "urn:isbn:0451450523", "note:1", "https://a.example/x?y=%20#z", "a+b.c-d://[::1]/"]
        {
            assert_eq!(absolute(uri), Ok(()), "{uri}");
        }
    }

    #[test]
    fn what_is_no_absolute_uri_is_told() {
        for (uri, word) in [
            ("", "not an absolute URI"),
            ("notes/1", "not an absolute URI"),
            ("//host/x", "not an absolute URI"),
            ("1a:x", "not an absolute URI"),
            ("test://a b", "' '"),
            ("test://a/{id}", "'{'"),
            ("test://ä", "'ä'"),
            ("test://a/%2", "%"),
            (" test://a", "' '"),
        ] {
            let error = absolute(uri).unwrap_err();
            assert!(error.contains(word), "{uri}: {error}");
        }
    }

    #[test]
    fn templates_of_all_four_levels_are_taken() {
        for text in ["test://template/{id}/data", "x{+path}{#a,b}", "a{.x}{/y,z*}{;p}{?q:30,r*}{&s}", "plain:text", "é:{a.b_c%20d}"] {
            assert_eq!(template(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        for text in [
            "a{",
            "a}",
            "a{}",
            "a{b{c}}",
            "{=x}",
            "{!x}",
            "{a b}",
            "{a,}",
            "{a..b}",
            "{a:}",
            "{a:0}",
            "{a:10000}",
            "{a:1*}",
            "a b",
            "%x",
            "{%x}",
        ] {
            assert!(template(text).is_err(), "{text}");
        }
    }
}
