//! What of a provider differs from what was accepted.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::hidden::visible;
use crate::{
    config::{Lock, LockedImage, LockedOffers, LockedServer},
    provider::{Definition, Provider},
    wildcard::fits,
};

/// Lines before and behind a difference that are shown with it.
const CONTEXT: usize = 2;

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
    /// Of a provider, and by which names what it has is published. `definitions`: what its source says of its tools. `unpinned`: patterns of resources that
    /// are left out.
    pub(super) fn of(provider: &dyn Provider, definitions: Vec<(String, Definition)>, unpinned: &[String]) -> (Self, Published) {
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
                let pinned = |all: Vec<(String, Definition)>| all.into_iter().filter(|(uri, _)| !is_unpinned(uri, unpinned)).collect();
                let beside = LockedOffers {
                    resources: pinned(provider.resource_definitions()),
                    templates: pinned(provider.template_definitions()),
                    pages: BTreeMap::new(),
                };
                let tools = definitions.into_iter().collect();
                Self::Server(LockedServer { instructions, tools, prompts, image: None, beside: Some(beside) })
            }
        };
        (observed, published)
    }

    /// The same with what its pages hold, as far as that is known.
    #[must_use]
    pub fn with_pages(mut self, pages: BTreeMap<String, Definition>) -> Self {
        if let Self::Server(LockedServer { beside: Some(beside), .. }) = &mut self {
            beside.pages = pages;
        }
        self
    }

    /// The same with the image that it runs.
    #[must_use]
    pub fn with_image(mut self, now: LockedImage) -> Self {
        if let Self::Server(server) = &mut self {
            server.image = Some(now);
        }
        self
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
    /// A container image, and with it everything that it says.
    Image,
    /// A resource, by its URI.
    Resource(String),
    /// A resource template, by its text.
    Template(String),
    /// What a page holds (MCP Apps), by its URI.
    Page(String),
}

impl Part {
    /// What it is one of, and its own name, where there are several.
    #[must_use]
    pub fn named(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Code | Self::Instructions | Self::Image => None,
            Self::Tool(name) => Some(("tool", name)),
            Self::Prompt(name) => Some(("prompt", name)),
            Self::Resource(uri) => Some(("resource", uri)),
            Self::Template(text) => Some(("resource template", text)),
            Self::Page(uri) => Some(("page", uri)),
        }
    }
}

/// Whether a resource is one that comes and goes.
pub(super) fn is_unpinned(uri: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| fits(uri, pattern))
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
            let image = |server: &LockedServer| server.image.as_ref().map(|image| Value::from(image.to_string()));
            // Who has not looked for the image knows nothing of it.
            let image = now.image.as_ref().and_then(|_| compared(Part::Image, image(before), image(now)));
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
            let empty = LockedOffers::default();
            let (before, now) = (before.beside.as_ref().unwrap_or(&empty), now.beside.as_ref().unwrap_or(&empty));
            let resources = each(&before.resources, &now.resources, Part::Resource);
            let templates = each(&before.templates, &now.templates, Part::Template);
            let pages = each(&before.pages, &now.pages, Part::Page);
            image.into_iter().chain(instructions).chain(tools).chain(prompts).chain(resources).chain(templates).chain(pages).collect()
        }
    }
}

