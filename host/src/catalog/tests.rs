//! Names, collisions, changes.

use std::{sync::Arc, time::Instant};

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::*;
use crate::provider::{Call, CallError, CallOutput, Offer, Offers, Provider, Tool, ToolName};

struct Fixed {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    offers: Offers,
}

impl Provider for Fixed {
    fn id(&self) -> &ProviderId {
        &self.id
    }
    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }
    fn reads_unlisted(&self) -> bool {
        self.id().as_str() == "open"
    }
    fn offers(&self) -> &Offers {
        &self.offers
    }
    fn call<'a>(&'a self, _: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async { Ok(CallOutput::default()) }.boxed()
    }
}

fn tool(name: &str) -> Arc<Tool> {
    let Value::Object(schema) = json!({"type": "object"}) else { unreachable!() };
    Arc::new(Tool::new(ToolName::new(name).unwrap(), schema))
}

pub(super) fn put(id: &str, tools: &[&str]) -> ProviderChange {
    let tools = tools.iter().map(|name| tool(name)).collect();
    ProviderChange::Put(Arc::new(Fixed { id: ProviderId::new(id).unwrap(), tools, offers: Offers::default() }))
}

/// A provider of resources, templates and prompts. The title says whose each is.
fn put_offers(id: &str, resources: &[&str], templates: &[&str], prompts: &[&str]) -> ProviderChange {
    let offers = |key: &str, names: &[&str]| {
        names
            .iter()
            .map(|name| Arc::new(Offer { key: (*name).to_owned(), json: json!({key: name, "title": id}).as_object().cloned().unwrap() }))
            .collect()
    };
    let offers = Offers {
        resources: offers("uri", resources),
        templates: offers("uriTemplate", templates),
        prompts: offers("name", prompts),
        completes: false,
    };
    ProviderChange::Put(Arc::new(Fixed { id: ProviderId::new(id).unwrap(), tools: Vec::new(), offers }))
}

/// The members of a list, as `key of provider`.
fn listed(list: &[u8], key: &str) -> Vec<String> {
    let list: Vec<Value> = serde_json::from_slice(list).unwrap();
    list.iter().map(|item| format!("{} of {}", item[key].as_str().unwrap(), item["title"].as_str().unwrap())).collect()
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
    assert_eq!(published(&catalog), ["get_forecast", "get_alerts"], "in the author's order");
    assert_eq!(reached(&catalog, "get_alerts").unwrap(), "weather/get_alerts");
    assert_eq!(reached(&catalog, "weather__get_alerts").unwrap(), "weather/get_alerts");
    assert_eq!(reached(&catalog, "other__get_alerts"), None);
}

#[test]
fn a_shared_name_is_published_qualified_by_all_and_comes_back_when_it_is_unique_again() {
    let catalog = Catalog::new();
    catalog.apply(vec![put("a", &["get", "only"]), put("b", &["get"])]);
    assert_eq!(published(&catalog), ["a__get", "only", "b__get"]);
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
    assert_eq!(published(&catalog), ["b", "a__a__b", "other"], "nor within one plugin");
    assert_eq!(reached(&catalog, "a__b").unwrap(), "a/b");
}

#[test]
fn qualified_names_that_are_equal_or_too_long_are_cut_with_a_hash_and_stay_so() {
    let long = "n".repeat(64);
    let outcome = || {
        let catalog = Catalog::new();
        catalog.apply(vec![put("a", &["_b", &long]), put("a_", &["b"]), put("c", &["_b", "b", &long])]);
        (published(&catalog), catalog)
    };
    let (names, catalog) = outcome();
    assert_eq!(names, outcome().0, "the same set of plugins gives the same names");
    assert_eq!(names.len(), 6);
    assert!(names.iter().all(|name| name.len() <= 64), "{names:?}");
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
fn a_name_that_model_apis_refuse_is_published_under_a_safe_one_and_works_in_a_call() {
    let catalog = Catalog::new();
    let long = format!("files.{}", "x".repeat(100));
    let own = ["echo", "Create CIFS Share", "ns:tool", "ns tool", "用户", &long, "a.b", "a_b"];
    catalog.apply(vec![put("s", &own), put("my.server", &["echo"])]);
    let names = published(&catalog);
    let safe = |name: &String| name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    assert!(names.len() == 9 && names.iter().all(safe), "{names:?}");
    assert!(
        names.contains(&"Create_CIFS_Share".to_owned())
            && names.contains(&"a_b".to_owned())
            && names.contains(&"my_server__echo".to_owned())
    );
    for name in own.iter().filter(|name| **name != "echo") {
        assert_eq!(reached(&catalog, name).unwrap(), format!("s/{name}"), "the original name");
        assert_eq!(reached(&catalog, &format!("s__{name}")).unwrap(), format!("s/{name}"), "and its qualified form");
    }
    let all: HashSet<_> = names.iter().map(|name| reached(&catalog, name).unwrap()).collect();
    assert_eq!(all.len(), 9, "every tool is reached by its published name");
    assert_eq!(reached(&catalog, "my.server__echo").unwrap(), "my.server/echo");
    let snapshot = catalog.snapshot();
    let cifs = snapshot.resolve("Create_CIFS_Share").unwrap();
    assert_eq!((cifs.own_name(), cifs.tool().description.as_deref()), ("Create CIFS Share", Some("Original name: Create CIFS Share")));
    let told: Vec<_> = snapshot.collisions().iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|told| told.contains("\"Create CIFS Share\" as Create_CIFS_Share") && told.contains("and 1 more")), "{told:?}");
}

