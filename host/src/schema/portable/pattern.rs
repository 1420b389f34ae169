//! Regular expressions in the dialect that JavaScript (with its `u` flag), Python's `re` and Rust's `regex` have in common.
//!
//! Readers compile a schema's patterns when they read the list, and throw where they cannot. So an author's pattern is read here as
//! loosely as the common engines read it, and written again by the strictest rules of all: `\-` and `\_` lose their backslash,
//! `\Z` is `$`, a named group is a plain one. What not all have (look-around, back-references, flags, `\p{…}`) is refused.

use std::{iter::Peekable, str::Chars};

/// Longest pattern that is read.
const MAX_PATTERN: usize = 2000;

/// Most repetitions that a quantifier may ask for: Rust's engine writes each one out.
const MAX_REPEAT: u32 = 1000;

/// Bytes that a compiled pattern may take in Rust's engine, as pydantic and others use it; its own default is ten times that.
const MAX_COMPILED: usize = 1 << 20;

/// Characters with a meaning outside of classes.
const SYNTAX: &str = "\\^$.*+?()[]{}|/";

/// The same pattern in the common dialect. None: it cannot be said there.
#[must_use]
pub(super) fn portable(pattern: &str) -> Option<String> {
    if pattern.len() > MAX_PATTERN {
        return None;
    }
    let mut reader = Reader { rest: pattern.chars().peekable(), out: String::with_capacity(pattern.len()), groups: 0 };
    reader.all()?;
    let built = regex::RegexBuilder::new(&reader.out).size_limit(MAX_COMPILED).build();
    built.is_ok().then_some(reader.out)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    groups: usize,
}

/// What a quantifier would repeat.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Atom,
    Quantifier,
}

/// What an escape stands for.
enum Escaped {
    Char(char),
    /// `\d` and the like.
    Class(char),
    /// `\b`, `^`, `$` and the like.
    Anchor(&'static str),
}

impl Reader<'_> {
    fn all(&mut self) -> Option<()> {
        let mut before = Before::Nothing;
        while let Some(c) = self.rest.next() {
            before = match c {
                '\\' => match self.escape(false)? {
                    Escaped::Char(c) => self.literal(c),
                    Escaped::Class(c) => self.class_escape(c),
                    Escaped::Anchor(text) => {
                        self.out.push_str(text);
                        Before::Nothing
                    }
                },
                '[' => self.class()?,
                '(' => self.open()?,
                ')' => {
                    self.groups = self.groups.checked_sub(1)?;
                    self.out.push(')');
                    Before::Atom
                }
                '^' | '$' | '|' => {
                    self.out.push(c);
                    Before::Nothing
                }
                '*' | '+' | '?' => self.quantifier(before, &c.to_string())?,
                '{' => match self.braces() {
                    Some(text) => self.quantifier(before, &text?)?,
                    None => self.literal('{'),
                },
                '.' => {
                    self.out.push('.');
                    Before::Atom
                }
                c => self.literal(c),
            };
        }
        (self.groups == 0).then_some(())
    }

    fn literal(&mut self, c: char) -> Before {
        if c.is_ascii_control() {
            self.out.push_str(&format!("\\x{:02x}", u32::from(c)));
        } else {
            if SYNTAX.contains(c) && c != '/' {
                self.out.push('\\');
            }
            self.out.push(c);
        }
        Before::Atom
    }

    fn class_escape(&mut self, c: char) -> Before {
        self.out.push('\\');
        self.out.push(c);
        Before::Atom
    }

    fn quantifier(&mut self, before: Before, text: &str) -> Option<Before> {
        match before {
            Before::Atom => self.out.push_str(text),
            // Only the lazy form may follow another one.
            Before::Quantifier if text == "?" && !self.out.ends_with("??") => self.out.push('?'),
            Before::Nothing | Before::Quantifier => return None,
        }
        Some(Before::Quantifier)
    }

