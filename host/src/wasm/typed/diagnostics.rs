//! What is wrong with arguments, said so that whoever sent them can put them right.

use std::{
    cell::{Cell, RefCell},
    fmt::Write as _,
};

use super::{
    names::Names,
    wit_type::{Int, Shape},
};

/// Problems that are told. More would only be more of the same.
const MAX_PROBLEMS: usize = 5;
/// Characters of a value that are shown.
const MAX_SHOWN: usize = 40;
/// Names that are listed.
const MAX_NAMES: usize = 20;

/// Why arguments were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// No JSON.
    #[error("the arguments are not JSON: {0}")]
    Syntax(String),
    /// JSON, but no object.
    #[error("the arguments have to be a JSON object, {{\"name\": value, …}}, and are {0}")]
    NotAnObject(String),
    /// They would take too much memory.
    #[error("the arguments would take more than {0} bytes of memory; send less at once")]
    TooLarge(usize),
    /// They do not fit the input schema.
    #[error("the arguments do not fit the tool's input schema:{}", list(problems, *more))]
    Unfit {
        /// Up to five, each of one line.
        problems: Vec<String>,
        /// How many more there are.
        more: usize,
    },
}

fn list(problems: &[String], more: usize) -> String {
    let mut text = String::new();
    for problem in problems {
        text.push_str("\n- ");
        text.push_str(problem);
    }
    if more > 0 {
        let _ = write!(text, "\n- and {more} more");
    }
    text
}

/// Where in the arguments: the way up to them, on the stack.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Name(&'a str),
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The arguments themselves.
    pub(super) const ROOT: Path<'static> = Path { parent: None, segment: Segment::Root };

    /// A field, parameter or case.
    pub(super) fn name<'b>(&'b self, name: &'b str) -> Path<'b> {
        Path { parent: Some(self), segment: Segment::Name(name) }
    }

    /// A key of a map.
    pub(super) fn key<'b>(&'b self, key: &'b str) -> Path<'b> {
        Path { parent: Some(self), segment: Segment::Key(key) }
    }

    /// An item.
    pub(super) fn index(&self, index: usize) -> Path<'_> {
        Path { parent: Some(self), segment: Segment::Index(index) }
    }

    fn write(&self, text: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(text);
        }
        match self.segment {
            Segment::Root => {}
            Segment::Name(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Segment::Key(key) => {
                let _ = write!(text, "[{}]", quoted(key));
            }
            Segment::Index(index) => {
                let _ = write!(text, "[{index}]");
            }
        }
    }
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        if text.is_empty() { f.write_str("the arguments") } else { write!(f, "`{text}`") }
    }
}

/// Takes down problems, and counts the memory that values take.
pub(super) struct Problems {
    told: RefCell<Vec<String>>,
    more: Cell<usize>,
    memory: Cell<usize>,
}

/// The memory that was allowed is used up.
pub(super) struct OutOfMemory;

impl Problems {
    /// None so far.
    pub(super) fn new(memory: usize) -> Self {
        Self { told: RefCell::new(Vec::new()), more: Cell::new(0), memory: Cell::new(memory) }
    }

    /// Counts memory.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        let left = self.memory.get().checked_sub(bytes);
        // Nothing is left for good, so that whoever asks later can see it.
        self.memory.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(OutOfMemory)
    }

    /// Takes one down.
    pub(super) fn add(&self, problem: impl FnOnce() -> String) {
        let mut told = self.told.borrow_mut();
        if told.len() < MAX_PROBLEMS {
            told.push(problem());
        } else {
            self.more.set(self.more.get().saturating_add(1));
        }
    }

    /// Got one thing, expected another.
    pub(super) fn mismatch(&self, path: &Path<'_>, got: &str, shape: &Shape) {
        self.add(|| format!("{path}: got {got}, expected {}", expected(shape)));
    }

    /// All that were taken down.
    pub(super) fn into_error(self) -> Option<ArgumentError> {
        let problems = self.told.into_inner();
        (!problems.is_empty()).then_some(ArgumentError::Unfit { problems, more: self.more.get() })
    }
}

/// JSON text, shortened to what a line can hold.
pub(super) fn shown(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A string as JSON, shortened.
pub(super) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(MAX_SHOWN + 1).collect();
    shown(&serde_json::Value::from(cut).to_string())
}

/// Names as JSON strings.
pub(super) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let mut text = names.take(MAX_NAMES).map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// What is allowed, in words.
pub(super) fn expected(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "true or false".into(),
        Shape::Int(int) => integer(*int),
        Shape::F32 => "a number that fits 32 bits".into(),
        Shape::F64 => "a number".into(),
        Shape::Char => "a string of one character".into(),
        Shape::String => "a string".into(),
        Shape::Bytes => "a string with base64".into(),
        Shape::List(_) => "an array".into(),
        Shape::Fixed(_, count) => format!("an array of {count} items"),
        Shape::Tuple(items) => format!("an array of {} items", items.len()),
        Shape::Object(_) => "an object".into(),
        Shape::Pairs(_) => "an array of [key, value]".into(),
        Shape::Record(fields) => format!("an object with {}", listed(fields.names.iter().map(|name| &*name.json))),
        Shape::Variant(cases) => format!("one of {}", variants(&cases.names, &cases.payloads)),
        Shape::Enum(names) => format!("one of {}", listed(names.iter().map(|name| &*name.json))),
        Shape::Flags(names) => format!("an array of any of {}", listed(names.iter().map(|name| &*name.json))),
        Shape::Option(inner) if inner.takes_null() => "{\"some\": …} or null".into(),
        Shape::Option(inner) => format!("{} or null", expected(inner)),
        Shape::Result(..) => "{\"ok\": …} or {\"error\": …}".into(),
    }
}

fn integer(int: Int) -> String {
    let (least, greatest) = int.range();
    format!("an integer from {least} to {greatest}")
}

fn variants(names: &Names, payloads: &[Option<Shape>]) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let cases = names.iter().zip(payloads).take(MAX_NAMES).map(|(name, payload)| match payload {
        None => format!("\"{}\"", name.json),
        Some(_) => format!("{{\"{}\": …}}", name.json),
    });
    let mut text = cases.collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// A name that is none: said with the one that may have been meant.
pub(super) fn unknown(names: &Names, wrong: &str) -> String {
    match names.nearest(wrong) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names.len() == 0 => "there are none".into(),
        None => format!("known are {}", listed(names.iter().map(|name| &*name.json))),
    }
}