#[test]
fn who_comes_later_takes_no_name_from_one_that_is_live() {
    let catalog = Catalog::new();
    catalog.apply(vec![put("b", &["get", "x__y"])]);
    catalog.settle();
    catalog.apply(vec![put("a", &["get", "only"])]);
    assert_eq!(published(&catalog), ["a__get", "only", "get", "x__y"]);
    assert_eq!(reached(&catalog, "get").unwrap(), "b/get");
    assert!(catalog.snapshot().collisions()[0].to_string().starts_with("tool \"get\" of \"b\" keeps its name"));
    catalog.apply(vec![put("x", &["y"])]);
    assert_eq!(reached(&catalog, "x__y").unwrap(), "b/x__y", "nor by a qualified form that reads the same");
    assert_eq!(reached(&catalog, "y").unwrap(), "x/y");
    catalog.apply(vec![put("b", &["get"])]);
    assert_eq!(reached(&catalog, "get").unwrap(), "b/get", "a new version is the same provider");
    catalog.apply(vec![ProviderChange::Remove(ProviderId::new("b").unwrap())]);
    assert_eq!(reached(&catalog, "get").unwrap(), "a/get", "free again");
}

#[test]
fn only_a_list_that_differs_counts_as_a_change() {
    let catalog = Catalog::new();
    let mut changes = catalog.changes();
    catalog.apply(vec![put("a", &["x"])]);
    assert!(changes.has_changed().unwrap());
    assert_eq!(*changes.borrow_and_update(), Generations { tools: 1, ..Generations::default() });
    let before = Arc::clone(&catalog.snapshot());
    catalog.apply(vec![put("a", &["x"])]);
    assert!(!changes.has_changed().unwrap(), "a new version with the same tools is not a change of the list");
    let provider = |snapshot: &Snapshot| Arc::clone(snapshot.resolve("x").unwrap().provider());
    assert!(!Arc::ptr_eq(&provider(&before), &provider(&catalog.snapshot())), "but calls go to the new version");
    catalog.apply(vec![ProviderChange::Remove(ProviderId::new("nobody").unwrap())]);
    assert!(!changes.has_changed().unwrap());
    catalog.apply(vec![ProviderChange::Remove(ProviderId::new("a").unwrap())]);
    assert_eq!(changes.borrow_and_update().tools, 2);
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
    catalog.apply(vec![ProviderChange::Put(Arc::new(Fixed {
        id: ProviderId::new("p").unwrap(),
        tools: vec![Arc::new(full)],
        offers: Offers::default(),
    }))]);
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
    let text = Collision::SameName { kind: Kind::Tool, name: "add".into(), holder: None, providers }.to_string();
    assert!(text.len() < 300 && text.contains("p0__add") && text.ends_with("and 995 more"), "{text}");
}

