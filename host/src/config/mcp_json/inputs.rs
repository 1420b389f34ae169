//! VS Code's `inputs`: values that a person gives, asked for on a terminal or taken from the environment.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    sync::{LazyLock, Mutex, PoisonError},
};

use super::{
    super::source::Environment,
    document::{Member, Members},
};

/// What the variable is called that answers an input: this, and the input's id in capitals.
const PREFIX: &str = "TOOLBAY_INPUT_";

/// A question as the file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) id: String,
    description: String,
    default: Option<String>,
    options: Vec<String>,
    /// What is typed is not shown.
    is_secret: bool,
    /// An editor's command would answer it.
    is_command: bool,
}

/// Asks a person. None: there is nobody to ask.
pub(super) type Ask<'a> = &'a dyn Fn(&Input) -> Option<io::Result<String>>;

/// The inputs of one file.
pub(super) struct Inputs<'a> {
    known: BTreeMap<String, Input>,
    ask: Ask<'a>,
    /// Each is asked for once, however many entries use it.
    answers: RefCell<HashMap<String, Result<String, String>>>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(root: &Members<'_, '_>, ask: Ask<'a>) -> Self {
        let of_settings = || root.get("mcp").and_then(|mcp| mcp.members()?.get("inputs"));
        let list = root.get("inputs").or_else(of_settings).and_then(|list| list.items());
        let known = list.into_iter().flatten().filter_map(|item| {
            let members = item.members()?;
            let text = |key| members.get(key).and_then(|value| value.text()).map(str::to_owned);
            // `options` are texts, or objects with a `value`.
            let options = members.get("options").and_then(|list| list.items()).into_iter().flatten();
            let option = |option: Member<'_, '_>| {
                option
                    .scalar()
                    .map(|text| text.into_owned())
                    .or_else(|| option.members()?.get("value")?.scalar().map(|text| text.into_owned()))
            };
            let input = Input {
                id: text("id")?,
                description: text("description").unwrap_or_default(),
                default: text("default"),
                options: options.filter_map(option).collect(),
                is_secret: members.get("password").and_then(|value| value.boolean()).unwrap_or_default(),
                is_command: text("type").as_deref() == Some("command"),
            };
            Some((input.id.clone(), input))
        });
        Self { known: known.collect(), ask, answers: RefCell::default() }
    }

    /// The value of an input.
    pub(super) fn get(&self, id: &str, environment: Environment<'_>) -> Result<String, String> {
        if let Some(answer) = self.answers.borrow().get(id) {
            return answer.clone();
        }
        let answer = self.find(id, environment);
        self.answers.borrow_mut().insert(id.to_owned(), answer.clone());
        answer
    }

    fn find(&self, id: &str, environment: Environment<'_>) -> Result<String, String> {
        let variable = input_variable(id);
        if let Some(value) = environment(&variable) {
            return value.into_string().map_err(|_| format!("the environment variable {variable:?} is not UTF-8 text"));
        }
        let unknown = Input { id: id.to_owned(), ..Input::default() };
        let input = self.known.get(id).unwrap_or(&unknown);
        let what = if input.description.is_empty() { String::new() } else { format!(" ({})", input.description) };
        let asked = (!input.is_command).then(|| (self.ask)(input)).flatten();
        match asked {
            Some(Ok(answer)) if answer.is_empty() => match &input.default {
                Some(default) => Ok(default.clone()),
                None => Err(format!("asks for the input {id:?}{what}, and nothing was typed; start again, or set {variable}")),
            },
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(format!("asks for the input {id:?}{what}, which could not be read ({error}); set {variable}")),
            None => match &input.default {
                Some(default) if !input.is_secret && !input.is_command => Ok(default.clone()),
                _ => Err(format!(
                    "asks for the input {id:?}{what}, and there is no terminal to ask on; set {variable} where toolbay is started"
                )),
            },
        }
    }
}

/// What a variable is called that answers an input.
fn input_variable(id: &str) -> String {
    let name: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("{PREFIX}{name}")
}

/// Asks on the terminal that Toolbay was started on. An answer holds as long as the process: a file that
/// is read again asks no second time.
pub(super) fn terminal(input: &Input) -> Option<io::Result<String>> {
    static GIVEN: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(answer) = given.get(&input.id) {
        return Some(Ok(answer.clone()));
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let answer = prompt(input);
    if let Ok(answer) = &answer {
        given.insert(input.id.clone(), answer.clone());
    }
    Some(answer)
}

fn prompt(input: &Input) -> io::Result<String> {
    let mut out = io::stderr().lock();
    let what = if input.description.is_empty() { &input.id } else { &input.description };
    let options = if input.options.is_empty() { String::new() } else { format!(" [{}]", input.options.join(", ")) };
    let default = input.default.as_ref().map(|default| format!(" ({default})")).unwrap_or_default();
    write!(out, "{what}{options}{default}: ")?;
    out.flush()?;
    let mut line = String::new();
    let quiet = if input.is_secret { Some(Quiet::new()?) } else { None };
    io::stdin().lock().read_line(&mut line)?;
    if quiet.is_some() {
        writeln!(out)?;
    }
    drop(quiet);
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// A terminal that does not show what is typed, until dropped.
struct Quiet(rustix::termios::Termios);

impl Quiet {
    fn new() -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(rustix::termios::LocalModes::ECHO);
        rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &self.0);
    }
}
