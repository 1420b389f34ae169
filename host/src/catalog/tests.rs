//! Names, collisions, changes.

use std::{sync::Arc, time::Instant};

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Map, Value, json};

use super::*;
use crate::provider::{Call, CallError, CallOutput, Provider, Tool, ToolName};

struct Fixed {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
}

impl Provider for Fixed {
    fn id(&self) -> &ProviderId {
        &self.id
    }
    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }
    fn call<'a>(&'a self, _: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async { Ok(CallOutput::default()) }.boxed()
    }
}

fn tool(name: &str) -> Arc<Tool> {
    let Value::Object(schema) = json!({"type": "object"}) else { unreachable!() };
    Arc::new(Tool {
        name: ToolName::new(name).unwrap(),
        title: None,
        description: None,
        input_schema: Arc::new(schema),
        output_schema: None,
        annotations: None,
        icons: None,
        meta: None,
        extra: Map::new(),
        notifies: false,
    })
}

fn put(id: &str, tools: &[&str]) -> ProviderChange {
    ProviderChange::Put(Arc::new(Fixed { id: ProviderId::new(id).unwrap(), tools: tools.iter().map(|name| tool(name)).collect() }))
}

fn published(catalog: &Catalog) -> Vec<String> {
    catalog.snapshot().tools().map(|entry| entry.name().to_owned()).collect()
}

/// `provider/own name` of what a call reaches.
fn reached(catalog: &Catalog, name: &str) -> Option<String> {
    catalog.snapshot().resolve(name).map(|entry| format!("{}/{}", entry.provider().id(), entry.own_name()))
}

#[test]
fn a_unique_name_is_published_as_it_is_and_works_qualified_too() {
    let catalog = Catalog::new();
    catalog.apply(vec![put("weather", &["get_forecast", "get_alerts"])]);
    assert_eq!(published(&catalog), ["get_alerts", "get_forecast"]);
    assert_eq!(reached(&catalog, "get_alerts").unwrap(), "weather/get_alerts");
    assert_eq!(reached(&catalog, "weather__get_alerts").unwrap(), "weather/get_alerts");
    assert_eq!(reached(&catalog, "other__get_alerts"), None);
}

#[test]
fn a_shared_name_is_published_qualified_by_all_and_comes_back_when_it_is_unique_again() {
    let catalog = Catalog::new();
    catalog.apply(vec![put("a", &["get", "only"]), put("b", &["get"])]);
    assert_eq!(published(&catalog), ["a__get", "b__get", "only"]);
    assert_eq!(reached(&catalog, "get"), None);
    assert_eq!(reached(&catalog, "b__get").unwrap(), "b/get");
    assert!(matches!(&catalog.snapshot().collisions(), [Collision::SameName { providers, .. }] if providers.len() == 2));
    catalog.apply(vec![ProviderChange::Remove(ProviderId::new("a").unwrap())]);
    assert_eq!(published(&catalog), ["get"]);
    assert!(catalog.snapshot().collisions().is_empty());
}

#[test]
fn a_tool_that_reads_like_anothers_qualified_name_never_takes_its_calls() {
    let catalog = Catalog::new();
    catalog.apply(vec![put("a", &["b"]), put("x", &["a__b"])]);
    assert_eq!(published(&catalog), ["b", "x__a__b"]);
    assert_eq!(reached(&catalog, "a__b").unwrap(), "a/b");
    assert_eq!(reached(&catalog, "x__a__b").unwrap(), "x/a__b");
    assert!(matches!(&catalog.snapshot().collisions(), [Collision::LooksQualified { .. }]));
    catalog.apply(vec![put("x", &["other"]), put("a", &["b", "a__b"])]);
    assert_eq!(published(&catalog), ["a__a__b", "b", "other"], "nor within one plugin");
    assert_eq!(reached(&catalog, "a__b").unwrap(), "a/b");
}