#[test]
fn prompts_have_the_naming_rules_of_tools_and_names_of_their_own() {
    let catalog = Catalog::new();
    catalog.apply(vec![
        put("t", &["greet"]),
        put_offers("a", &[], &[], &["greet", "same", "same"]),
        put_offers("b", &[], &[], &["same", "a__greet", "mit Umlaut ü"]),
    ]);
    let snapshot = catalog.snapshot();
    let names: Vec<_> = snapshot.prompts().map(|entry| entry.name().to_owned()).collect();
    assert_eq!(names, ["greet", "a__same", "b__same", "b__a__greet", "mit Umlaut ü"], "the tool greet is not an obstacle");
    assert_eq!(listed(snapshot.prompts_json(), "name")[1], "a__same of a", "the published name is in the list");
    let reached = |name: &str| snapshot.prompt(name).map(|entry| format!("{}/{}", entry.provider().id(), entry.own_name()));
    assert_eq!(reached("same"), None);
    assert_eq!(reached("b__same").unwrap(), "b/same");
    assert_eq!(reached("a__greet").unwrap(), "a/greet");
    assert_eq!(reached("b__mit Umlaut ü").unwrap(), "b/mit Umlaut ü");
    let told: Vec<_> = snapshot.collisions().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("plugin \"a\" offers prompt \"same\" twice"), "{told:?}");
    assert!(told.iter().any(|told| told.contains("a__same b__same")), "{told:?}");
    drop(snapshot);
    let long = "ü".repeat(100);
    catalog.apply(vec![put_offers("c", &[], &[], &[&long]), put_offers("d", &[], &[], &[&long])]);
    let snapshot = catalog.snapshot();
    let cut: Vec<_> = snapshot.prompts().filter(|entry| entry.own_name() == long).map(|entry| entry.name().to_owned()).collect();
    assert!(cut.len() == 2 && cut.iter().all(|name| name.len() <= 128 && snapshot.prompt(name).is_some()), "{cut:?}");
}

#[test]
fn of_two_resources_at_one_address_one_keeps_it_and_both_can_be_read() {
    let catalog = Catalog::new();
    catalog.apply(vec![
        put_offers("b", &["x://same", "x://b"], &["x://{id}"], &[]),
        put_offers("c", &["x://same"], &["x://{id}"], &[]),
        put_offers("a", &["x://z", "x://same"], &[], &[]),
    ]);
    let snapshot = catalog.snapshot();
    let all = ["x://z of a", "x://same of a", "toolbay://b/x://same of b", "x://b of b", "toolbay://c/x://same of c"];
    assert_eq!(listed(snapshot.resources_json(), "uri"), all, "each in its provider's order");
    assert_eq!(listed(snapshot.templates_json(), "uriTemplate"), ["x://{id} of b", "toolbay://c/x://{id} of c"]);
    let read = |uri: &str| snapshot.resource(uri).map(|entry| format!("{} of {}", entry.own_uri(uri), entry.provider().id()));
    assert_eq!(read("x://same").unwrap(), "x://same of a");
    assert_eq!(read("toolbay://b/x://same").unwrap(), "x://same of b");
    assert_eq!(read("toolbay://c/x://7").unwrap(), "x://7 of c");
    assert_eq!(read("toolbay://b/x://b").unwrap(), "x://b of b", "the qualified form works for what is published as it is too");
    assert_eq!((read("toolbay://a/x://b"), read("toolbay://none/x://b"), read("toolbay://a")), (None, None, None));
    let told: Vec<_> = snapshot.collisions().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "resource \"x://same\" is offered by several plugins or servers: that of \"a\" is published, and those of others as toolbay://b/x://same toolbay://c/x://same",
            "resource template \"x://{id}\" is offered by several plugins or servers: that of \"b\" is published, and those of others as toolbay://c/x://{id}",
        ]
    );
}

#[test]
fn who_comes_later_takes_no_address_from_one_that_is_live() {
    let catalog = Catalog::new();
    catalog.apply(vec![put_offers("b", &["x://same"], &[], &[])]);
    catalog.settle();
    catalog.apply(vec![put_offers("a", &["x://same"], &[], &[])]);
    assert_eq!(listed(catalog.snapshot().resources_json(), "uri"), ["toolbay://a/x://same of a", "x://same of b"]);
    catalog.apply(vec![ProviderChange::Remove(ProviderId::new("b").unwrap())]);
    assert_eq!(listed(catalog.snapshot().resources_json(), "uri"), ["x://same of a"]);
}

