//! What the author of a plugin says of its functions and types: WIT doc comments, from a component's custom sections `toolbay-docs` and `package-docs`.
//!
//! A component's types carry no words, so tools that keep doc comments put them beside the types, as the WIT tools do for WIT packages: in a section
//! `package-docs`, a version byte and JSON. [`embed()`] adds the same under a name of our own: tools that read a component's types look into
//! `package-docs` too, and refuse the component where it speaks of anything but what is written inside of one world named `root`, so that a component
//! that exports an interface could not have docs.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

pub use super::embed::{EmbedError, embed};
use super::{embed::sections, names::Names, types::Kind};

/// The custom section that [`embed()`] writes.
pub(super) const OWN_SECTION: &str = "toolbay-docs";
/// The custom section of the WIT tools, in the same format.
const WIT_SECTION: &str = "package-docs";
/// Versions of the section that can be read: 0 and 1 differ only in what may be left out.
const MAX_VERSION: u8 = 1;
/// Bytes of docs that are read of one component. JSON of empty objects takes some twenty times its size once it is read.
const MAX_SECTION: usize = 1 << 20;
/// Bytes of one text that are published. Longer ones are cut: every client reads them with every list of tools.
const MAX_TEXT: usize = 16 << 10;

/// The doc comments of one component.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Docs {
    packages: Vec<Package>,
}

type Map<T> = BTreeMap<String, T>;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Package {
    #[serde(skip_serializing_if = "Map::is_empty")]
    worlds: Map<World>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    interfaces: Map<Interface>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct World {
    /// Imported functions, and in version 0 exported ones too.
    #[serde(skip_serializing_if = "Map::is_empty")]
    funcs: Map<Function>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    func_exports: Map<Function>,
    /// Imported interfaces that are written inside the world, and exported ones where no import has the name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    interfaces: Map<Interface>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    interface_exports: Map<Interface>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    types: Map<TypeDoc>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Interface {
    #[serde(skip_serializing_if = "Map::is_empty")]
    funcs: Map<Function>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    types: Map<TypeDoc>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Function {
    /// Version 0.
    Text(Option<String>),
    Docs {
        #[serde(default)]
        docs: Option<String>,
    },
}

/// What is said of one type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TypeDoc {
    /// Of the type itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) docs: Option<String>,
    /// Of its fields, cases or flags.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) items: Map<String>,
    /// For a type that a world declares: what kind it is, and the names of all that is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<Kind>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) names: Vec<String>,
}

impl Function {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(docs) | Self::Docs { docs } => docs.as_deref(),
        }
    }
}

impl Docs {
    /// Reads the docs of a component. What is missing, broken or too large is as if it were not there: a plugin works without.
    #[must_use]
    pub fn from_component(bytes: &[u8]) -> Self {
        let mut packages = Vec::new();
        let mut left = MAX_SECTION;
        // Our own first: it goes before the other.
        for name in [OWN_SECTION, WIT_SECTION] {
            for section in sections(bytes).map_while(Result::ok) {
                let Some((version, json)) = section.custom(name).and_then(<[u8]>::split_first) else { continue };
                if *version > MAX_VERSION || json.len() > left {
                    continue;
                }
                left -= json.len();
                if let Ok(package) = serde_json::from_slice::<Package>(json) {
                    packages.push(package);
                }
            }
        }
        Self { packages }
    }

