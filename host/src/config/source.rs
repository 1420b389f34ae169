//! The files of a configuration as one text: what stands where, what they say together, and what is
//! wrong with them.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    error::{ConfigError, Place, Problem, place},
    key::Vocabulary,
    syntax,
};

/// How environment variables are looked up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The files of one configuration while they are being read: `toolbay.toml` with what it includes,
/// or a sidecar.
///
/// A value knows its place by one number, the offset in all texts laid end to end, so that a table
/// may be made of several files.
pub(super) struct Source<'a> {
    /// Where `from_env` looks.
    pub(super) environment: Environment<'a>,
    /// All keys that there are.
    pub(super) vocabulary: &'a Vocabulary,
    texts: Vec<Text>,
    /// The other files that were read: those that hold secrets, and the servers of desktop clients.
    named: RefCell<BTreeSet<PathBuf>>,
    problems: RefCell<Vec<Problem>>,
}

/// One of the files.
struct Text {
    /// Its path as people see it in messages.
    path: PathBuf,
    text: String,
    /// The offset of its first byte.
    start: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &str, file: &Path, environment: Environment<'a>, vocabulary: &'a Vocabulary) -> Self {
        let texts = vec![Text { path: file.to_owned(), text: text.to_owned(), start: 0 }];
        Self { environment, vocabulary, texts, named: RefCell::default(), problems: RefCell::default() }
    }

    /// Adds a file whose tables are read as if they stood in the first.
    pub(super) fn add(&mut self, text: String, file: PathBuf) {
        // One apart, so that the end of a text is not the start of the next.
        let start = self.texts.last().map_or(0, |last| last.start + last.text.len() + 1);
        self.texts.push(Text { path: file, text, start });
    }

    /// All files as one table. What two files both set is a problem.
    pub(super) fn parse(&self) -> Result<DeTable<'_>, ConfigError> {
        let mut problems = Vec::new();
        let mut whole = DeTable::new();
        for text in &self.texts {
            let (table, errors) = DeTable::parse_recoverable(&text.text);
            if errors.is_empty() {
                self.merge(&mut whole, moved(table.into_inner(), text.start), "");
            } else {
                problems.extend(syntax::problems(&text.path, &text.text, &errors, self.vocabulary));
            }
        }
        if problems.is_empty() { Ok(whole) } else { Err(ConfigError::Invalid { problems }) }
    }

    /// Puts the keys of `from` beside those of `into`, which is the table called `path`.
    fn merge<'t>(&self, into: &mut DeTable<'t>, from: DeTable<'t>, path: &str) {
        for (key, value) in from {
            let name = key.get_ref();
            let below = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            let Some((first, there)) = into.iter_mut().find(|(key, _)| key.get_ref() == name) else {
                into.insert(key, value);
                continue;
            };
            match (there.get_mut(), value.into_inner()) {
                (DeValue::Table(there), DeValue::Table(value)) if is_merged(&below) => self.merge(there, value, &below),
                _ => {
                    let other = self.place(first.span().start);
                    self.problem(key.span().start, format!("{name:?} {} is set here and in {other}; keep one of them", location(path)));
                }
            }
        }
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        match self.text(offset) {
            Some(text) => place(&text.path, &text.text, offset - text.start),
            None => Place { file: PathBuf::new(), line: 1, column: 1 },
        }
    }

    /// The folder against which a relative path at this place goes.
    pub(super) fn folder(&self, offset: usize) -> PathBuf {
        self.text(offset).and_then(|text| text.path.parent()).map(Path::to_owned).unwrap_or_default()
    }

    /// Whether a place is in `toolbay.toml` itself, not in a file that is included.
    pub(super) fn is_in_first_file(&self, offset: usize) -> bool {
        self.texts.get(1).is_none_or(|next| offset < next.start)
    }

    fn text(&self, offset: usize) -> Option<&Text> {
        self.texts.iter().rfind(|text| text.start <= offset)
    }

    /// Notes that another file was read, or looked for.
    pub(super) fn reads(&self, path: &Path) {
        self.named.borrow_mut().insert(path.to_owned());
    }

    /// Every file that was read, or looked for.
    pub(super) fn files(&self) -> BTreeSet<PathBuf> {
        let own = self.texts.iter().map(|text| text.path.clone());
        self.named.borrow().iter().cloned().chain(own).collect()
    }

    pub(super) fn problem(&self, offset: usize, message: String) {
        self.problem_at(self.place(offset), message);
    }

    pub(super) fn problem_at(&self, place: Place, message: String) {
        self.problems.borrow_mut().push(Problem { place, message, excerpt: None });
    }

    /// Notes what is wrong with another file that this one names.
    pub(super) fn problems_of(&self, place: Place, error: ConfigError) {
        match error {
            ConfigError::Read { .. } | ConfigError::Lock { .. } => self.problem_at(place, error.to_string()),
            ConfigError::Invalid { problems } => self.problems.borrow_mut().extend(problems),
        }
    }

    /// `value`, if nothing was wrong.
    pub(super) fn finish<T>(&self, value: T) -> Result<T, ConfigError> {
        let mut problems = self.problems.take();
        if problems.is_empty() {
            return Ok(value);
        }
        // The file itself first, then those that it includes, then those that it names.
        let rank = |file: &Path| self.texts.iter().position(|text| text.path == file).unwrap_or(usize::MAX);
        problems.sort_by_cached_key(|problem| (rank(&problem.place.file), problem.place.line, problem.place.column));
        Err(ConfigError::Invalid { problems })
    }
}

/// Whether a table of two files is one table: sections are, and the tokens; what has a name (a
/// plugin, a server, a model) stands in one file whole.
fn is_merged(path: &str) -> bool {
    !path.contains('.') || path == "auth.tokens"
}

/// The same table with every place moved on by so much.
fn moved(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    fn key<T>(spanned: Spanned<T>, by: usize) -> Spanned<T> {
        let span = spanned.span();
        Spanned::new(span.start + by..span.end + by, spanned.into_inner())
    }
    fn value(spanned: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
        let span = spanned.span();
        let value = match spanned.into_inner() {
            DeValue::Table(table) => DeValue::Table(moved(table, by)),
            DeValue::Array(mut array) => {
                for element in array.iter_mut() {
                    let taken = std::mem::replace(element, Spanned::new(0..0, DeValue::Boolean(false)));
                    *element = value(taken, by);
                }
                DeValue::Array(array)
            }
            plain => plain,
        };
        Spanned::new(span.start + by..span.end + by, value)
    }
    table.into_iter().map(|(name, found)| (key(name, by), value(found, by))).collect()
}

/// How messages name a table.
pub(super) fn location(table: &str) -> String {
    if table.is_empty() { "at the top level".to_owned() } else { format!("in [{table}]") }
}