#[test]
fn what_is_not_listed_is_read_by_its_qualified_address_or_where_there_is_one_provider_alone() {
    let catalog = Catalog::new();
    catalog.apply(vec![put_offers("open", &["x://1"], &[], &[]), put_offers("b", &["x://2"], &[], &[])]);
    let read = |catalog: &Catalog, uri: &str| {
        let snapshot = catalog.snapshot();
        snapshot.resource(uri).map(|entry| format!("{} of {}", entry.own_uri(uri), entry.provider().id()))
    };
    assert_eq!(read(&catalog, "toolbay://open/y://new").unwrap(), "y://new of open");
    assert_eq!((read(&catalog, "y://new"), read(&catalog, "toolbay://b/y://new")), (None, None), "nobody is asked for what is another's");
    let open = ProviderId::new("open").unwrap();
    let snapshot = catalog.snapshot();
    assert_eq!(snapshot.published_uri(&open, "x://1"), "x://1");
    assert_eq!(snapshot.published_uri(&open, "x://2"), "toolbay://open/x://2", "it means another x://2 than b");
    let view = catalog.view("open").unwrap();
    assert_eq!(read(&view, "y://new").unwrap(), "y://new of open");
    assert_eq!(view.snapshot().published_uri(&open, "y://new"), "y://new");
}

#[test]
fn templates_are_tried_most_literal_first_then_by_text() {
    let catalog = Catalog::new();
    catalog.apply(vec![
        put_offers("a", &["x://data/listed"], &["x://{+all}", "x://data/{b}", "x://{"], &[]),
        put_offers("b", &[], &["x://data/{a}", "x://data/{id}/raw"], &[]),
    ]);
    let snapshot = catalog.snapshot();
    let order: Vec<_> = snapshot.templates().map(|entry| entry.uri().to_owned()).collect();
    assert_eq!(order, ["x://{+all}", "x://data/{b}", "x://{", "x://data/{a}", "x://data/{id}/raw"], "listed in their authors' order");
    let reached = |uri: &str| snapshot.resource(uri).map(|entry| entry.uri().to_owned());
    assert_eq!(reached("x://data/listed").unwrap(), "x://data/listed", "what is listed comes before every template");
    assert_eq!(reached("x://data/1").unwrap(), "x://data/{a}");
    assert_eq!(reached("x://data/1/raw").unwrap(), "x://data/{id}/raw");
    assert_eq!(reached("x://data/1/other").unwrap(), "x://{+all}");
    assert_eq!(reached("y://data/1"), None);
    assert!(matches!(&snapshot.collisions(), [Collision::BadTemplate { .. }]));
}

#[test]
fn changes_of_tools_prompts_and_resources_are_told_apart() {
    let catalog = Catalog::new();
    let mut changes = catalog.changes();
    let mut now = |catalog: &Catalog, change| {
        catalog.apply(vec![change]);
        let Generations { tools, prompts, resources } = *changes.borrow_and_update();
        (tools, prompts, resources)
    };
    assert_eq!(now(&catalog, put("t", &["x"])), (1, 0, 0));
    assert_eq!(now(&catalog, put_offers("o", &["x://a"], &[], &["p"])), (1, 1, 1));
    assert_eq!(now(&catalog, put_offers("o", &["x://a"], &[], &["p"])), (1, 1, 1), "the same again is not a change");
    assert_eq!(now(&catalog, put_offers("o", &["x://a"], &[], &["q"])), (1, 2, 1));
    assert_eq!(now(&catalog, put_offers("o", &["x://a"], &["x://{b}"], &["q"])), (1, 2, 2), "templates count as resources");
    assert_eq!(now(&catalog, ProviderChange::Remove(ProviderId::new("o").unwrap())), (1, 3, 3));
    assert_eq!(now(&catalog, put("t", &["y"])), (2, 3, 3));
}

