//! What is published of a plugin, without its code: as it is kept beside the code in the cache, and in memory while the code is not there.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use super::{Plugin, Route, interned::Interned};
use crate::{
    provider::{Offer, Offers, Tool, ToolName},
    wasm::{engine::Target, imports::notify::Lists},
};

/// What a host publishes of a plugin, and has to know of it before its code is loaded.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    pub(super) tools: Vec<Arc<Tool>>,
    pub(super) offers: Offers,
    /// What is not wrong but worth knowing of its lists.
    pub(super) warnings: Vec<String>,
    /// The interfaces that it imports.
    pub(super) imports: Arc<[String]>,
    pub(super) traits: Traits,
    /// What its code is made for.
    pub(super) target: Target,
}

/// What kind of plugin it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Traits {
    /// Its tools call others.
    pub(super) calls: bool,
    /// It may say that something has changed.
    pub(super) tells: bool,
    /// It makes lists itself. Those of others follow from what they export, and never change.
    pub(super) lists: bool,
    /// It reads resources, listed or not.
    pub(super) reads: bool,
}

/// What plugins have in common.
#[derive(Default)]
pub(super) struct Common {
    /// By what they were found by.
    pub(super) described: Interned<Described>,
    tools: Interned<Tool>,
    schemas: Interned<Map<String, Value>>,
    offers: Interned<Offer>,
    imports: Interned<[String]>,
}

/// A description as it is written.
#[derive(Serialize)]
struct Written<'a> {
    traits: Traits,
    completes: bool,
    warnings: &'a [String],
    imports: &'a [String],
    tools: Vec<WrittenTool<'a>>,
    resources: Vec<WrittenOffer<'a>>,
    templates: Vec<WrittenOffer<'a>>,
    prompts: Vec<WrittenOffer<'a>>,
}

#[derive(Serialize)]
struct WrittenTool<'a> {
    name: &'a str,
    title: Option<&'a str>,
    description: Option<&'a str>,
    input_schema: &'a Map<String, Value>,
    output_schema: Option<&'a Map<String, Value>>,
    annotations: Option<&'a Value>,
    icons: Option<&'a Value>,
    meta: Option<&'a Map<String, Value>>,
    extra: &'a Map<String, Value>,
    notifies: bool,
}

#[derive(Serialize)]
struct WrittenOffer<'a> {
    key: &'a str,
    json: &'a Map<String, Value>,
}

/// The same as it is read: of what is known already, not more than the text is looked at.
#[derive(Deserialize)]
struct Read<'a> {
    traits: Traits,
    completes: bool,
    warnings: Vec<String>,
    #[serde(borrow)]
    imports: &'a RawValue,
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(borrow)]
    resources: Vec<&'a RawValue>,
    #[serde(borrow)]
    templates: Vec<&'a RawValue>,
    #[serde(borrow)]
    prompts: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct ReadTool<'a> {
    name: String,
    title: Option<String>,
    description: Option<String>,
    #[serde(borrow)]
    input_schema: &'a RawValue,
    #[serde(borrow)]
    output_schema: Option<&'a RawValue>,
    annotations: Option<Value>,
    icons: Option<Value>,
    meta: Option<Map<String, Value>>,
    extra: Map<String, Value>,
    notifies: bool,
}

#[derive(Deserialize)]
struct ReadOffer {
    key: String,
    json: Map<String, Value>,
}

impl Described {
    /// What a plugin publishes that is loaded.
    pub(super) fn of(plugin: &Plugin) -> Self {
        let code = &plugin.code;
        let interfaces = &code.interfaces;
        let traits = Traits {
            calls: code.shared.calls,
            tells: code.origin.tells,
            lists: interfaces.tools.is_some() || interfaces.resources.is_some() || interfaces.prompts.is_some(),
            reads: interfaces.resources.is_some(),
        };
        Self {
            tools: plugin.tools.clone(),
            offers: plugin.offers.clone(),
            warnings: plugin.warnings.all(),
            imports: code.origin.imports.clone(),
            traits,
            target: code.target,
        }
    }

    /// What is published of a plugin that was listed again, without what its author says of its exports: that is what it was.
    pub(super) fn again(&self, plugin: &Plugin) -> Self {
        let known = |tool: &Arc<Tool>| match plugin.routes.get(tool.name.as_str()) {
            Some(Route::Typed(_)) => self.tools.iter().find(|known| known.name == tool.name).cloned(),
            _ => None,
        };
        let mut described = Self::of(plugin);
        for tool in &mut described.tools {
            if let Some(known) = known(tool) {
                *tool = known;
            }
        }
        described
    }