    /// Whether nothing is said at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.iter().all(|package| package.worlds.is_empty() && package.interfaces.is_empty())
    }

    pub(super) fn has_types(&self) -> bool {
        let in_worlds = |world: &World| {
            let inline = world.interfaces.values().chain(world.interface_exports.values()).any(|interface| !interface.types.is_empty());
            inline || !world.types.is_empty()
        };
        self.packages.iter().any(|package| {
            package.interfaces.values().any(|interface| !interface.types.is_empty()) || package.worlds.values().any(in_worlds)
        })
    }

    /// The world that a component is most likely of, by the names that it exports: nothing in the component says which it was.
    pub(super) fn world(&self, exports: &HashSet<&str>) -> Option<&World> {
        let worlds = self.packages.iter().flat_map(|package| package.worlds.values());
        let fit = |world: &World| {
            let functions = world.func_exports.keys().chain(world.funcs.keys());
            let interfaces = world.interface_exports.keys().chain(world.interfaces.keys());
            functions.chain(interfaces).filter(|name| exports.contains(name.as_str())).count()
        };
        // The first of those that fit equally well.
        let (_, world) = worlds.map(|world| (fit(world), world)).reduce(|best, next| if next.0 > best.0 { next } else { best })?;
        Some(world)
    }

    /// What is said of an exported function.
    pub(super) fn function<'d>(&'d self, world: Option<&'d World>, interface: Option<&str>, name: &str) -> Option<&'d str> {
        let Some(interface) = interface else {
            return world?.func_exports.get(name).or_else(|| world?.funcs.get(name))?.text();
        };
        if interface.contains('/') {
            let short = super::interface_name(interface);
            let mut interfaces = self.packages.iter().filter_map(|package| package.interfaces.get(short));
            return interfaces.find_map(|interface| interface.funcs.get(name))?.text();
        }
        let inline = world?.interface_exports.get(interface).or_else(|| world?.interfaces.get(interface))?;
        inline.funcs.get(name)?.text()
    }

    /// What is said of a type of an interface, by the interface's short name.
    pub(super) fn interface_type(&self, interface: &str, name: &str) -> Option<&TypeDoc> {
        let own = self.packages.iter().filter_map(|package| package.interfaces.get(interface));
        let worlds = self.packages.iter().flat_map(|package| package.worlds.values());
        let inline = worlds.filter_map(|world| world.interface_exports.get(interface).or_else(|| world.interfaces.get(interface)));
        own.chain(inline).find_map(|interface| interface.types.get(name))
    }

    /// All types that worlds declare.
    pub(super) fn world_types(&self) -> impl Iterator<Item = (&str, &TypeDoc)> {
        let worlds = self.packages.iter().flat_map(|package| package.worlds.values());
        worlds.flat_map(|world| world.types.iter().map(|(name, doc)| (name.as_str(), doc)))
    }

    /// What is said of a type of a world.
    pub(super) fn world_type(&self, name: &str) -> Option<&TypeDoc> {
        self.packages.iter().flat_map(|package| package.worlds.values()).find_map(|world| world.types.get(name))
    }
}

/// Headings that stand over lists of parameters.
const HEADINGS: [&str; 3] = ["Parameters", "Arguments", "Args"];

/// Takes the lines "- `name`: text" on parameters out of a function's doc comment, and gives each to its parameter. What is left is the description.
///
/// A line belongs to the item before it until there is an empty line or another item, as in Markdown. Items on names that are no parameters stay.
pub(super) fn split(doc: &str, params: &mut Names) -> Option<String> {
    let mut rest: Vec<&str> = Vec::new();
    let mut texts: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for line in doc.lines() {
        let trimmed = line.trim();
        let item = trimmed.strip_prefix("- ").or_else(|| trimmed.strip_prefix("* "));
        if let Some((at, text)) = item.and_then(|item| parameter(item, params)) {
            texts.push((at, text.trim().to_owned()));
            inside = true;
            continue;
        }
        inside = inside && item.is_none() && !trimmed.is_empty();
        match texts.last_mut() {
            Some((_, text)) if inside => {
                text.push(' ');
                text.push_str(trimmed);
            }
            _ => rest.push(line.trim_end()),
        }
    }
    for (at, text) in &texts {
        let at = *at;
        if let Some(name) = params.iter_mut().nth(at) {
            let text = cut(text.trim());
            name.doc = (!text.is_empty()).then(|| text.into());
        }
    }
    // A heading over items that were all taken out has nothing left to say.
    let is_heading = |line: &str| line.trim_start().starts_with('#');
    let over_items = |line: &str| is_heading(line) && HEADINGS.contains(&line.trim_start_matches(['#', ' ']).trim());
    let mut below = "#";
    for index in (0..rest.len()).rev() {
        let Some(line) = rest.get(index).copied() else { continue };
        if !texts.is_empty() && over_items(line) && is_heading(below) {
            rest.remove(index);
        } else if !line.is_empty() {
            below = line;
        }
    }
    // Where items were taken out, one empty line is left of the two around them.
    let mut text = String::new();
    for (index, line) in rest.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| rest.get(before));
        if !(line.is_empty() && before.is_some_and(|before| before.is_empty())) {
            text.push_str(line);
            text.push('\n');
        }
    }
    let text = cut(text.trim());
    (!text.is_empty()).then(|| text.to_owned())
}

/// "`name`: text", or with a dash as rustdoc's lists often have it, of a parameter in its WIT or its published form.
fn parameter<'t>(item: &'t str, params: &Names) -> Option<(usize, &'t str)> {
    let (name, rest) = item.trim_start().strip_prefix('`')?.split_once('`')?;
    let text = rest.trim_start().strip_prefix([':', '-', '–', '—'])?;
    Some((params.find_wit(name).or_else(|| params.find(name))?, text))
}

/// The text, or as much of it as is published.
pub(super) fn cut(text: &str) -> &str {
    if text.len() <= MAX_TEXT { text } else { text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default() }
}