#[test]
fn an_update_is_told_of_resources_that_are_published_as_the_providers_own() {
    let catalog = Catalog::new();
    catalog.apply(vec![put_offers("a", &["x://1", "x://both"], &["x://t/{id}"], &[]), put_offers("b", &["x://2", "x://both"], &[], &[])]);
    let generations = catalog.snapshot().generations();
    let updated = |id: &str, uris: &[&str]| -> Vec<ProviderChange> {
        uris.iter().map(|uri| ProviderChange::Updated(ProviderId::new(id).unwrap(), (*uri).to_owned())).collect()
    };
    catalog.apply(updated("a", &["x://1"]));
    let mut updates = catalog.updates();
    catalog.apply(updated("b", &["x://1", "x://both", "x://t/7", "x://3"]));
    let told: Vec<String> = updates.try_recv().unwrap().iter().cloned().collect();
    assert_eq!(told, ["toolbay://b/x://both"], "not what was told before, and not what is another's");
    catalog.apply(updated("a", &["x://t/7", "x://1", "x://both", "x://1"]));
    let told: Vec<String> = updates.try_recv().unwrap().iter().cloned().collect();
    assert_eq!(told, ["x://1", "x://both", "x://t/7"]);
    assert!(updates.try_recv().is_err());
    assert_eq!(catalog.snapshot().generations(), generations, "the lists are the same");
    let view = catalog.view("b").unwrap();
    let mut seen = view.updates();
    catalog.apply([updated("b", &["x://2", "x://both"]), updated("a", &["x://1"])].into_iter().flatten().collect());
    let told: Vec<String> = seen.try_recv().unwrap().iter().cloned().collect();
    assert_eq!(told, ["x://2", "x://both"], "alone, the provider has all its resources");
    assert_eq!(updates.try_recv().unwrap().len(), 3);
    // A resource that comes together with its first update is known by then.
    catalog.apply([vec![put_offers("c", &["x://c"], &[], &[])], updated("c", &["x://c"])].into_iter().flatten().collect());
    assert_eq!(updates.try_recv().unwrap().len(), 1);
}

#[test]
fn what_is_not_listed_is_read_as_far_as_roles_go() {
    let catalog = Catalog::new();
    catalog.apply(vec![put_offers("open", &["x://1"], &[], &[]), put_offers("b", &["x://1", "x://secret"], &[], &[])]);
    let role =
        Role { name: "reader".to_owned(), resources: vec!["x://*".to_owned()], deny: vec!["x://secret*".to_owned()], ..Role::default() };
    let policy = Policy::new(vec![role], crate::provider::Roles::new(["reader"]), std::collections::HashMap::new());
    let seen = catalog.seen(&policy, None);
    for (uri, may) in [
        ("x://1", true),
        ("toolbay://open/x://1", true),
        ("toolbay://open/x://new", true),
        ("toolbay://open/x://secret/new", false),
        ("toolbay://open/y://new", false),
        ("x://secret", false),
        ("toolbay://b/x://secret", false),
    ] {
        assert_eq!(seen.resource(uri).is_some(), may, "{uri}");
    }
    assert_eq!(listed(seen.resources_json(), "uri"), ["x://1 of b", "toolbay://open/x://1 of open"]);
}

/// A provider with one tool that names a page, and that page, listed or not.
fn put_page(id: &str, tool_name: &str, page: &str, resources: &[&str]) -> ProviderChange {
    let meta = json!({"ui": {"resourceUri": page}, "ui/resourceUri": page, "k": 1}).as_object().cloned();
    let tools = vec![Arc::new(Tool { meta, ..Tool::clone(&tool(tool_name)) })];
    let resources = resources.iter().map(|uri| {
        let json = json!({"uri": uri, "title": id}).as_object().cloned().unwrap();
        Arc::new(Offer { key: (*uri).to_owned(), json })
    });
    let offers = Offers { resources: resources.collect(), ..Offers::default() };
    ProviderChange::Put(Arc::new(Fixed { id: ProviderId::new(id).unwrap(), tools, offers }))
}

/// Each tool with its page, and whose that page is: `tool: page of provider`.
fn pages(snapshot: &Snapshot) -> Vec<String> {
    let page = |entry: &Arc<Entry>| {
        let page = entry.page().unwrap();
        let of = snapshot.resource(page).map_or("nobody".to_owned(), |found| found.provider().id().to_string());
        // What a client reads is the list.
        let listed: Value = serde_json::from_str(entry.json()).unwrap();
        assert_eq!((&listed["_meta"]["ui"]["resourceUri"], &listed["_meta"]["ui/resourceUri"]), (&json!(page), &json!(page)));
        format!("{}: {page} of {of}", entry.name())
    };
    snapshot.tools().map(page).collect()
}

