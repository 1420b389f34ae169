//! Reads tables of TOML key by key, and notes everything that is wrong with its place.
//!
//! Serde stops at the first problem; this goes on, so that a person mends a file once.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ffi::OsString,
    fmt::Display,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    error::{ConfigError, Place, Problem, place},
    file, syntax,
    units::{format_duration, format_size, parse_duration, parse_size},
};

/// How environment variables are looked up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The files of one configuration while they are being read: `toolbay.toml` with what it includes, or a sidecar.
///
/// A value knows its place by one number, the offset in all texts laid end to end, so that a table may be made of several files.
pub(super) struct Source<'a> {
    /// Where `from_env` looks.
    pub(super) environment: Environment<'a>,
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
    pub(super) fn new(text: &str, file: &Path, environment: Environment<'a>) -> Self {
        let texts = vec![Text { path: file.to_owned(), text: text.to_owned(), start: 0 }];
        Self { environment, texts, named: RefCell::default(), problems: RefCell::default() }
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
                problems.extend(syntax::problems(&text.path, &text.text, &errors));
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
            ConfigError::Read { .. } => self.problem_at(place, error.to_string()),
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

/// Whether a table of two files is one table: sections are, and the tokens; what has a name (a plugin, a server, a model) stands in one file whole.
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

/// A table whose keys are known. Keys that nobody asked for are unknown.
pub(super) struct Table<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    /// How its own header names it; empty for the top level.
    pub(super) path: String,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    /// `path`: how the table is called in its own header, `plugin.weather`; empty for the top level.
    pub(super) fn new(source: &'a Source<'a>, table: &'a DeTable<'a>, path: impl Into<String>) -> Self {
        Self { source, table, path: path.into(), asked: RefCell::default() }
    }

    /// The value of a key, if the key is there.
    pub(super) fn get(&self, key: &'static str) -> Option<Item<'a>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        drop(asked);
        self.items().find(|item| item.key == key)
    }

    /// All keys, for tables whose keys are names that the operator chose.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'a>> {
        let (source, path) = (self.source, self.path.clone());
        self.table.iter().map(move |(key, value)| Item {
            source,
            table: path.clone(),
            key: key.get_ref().to_string(),
            key_offset: key.span().start,
            offset: value.span().start,
            value: value.get_ref(),
        })
    }

    /// Complains about every key that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.take();
        for item in self.items().filter(|item| !asked.contains(&item.key.as_str())) {
            self.source
                .problem(item.key_offset, format!("unknown key {:?} {}{}", item.key, location(&self.path), self.hint(&item, &asked)));
        }
    }

    fn hint(&self, item: &Item<'_>, known: &[&'static str]) -> String {
        let key = item.key.as_str();
        if self.path.is_empty() && key == "plugin" {
            // The top level of toolbay.toml asks for `plugin`, so this is a sidecar.
            return "; a sidecar speaks of its own plugin only: write the keys without [plugin.NAME]".to_owned();
        }
        for section in ["plugin", "server"] {
            let name = self.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')).filter(|name| !name.contains('.'));
            if let Some(name) = name.filter(|_| item.value.is_table() && nearest(key, known).is_none()) {
                return format!("; a {section}'s name with dots in it needs quotes: [{section}.\"{name}.{key}\"]");
            }
        }
        if let Some(near) = nearest(key, known) {
            return format!("; did you mean {near:?}?");
        }
        match file::home_of(key) {
            Some(home) => format!("; it belongs {home}"),
            None => format!("; known keys are {}", known.join(", ")),
        }
    }
}

