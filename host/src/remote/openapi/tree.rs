//! A JSON or YAML document as a compact tree: 16 bytes a value, and every name where it stands in the text.
//!
//! `serde_json::Value` takes up to thirty times the text of a document of small objects; this takes about three times.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

use serde_json::{Map, Number, Value};

use super::grow;

/// Objects with more members than these are found in by a table.
const INDEXED: u32 = 16;

/// A document.
pub(super) struct Tree {
    /// Which one of several.
    pub(super) id: usize,
    text: String,
    /// Texts that do not stand in the document as they are: with escapes in JSON, folded in YAML.
    decoded: String,
    members: Vec<Member>,
    items: Vec<Data>,
    root: Data,
    hasher: RandomState,
    /// Members of large objects: the object's place and the hash of a name, and the member.
    index: HashMap<(u32, u64), u32>,
    /// The value that each object and list is, by the place of its first member.
    parents: OnceLock<Parents>,
    lines: OnceLock<Vec<u32>>,
}

/// Part of a text, or of a list of members or items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Span {
    pub(super) at: u32,
    pub(super) len: u32,
}

/// A value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(Span),
    List(Span),
    Map(Span),
}

/// A value of an object, and its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) name: Span,
    pub(super) value: Data,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Root,
    Member(u32),
    Item(u32),
}

#[derive(Default)]
struct Parents {
    maps: BTreeMap<u32, (u32, Slot)>,
    lists: BTreeMap<u32, (u32, Slot)>,
}

/// A value in a document.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    tree: &'a Tree,
    data: Data,
    slot: Slot,
}

/// What tells an object or a list from all others.
pub(super) type NodeId = (usize, bool, Span);

impl Tree {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn parse(id: usize, text: String) -> Result<Self, String> {
        let grown = grow::parse(&text)?;
        let mut tree = Self {
            id,
            text,
            decoded: grown.decoded,
            members: grown.members,
            items: grown.items,
            root: grown.root,
            hasher: RandomState::new(),
            index: HashMap::new(),
            parents: OnceLock::new(),
            lines: OnceLock::new(),
        };
        tree.members.shrink_to_fit();
        tree.items.shrink_to_fit();
        tree.decoded.shrink_to_fit();
        tree.index = tree.large();
        Ok(tree)
    }

    fn large(&self) -> HashMap<(u32, u64), u32> {
        let values = self.members.iter().map(|member| member.value).chain(self.items.iter().copied()).chain([self.root]);
        let mut index = HashMap::new();
        for data in values {
            let Data::Map(span) = data else { continue };
            if span.len > INDEXED {
                for (at, member) in (span.at..).zip(self.members_of(span)) {
                    index.insert((span.at, self.hasher.hash_one(self.str(member.name))), at);
                }
            }
        }
        index
    }

    /// The whole.
    pub(super) fn root(&self) -> Node<'_> {
        Node { tree: self, data: self.root, slot: Slot::Root }
    }

    /// Bytes of the document as it was read.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    fn members_of(&self, span: Span) -> &[Member] {
        self.members.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default()
    }

    fn items_of(&self, span: Span) -> &[Data] {
        self.items.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default()
    }

    fn str(&self, span: Span) -> &str {
        let (at, len) = (span.at as usize, span.len as usize);
        match at.checked_sub(self.text.len()) {
            None => self.text.get(at..at + len),
            Some(at) => self.decoded.get(at..at + len),
        }
        .unwrap_or_default()
    }

    fn parents(&self) -> &Parents {
        self.parents.get_or_init(|| {
            let mut parents = Parents::default();
            let mut note = |data: Data, slot: Slot| match data {
                Data::Map(span) if span.len > 0 => drop(parents.maps.insert(span.at, (span.len, slot))),
                Data::List(span) if span.len > 0 => drop(parents.lists.insert(span.at, (span.len, slot))),
                _ => {}
            };
            note(self.root, Slot::Root);
            (0..).zip(&self.members).for_each(|(at, member)| note(member.value, Slot::Member(at)));
            (0..).zip(&self.items).for_each(|(at, item)| note(*item, Slot::Item(at)));
            parents
        })
    }
}

