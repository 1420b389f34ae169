//! What of a provider differs from what was accepted.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::hidden::visible;
use crate::{
    config::{Lock, LockedServer},
    provider::{Definition, Provider},
};

/// The published names of what a provider has, by its own names: those that are others.
pub(super) struct Published {
    tools: BTreeMap<String, String>,
    prompts: BTreeMap<String, String>,
}

impl Published {
    pub(super) fn tool<'a>(&'a self, own: &'a String) -> &'a str {
        self.tools.get(own).unwrap_or(own)
    }

    pub(super) fn prompt<'a>(&'a self, own: &'a String) -> &'a str {
        self.prompts.get(own).unwrap_or(own)
    }
}

/// What a provider says now, as a lock file keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A plugin, by the digest of its code.
    Plugin(String),
    /// A server, by what it says.
    Server(LockedServer),
}

impl Observed {
    /// Of a provider, and by which names what it has is published.
    /// `definitions`: what its source says of its tools.
    pub(super) fn of(provider: &dyn Provider, definitions: Vec<(String, Definition)>) -> (Self, Published) {
        let renamed = |(own, name): (&String, &str)| (own != name).then(|| (own.clone(), name.to_owned()));
        let names = provider.tools().iter().map(|tool| tool.name.as_str());
        let tools = definitions.iter().map(|(own, _)| own).zip(names).filter_map(renamed).collect();
        let prompts = provider.prompt_definitions();
        let names = provider.offers().prompts.iter().map(|prompt| prompt.key.as_str());
        let prompts = prompts.iter().map(|(own, _)| own).zip(names).filter_map(renamed).collect();
        let published = Published { tools, prompts };
        let observed = match provider.code() {
            Some(digest) => Self::Plugin(digest),
            None => {
                let instructions = provider.own_instructions().map(str::to_owned);
                let prompts = provider.prompt_definitions().into_iter().collect();
                Self::Server(LockedServer { instructions, tools: definitions.into_iter().collect(), prompts })
            }
        };
        (observed, published)
    }

    /// Writes it into a lock file, in place of what was there of it.
    pub fn put(&self, name: &str, lock: &mut Lock) {
        match self {
            Self::Plugin(digest) => drop(lock.plugins.insert(name.to_owned(), digest.clone())),
            Self::Server(server) => drop(lock.servers.insert(name.to_owned(), server.clone())),
        }
    }
}

/// How something differs from what was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nobody has accepted it.
    New,
    /// It is another one.
    Changed,
    /// It was accepted, and is not there any more.
    Gone,
}

/// What it is that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A plugin's code, and with it everything that it says.
    Code,
    /// A server's instructions for models.
    Instructions,
    /// A tool, by the server's own name.
    Tool(String),
    /// A prompt, by the server's own name.
    Prompt(String),
}

/// One thing in which a provider differs from what was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub part: Part,
    /// How it differs.
    pub change: Change,
    before: Value,
    after: Value,
}

/// In what a provider of this name differs from what was accepted of it.
#[must_use]
pub fn differences(lock: &Lock, name: &str, observed: &Observed) -> Vec<Difference> {
    let compared = |part: Part, before: Option<Value>, after: Option<Value>| {
        let change = match (&before, &after) {
            (None, None) => return None,
            (None, Some(_)) => Change::New,
            (Some(_), None) => Change::Gone,
            (Some(before), Some(after)) if before != after => Change::Changed,
            _ => return None,
        };
        Some(Difference { part, change, before: before.unwrap_or_default(), after: after.unwrap_or_default() })
    };
    match observed {
        Observed::Plugin(digest) => {
            let before = lock.plugins.get(name).map(|digest| Value::from(digest.as_str()));
            compared(Part::Code, before, Some(digest.as_str().into())).into_iter().collect()
        }
        Observed::Server(now) => {
            let nothing = LockedServer::default();
            let before = lock.servers.get(name).unwrap_or(&nothing);
            let text = |server: &LockedServer| server.instructions.as_deref().map(Value::from);
            let instructions = compared(Part::Instructions, text(before), text(now));
            let each =
                |before: &BTreeMap<String, Definition>, now: &BTreeMap<String, Definition>, part: fn(String) -> Part| -> Vec<Difference> {
                    let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
                    names.sort();
                    names.dedup();
                    let differs = |name: &&String| before.get(*name) != now.get(*name);
                    let value = |all: &BTreeMap<String, Definition>, name: &String| all.get(name).map(Definition::value);
                    names
                        .into_iter()
                        .filter(differs)
                        .filter_map(|name| compared(part(name.clone()), value(before, name), value(now, name)))
                        .collect()
                };
            let tools = each(&before.tools, &now.tools, Part::Tool);
            let prompts = each(&before.prompts, &now.prompts, Part::Prompt);
            instructions.into_iter().chain(tools).chain(prompts).collect()
        }
    }
}

