//! What is found, by which words, and what is not.

mod corpus;
mod meaning;

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    catalog::{Access, Catalog, Choice, Role},
    provider::{Call, CallError, CallOutput, Provider, ProviderChange, ProviderId, Tool, ToolName},
};

struct Fixed(ProviderId, Vec<Arc<Tool>>);

impl Provider for Fixed {
    fn id(&self) -> &ProviderId {
        &self.0
    }
    fn tools(&self) -> &[Arc<Tool>] {
        &self.1
    }
    fn call<'a>(&'a self, _: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async { Ok(CallOutput::default()) }.boxed()
    }
}

pub(super) fn tool(name: &str, description: &str, properties: Value) -> Tool {
    let Value::Object(schema) = json!({"type": "object", "properties": properties}) else { panic!("an object") };
    Tool { description: Some(description.to_owned()), ..Tool::new(ToolName::new(name).unwrap(), schema) }
}

pub(super) fn put(id: &str, tools: Vec<Tool>) -> ProviderChange {
    ProviderChange::Put(Arc::new(Fixed(ProviderId::new(id).unwrap(), tools.into_iter().map(Arc::new).collect())))
}

/// A catalog, and what a search of all of it has.
pub(super) fn lab(changes: Vec<ProviderChange>) -> (Arc<Catalog>, Arc<Catalog>) {
    let whole = Catalog::new();
    whole.apply(changes);
    let access = Arc::new(Access::of(Role { servers: vec!["*".to_owned()], ..Role::default() }));
    let chosen = whole.choose(Choice { endpoint: ProviderId::new("all").unwrap(), access, search: true });
    (whole, chosen)
}

fn found(catalog: &Catalog, question: &str) -> Vec<String> {
    let snapshot = catalog.snapshot();
    let tools: Vec<_> = snapshot.callable().cloned().collect();
    let index = Index::new(&tools, &snapshot.lexicon);
    index.search(question, None, 10).iter().map(|found| found.entry.name().to_owned()).collect()
}

#[test]
fn names_are_found_in_every_script_and_however_their_words_are_joined() {
    let (_, catalog) = lab(vec![put(
        "mixed",
        vec![
            tool("qr_code", "Draws one", json!({})),
            tool("webhook", "Registers an address", json!({})),
            tool("tenki", "東京や大阪の天気を調べて、気温と降水量を返すツールです。結果は日ごとにまとめられます", json!({})),
            tool("meteo", "Prévisions météorologiques à sept jours", json!({})),
            tool("pogoda", "Прогноз погоды на неделю", json!({})),
        ],
    )]);
    for (question, name) in [
        ("qrcode", "qr_code"),
        ("make a QR-code", "qr_code"),
        ("web hook", "webhook"),
        ("天気", "tenki"),
        ("大阪の気温は？", "tenki"),
        ("previsions meteorologiques", "meteo"),
        ("ＱＲ ｃｏｄｅ", "qr_code"),
        ("погоды", "pogoda"),
    ] {
        assert_eq!(found(&catalog, question).first().map(String::as_str), Some(name), "{question}");
    }
}

fn office() -> Vec<ProviderChange> {
    let mut page = tool("render_page", "Draws the calendar page", json!({}));
    page.meta = json!({"ui": {"resourceUri": "ui://calendar", "visibility": ["app"]}}).as_object().cloned();
    let mut both = tool("open_calendar", "Shows the calendar", json!({}));
    both.meta = json!({"ui": {"resourceUri": "ui://calendar", "visibility": ["model", "app"]}}).as_object().cloned();
    vec![
        put(
            "calendar",
            vec![
                tool(
                    "createEvent",
                    "Adds an entry with a start and an end",
                    json!({"attendees": {"type": "array", "description": "Who is invited"}}),
                ),
                tool("delete_event", "Removes an entry", json!({})),
                page,
                both,
            ],
        ),
        put(
            "mail",
            vec![tool("send_message", "Sends an e-mail", json!({"recipient": {}})), tool("delete_message", "Removes an e-mail", json!({}))],
        ),
    ]
}

