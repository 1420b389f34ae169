//! Whether a URI fits a template of RFC 6570, levels 1 to 3.
//!
//! Expansion loses where one value ends and the next begins, so this asks only whether some values give the URI. It is lenient where clients are: values
//! need not be percent-encoded. The time is the product of both lengths at worst, whatever an attacker sends.

/// Longer URIs match no template. What browsers and servers commonly take.
const MAX_URI: usize = 8 << 10;

/// Variables of one path expression that are counted; RFC 6570 sets no limit, and nobody writes this many.
const MAX_SEGMENTS: usize = 32;

/// Whether a URI fits a template. Nothing fits a text that is no template.
#[must_use]
pub fn fits_template(uri: &str, template: &str) -> bool {
    Template::parse(template).is_ok_and(|template| template.matches(uri))
}

/// A template, parsed.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Literal(String),
    /// `{var}`: something without `/`, `?` and `#`.
    Simple,
    /// `{+var}`: something.
    Reserved,
    /// `{#var}`, `{.var}`, `{;var}`, `{?var}`, `{&var}`: nothing, or this character and what may follow it.
    Optional(u8),
    /// `{/var}`: up to so many segments of a path; any number for `{/var*}`.
    Path(Option<usize>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (literal, after) = rest.split_once('{').unwrap_or((rest, ""));
            if literal.contains('}') {
                return Err("a \"}\" without its \"{\"");
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            if literal.len() == rest.len() {
                break;
            }
            let (expression, after) = after.split_once('}').ok_or("a \"{\" without its \"}\"")?;
            parts.push(Part::parse(expression)?);
            rest = after;
        }
        Ok(Self { parts })
    }

    /// Bytes that a URI has to have literally: the more, the more special the template.
    pub(super) fn literals(&self) -> usize {
        self.parts.iter().map(|part| if let Part::Literal(literal) = part { literal.len() } else { 0 }).sum()
    }

    pub(super) fn matches(&self, uri: &str) -> bool {
        if let Some(Part::Literal(literal)) = self.parts.first()
            && !uri.starts_with(literal.as_str())
        {
            return false;
        }
        if uri.len() > MAX_URI {
            return false;
        }
        // The places in the URI that the parts so far can lead to.
        let mut places = vec![false; uri.len() + 1];
        if let Some(start) = places.first_mut() {
            *start = true;
        }
        for part in &self.parts {
            places = part.step(&places, uri.as_bytes());
            if !places.contains(&true) {
                return false;
            }
        }
        places.last() == Some(&true)
    }
}

impl Part {
    fn parse(expression: &str) -> Result<Self, &'static str> {
        let (operator, variables) = match expression.as_bytes().first() {
            None => return Err("an expression without a variable"),
            Some(operator @ (b'+' | b'#' | b'.' | b'/' | b';' | b'?' | b'&')) => (Some(*operator), expression.get(1..).unwrap_or_default()),
            Some(b'=' | b',' | b'!' | b'@' | b'|') => return Err("an operator that is reserved"),
            Some(_) => (None, expression),
        };
        let (mut count, mut exploded) = (0, false);
        for variable in variables.split(',') {
            let name = variable.strip_suffix('*').inspect(|_| exploded = true).unwrap_or(variable);
            let name = name.split_once(':').map_or(name, |(name, _)| name);
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'%' | b'-')) {
                return Err("a variable's name is not of letters, digits, '_' and '.'");
            }
            count += 1;
        }
        Ok(match operator {
            None => Self::Simple,
            Some(b'+') => Self::Reserved,
            Some(b'/') => Self::Path((!exploded && count <= MAX_SEGMENTS).then_some(count)),
            Some(operator) => Self::Optional(operator),
        })
    }

    /// Where this part leads from these places.
    fn step(&self, from: &[bool], uri: &[u8]) -> Vec<bool> {
        match self {
            Self::Literal(literal) => after(from, uri, literal.as_bytes()),
            Self::Simple => some(from, uri, in_segment),
            Self::Reserved => some(from, uri, |_| true),
            Self::Optional(first) => {
                let begun = after(from, uri, &[*first]);
                let more = match first {
                    b'#' => some(&begun, uri, |_| true),
                    b'?' | b'&' => some(&begun, uri, |byte| byte != b'#'),
                    _ => some(&begun, uri, in_segment),
                };
                either(&either(from, &begun), &more)
            }
            Self::Path(None) => {
                let begun = after(from, uri, b"/");
                let more = some(&begun, uri, |byte| !matches!(byte, b'?' | b'#'));
                either(&either(from, &begun), &more)
            }
            Self::Path(Some(segments)) => {
                let (mut all, mut last) = (from.to_vec(), from.to_vec());
                for _ in 0..*segments {
                    last = some(&after(&last, uri, b"/"), uri, in_segment);
                    all = either(&all, &last);
                }
                all
            }
        }
    }
}