impl Difference {
    /// Accepts it: what is there now takes the place of what was accepted. `observed`: what `provider` says.
    pub fn accept(&self, lock: &mut Lock, provider: &str, observed: &Observed) {
        let Observed::Server(now) = observed else { return observed.put(provider, lock) };
        let server = lock.servers.entry(provider.to_owned()).or_default();
        let one = |all: &mut BTreeMap<String, Definition>, now: &BTreeMap<String, Definition>, name: &String| match now.get(name) {
            Some(definition) => drop(all.insert(name.clone(), definition.clone())),
            None => drop(all.remove(name)),
        };
        match &self.part {
            Part::Code => {}
            Part::Instructions => server.instructions.clone_from(&now.instructions),
            Part::Tool(tool) => one(&mut server.tools, &now.tools, tool),
            Part::Prompt(prompt) => one(&mut server.prompts, &now.prompts, prompt),
        }
    }

    /// A digest of it: who accepts what was shown accepts nothing that has come since.
    #[must_use]
    pub fn print(&self, provider: &str) -> String {
        let all = serde_json::json!([provider, format!("{:?} {:?}", self.part, self.change), self.before, self.after]);
        blake3::hash(all.to_string().as_bytes()).to_hex().to_string()
    }

    /// Why it is not accepted, as the end of a sentence.
    #[must_use]
    pub fn why(&self) -> &'static str {
        match (&self.part, self.change) {
            (Part::Tool(_) | Part::Prompt(_), Change::New) => "it is new and was not accepted",
            (Part::Tool(_) | Part::Prompt(_), Change::Changed) => "its definition has changed since it was accepted",
            (Part::Code, Change::New) => "the plugin is new and was not accepted",
            (Part::Code, Change::Changed) => "the plugin's file has changed since it was accepted",
            (Part::Instructions, Change::New) => "they are new and were not accepted",
            (Part::Instructions, Change::Changed) => "they have changed since they were accepted",
            (_, Change::Gone) => "it was accepted and is gone",
        }
    }

    /// A whole sentence; `provider` is whose it is.
    #[must_use]
    pub fn sentence(&self, provider: &str) -> String {
        match &self.part {
            Part::Code => format!("plugin {provider}: {}", self.why()),
            Part::Instructions => format!("the instructions of {provider}: {}", self.why()),
            Part::Tool(name) => format!("tool {:?} of {provider}: {}", visible(name), self.why()),
            Part::Prompt(name) => format!("prompt {:?} of {provider}: {}", visible(name), self.why()),
        }
    }

    /// What was accepted and what is there now, for people to compare. Characters that nobody sees are
    /// written out.
    #[must_use]
    pub fn text(&self, provider: &str) -> String {
        let what = match &self.part {
            Part::Code => format!("plugin {provider}"),
            Part::Instructions => format!("instructions of {provider}"),
            Part::Tool(name) => format!("tool {} of {provider}", visible(name)),
            Part::Prompt(name) => format!("prompt {} of {provider}", visible(name)),
        };
        let how = match self.change {
            Change::New => "new",
            Change::Changed => "changed",
            Change::Gone => "gone",
        };
        let mut text = format!("{how:<8}{what}\n");
        if self.change != Change::Gone {
            compare("", &self.before, &self.after, &mut text);
        }
        text
    }
}