/// One value, and the key that it belongs to.
#[derive(Clone)]
pub(super) struct Item<'a> {
    pub(super) source: &'a Source<'a>,
    /// The path of the table around it.
    pub(super) table: String,
    pub(super) key: String,
    pub(super) key_offset: usize,
    pub(super) offset: usize,
    pub(super) value: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    /// Notes that the value is wrong.
    pub(super) fn fail(&self, message: impl Display) {
        self.source.problem(self.offset, format!("{:?} {}: {message}", self.key, location(&self.table)));
    }

    /// Notes that the key is wrong.
    pub(super) fn fail_key(&self, message: impl Display) {
        self.source.problem(self.key_offset, format!("{:?} {}: {message}", self.key, location(&self.table)));
    }

    /// The folder against which relative paths go: that of the file in which the value stands.
    pub(super) fn folder(&self) -> PathBuf {
        self.source.folder(self.offset)
    }

    /// Whether it stands in `toolbay.toml` itself, not in a file that is included.
    pub(super) fn is_in_first_file(&self) -> bool {
        self.source.texts.get(1).is_none_or(|next| self.offset < next.start)
    }

    /// Where the key stands.
    pub(super) fn place(&self) -> Place {
        self.source.place(self.key_offset)
    }

    /// The path of the value itself, as a table header has it.
    pub(super) fn path(&self) -> String {
        let bare = !self.key.is_empty() && self.key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let key = if bare { self.key.clone() } else { format!("{:?}", self.key) };
        if self.table.is_empty() { key } else { format!("{}.{key}", self.table) }
    }

    /// The path from inside the table `root` on: the same for the same key of a sidecar and of `toolbay.toml`.
    pub(super) fn path_below(&self, root: &str) -> String {
        let path = self.path();
        path.strip_prefix(root).unwrap_or(&path).trim_start_matches('.').to_owned()
    }

    /// Says that the value is of the wrong type, without showing it.
    pub(super) fn wrong_type(&self, wanted: &str) {
        self.fail(format_args!("must be {wanted}, not {}", type_name(self.value)));
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type("text in quotes");
        }
        text
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.wrong_type("true or false");
        }
        value
    }

    /// A whole number in `range`.
    pub(super) fn number(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let Some(number) = self.integer() else {
            self.wrong_type("a whole number");
            return None;
        };
        let fits = u32::try_from(number).ok().filter(|number| range.contains(number));
        if fits.is_none() {
            self.fail(format_args!("{number} is not allowed; it must be {} to {}", range.start(), range.end()));
        }
        fits
    }

    /// A number, with or without a fraction.
    pub(super) fn fraction(&self, least: f64, most: f64) -> Option<f64> {
        let text = match (self.value.as_float(), self.integer()) {
            (Some(float), _) => float.as_str().replace('_', ""),
            (None, Some(whole)) => whole.to_string(),
            (None, None) => {
                self.wrong_type("a number");
                return None;
            }
        };
        let number = text.parse::<f64>().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.fail(format_args!("{text} is not allowed; it must be {least} to {most}"));
        }
        number
    }

    /// A size in `range`. `note` says where the upper bound comes from.
    pub(super) fn size(&self, range: RangeInclusive<u64>, note: &str) -> Option<u64> {
        let parsed = match (self.integer(), self.value.as_str()) {
            (Some(number), _) => u64::try_from(number).map_err(|_| format!("{number} is no size")),
            (None, Some(text)) => parse_size(text),
            (None, None) => {
                self.wrong_type("a size (\"64MiB\" or a number of bytes)");
                return None;
            }
        };
        match parsed {
            Ok(size) if range.contains(&size) => Some(size),
            Ok(size) => {
                let (least, most) = (format_size(*range.start()), format_size(*range.end()));
                self.fail(format_args!("{} is not allowed; it must be {least} to {most}{note}", format_size(size)));
                None
            }
            Err(message) => {
                self.fail(message);
                None
            }
        }
    }

    /// A duration in `range`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let parsed = match (self.integer(), self.value.as_str()) {
            (Some(number), _) => Err(format!("{number} has no unit; write \"{number}s\" or \"{number}ms\"")),
            (None, Some(text)) => parse_duration(text),
            (None, None) => {
                self.wrong_type("a duration (\"30s\")");
                return None;
            }
        };
        match parsed {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(duration) => {
                let (least, most) = (format_duration(*range.start()), format_duration(*range.end()));
                self.fail(format_args!("{} is not allowed; it must be {least} to {most}", format_duration(duration)));
                None
            }
            Err(message) => {
                self.fail(message);
                None
            }
        }
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(self.text()?).map_err(|message| self.fail(message)).ok()
    }

    /// A path; a relative one goes from the folder of the file.
    pub(super) fn file_path(&self) -> Option<PathBuf> {
        self.parsed(|text| match text {
            "" => Err("a path cannot be empty".to_owned()),
            _ if text.contains('\0') => Err("a path cannot hold a NUL character".to_owned()),
            _ if text.starts_with("~/") || text == "~" => Err(format!("{text:?}: \"~\" is not expanded; write the whole path")),
            _ => Ok(self.folder().join(text)),
        })
    }

    /// The elements of an array; messages name the array's key and the element's place.
    pub(super) fn list(&self) -> Option<Vec<Item<'a>>> {
        let Some(array) = self.value.as_array() else {
            self.wrong_type("an array ([…])");
            return None;
        };
        let element = |value: &'a Spanned<DeValue<'a>>| Item { offset: value.span().start, value: value.get_ref(), ..self.clone() };
        Some(array.iter().map(element).collect())
    }

    /// An array of what `parse` understands.
    pub(super) fn parsed_list<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        Some(self.list()?.iter().filter_map(|item| item.parsed(&parse)).collect())
    }

    /// A table.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        let Some(table) = self.value.as_table() else {
            self.wrong_type(&format!("a table ([{}])", self.path()));
            return None;
        };
        Some(Table::new(self.source, table, self.path()))
    }

    fn integer(&self) -> Option<i128> {
        let integer = self.value.as_integer()?;
        Some(i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX))
    }
}

/// Takes a value into its field, where there is one and it is right.
pub(super) fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn location(table: &str) -> String {
    if table.is_empty() { "at the top level".to_owned() } else { format!("in [{table}]") }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// The known key that was probably meant.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let plain = |key: &str| key.to_lowercase().replace('-', "_");
    let key = plain(key);
    let distance = |candidate: &str| {
        let within = key.len() >= 3 && (candidate.contains(key.as_str()) || (candidate.len() >= 4 && key.contains(candidate)));
        if within { 1 } else { strsim::damerau_levenshtein(&key, candidate) }
    };
    let limit = (key.chars().count() / 3).max(1);
    known
        .iter()
        .map(|candidate| (distance(candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}
