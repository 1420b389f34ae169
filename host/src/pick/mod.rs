//! Picking a value out of what a pipeline has so far: by JSON Pointer (RFC 6901) or by JMESPath.
//!
//! `/args/url` is a pointer, as it begins with a slash; all else is JMESPath: `steps.fetch.structured.items[0].id`.

mod functions;
mod scope;
mod template;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jmespath::{Context, ast::Ast, interpret};
use serde_json::Value;

use functions::RUNTIME;
pub(crate) use scope::{Document, Scope};
pub use template::Template;
pub(crate) use walk::Shapes;

/// Characters of an expression, and brackets in it: whoever reads or runs it recurses.
const LONGEST: usize = 1000;
const BRACKETS: usize = 100;

/// One expression.
#[derive(Clone)]
pub struct Pick {
    text: Arc<str>,
    way: Way,
    spot: Spot,
}

#[derive(Clone)]
enum Way {
    /// Names and positions alone: nothing is copied for these but what they lead to.
    Path(Vec<Part>),
    Jmespath(Arc<Ast>),
}

/// One part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Of a pointer: the name of a member, or a position.
    Token(String),
    /// Of JMESPath.
    Member(String),
    Item(usize),
}

/// Where something stands in the configuration. It makes no difference whether it stands there or elsewhere.
#[derive(Clone, Default)]
pub struct Spot(Option<Arc<(PathBuf, usize, usize)>>);

impl Spot {
    /// In this file, at this line and column.
    #[must_use]
    pub fn at(file: &Path, line: usize, column: usize) -> Self {
        Self(Some(Arc::new((file.to_owned(), line, column))))
    }

    /// The file, the line and the column, where they are known.
    #[must_use]
    pub fn place(&self) -> Option<(&Path, usize, usize)> {
        self.0.as_deref().map(|(file, line, column)| (file.as_path(), *line, *column))
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            Some((file, line, column)) => write!(f, "{}:{line}:{column}", file.display()),
            None => f.write_str("toolbay.toml"),
        }
    }
}

impl fmt::Debug for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl PartialEq for Spot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Pick {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pick {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it: a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let way = if text.starts_with('/') { Way::Path(pointer(text)?) } else { expression(text)? };
        Ok(Self { text: text.into(), way, spot: Spot::default() })
    }

    /// The same, which stands there.
    #[must_use]
    pub fn at(self, spot: Spot) -> Self {
        Self { spot, ..self }
    }

    /// Where it stands.
    #[must_use]
    pub fn spot(&self) -> &Spot {
        &self.spot
    }

    /// The name, where it picks one of the pipeline's arguments as it is.
    pub(crate) fn argument(&self) -> Option<&str> {
        match &self.way {
            Way::Path(parts) => match parts.as_slice() {
                [root, Part::Token(name) | Part::Member(name)] if root.name() == "args" => Some(name),
                _ => None,
            },
            Way::Jmespath(_) => None,
        }
    }

    /// What it leads to. None: there is nothing.
    ///
    /// # Errors
    ///
    /// What is wrong: a sentence.
    pub(crate) fn pick<'s>(&self, scope: &'s Scope) -> Result<Option<Cow<'s, Value>>, String> {
        match &self.way {
            Way::Path(parts) => Ok(scope.walk(parts)),
            Way::Jmespath(ast) => {
                let found = interpret(&scope.variable(), ast, &mut Context::new(&self.text, &RUNTIME));
                let found = found.map_err(|error| format!("{:?} failed: {}", &*self.text, functions::reason(&error)))?;
                if found.is_null() {
                    return Ok(None);
                }
                let value = serde_json::to_value(&*found).map_err(|error| format!("{:?} gives no JSON: {error}", &*self.text))?;
                Ok(Some(Cow::Owned(value)))
            }
        }
    }

    /// Whether what it leads to counts as true: anything but false, null, and what is empty, as JMESPath has it.
    ///
    /// # Errors
    ///
    /// What is wrong: a sentence.
    pub(crate) fn holds(&self, scope: &Scope) -> Result<bool, String> {
        Ok(match self.pick(scope)?.as_deref() {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(members)) => !members.is_empty(),
            Some(Value::Number(_)) => true,
        })
    }
}

impl Part {
    fn name(&self) -> &str {
        match self {
            Self::Token(name) | Self::Member(name) => name,
            Self::Item(_) => "",
        }
    }
}

/// The tokens of a JSON Pointer.
fn pointer(text: &str) -> Result<Vec<Part>, String> {
    let token = |token: &str| {
        let mut escapes = token.split('~').skip(1);
        match escapes.find(|rest| !rest.starts_with(['0', '1'])) {
            Some(_) => Err(format!("{text:?} is not a JSON Pointer: \"~\" is written \"~0\", and \"/\" in a name \"~1\"")),
            None => Ok(Part::Token(token.replace("~1", "/").replace("~0", "~"))),
        }
    };
    text.split('/').skip(1).map(token).collect()
}

fn expression(text: &str) -> Result<Way, String> {
    const HINT: &str = "a JSON Pointer begins with \"/\"";
    if text.trim().is_empty() {
        return Err(format!("an expression cannot be empty; {HINT}"));
    }
    if text.chars().count() > LONGEST || text.matches(['(', '[', '{', '!', '&']).count() > BRACKETS {
        return Err(format!("an expression has at most {LONGEST} characters and {BRACKETS} brackets; let a plugin do what needs more"));
    }
    let ast = jmespath::parse(text).map_err(|error| {
        format!("{text:?} is not a JMESPath expression: {} (column {}); {HINT}", functions::reason(&error), error.column + 1)
    })?;
    let mut unknown = None;
    walk::functions(&ast, &mut |name| {
        if RUNTIME.get_function(name).is_none() {
            unknown.get_or_insert_with(|| name.to_owned());
        }
    });
    if let Some(name) = unknown {
        let near = crate::similar::did_you_mean(&name, functions::NAMES);
        return Err(format!("{text:?} calls {name}(), and JMESPath has no such function{near}"));
    }
    Ok(path(&ast).map_or_else(|| Way::Jmespath(Arc::new(ast)), Way::Path))
}

/// The expression as a path, where it is no more than that.
fn path(ast: &Ast) -> Option<Vec<Part>> {
    match ast {
        Ast::Field { name, .. } => Some(vec![Part::Member(name.clone())]),
        Ast::Index { idx, .. } => Some(vec![Part::Item(usize::try_from(*idx).ok()?)]),
        Ast::Subexpr { lhs, rhs, .. } => Some([path(lhs)?, path(rhs)?].concat()),
        _ => None,
    }
}