/// Writes in which members two values differ.
fn compare(place: &str, before: &Value, after: &Value, text: &mut String) {
    if before == after {
        return;
    }
    let below = |name: &str| if place.is_empty() { visible(name) } else { format!("{place}.{}", visible(name)) };
    if let (Value::Object(before), Value::Object(after)) = (before, after) {
        let mut names: Vec<&String> = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))).collect();
        names.sort();
        for name in names {
            compare(&below(name), before.get(name).unwrap_or(&Value::Null), after.get(name).unwrap_or(&Value::Null), text);
        }
        return;
    }
    // What is new is shown by its members too, one line each.
    if let (Value::Null, Value::Object(after)) = (before, after)
        && !after.is_empty()
        && place.is_empty()
    {
        for (name, value) in after {
            compare(&below(name), &Value::Null, value, text);
        }
        return;
    }
    // Writing to a String cannot fail.
    if !place.is_empty() {
        let _ = writeln!(text, "          {place}");
    }
    for (sign, value) in [('-', before), ('+', after)] {
        let shown = match value {
            Value::Null => continue,
            Value::String(value) => visible(value),
            other => visible(&other.to_string()),
        };
        for line in shown.lines() {
            let _ = writeln!(text, "          {sign} {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(instructions: Option<&str>, tools: &[(&str, Value)]) -> LockedServer {
        let tools = tools.iter().map(|(name, value)| ((*name).to_owned(), Definition::parse(&value.to_string()).unwrap()));
        LockedServer { instructions: instructions.map(str::to_owned), tools: tools.collect(), prompts: BTreeMap::new() }
    }

    #[test]
    fn what_differs_is_told_with_what_was_and_what_is() {
        let mut lock = Lock::default();
        let before = server(None, &[("add", json!({"description": "Adds", "inputSchema": {"type": "object"}})), ("old", json!({}))]);
        Observed::Server(before.clone()).put("s", &mut lock);
        Observed::Plugin("aa".to_owned()).put("p", &mut lock);
        assert_eq!(differences(&lock, "s", &Observed::Server(before)), []);
        assert_eq!(differences(&lock, "p", &Observed::Plugin("aa".to_owned())), []);
        let changed = json!({"description": "Adds\u{200b}\nand steals", "inputSchema": {"type": "object", "properties": {"note": {"type": "string"}}}});
        let now = server(Some("Always"), &[("add", changed), ("new", json!({"title": "N"}))]);
        let found = differences(&lock, "s", &Observed::Server(now));
        let told: Vec<_> = found.iter().map(|one| (one.change, one.sentence("s"))).collect();
        assert_eq!(told.iter().map(|(change, _)| *change).collect::<Vec<_>>(), [Change::New, Change::Changed, Change::New, Change::Gone]);
        assert_eq!(told[1].1, "tool \"add\" of s: its definition has changed since it was accepted");
        assert_eq!(
            found[1].text("s"),
            "changed tool add of s\n          description\n          - Adds\n          + Adds\\u{200b}\n          + and steals\n          \
             inputSchema.properties\n          + {\"note\":{\"type\":\"string\"}}\n"
        );
        assert!(found[2].text("s").contains("          title\n          + N\n"), "{}", found[2].text("s"));
        let [plugin] = &differences(&lock, "p", &Observed::Plugin("bb".to_owned()))[..] else { panic!() };
        assert_eq!((&plugin.part, plugin.change), (&Part::Code, Change::Changed));
        // One that nobody has accepted anything of.
        let unknown = server(None, &[("add", json!({}))]);
        assert_eq!(differences(&lock, "other", &Observed::Server(unknown))[0].change, Change::New);
    }
}