    /// `{2}`, `{2,}`, `{2,3}` or Python's `{,3}`, after the brace. The outer None: it is a brace and nothing more; the inner: too many.
    fn braces(&mut self) -> Option<Option<String>> {
        let mut ahead = self.rest.clone();
        let mut text = String::new();
        loop {
            match ahead.next()? {
                '}' => break,
                c if (c.is_ascii_digit() || c == ',') && text.len() < 20 => text.push(c),
                _ => return None,
            }
        }
        let (least, most) = match text.split_once(',') {
            None if text.is_empty() => return None,
            None => (&*text, None),
            Some((_, most)) if most.contains(',') => return None,
            Some(("", "")) => return None,
            Some((least, most)) => (if least.is_empty() { "0" } else { least }, Some(most)),
        };
        self.rest = ahead;
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= MAX_REPEAT);
        Some((|| {
            let least = number(least)?;
            Some(match most {
                None => format!("{{{least}}}"),
                Some("") => format!("{{{least},}}"),
                Some(most) => {
                    let most = number(most).filter(|most| *most >= least)?;
                    format!("{{{least},{most}}}")
                }
            })
        })())
    }

    /// What may follow an opening parenthesis: nothing, `?:`, or a name that is dropped.
    fn open(&mut self) -> Option<Before> {
        self.groups += 1;
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_some() {
            let named = self.rest.next_if_eq(&'P').is_some();
            match self.rest.next()? {
                ':' if !named => self.out.push_str("?:"),
                '<' => {
                    let first = self.rest.next()?;
                    if !(first.is_ascii_alphabetic() || first == '_') {
                        return None;
                    }
                    while self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_').is_some() {}
                    self.rest.next_if_eq(&'>')?;
                }
                _ => return None,
            }
        }
        Some(Before::Nothing)
    }

    /// What follows a backslash.
    fn escape(&mut self, in_class: bool) -> Option<Escaped> {
        Some(match self.rest.next()? {
            c @ ('d' | 'D' | 'w' | 'W' | 's' | 'S') => Escaped::Class(c),
            'b' if in_class => Escaped::Char('\u{8}'),
            'b' => Escaped::Anchor("\\b"),
            'B' if !in_class => Escaped::Anchor("\\B"),
            'A' if !in_class => Escaped::Anchor("^"),
            'Z' | 'z' if !in_class => Escaped::Anchor("$"),
            'n' => Escaped::Char('\n'),
            'r' => Escaped::Char('\r'),
            't' => Escaped::Char('\t'),
            'f' => Escaped::Char('\u{c}'),
            'v' => Escaped::Char('\u{b}'),
            'a' => Escaped::Char('\u{7}'),
            'e' => Escaped::Char('\u{1b}'),
            '0' if !self.rest.peek().is_some_and(char::is_ascii_digit) => Escaped::Char('\0'),
            'x' => Escaped::Char(char::from_u32(self.code(2)?)?),
            'u' => Escaped::Char(self.unicode()?),
            c if c.is_ascii_alphanumeric() => return None,
            c => Escaped::Char(c),
        })
    }

    /// So many hexadecimal digits, or any number of them in braces.
    fn code(&mut self, digits: usize) -> Option<u32> {
        let mut text = String::new();
        if self.rest.next_if_eq(&'{').is_some() {
            while let Some(c) = self.rest.next_if(char::is_ascii_hexdigit) {
                text.push(c);
            }
            self.rest.next_if_eq(&'}')?;
        } else {
            for _ in 0..digits {
                text.push(self.rest.next_if(char::is_ascii_hexdigit)?);
            }
        }
        u32::from_str_radix(&text, 16).ok()
    }

    /// `1F6` after `\u`; two halves of a character are one.
    fn unicode(&mut self) -> Option<char> {
        let first = self.code(4)?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.rest.next_if_eq(&'\\')?;
        self.rest.next_if_eq(&'u')?;
        let second = self.code(4).filter(|second| (0xdc00..0xe000).contains(second))?;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    /// `[…]`, after the bracket.
    fn class(&mut self) -> Option<Before> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut members = 0;
        loop {
            let first = match self.rest.next()? {
                ']' if members == 0 => return None,
                ']' => break,
                '[' if self.rest.peek() == Some(&':') => {
                    self.posix()?;
                    members += 1;
                    continue;
                }
                '\\' => match self.escape(true)? {
                    Escaped::Char(c) => c,
                    Escaped::Class(c) => {
                        self.class_escape(c);
                        members += 1;
                        continue;
                    }
                    Escaped::Anchor(_) => return None,
                },
                c => c,
            };
            members += 1;
            self.member(first);
            // A range, where what follows the hyphen is one character; a hyphen before the end or a class is itself.
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && !matches!(ahead.peek(), Some(']') | None) {
                let before = std::mem::replace(&mut self.rest, ahead);
                let last = match self.rest.next()? {
                    '\\' => match self.escape(true)? {
                        Escaped::Char(c) => c,
                        Escaped::Class(_) => {
                            self.rest = before;
                            continue;
                        }
                        Escaped::Anchor(_) => return None,
                    },
                    '[' if self.rest.peek() == Some(&':') => {
                        self.rest = before;
                        continue;
                    }
                    c => c,
                };
                if last < first {
                    return None;
                }
                self.out.push('-');
                self.member(last);
            }
        }
        self.out.push(']');
        Some(Before::Atom)
    }

    /// One character of a class. Two `&`, `~` or `-` in a row would be an operator in Rust.
    fn member(&mut self, c: char) {
        if c.is_ascii_control() {
            self.out.push_str(&format!("\\x{:02x}", u32::from(c)));
        } else if matches!(c, '\\' | ']' | '[' | '^' | '-') {
            self.out.push('\\');
            self.out.push(c);
        } else if matches!(c, '&' | '~') {
            self.out.push_str(&format!("\\x{:02x}", u32::from(c)));
        } else {
            self.out.push(c);
        }
    }

    /// `:alpha:]`, after the bracket.
    fn posix(&mut self) -> Option<()> {
        let mut name = String::new();
        self.rest.next_if_eq(&':')?;
        while let Some(c) = self.rest.next_if(char::is_ascii_alphabetic) {
            name.push(c);
        }
        self.rest.next_if_eq(&':')?;
        self.rest.next_if_eq(&']')?;
        self.out.push_str(match &*name {
            "alpha" => "a-zA-Z",
            "digit" => "0-9",
            "alnum" => "a-zA-Z0-9",
            "upper" => "A-Z",
            "lower" => "a-z",
            "space" => "\\s",
            "word" => "\\w",
            "xdigit" => "0-9a-fA-F",
            _ => return None,
        });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::portable;

    fn same(pattern: &str) {
        assert_eq!(portable(pattern).as_deref(), Some(pattern));
    }

    #[test]
    fn what_all_engines_read_alike_stays() {
        for pattern in ["^[a-z0-9_.\\-]+$", "^(?:a|b){2,3}?c*$", "\\d{4}-\\d{2}", "^\\S+@\\S+\\.\\w+$", "^[^\\s\\]]{1,64}$", "é|用户", ""]
        {
            same(pattern);
        }
    }

    #[test]
    fn what_one_engine_refuses_is_said_in_another_way() {
        for (pattern, said) in [
            ("^[a-zA-Z0-9\\-\\_]+$", "^[a-zA-Z0-9\\-_]+$"),
            ("a\\-b\\_c\\@d", "a-b_c@d"),
            ("\\A[0-9]+\\Z", "^[0-9]+$"),
            ("^(?<year>\\d{4})(?P<m>\\d\\d)$", "^(\\d{4})(\\d\\d)$"),
            ("a{,3}", "a{0,3}"),
            ("^{x}]$", "^\\{x\\}\\]$"),
            ("https:\\/\\/", "https://"),
            ("[\\w-.]", "[\\w\\-.]"),
            ("[[:alpha:]_]", "[a-zA-Z_]"),
            ("[a[b]", "[a\\[b]"),
            ("[a&&b]", "[a\\x26\\x26b]"),
            ("\\u00e9\\x41\\uD83D\\uDE00", "éA😀"),
            ("[\\b\\t]\\n", "[\\x08\\x09]\\x0a"),
            ("[a-]", "[a\\-]"),
        ] {
            assert_eq!(portable(pattern).as_deref(), Some(said), "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_said_alike_is_refused() {
        for pattern in [
            "(?i)abc",
            "(?=a)",
            "(?!a)b",
            "(?<=a)b",
            "(?<!a)b",
            "(a)\\1",
            "\\k<a>",
            "\\p{L}",
            "\\h",
            "a**",
            "a++",
            "(?>a)",
            "*a",
            "(a",
            "a)",
            "[a",
            "[]",
            "[z-a]",
            "a{3,2}",
            "a{5000}",
            "(((a{100}){100}){100})",
            "\\Qa\\E",
            "\\",
            "(?#x)a",
            "\\ud83d",
            "\\cA",
            "^*",
            "\\012",
        ] {
            assert_eq!(portable(pattern), None, "{pattern}");
        }
        assert_eq!(portable(&"a".repeat(5000)), None);
    }
}