fn in_segment(byte: u8) -> bool {
    !matches!(byte, b'/' | b'?' | b'#')
}

/// The places behind this text.
fn after(from: &[bool], uri: &[u8], text: &[u8]) -> Vec<bool> {
    let mut to = vec![false; from.len()];
    for (at, _) in from.iter().enumerate().filter(|(_, marked)| **marked) {
        if uri.get(at..).is_some_and(|rest| rest.starts_with(text))
            && let Some(place) = to.get_mut(at + text.len())
        {
            *place = true;
        }
    }
    to
}

/// The places behind one or more of these bytes.
fn some(from: &[bool], uri: &[u8], allowed: impl Fn(u8) -> bool) -> Vec<bool> {
    let (mut to, mut on) = (Vec::with_capacity(from.len()), false);
    to.push(false);
    for (marked, byte) in from.iter().zip(uri) {
        on = (on || *marked) && allowed(*byte);
        to.push(on);
    }
    to
}

fn either(a: &[bool], b: &[bool]) -> Vec<bool> {
    a.iter().zip(b).map(|(a, b)| *a || *b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_what_they_expand_to_and_nothing_else() {
        for (template, good, bad) in [
            (
                "test://template/{id}/data",
                &["test://template/1/data", "test://template/a%2Fb@c/data"][..],
                &[
                    "test://template//data",
                    "test://template/1/2/data",
                    "test://template/1/data/",
                    "test://template/1?x/data",
                    "test://template/1",
                    "TEST://template/1/data",
                ][..],
            ),
            ("x://{a}-{b}", &["x://1-2", "x://1-2-3", "x://---"], &["x://-2", "x://1", "x://1-"]),
            ("x://{a,b}", &["x://1,2", "x://1"], &["x://", "x://1/2"]),
            ("file:///{+path}", &["file:///a", "file:///a/b?c#d"], &["file:///", "file://a"]),
            ("x://h{/a,b}", &["x://h", "x://h/1", "x://h/1/2"], &["x://h/1/2/3", "x://h/", "x://h1"]),
            ("x://h{/a*}", &["x://h", "x://h/1/2/3"], &["x://h/1?q"]),
            ("x://h{?q,r}", &["x://h", "x://h?q=1&r=/2", "x://h?"], &["x://h&q=1", "x://h?q#f"]),
            ("x://h?a=1{&q}", &["x://h?a=1", "x://h?a=1&q=2"], &["x://h?a=12"]),
            ("x://h{;q}{.ext}{#f}", &["x://h", "x://h;q=1.png#top/1", "x://h.tar.gz"], &["x://h/1"]),
            ("x://{v:3}", &["x://abc"], &["x://"]),
            ("x://plain", &["x://plain"], &["x://plain1", "x://plai", ""]),
            ("x://ü/{a}", &["x://ü/ö"], &["x://u/ö"]),
        ] {
            let parsed = Template::parse(template).unwrap();
            for uri in good {
                assert!(parsed.matches(uri), "{template} should match {uri}");
            }
            for uri in bad {
                assert!(!parsed.matches(uri), "{template} should not match {uri}");
            }
        }
        for broken in ["x://{", "x://}", "x://{}", "x://{a", "x://{a b}", "x://{=a}", "x://{a,}", "x://{+}"] {
            assert!(Template::parse(broken).is_err(), "{broken}");
        }
        assert_eq!(Template::parse("ab{c}d{/e}").unwrap().literals(), 3);
    }

    #[test]
    fn a_hostile_uri_costs_no_more_than_its_length() {
        let template = Template::parse(&format!("x://{}", "{a}-".repeat(50))).unwrap();
        let start = std::time::Instant::now();
        assert!(!template.matches(&format!("x://{}!", "-".repeat(MAX_URI - 100))));
        assert!(!template.matches(&format!("x://{}", "-".repeat(100 * MAX_URI))));
        assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    }
}