#[test]
fn qualified_names_that_are_equal_or_too_long_are_cut_with_a_hash_and_stay_so() {
    let long = "n".repeat(128);
    let outcome = || {
        let catalog = Catalog::new();
        catalog.apply(vec![put("a", &["_b", &long]), put("a_", &["b"]), put("c", &["_b", "b", &long])]);
        (published(&catalog), catalog)
    };
    let (names, catalog) = outcome();
    assert_eq!(names, outcome().0, "the same set of plugins gives the same names");
    assert_eq!(names.len(), 6);
    assert!(names.iter().all(|name| name.len() <= 128), "{names:?}");
    assert_eq!(reached(&catalog, "a___b").unwrap(), "a/_b", "the first provider keeps the form");
    for name in &names {
        assert!(reached(&catalog, name).is_some(), "{name}");
    }
    let reached_all: HashSet<_> = names.iter().map(|name| reached(&catalog, name).unwrap()).collect();
    assert_eq!(reached_all.len(), 6, "every tool is reached under its own published name");
    assert_eq!(reached(&catalog, &format!("c__{long}")).unwrap(), format!("c/{long}"), "the long form works in a call");
}

#[test]
fn a_tool_offered_twice_by_one_plugin_is_published_once() {
    let catalog = Catalog::new();
    catalog.apply(vec![put("a", &["x", "x"])]);
    assert_eq!(published(&catalog), ["x"]);
    assert!(matches!(&catalog.snapshot().collisions(), [Collision::Twice { .. }]));
}

#[test]
fn only_a_list_that_differs_counts_as_a_change() {
    let catalog = Catalog::new();
    let mut changes = catalog.changes();
    catalog.apply(vec![put("a", &["x"])]);
    assert!(changes.has_changed().unwrap());
    assert_eq!(*changes.borrow_and_update(), 1);
    let before = Arc::clone(&catalog.snapshot());
    catalog.apply(vec![put("a", &["x"])]);
    assert!(!changes.has_changed().unwrap(), "a new version with the same tools is no change of the list");
    let provider = |snapshot: &Snapshot| Arc::clone(snapshot.resolve("x").unwrap().provider());
    assert!(!Arc::ptr_eq(&provider(&before), &provider(&catalog.snapshot())), "but calls go to the new version");
    catalog.apply(vec![ProviderChange::Remove(ProviderId::new("nobody").unwrap())]);
    assert!(!changes.has_changed().unwrap());
    catalog.apply(vec![ProviderChange::Remove(ProviderId::new("a").unwrap())]);
    assert_eq!(*changes.borrow_and_update(), 2);
}

#[test]
fn the_list_carries_every_member_of_a_tool() {
    let mut full = (*tool("x")).clone();
    full.title = Some("X".into());
    full.description = Some("does x".into());
    full.output_schema = Some(Arc::clone(&full.input_schema));
    full.annotations = Some(json!({"readOnlyHint": true, "vendorHint": 1}));
    full.icons = Some(json!([{"src": "https://example.com/i.png", "vendor": 1}]));
    full.meta = json!({"k": 1}).as_object().cloned();
    full.extra = json!({"execution": {"taskSupport": "optional"}, "name": "not this"}).as_object().cloned().unwrap();
    let catalog = Catalog::new();
    catalog.apply(vec![ProviderChange::Put(Arc::new(Fixed { id: ProviderId::new("p").unwrap(), tools: vec![Arc::new(full)] }))]);
    let list: Value = serde_json::from_slice(catalog.snapshot().list_json()).unwrap();
    let expected = json!([{
        "name": "x", "title": "X", "description": "does x", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": true, "vendorHint": 1}, "icons": [{"src": "https://example.com/i.png", "vendor": 1}], "_meta": {"k": 1},
        "execution": {"taskSupport": "optional"},
    }]);
    assert_eq!(list, expected);
}

#[test]
fn a_thousand_plugins_in_chunks_are_cheap_and_the_list_is_made_once() {
    let catalog = Catalog::new();
    let start = Instant::now();
    for chunk in 0..50 {
        catalog.apply((0..20).map(|n| put(&format!("p{}", chunk * 20 + n), &[&format!("tool_{}", chunk * 20 + n), "shared"])).collect());
    }
    // Some 60 ms unoptimized here; the bound catches what is quadratic in earnest.
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    let snapshot = catalog.snapshot();
    assert_eq!(snapshot.tools().len(), 2000);
    assert_eq!(snapshot.list_json().as_ptr(), snapshot.list_json().as_ptr());
    assert_eq!(reached(&catalog, "p999__shared").unwrap(), "p999/shared");
}

#[test]
fn a_collision_of_many_is_told_in_a_short_line() {
    let providers = (0..1000).map(|n| ProviderId::new(format!("p{n}")).unwrap()).collect();
    let text = Collision::SameName { name: ToolName::new("add").unwrap(), providers }.to_string();
    assert!(text.len() < 300 && text.contains("p0__add") && text.ends_with("and 995 more"), "{text}");
}