#[test]
fn tools_are_found_by_their_names_descriptions_and_parameters() {
    let (_whole, catalog) = lab(office());
    for (question, first) in [
        ("create an event", "createEvent"),
        ("creating events", "createEvent"),
        ("who is invited", "createEvent"),
        ("attendees", "createEvent"),
        ("remove e-mails", "delete_message"),
        ("calendar deletion", "delete_event"),
        ("send something to a recipient", "send_message"),
        ("delete_message", "delete_message"),
        ("mail__delete_message", "delete_message"),
    ] {
        assert_eq!(found(&catalog, question).first().map(String::as_str), Some(first), "{question}: {:?}", found(&catalog, question));
    }
    assert!(found(&catalog, "the of and").is_empty() && found(&catalog, "").is_empty() && found(&catalog, "blockchain").is_empty());
}

#[test]
fn what_is_for_apps_alone_is_neither_found_nor_called_by_a_model() {
    let (_whole, catalog) = lab(office());
    let all = found(&catalog, "calendar page");
    assert!(all.contains(&"open_calendar".to_owned()) && !all.contains(&"render_page".to_owned()), "{all:?}");
    let snapshot = catalog.snapshot();
    let by_search =
        |name: &str| snapshot.called("call_tool", json!({"name": name}).to_string().into()).map(|called| called.entry.name().to_owned());
    assert_eq!(by_search("open_calendar"), Ok("open_calendar".to_owned()));
    assert_eq!(by_search("render_page"), Err("render_page".to_owned()));
    // The page of an app calls it by its name.
    assert!(snapshot.called("render_page", "{}".into()).is_ok());
}

#[test]
fn a_change_counts_the_words_of_its_provider_alone() {
    let (whole, catalog) = lab(office());
    assert_eq!(found(&catalog, "e-mail").len(), 2);
    let terms = |id: &str| catalog.snapshot().lexicon.get(&ProviderId::new(id).unwrap()).unwrap().clone();
    let before = (terms("calendar"), terms("mail"));
    whole.apply(vec![put("mail", vec![tool("forward", "Sends an e-mail on", json!({}))])]);
    assert_eq!(found(&catalog, "e-mail"), ["forward"]);
    assert!(Arc::ptr_eq(&before.0, &terms("calendar")) && !Arc::ptr_eq(&before.1, &terms("mail")));
    // The list says whose tools there are, and is the same while that is.
    let generation = catalog.snapshot().generations();
    whole.apply(vec![put("mail", vec![tool("reply", "Answers an e-mail", json!({}))])]);
    assert_eq!(catalog.snapshot().generations(), generation);
    whole.apply(vec![ProviderChange::Remove(ProviderId::new("mail").unwrap())]);
    assert_eq!(catalog.snapshot().generations().tools, generation.tools + 1);
    assert!(found(&catalog, "e-mail").is_empty());
}

#[test]
fn nobody_comes_first_by_repeating_a_word() {
    let stuffed = tool("zzz", &"weather ".repeat(5000), json!({}));
    let (_whole, catalog) = lab(vec![put("a", vec![stuffed]), put("b", vec![tool("get_weather", "The weather of a city", json!({}))])]);
    assert_eq!(found(&catalog, "weather of a city")[0], "get_weather");
}

#[test]
fn a_tool_that_is_called_as_one_of_the_two_is_called_by_the_search() {
    let (_whole, catalog) =
        lab(vec![put("x", vec![tool("find_tools", "Finds hammers", json!({})), tool("call_tool", "Calls", json!({}))])]);
    let snapshot = catalog.snapshot();
    let called = |arguments: Value| snapshot.called("call_tool", arguments.to_string().into()).unwrap().entry.provider().id().to_string();
    assert_eq!(called(json!({"name": "find_tools"})), "x");
    assert_eq!(called(json!({"name": "call_tool", "arguments": {}})), "x");
    assert_eq!(snapshot.called("find_tools", "{}".into()).unwrap().entry.provider().id().as_str(), "all");
    assert_eq!(snapshot.called("x__find_tools", "{}".into()).unwrap().entry.provider().id().as_str(), "x");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_question_is_answered_within_its_bounds(question in "\\PC{0,300}", most in 1usize..20) {
        let (_whole, catalog) = lab(office());
        let snapshot = catalog.snapshot();
        let tools: Vec<_> = snapshot.callable().cloned().collect();
        let index = Index::new(&tools, &snapshot.lexicon);
        let found = index.search(&question, None, most);
        prop_assert!(found.len() <= most);
        prop_assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score && pair[0].score.is_finite()));
    }
}
