//! What expressions lead to.

use serde_json::{Value, json};

use super::{Document, Pick, Scope, Template};

fn scope() -> Scope {
    let document = |value: Value| Document::new(value);
    let mut scope = Scope {
        args: document(
            json!({ "url": "u", "null": null, "z": { "b": 1, "a": 2 }, "list": [10, 20], "a/b": { "~": 1.5 }, "0": "zero", "empty": [] }),
        ),
        ..Scope::default()
    };
    scope
        .steps
        .insert("one".into(), document(json!({ "text": "{\"x\": [1, 2]}", "structured": { "items": [{ "id": "p" }, { "id": "q" }] } })));
    scope.steps.insert("many".into(), document(json!([{ "text": "a" }, { "text": "b" }])));
    scope.item = Some((document(json!({ "n": 7 })), 3));
    scope
}

fn picked(text: &str) -> Option<Value> {
    let scope = scope();
    let found = Pick::parse(text).unwrap_or_else(|error| panic!("{error}")).pick(&scope).unwrap_or_else(|error| panic!("{error}"));
    found.map(std::borrow::Cow::into_owned)
}

#[test]
fn a_pointer_leads_to_one_value_or_to_nothing() {
    for (text, value) in [
        ("/args/url", json!("u")),
        ("/args/null", Value::Null),
        ("/args/list/1", json!(20)),
        ("/args/a~1b/~0", json!(1.5)),
        ("/args/0", json!("zero")),
        ("/steps/one/structured/items/1/id", json!("q")),
        ("/steps/many/0/text", json!("a")),
        ("/item/n", json!(7)),
        ("/index", json!(3)),
    ] {
        assert_eq!(picked(text), Some(value), "{text}");
    }
    for text in [
        "/args/nothing",
        "/args/list/2",
        "/args/list/01",
        "/args/list/+1",
        "/args/list/-",
        "/args/url/0",
        "/steps/none/text",
        "/index/0",
        "/",
        "/nothing",
    ] {
        assert_eq!(picked(text), None, "{text}");
    }
    // In the order in which it was written.
    assert_eq!(picked("/args/z").map(|value| value.to_string()).as_deref(), Some(r#"{"b":1,"a":2}"#));
    assert_eq!(picked("args.z").map(|value| value.to_string()).as_deref(), Some(r#"{"b":1,"a":2}"#));
}

#[test]
fn jmespath_makes_values_of_others_and_null_is_nothing() {
    for (text, value) in [
        ("args.url", json!("u")),
        ("args.list[-1]", json!(20)),
        ("args.\"a/b\".\"~\"", json!(1.5)),
        ("steps.one.structured.items[*].id", json!(["p", "q"])),
        ("steps.many[].text | join('-', @)", json!("a-b")),
        ("steps.one.structured.items[?id == 'q'] | [0].id", json!("q")),
        ("{ first: steps.many[0].text, count: length(steps.many) }", json!({ "first": "a", "count": 2 })),
        ("parse_json(steps.one.text).x[1]", json!(2)),
        ("item.n", json!(7)),
        ("index", json!(3)),
        ("args.nothing || 'else'", json!("else")),
    ] {
        assert_eq!(picked(text), Some(value), "{text}");
    }
    for text in ["args.null", "args.nothing", "nothing", "args.list[5]", "args.url.x"] {
        assert_eq!(picked(text), None, "{text}");
    }
    let holds = |text: &str| Pick::parse(text).unwrap().holds(&scope()).unwrap();
    for (text, truth) in [
        ("args.url", true),
        ("args.null", false),
        ("/args/null", false),
        ("args.empty", false),
        ("index", true),
        ("length(args.empty) > `0`", false),
    ] {
        assert_eq!(holds(text), truth, "{text}");
    }
}

#[test]
fn what_is_no_expression_is_refused_with_the_place_and_what_fails_is_told() {
    for (text, word) in [
        ("", "empty"),
        ("  ", "empty"),
        ("args.", "(column"),
        ("args[", "not a JMESPath expression"),
        ("/args/a~2", "\"~\" is written \"~0\""),
        ("lenght(args.list)", "did you mean \"length\"?"),
        ("args.list[?upper(@) == 'A']", "no such function"),
    ] {
        let error = Pick::parse(text).expect_err(text);
        assert!(error.contains(word) && !error.contains('\n'), "{text}: {error}");
    }
    for text in ["(".repeat(5000), format!("args{}", ".a".repeat(5000)), "!".repeat(900)] {
        assert!(Pick::parse(&text).is_err());
    }
    let scope = scope();
    let failed = Pick::parse("length(index)").unwrap().pick(&scope).unwrap_err();
    assert!(failed.starts_with("\"length(index)\" failed: ") && !failed.contains('\n'), "{failed}");
    assert!(Pick::parse("parse_json(args.url)").unwrap().pick(&scope).unwrap_err().contains("is not JSON"));
}

#[test]
fn a_template_leaves_out_what_is_not_there() {
    let pick = |text: &str, default: Option<Value>| Template::Pick(Pick::parse(text).unwrap(), default);
    let template = Template::Table(vec![
        ("first".to_owned(), pick("/args/nothing", None)),
        ("url".to_owned(), pick("args.url", None)),
        ("n".to_owned(), pick("args.nothing", Some(json!(5)))),
        ("list".to_owned(), Template::List(vec![Template::Literal(json!(1)), pick("args.nothing", None), pick("index", None)])),
        ("last".to_owned(), pick("args.nothing", None)),
    ]);
    let (scope, expected) = (scope(), json!({ "url": "u", "n": 5, "list": [1, null, 3] }));
    let mut text = String::new();
    assert_eq!(template.write(&mut text, &scope), Ok(true));
    assert_eq!((serde_json::from_str::<Value>(&text).unwrap(), template.value(&scope).unwrap()), (expected.clone(), Some(expected)));
    assert_eq!((pick("args.nothing", None).write(&mut text, &scope), pick("args.nothing", None).value(&scope)), (Ok(false), Ok(None)));
}