#[test]
fn a_tool_names_its_own_page_under_the_address_that_is_published() {
    let catalog = Catalog::new();
    catalog.apply(vec![put_page("b", "show", "ui://p", &["ui://p"])]);
    assert_eq!(pages(&catalog.snapshot()), ["show: ui://p of b"]);
    catalog.settle();
    let changes = catalog.changes();
    catalog.apply(vec![put_page("a", "show", "ui://p", &["ui://p"]), put_page("c", "other", "ui://p", &[])]);
    assert!(changes.has_changed().unwrap());
    let snapshot = catalog.snapshot();
    let all = ["a__show: ui://toolbay/a/ui://p of a", "show: ui://p of b", "other: ui://toolbay/c/ui://p of nobody"];
    assert_eq!(pages(&snapshot), all);
    assert_eq!(listed(snapshot.resources_json(), "uri"), ["ui://toolbay/a/ui://p of a", "ui://p of b"]);
    let entry = snapshot.resource("ui://toolbay/a/ui://p").unwrap();
    assert_eq!((entry.own_uri("ui://toolbay/a/ui://p"), entry.own_uri("toolbay://a/ui://p")), ("ui://p", "ui://p"));
    assert_eq!(snapshot.resource("toolbay://a/ui://p").unwrap().provider().id().as_str(), "a");
    // Qualified names lead to the same tool.
    assert_eq!(snapshot.resolve("a__show").unwrap().page(), Some("ui://toolbay/a/ui://p"));
    assert_eq!(snapshot.resolve("b__show").unwrap().page(), Some("ui://p"));
    let view = catalog.view("a").unwrap();
    assert_eq!(pages(&view.snapshot()), ["show: ui://p of a"], "alone it has no other name");
}

#[test]
fn no_tool_names_the_page_of_another_provider() {
    let catalog = Catalog::new();
    catalog.apply(vec![
        put_page("a", "show", "ui://p", &["ui://p"]),
        put_page("thief", "steal", "ui://p", &[]),
        put_page("open", "go", "ui://p", &[]),
    ]);
    let snapshot = catalog.snapshot();
    assert_eq!(
        pages(&snapshot),
        ["show: ui://p of a", "go: ui://toolbay/open/ui://p of open", "steal: ui://toolbay/thief/ui://p of nobody"]
    );
    // Not by a role that may call the tool, either.
    let see = |role: Role| {
        let name = role.name.clone();
        let policy = Policy::new(vec![role], crate::provider::Roles::new([name.as_str()]), std::collections::HashMap::new());
        catalog.seen(&policy, None)
    };
    let role = |tools: &[&str], deny: &[&str]| Role {
        name: "some".to_owned(),
        tools: tools.iter().map(|name| (*name).to_owned()).collect(),
        deny: deny.iter().map(|name| (*name).to_owned()).collect(),
        ..Role::default()
    };
    let seen = see(role(&["steal"], &[]));
    assert!(seen.resource("ui://p").is_none() && seen.resource("ui://toolbay/thief/ui://p").is_none());
    let seen = see(role(&["show"], &[]));
    assert_eq!(seen.resource("ui://p").unwrap().provider().id().as_str(), "a", "a tool brings its page with it");
    assert_eq!(listed(seen.resources_json(), "uri"), ["ui://p of a"]);
    assert!(seen.resource("ui://toolbay/open/ui://p").is_none());
    let seen = see(role(&["go"], &[]));
    assert!(seen.resource("ui://toolbay/open/ui://p").is_some() && seen.resource("ui://toolbay/open/ui://q").is_none(), "listed or not");
    let seen = see(role(&["show"], &["ui://*"]));
    assert!(seen.resource("ui://p").is_none(), "what is denied stays so");
}

#[test]
fn qualified_addresses_of_another_toolbay_are_read_as_they_are() {
    let catalog = Catalog::new();
    let own = ["ui://toolbay/x/ui://p", "toolbay://x/f://p"];
    catalog.apply(vec![put_offers("a", &own, &["toolbay://x/f://{id}"], &[]), put_offers("b", &own, &[], &[])]);
    let snapshot = catalog.snapshot();
    let read = |uri: &str| snapshot.resource(uri).map(|entry| format!("{} of {}", entry.own_uri(uri), entry.provider().id()));
    for (uri, want) in [
        ("ui://toolbay/x/ui://p", "ui://toolbay/x/ui://p of a"),
        ("ui://toolbay/b/ui://toolbay/x/ui://p", "ui://toolbay/x/ui://p of b"),
        ("toolbay://x/f://p", "toolbay://x/f://p of a"),
        ("toolbay://b/toolbay://x/f://p", "toolbay://x/f://p of b"),
        ("toolbay://x/f://7", "toolbay://x/f://7 of a"),
    ] {
        assert_eq!(read(uri).as_deref(), Some(want), "{uri}");
    }
}