    /// As text. None: what is read from the text would not be the same.
    pub(super) fn text(&self) -> Option<Vec<u8>> {
        let written = Written {
            traits: self.traits,
            completes: self.offers.completes,
            warnings: &self.warnings,
            imports: &self.imports,
            tools: self.tools.iter().map(|tool| WrittenTool::of(tool)).collect(),
            resources: WrittenOffer::all(&self.offers.resources),
            templates: WrittenOffer::all(&self.offers.templates),
            prompts: WrittenOffer::all(&self.offers.prompts),
        };
        let text = serde_json::to_vec(&written).ok()?;
        // The last bit of a number may be lost on the way, and with it the digest of a definition.
        let same = Self::read(&text, self.target, &Common::default())? == *self;
        same.then_some(text)
    }

    /// What was written. Equal parts of others are the same parts.
    pub(super) fn read(text: &[u8], target: Target, common: &Common) -> Option<Self> {
        let read: Read<'_> = serde_json::from_slice(text).ok()?;
        let imports = common.imports.get(read.imports.get().as_bytes(), || {
            let imports: Vec<String> = serde_json::from_str(read.imports.get()).ok()?;
            Some(imports.into())
        })?;
        let tools =
            read.tools.into_iter().map(|tool| common.tools.get(tool.get().as_bytes(), || ReadTool::tool(tool.get(), common).map(Arc::new)));
        let offers = |all: Vec<&RawValue>| -> Option<Vec<Arc<Offer>>> {
            let one = |offer: &RawValue| {
                common.offers.get(offer.get().as_bytes(), || {
                    let ReadOffer { key, json } = serde_json::from_str(offer.get()).ok()?;
                    Some(Arc::new(Offer { key, json }))
                })
            };
            all.into_iter().map(one).collect()
        };
        Some(Self {
            tools: tools.collect::<Option<_>>()?,
            offers: Offers {
                resources: offers(read.resources)?,
                templates: offers(read.templates)?,
                prompts: offers(read.prompts)?,
                completes: read.completes,
            },
            warnings: read.warnings,
            imports,
            traits: read.traits,
            target,
        })
    }

    /// Which lists of a plugin that is loaded are others than these. Their order does not count: some plugins have none of their own. What follows from a
    /// component's exports is what it was.
    pub(super) fn differences(&self, plugin: &Plugin) -> Lists {
        let mut lists = Lists::default();
        if !self.traits.lists {
            return lists;
        }
        let has = |tool: &Arc<Tool>| {
            let listed = matches!(plugin.routes.get(tool.name.as_str()), Some(Route::Listed(_)));
            self.tools.iter().any(|known| known.name == tool.name && (!listed || known == tool))
        };
        lists.tools = plugin.tools.len() != self.tools.len() || !plugin.tools.iter().all(has);
        let same = |now: &[Arc<Offer>], then: &[Arc<Offer>]| now.len() == then.len() && now.iter().all(|offer| then.contains(offer));
        lists.resources =
            !same(&plugin.offers.resources, &self.offers.resources) || !same(&plugin.offers.templates, &self.offers.templates);
        lists.prompts = !same(&plugin.offers.prompts, &self.offers.prompts);
        lists
    }
}

impl<'a> WrittenTool<'a> {
    fn of(tool: &'a Tool) -> Self {
        Self {
            name: tool.name.as_str(),
            title: tool.title.as_deref(),
            description: tool.description.as_deref(),
            input_schema: &tool.input_schema,
            output_schema: tool.output_schema.as_deref(),
            annotations: tool.annotations.as_ref(),
            icons: tool.icons.as_ref(),
            meta: tool.meta.as_ref(),
            extra: &tool.extra,
            notifies: tool.notifies,
        }
    }
}

impl<'a> WrittenOffer<'a> {
    fn all(offers: &'a [Arc<Offer>]) -> Vec<Self> {
        offers.iter().map(|offer| Self { key: &offer.key, json: &offer.json }).collect()
    }
}

