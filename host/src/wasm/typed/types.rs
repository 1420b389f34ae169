//! What the author says of types, found again by their names.
//!
//! A component's types have names only where an interface exports or imports them; inside a function's type they have none. A type is known again by
//! its kind and the names in it, in their order. Where two types of different names have the same names inside, nothing is said of either: a wrong
//! description is worse than none.
//!
//! Types that are declared in a world itself have no names in a component at all: what is in them stands beside their docs (see `embed`).

use std::collections::{HashMap, hash_map::Entry};

use serde::{Deserialize, Serialize};
use wasmtime::{
    Engine,
    component::types::{Component, ComponentItem, Type},
};

use super::{
    docs::{Docs, TypeDoc},
    interface_name,
    names::Names,
};

/// Names that are looked at. A component can export one large type under a million names.
const MAX_NAMES: usize = 100_000;

/// The kinds of types that have names in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Record,
    Variant,
    Enum,
    Flags,
}

/// What is said of the types of one component.
#[derive(Debug, Default)]
pub(super) struct TypeDocs<'d> {
    known: HashMap<(Kind, String), Known<'d>>,
}

#[derive(Debug)]
struct Known<'d> {
    name: String,
    doc: Option<&'d TypeDoc>,
    ambiguous: bool,
}

impl<'d> TypeDocs<'d> {
    /// Looks at all named types of a component.
    pub(super) fn new(engine: &Engine, component: &Component, docs: &'d Docs) -> Self {
        let mut all = Self::default();
        let mut left = MAX_NAMES;
        if !docs.has_types() {
            return all;
        }
        for (name, item) in component.imports(engine).chain(component.exports(engine)) {
            let fits = match &item.ty {
                ComponentItem::Type(ty) => all.note(name, ty, docs.world_type(name), &mut left),
                ComponentItem::ComponentInstance(instance) => instance.exports(engine).all(|(type_name, item)| match &item.ty {
                    ComponentItem::Type(ty) => all.note(type_name, ty, docs.interface_type(interface_name(name), type_name), &mut left),
                    _ => true,
                }),
                _ => true,
            };
            if !fits {
                return Self::default();
            }
        }
        for (name, doc) in docs.world_types() {
            if let Some(kind) = doc.kind {
                all.know((kind, joined(&mut doc.names.iter().map(String::as_str))), name, Some(doc));
            }
        }
        all
    }

    fn note(&mut self, name: &str, ty: &Type, doc: Option<&'d TypeDoc>, left: &mut usize) -> bool {
        let mut key = |names: &mut dyn ExactSizeIterator<Item = &str>| {
            *left = left.checked_sub(names.len())?;
            Some(joined(names))
        };
        let key = match ty {
            Type::Record(ty) => key(&mut ty.fields().map(|field| field.name)).map(|names| (Kind::Record, names)),
            Type::Variant(ty) => key(&mut ty.cases().map(|case| case.name)).map(|names| (Kind::Variant, names)),
            Type::Enum(ty) => key(&mut ty.names()).map(|names| (Kind::Enum, names)),
            Type::Flags(ty) => key(&mut ty.names()).map(|names| (Kind::Flags, names)),
            _ => return true,
        };
        let Some(key) = key else { return false };
        self.know(key, name, doc);
        true
    }

    fn know(&mut self, key: (Kind, String), name: &str, doc: Option<&'d TypeDoc>) {
        match self.known.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Known { name: name.to_owned(), doc, ambiguous: false });
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                // The same name again is the same type by `use`, and its docs are where it was declared.
                known.ambiguous |= known.name != name || (known.doc.is_some() && doc.is_some() && known.doc != doc);
                known.doc = known.doc.or(doc);
            }
        }
    }

    /// Adds what is said of a type and of what is in it.
    pub(super) fn add(&self, kind: Kind, names: &mut Names) {
        if self.known.is_empty() {
            return;
        }
        let key = (kind, joined(&mut names.iter().map(|name| &*name.wit)));
        let Some(Known { doc: Some(doc), ambiguous: false, .. }) = self.known.get(&key) else { return };
        names.doc = doc.docs.as_deref().map(Into::into);
        for name in names.iter_mut() {
            name.doc = doc.items.get(&*name.wit).map(|doc| doc.as_str().into());
        }
    }
}

fn joined(names: &mut dyn Iterator<Item = &str>) -> String {
    let mut text = String::new();
    for name in names {
        text.push_str(name);
        text.push(' ');
    }
    text
}