impl<'a> Node<'a> {
    fn of(self, data: Data, slot: Slot) -> Self {
        Node { tree: self.tree, data, slot }
    }

    /// Which of several documents it is in.
    pub(super) fn tree(self) -> usize {
        self.tree.id
    }

    /// None: it is neither an object nor a list.
    pub(super) fn id(self) -> Option<NodeId> {
        match self.data {
            Data::Map(span) => Some((self.tree.id, true, span)),
            Data::List(span) => Some((self.tree.id, false, span)),
            _ => None,
        }
    }

    pub(super) fn is_map(self) -> bool {
        matches!(self.data, Data::Map(_))
    }

    pub(super) fn is_list(self) -> bool {
        matches!(self.data, Data::List(_))
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self.data, Data::Null)
    }

    pub(super) fn bool(self) -> Option<bool> {
        if let Data::Bool(value) = self.data { Some(value) } else { None }
    }

    /// Whether it is meant as true or false: some write it as text.
    pub(super) fn flag(self) -> Option<bool> {
        match self.data {
            Data::Bool(value) => Some(value),
            Data::Text(_) => match self.text()?.trim() {
                "true" | "True" | "yes" => Some(true),
                "false" | "False" | "no" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn number(self) -> Option<Number> {
        match self.data {
            Data::Int(value) => Some(value.into()),
            Data::Uint(value) => Some(value.into()),
            Data::Float(value) => Number::from_f64(value),
            _ => None,
        }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        if let Data::Text(span) = self.data { Some(self.tree.str(span)) } else { None }
    }

    /// Text, or what stands in its place: a number or a truth value that somebody did not put in quotes.
    pub(super) fn said(self) -> Option<String> {
        match self.data {
            Data::Text(span) => Some(self.tree.str(span).to_owned()),
            Data::Bool(value) => Some(value.to_string()),
            _ => self.number().map(|number| number.to_string()),
        }
    }

    pub(super) fn len(self) -> usize {
        match self.data {
            Data::Map(span) | Data::List(span) => span.len as usize,
            _ => 0,
        }
    }

    /// A member of an object. Of two with one name the last counts.
    pub(super) fn get(self, name: &str) -> Option<Node<'a>> {
        let Data::Map(span) = self.data else { return None };
        let tree = self.tree;
        if span.len > INDEXED {
            let at = *tree.index.get(&(span.at, tree.hasher.hash_one(name)))?;
            let member = tree.members.get(at as usize).filter(|member| tree.str(member.name) == name)?;
            return Some(self.of(member.value, Slot::Member(at)));
        }
        let members = tree.members_of(span);
        let nth = members.iter().rposition(|member| tree.str(member.name) == name)?;
        let at = span.at.saturating_add(u32::try_from(nth).unwrap_or(u32::MAX));
        Some(self.of(members.get(nth)?.value, Slot::Member(at)))
    }

    /// A member that is text.
    pub(super) fn get_text(self, name: &str) -> Option<&'a str> {
        self.get(name)?.text()
    }

    /// The members of an object, as they were written; of anything else none.
    pub(super) fn members(self) -> impl DoubleEndedIterator<Item = (&'a str, Node<'a>)> {
        let span = if let Data::Map(span) = self.data { span } else { Span { at: 0, len: 0 } };
        let members = self.tree.members_of(span);
        members.iter().enumerate().map(move |(nth, member)| {
            let at = span.at.saturating_add(u32::try_from(nth).unwrap_or(u32::MAX));
            (self.tree.str(member.name), self.of(member.value, Slot::Member(at)))
        })
    }

    /// The items of a list; of anything else none.
    pub(super) fn items(self) -> impl Iterator<Item = Node<'a>> {
        let span = if let Data::List(span) = self.data { span } else { Span { at: 0, len: 0 } };
        let items = self.tree.items_of(span);
        (span.at..).zip(items).map(move |(at, item)| self.of(*item, Slot::Item(at)))
    }

    /// What one step of a JSON pointer leads to.
    pub(super) fn step(self, token: &str) -> Option<Node<'a>> {
        match self.data {
            Data::Map(_) => self.get(token),
            Data::List(_) => self.items().nth(token.parse().ok()?),
            _ => None,
        }
    }

    /// Whether it takes no more than so many bytes, about, as JSON.
    pub(super) fn is_within(self, most: usize) -> bool {
        fn rest(node: Node<'_>, left: usize) -> Option<usize> {
            let left = left.checked_sub(node.text().map_or(4, |text| text.len() + 2))?;
            let left = node.members().try_fold(left, |left, (name, member)| rest(member, left.checked_sub(name.len() + 4)?))?;
            node.items().try_fold(left, |left, item| rest(item, left))
        }
        rest(self, most).is_some()
    }

    pub(super) fn value(self) -> Value {
        match self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => value.into(),
            Data::Int(value) => value.into(),
            Data::Uint(value) => value.into(),
            Data::Float(value) => Number::from_f64(value).map_or(Value::Null, Value::Number),
            Data::Text(span) => self.tree.str(span).into(),
            Data::List(_) => self.items().map(Node::value).collect(),
            Data::Map(_) => {
                let mut map = Map::with_capacity(self.len());
                map.extend(self.members().map(|(name, member)| (name.to_owned(), member.value())));
                Value::Object(map)
            }
        }
    }

    /// The member or item that this value is part of. None: it is the whole.
    fn parent(self) -> Option<Node<'a>> {
        let parents = self.tree.parents();
        let (all, at) = match self.slot {
            Slot::Root => return None,
            Slot::Member(at) => (&parents.maps, at),
            Slot::Item(at) => (&parents.lists, at),
        };
        let (start, (len, slot)) = all.range(..=at).next_back()?;
        (at < start + len).then(|| {
            let data = match *slot {
                Slot::Root => self.tree.root,
                Slot::Member(at) => self.tree.members.get(at as usize).map_or(Data::Null, |member| member.value),
                Slot::Item(at) => self.tree.items.get(at as usize).copied().unwrap_or(Data::Null),
            };
            self.of(data, *slot)
        })
    }

    /// Where it stands in its document, as a JSON pointer.
    pub(super) fn pointer(self) -> String {
        let mut tokens = Vec::new();
        let mut node = self;
        while let Some(parent) = node.parent() {
            tokens.push(match (node.slot, parent.data) {
                (Slot::Member(at), _) => {
                    let name = self.tree.members.get(at as usize).map(|member| self.tree.str(member.name)).unwrap_or_default();
                    name.replace('~', "~0").replace('/', "~1")
                }
                (Slot::Item(at), Data::List(span)) => at.saturating_sub(span.at).to_string(),
                _ => String::new(),
            });
            node = parent;
        }
        tokens.iter().rev().fold(String::new(), |path, token| path + "/" + token)
    }

    /// The name that it has in the object that it is a member of.
    pub(super) fn name(self) -> Option<&'a str> {
        let Slot::Member(at) = self.slot else { return None };
        self.tree.members.get(at as usize).map(|member| self.tree.str(member.name))
    }

    /// The line of its name, or of the name of what it is part of. None: it is not known, or there is one line only.
    pub(super) fn line(self) -> Option<usize> {
        let tree = self.tree;
        // An item of a list begins where its first member does.
        let mut node = match (self.slot, self.members().next()) {
            (Slot::Item(_), Some((_, first))) => first,
            _ => self,
        };
        let at = loop {
            if let Slot::Member(at) = node.slot
                && let Some(member) = tree.members.get(at as usize)
                && (member.name.at as usize) < tree.text.len()
            {
                break member.name.at;
            }
            node = node.parent()?;
        };
        let ends = |text: &str| (0_u32..).zip(text.bytes()).filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        let lines: &Vec<u32> = tree.lines.get_or_init(|| ends(&tree.text));
        (!lines.is_empty()).then(|| lines.partition_point(|end| *end < at) + 1)
    }
}
