//! Documents that nobody would write: whatever stands where, it is read without a panic, and what is good in it is served.

use proptest::prelude::*;

use super::*;
use crate::remote::openapi::{document::Document, library::Library, load::load, send::Sender, tree::Tree};

/// Any JSON, of words that mean something in a document.
fn odd() -> impl Strategy<Value = Value> {
    let words = [
        "get",
        "$ref",
        "type",
        "object",
        "array",
        "string",
        "integer",
        "properties",
        "items",
        "required",
        "schema",
        "content",
        "parameters",
        "name",
        "in",
        "query",
        "path",
        "body",
        "allOf",
        "oneOf",
        "anyOf",
        "enum",
        "nullable",
        "readOnly",
        "additionalProperties",
        "application/json",
        "200",
        "responses",
        "#/components/schemas/A",
        "#/components/schemas/B",
        "#/paths/~1x",
        "#",
        "a.json",
        "multipart/form-data",
        "format",
        "binary",
        "用户",
        "_",
        "{id}",
    ];
    let word = proptest::sample::select(words.to_vec()).prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        proptest::arbitrary::any::<bool>().prop_map(Value::from),
        proptest::arbitrary::any::<i64>().prop_map(Value::from),
        proptest::arbitrary::any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let word = word.clone();
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((word, inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The tools that are made of a text.
fn tools(text: &str) -> Vec<Arc<Tool>> {
    let id = ProviderId::new("app").unwrap();
    let source = OpenApiSource { base_url: Some("http://127.0.0.1:9".parse().unwrap()), ..source("/x/api.json") };
    let Ok(tree) = Tree::parse(0, text.to_owned()) else { return Vec::new() };
    let library = Library::new("file:///x/api.json".parse().unwrap(), tree, |_, _| Err("which is not read".to_owned()));
    let sender = Arc::new(Sender::new(&id, &source, &ServerLimits::default()).unwrap());
    let wanted: Wanted = Arc::new(|_| true);
    let Ok(document) = Document::new(&library, "api", None) else { return Vec::new() };
    load(&id, &source, &document, PublishRules::default(), &wanted, sender)
        .map(|loaded| loaded.provider.tools().to_vec())
        .unwrap_or_default()
}

/// What holds of every tool.
fn is_fit(tool: &Tool) {
    let name = tool.name.as_str();
    assert!((1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{name}");
    let schemas = [Some(&tool.input_schema), tool.output_schema.as_ref()];
    for schema in schemas.into_iter().flatten() {
        let whole = Value::Object((**schema).clone());
        assert_eq!(whole["type"], "object", "{whole}");
        let mut open = vec![&whole];
        while let Some(value) = open.pop() {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} in {whole}"));
                assert!(whole.pointer(pointer).is_some(), "{reference} in {whole}");
            }
            match value {
                Value::Object(members) => open.extend(
                    members
                        .iter()
                        .filter(|(name, _)| !["examples", "default", "enum", "const"].contains(&name.as_str()))
                        .map(|(_, member)| member),
                ),
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        crate::schema::Schema::new(schema).unwrap_or_else(|why| panic!("{why}: {whole}"));
    }
    for argument in tool.input_schema["properties"].as_object().unwrap().keys() {
        assert!(argument.len() <= 64 && argument.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{argument}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_good_operation_is_served_whatever_stands_beside_it(operation in odd(), item in odd(), schemas in odd(), old in proptest::arbitrary::any::<bool>(), yaml in proptest::arbitrary::any::<bool>()) {
        let version = if old { "3.0.3" } else { "3.1.0" };
        let uses = json!({"post": {"operationId": "uses", "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}},
            "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/B"}}}}}}});
        let document = json!({"openapi": version, "info": item, "tags": item, "paths": {
            "/odd": {"get": operation}, "/item": item, "/uses": uses,
            "/good": {"get": {"operationId": "good", "parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}]}},
        }, "components": {"schemas": {"A": schemas, "B": {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/A"}}}}}});
        let text = if yaml { yaml_serde::to_string(&document).unwrap() } else { document.to_string() };
        let tools = tools(&text);
        prop_assert!(tools.iter().any(|tool| tool.name.as_str().starts_with("good")), "{}", text);
        tools.iter().for_each(|tool| is_fit(tool));
    }

    #[test]
    fn no_text_is_read_with_a_panic(text in ".{0,200}", cut in 0..4000_usize) {
        tools(&text);
        let good = document(json!({"/x": {"get": {"operationId": "x", "parameters": [{"name": "ä", "in": "query", "schema": {"enum": ["\u{1f600}", "\\ud83d"]}}]}}}), json!({}));
        let cut = (0..=cut.min(good.len())).rev().find(|at| good.is_char_boundary(*at)).unwrap();
        tools(&good[..cut]);
    }

    #[test]
    fn a_tree_holds_what_the_text_says(value in odd()) {
        let text = json!([value]).to_string();
        let tree = Tree::parse(0, text.clone()).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(tree.root().value(), read);
    }

    #[test]
    fn names_of_arguments_are_one_for_each_and_their_own_where_they_can_be(names in proptest::collection::hash_set("[a-c<>_ é.]{1,3}", 1..8)) {
        let names: Vec<String> = names.into_iter().collect();
        let parameters: Vec<Value> = names.iter().map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}})).collect();
        let tools = tools(&document(json!({"/x": {"get": {"operationId": "x", "parameters": parameters}}}), json!({})));
        let properties = tools[0].input_schema["properties"].as_object().unwrap();
        prop_assert_eq!(properties.len(), names.len());
        for name in &names {
            let is_safe = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            let said = format!("Sent as `{name}`.");
            let found = properties.iter().any(|(own, schema)| if is_safe { own == name && schema.get("description").is_none() } else { schema["description"] == said });
            prop_assert!(found, "{} in {:?}", name, properties);
        }
    }
}
