//! Reads tables of TOML key by key, and notes everything that is wrong with its place.
//!
//! Serde stops at the first problem; this goes on, so that a person mends a file once.

use std::{cell::RefCell, fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    error::Place,
    source::{Source, location},
    units::{format_duration, format_size, parse_duration, parse_size},
};
use crate::similar;

/// A table whose keys are known. Keys that nobody asked for are unknown.
pub(super) struct Table<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    /// How its own header names it; empty for the top level.
    pub(super) path: String,
    asked: RefCell<Vec<&'static str>>,
    /// A key whose size may not be larger than what another key says, and which.
    bound: RefCell<Option<Bound>>,
}

/// The most that a size may be, and a note that says where that comes from.
type Bound = (&'static str, u64, &'static str);

impl<'a> Table<'a> {
    /// `path`: how the table is called in its own header, `plugin.weather`; empty for the top
    /// level.
    pub(super) fn new(source: &'a Source<'a>, table: &'a DeTable<'a>, path: impl Into<String>) -> Self {
        Self { source, table, path: path.into(), asked: RefCell::default(), bound: RefCell::default() }
    }

    /// From now on, the size `key` may not be over `most`; `note` says why.
    pub(super) fn bound(&self, key: &'static str, most: u64, note: &'static str) {
        *self.bound.borrow_mut() = Some((key, most, note));
    }

    /// The value of a key, if the key is there.
    pub(super) fn get(&self, key: &'static str) -> Option<Item<'a>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        drop(asked);
        let bound = self.bound.borrow().filter(|(bounded, ..)| *bounded == key);
        self.items().find(|item| item.key == key).map(|item| Item { bound, ..item })
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
            bound: None,
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
        match self.source.vocabulary.home_of(key) {
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
    bound: Option<Bound>,
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
        self.source.is_in_first_file(self.offset)
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

    /// The path from inside the table `root` on: the same for the same key of a sidecar and of
    /// `toolbay.toml`.
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

    /// A size in `range`.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let (range, note) = match self.bound {
            Some((_, most, note)) => (*range.start()..=most.min(*range.end()), note),
            None => (range, ""),
        };
        let parsed = match (self.integer(), self.value.as_str()) {
            (Some(number), _) => u64::try_from(number).map_err(|_| format!("{number} is not a size")),
            (None, Some(text)) => parse_size(text),
            (None, None) => {
                self.wrong_type("a size (\"64MiB\" or a number of bytes)");
                return None;
            }
        };
        match parsed {
            Ok(size) if range.contains(&size) => return Some(size),
            Ok(size) => self.size_not_in(size, &range, note),
            Err(message) => self.fail(message),
        }
        None
    }

    /// Says that a size is not in a range. `note` says where the range comes from.
    pub(super) fn size_not_in(&self, size: u64, range: &RangeInclusive<u64>, note: &str) {
        let (least, most) = (format_size(*range.start()), format_size(*range.end()));
        self.fail(format_args!("{} is not allowed; it must be {least} to {most}{note}", format_size(size)));
    }

    /// A duration in `range`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let parsed = match (self.integer(), self.value.as_str()) {
            (Some(number), _) => u64::try_from(number).map(Duration::from_secs).map_err(|_| format!("{number} is not a duration")),
            (None, Some(text)) => parse_duration(text),
            (None, None) => {
                self.wrong_type("a duration (\"30s\", \"1h30m\" or a number of seconds)");
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
    if !similar::comparable(key) {
        return None;
    }
    let key = key.to_lowercase().replace('-', "_");
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