/// In what a page differs from what was accepted of it.
pub(super) fn difference_of_page(uri: &str, before: Option<&Definition>, now: &Definition) -> Option<Difference> {
    let change = match before {
        None => Change::New,
        Some(before) if before != now => Change::Changed,
        Some(_) => return None,
    };
    let before = before.map(Definition::value).unwrap_or_default();
    Some(Difference { part: Part::Page(uri.to_owned()), change, before, after: now.value() })
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
        let nothing = LockedOffers::default();
        let beside = now.beside.as_ref().unwrap_or(&nothing);
        match &self.part {
            Part::Code => {}
            Part::Image => server.image.clone_from(&now.image),
            Part::Instructions => server.instructions.clone_from(&now.instructions),
            Part::Tool(tool) => one(&mut server.tools, &now.tools, tool),
            Part::Prompt(prompt) => one(&mut server.prompts, &now.prompts, prompt),
            Part::Resource(uri) => one(&mut server.beside.get_or_insert_default().resources, &beside.resources, uri),
            Part::Template(text) => one(&mut server.beside.get_or_insert_default().templates, &beside.templates, text),
            Part::Page(uri) => one(&mut server.beside.get_or_insert_default().pages, &beside.pages, uri),
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
            (_, Change::Gone) => "it was accepted and is gone",
            (Part::Code, Change::New) => "the plugin is new and was not accepted",
            (Part::Code, Change::Changed) => "the plugin's file has changed since it was accepted",
            (Part::Image, Change::New) => "it is new and was not accepted",
            (Part::Image, Change::Changed) => "it is another one than was accepted",
            (Part::Instructions, Change::New) => "they are new and were not accepted",
            (Part::Instructions, Change::Changed) => "they have changed since they were accepted",
            (_, Change::New) => "it is new and was not accepted",
            (Part::Page(_), Change::Changed) => "its content has changed since it was accepted",
            (_, Change::Changed) => "its definition has changed since it was accepted",
        }
    }

    /// What it is, and how it is accepted: as `NAME` or `NAME__TOOL`.
    #[must_use]
    pub fn accepted_as(&self, provider: &str) -> String {
        self.part.named().map_or_else(|| provider.to_owned(), |(_, name)| format!("{provider}__{name}"))
    }

    /// A whole sentence; `provider` is whose it is.
    #[must_use]
    pub fn sentence(&self, provider: &str) -> String {
        let why = self.why();
        match &self.part {
            Part::Code => format!("plugin {provider}: {why}"),
            Part::Instructions => format!("the instructions of {provider}: {why}"),
            Part::Image => format!("the image of {provider}: {why}"),
            part => {
                let (kind, name) = part.named().unwrap_or_default();
                format!("{kind} {:?} of {provider}: {why}", visible(name))
            }
        }
    }

    /// What was accepted and what is there now, for people to compare. Characters that nobody sees are
    /// written out.
    #[must_use]
    pub fn text(&self, provider: &str) -> String {
        let what = match &self.part {
            Part::Code => format!("plugin {provider}"),
            Part::Instructions => format!("instructions of {provider}"),
            Part::Image => format!("image of {provider}"),
            part => {
                let (kind, name) = part.named().unwrap_or_default();
                format!("{kind} {} of {provider}", visible(name))
            }
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
    let shown = |value: &Value| match value {
        Value::Null => None,
        Value::String(value) => Some(visible(value)),
        other => Some(visible(&other.to_string())),
    };
    let (before, after) = (shown(before), shown(after));
    let lines = |text: &Option<String>| text.as_deref().map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default();
    let (before, after) = (lines(&before), lines(&after));
    // Of a long text the lines around what differs are enough.
    let same = |pairs: &mut dyn Iterator<Item = (&String, &String)>| pairs.take_while(|(before, after)| before == after).count();
    let head = same(&mut before.iter().zip(&after));
    let shorter = before.len().min(after.len());
    let tail = same(&mut before.iter().rev().zip(after.iter().rev())).min(shorter - head);
    let mut show = |sign: char, lines: &[String]| {
        for line in lines {
            let _ = writeln!(text, "          {sign} {line}");
        }
    };
    let between = |lines: &[String]| lines.get(head..lines.len() - tail).unwrap_or_default().to_vec();
    show(' ', before.get(head.saturating_sub(CONTEXT)..head).unwrap_or_default());
    show('-', &between(&before));
    show('+', &between(&after));
    let behind = before.len() - tail;
    show(' ', before.get(behind..(behind + CONTEXT).min(before.len())).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(instructions: Option<&str>, tools: &[(&str, Value)]) -> LockedServer {
        let tools = tools.iter().map(|(name, value)| ((*name).to_owned(), Definition::parse(&value.to_string()).unwrap()));
        LockedServer { instructions: instructions.map(str::to_owned), tools: tools.collect(), ..LockedServer::default() }
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

    #[test]
    fn an_image_a_resource_a_template_and_a_page_are_compared_like_tools() {
        let image = |digest: &str| LockedImage { name: "acme/notes:1".to_owned(), digest: format!("sha256:{digest}") };
        let said = |words: &str| BTreeMap::from([("x://a".to_owned(), Definition::parse(&json!({ "name": words }).to_string()).unwrap())]);
        let page = |lines: &[&str]| {
            BTreeMap::from([("ui://p".to_owned(), Definition::parse(&json!({ "text": lines.join("\n") }).to_string()).unwrap())])
        };
        let server = |words: &str, lines: &[&str]| {
            let beside = LockedOffers { resources: said(words), templates: said(words), pages: page(lines) };
            Observed::Server(LockedServer { beside: Some(beside), ..LockedServer::default() })
        };
        let before = server("notes", &["<p>", "a", "b", "c", "one", "d", "e", "f", "</p>"]).with_image(image("aa"));
        let mut lock = Lock::default();
        before.put("s", &mut lock);
        assert_eq!(differences(&lock, "s", &before), []);
        let now = server("other", &["<p>", "a", "b", "c", "two", "and three", "d", "e", "f", "</p>"]);
        let found = differences(&lock, "s", &now.clone().with_image(image("bb")));
        let told: Vec<_> = found.iter().map(|one| one.sentence("s")).collect();
        assert_eq!(
            told,
            [
                "the image of s: it is another one than was accepted",
                "resource \"x://a\" of s: its definition has changed since it was accepted",
                "resource template \"x://a\" of s: its definition has changed since it was accepted",
                "page \"ui://p\" of s: its content has changed since it was accepted",
            ]
        );
        assert_eq!(found[0].text("s"), "changed image of s\n          - acme/notes:1@sha256:aa\n          + acme/notes:1@sha256:bb\n");
        assert_eq!(
            found[3].text("s"),
            "changed page ui://p of s\n          text\n            b\n            c\n          - one\n          + two\n          \
             + and three\n            d\n            e\n"
        );
        assert_eq!(found.iter().map(|one| one.accepted_as("s")).collect::<Vec<_>>(), ["s", "s__x://a", "s__x://a", "s__ui://p"]);
        // Who has not looked at the image says nothing of it.
        assert!(differences(&lock, "s", &now).iter().all(|one| one.part != Part::Image));
    }

    #[test]
    fn lines_are_compared_at_both_ends_whatever_the_texts_are() {
        for (before, after, want) in [
            ("a\na", "a", "  a\n- a\n"),
            ("a", "a\na", "  a\n+ a\n"),
            ("", "a", "+ a\n"),
            ("a\nb", "b\na", "- a\n- b\n+ b\n+ a\n"),
            ("x\ny\nz", "x\nz", "  x\n- y\n  z\n"),
        ] {
            let mut text = String::new();
            compare("", &before.into(), &after.into(), &mut text);
            assert_eq!(text, want.lines().map(|line| format!("          {line}\n")).collect::<String>(), "{before:?} {after:?}");
        }
    }
}