impl ReadTool<'_> {
    fn tool(text: &str, common: &Common) -> Option<Tool> {
        let read: ReadTool<'_> = serde_json::from_str(text).ok()?;
        let schema = |text: &RawValue| common.schemas.get(text.get().as_bytes(), || serde_json::from_str(text.get()).ok().map(Arc::new));
        Some(Tool {
            name: ToolName::new(read.name).ok()?,
            title: read.title,
            description: read.description,
            input_schema: schema(read.input_schema)?,
            output_schema: match read.output_schema {
                Some(text) => Some(schema(text)?),
                None => None,
            },
            annotations: read.annotations,
            icons: read.icons,
            meta: read.meta,
            extra: read.extra,
            notifies: read.notifies,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::wasm::engine::{EngineKind, Tier};

    const TARGET: Target = Target { tier: Tier::Cranelift, kind: EngineKind::Plain };

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e300..1e300f64).prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from), object_of(inner).prop_map(Value::Object),]
        })
    }

    fn object_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
        prop::collection::vec((".{0,8}", inner), 0..4).prop_map(|members| members.into_iter().collect())
    }

    fn object() -> impl Strategy<Value = Map<String, Value>> {
        object_of(value())
    }

    prop_compose! {
        fn tool()(
            name in "[a-z][a-z_]{0,9}",
            texts in (prop::option::of(".{0,20}"), prop::option::of(".{0,20}")),
            schemas in (object(), prop::option::of(object())),
            more in (prop::option::of(value()), prop::option::of(object()), object()),
            notifies in any::<bool>(),
        ) -> Tool {
            Tool {
                name: ToolName::new(name).unwrap(),
                title: texts.0,
                description: texts.1,
                input_schema: Arc::new(schemas.0),
                output_schema: schemas.1.map(Arc::new),
                annotations: more.0,
                icons: None,
                meta: more.1,
                extra: more.2,
                notifies,
            }
        }
    }

    prop_compose! {
        fn described()(
            tools in prop::collection::vec(tool().prop_map(Arc::new), 0..4),
            offers in prop::collection::vec((".{0,9}", object()), 0..4),
            warnings in prop::collection::vec(".{0,9}", 0..3),
            imports in prop::collection::vec("[a-z:/]{0,9}", 0..4),
            flags in any::<[bool; 5]>(),
        ) -> Described {
            let offers: Vec<_> = offers.into_iter().map(|(key, json)| Arc::new(Offer { key, json })).collect();
            let [completes, calls, tells, lists, reads] = flags;
            Described {
                tools,
                offers: Offers { resources: offers.clone(), templates: offers.iter().rev().cloned().collect(), prompts: offers, completes },
                warnings,
                imports: imports.into(),
                traits: Traits { calls, tells, lists, reads },
                target: TARGET,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written_or_nothing_is_written(described in described()) {
            if let Some(text) = described.text() {
                prop_assert_eq!(Described::read(&text, TARGET, &Common::default()), Some(described));
            }
        }

        #[test]
        fn whatever_else_is_read_is_nothing(described in described(), at in any::<prop::sample::Index>()) {
            if let Some(text) = described.text() {
                let cut = &text[..at.index(text.len())];
                prop_assert_eq!(Described::read(cut, TARGET, &Common::default()), None);
            }
        }
    }

    #[test]
    fn what_is_usual_can_be_written_and_equal_parts_are_shared() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "number", "minimum": 0.1 } }, "required": ["a"] });
        let schema = Arc::new(schema.as_object().unwrap().clone());
        let tool = |name: &str| Arc::new(Tool::new(ToolName::new(name).unwrap(), (*schema).clone()));
        let described = |last: &str| Described {
            tools: vec![tool("one"), tool(last)],
            offers: Offers::default(),
            warnings: Vec::new(),
            imports: ["wasi:cli/environment@0.2.0".to_owned()].into(),
            traits: Traits { calls: false, tells: false, lists: false, reads: false },
            target: TARGET,
        };
        let common = Common::default();
        let read = |last| Described::read(&described(last).text().unwrap(), TARGET, &common).unwrap();
        let (first, second) = (read("two"), read("three"));
        assert_eq!((&first, &second), (&described("two"), &described("three")));
        let tools = [&first, &second].map(|described| described.tools.clone());
        assert!(Arc::ptr_eq(&tools[0][0], &tools[1][0]) && Arc::ptr_eq(&first.imports, &second.imports));
        assert!(Arc::ptr_eq(&tools[0][1].input_schema, &tools[1][1].input_schema));
    }
}
