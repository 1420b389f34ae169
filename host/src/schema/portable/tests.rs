use proptest::prelude::*;
use serde_json::json;

use super::{
    lint::{faults, faults_of},
    *,
};
use crate::schema::{Schema, promise::Promise};

const MAX: usize = 64 << 10;

fn input(schema: Value) -> Map<String, Value> {
    portable(&schema, Role::Input, MAX).unwrap().schema
}

fn property(schema: Value) -> Value {
    input(json!({"type": "object", "properties": {"x": schema}})).get("properties").unwrap().get("x").unwrap().clone()
}

fn notes(schema: Value) -> Vec<String> {
    portable(&schema, Role::Input, MAX).unwrap().notes
}

#[test]
fn odd_schemas_of_the_corpus_are_published_without_a_fault() {
    let corpus: Vec<Value> = serde_json::from_str(include_str!("corpus.json")).unwrap();
    for case in corpus {
        let schema = &case["schema"];
        for role in [Role::Input, Role::Output] {
            match portable(schema, role, MAX) {
                Ok(made) => {
                    assert_eq!(faults(&made.schema), [] as [&str; 0], "{schema} became {:?}", Value::Object(made.schema));
                    Schema::new(&made.schema).unwrap_or_else(|why| panic!("{schema} became what {why}"));
                    let (relaxed, _) = Promise::of(&made.schema);
                    assert_eq!(faults_of(&relaxed, Role::Output), [] as [&str; 0], "{schema} became {:?}", Value::Object(relaxed.clone()));
                    Schema::new(&relaxed).unwrap_or_else(|why| panic!("{schema} became what {why}"));
                }
                Err(why) => assert!(case["refused"] == true || role == Role::Output && !schema.is_object(), "{schema}: {why}"),
            }
        }
    }
}

#[test]
fn a_well_made_schema_stays_as_it_is() {
    for schema in [
        json!({"type": "object", "properties": {}}),
        json!({"type": "object", "title": "T", "description": "d", "properties": {
            "b": {"type": "string", "description": "B", "minLength": 1, "pattern": "^[a-z]+$", "default": "x", "examples": ["y"]},
            "a": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "c": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null},
            "n": {"$ref": "#/$defs/Node"}
        }, "required": ["b", "a"], "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}}}),
    ] {
        let made = portable(&schema, Role::Input, MAX).unwrap();
        assert_eq!(Value::Object(made.schema.clone()).to_string(), schema.to_string(), "the order too");
        assert!(made.notes.is_empty());
    }
}

#[test]
fn what_one_reader_fails_on_is_said_in_another_way() {
    for (written, published) in [
        (json!(true), json!({})),
        (json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}), json!({"type": "integer", "minimum": 0})),
        (json!({"type": "number", "minimum": 0, "exclusiveMinimum": true}), json!({"type": "number", "exclusiveMinimum": 0})),
        (json!({"type": ["string", "null"], "maxLength": 3}), json!({"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]})),
        (json!({"type": "string", "nullable": true}), json!({"anyOf": [{"type": "string"}, {"type": "null"}]})),
        (json!({"const": "a"}), json!({"type": "string", "enum": ["a"]})),
        (json!({"enum": ["a", null]}), json!({"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]})),
        (json!({"type": "integer", "enum": [1, 2]}), json!({"type": "integer", "description": "One of: 1, 2."})),
        (json!({"type": "string", "enum": ["", "a"]}), json!({"type": "string", "description": "One of: \"\", \"a\"."})),
        (json!({"type": "object", "additionalProperties": false}), json!({"type": "object", "properties": {}})),
        (json!({"type": "array"}), json!({"type": "array", "items": {"description": "Any value."}})),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false, "minItems": 2}),
            json!({"type": "array", "minItems": 2, "maxItems": 2, "description": "In this order: string, integer.",
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}),
        ),
        (
            json!({"type": "array", "items": [{"type": "string"}, {"type": "string"}], "additionalItems": false}),
            json!({"type": "array", "maxItems": 2, "items": {"type": "string"}}),
        ),
        (
            json!({"oneOf": [{"const": "a"}, {"required": ["b"], "properties": {"b": {"type": "integer"}}}]}),
            json!({"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}]}),
        ),
        (
            json!({"description": "d", "allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"required": ["a"]}]}),
            json!({"description": "d", "type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),
        ),
        (json!({"type": "string", "pattern": "^[a\\-\\_]+$"}), json!({"type": "string", "pattern": "^[a\\-_]+$"})),
        (
            json!({"properties": {"a": {"type": "string", "required": true}}}),
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),
        ),
    ] {
        assert_eq!(property(written.clone()), published, "{written}");
    }
}

#[test]
fn the_top_has_properties_and_no_alternatives() {
    let either = json!({"anyOf": [
        {"type": "object", "properties": {"kind": {"const": "a"}, "a": {"type": "string"}}, "required": ["kind", "a"]},
        {"$ref": "#/$defs/B"}
    ], "$defs": {"B": {"type": "object", "properties": {"kind": {"const": "b"}, "b": {"type": "string"}}, "required": ["kind", "b"]}}});
    assert_eq!(
        Value::Object(input(either)),
        json!({"type": "object", "properties": {"kind": {"type": "string", "enum": ["a", "b"]}, "a": {"type": "string"}, "b": {"type": "string"}},
            "required": ["kind"]})
    );
    let referred = json!({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": {"type": "string"}}}, "unused": {}}});
    assert_eq!(Value::Object(input(referred)), json!({"type": "object", "properties": {"a": {"type": "string"}}}));
}

#[test]
fn what_was_lost_is_told() {
    assert!(notes(json!({"type": "object", "properties": {"s": {"$ref": "#/$defs/Screen"}}}))[0].contains("\"#/$defs/Screen\""));
    assert!(notes(json!({"type": "object", "properties": {"s": {"type": "blob"}}}))[0].contains("\"blob\""));
    assert!(notes(json!({"type": "object", "properties": {"s": {"type": "string", "pattern": "(?=a)"}}}))[0].contains("(?=a)"));
    assert!(notes(json!("text"))[0].contains("no JSON Schema"));
    let many: Map<String, Value> = (0..20).map(|n| (n.to_string(), json!({"type": format!("blob{n}")}))).collect();
    let told = notes(json!({"type": "object", "properties": many}));
    assert!(told.len() == MAX_NOTES + 1 && told[MAX_NOTES].contains("15 more"), "{told:?}");
    let why = |schema| portable(&schema, Role::Input, MAX).unwrap_err();
    assert_eq!(why(json!({"type": "array"})), "is for \"array\" and not for an object");
}

#[test]
fn what_is_nested_deep_stands_in_definitions() {
    let mut schema = json!({"type": "string"});
    for level in 0..40 {
        let mut properties = Map::new();
        properties.insert(format!("level_{level}"), schema);
        schema = json!({"type": "object", "properties": properties});
    }
    let made = input(schema);
    assert_eq!(faults(&made), [] as [&str; 0]);
    assert!(made["$defs"].as_object().unwrap().len() >= 4, "{:?}", Value::Object(made));
}

#[test]
fn what_is_written_often_stands_once() {
    let address: Map<String, Value> = (0..50).map(|n| (format!("line_{n}"), json!({"type": "string", "description": "A line."}))).collect();
    let address = json!({"type": "object", "properties": address});
    let made = input(json!({"type": "object", "properties": {"from": address, "to": address, "other": address}}));
    assert_eq!(made["properties"]["to"], json!({"$ref": "#/$defs/from"}));
    assert_eq!(made["$defs"]["from"], address);
    assert_eq!(faults(&made), [] as [&str; 0]);
}

#[test]
fn a_schema_that_is_too_large_is_made_smaller_step_by_step() {
    let schema = |words: usize| {
        let leaf = |n: i32| json!({"type": "object", "properties": {"deep": {"type": "string", "description": format!("{n}{}", "d".repeat(words))}}});
        let one =
            |n: i32| (format!("p{n}"), json!({"type": "object", "properties": {"a": leaf(n), "n": {"type": "integer", "minimum": n}}}));
        let list: Map<String, Value> = (0..20).map(one).collect();
        json!({"type": "object", "properties": list, "required": ["p0"]})
    };
    let made = portable(&schema(1000), Role::Input, 8 << 10).unwrap();
    assert!(made.notes[0].contains("descriptions"), "{:?}", made.notes);
    let made = portable(&schema(1000), Role::Input, 1500).unwrap();
    assert!(made.notes[0].contains("level") && Value::Object(made.schema.clone()).to_string().len() <= 1500, "{:?}", made.notes);
    assert_eq!((made.schema["required"][0].as_str(), faults(&made.schema).len()), (Some("p0"), 0));
    assert!(portable(&schema(1), Role::Input, 100).unwrap_err().contains("max_schema"));
    assert!(portable(&schema(1000), Role::Output, 8 << 10).unwrap_err().contains("max_schema"));
}

#[test]
fn items_that_say_nothing_are_a_fault_of_arguments_alone() {
    let Value::Object(schema) = json!({"type": "object", "properties": {"list": {"type": "array", "items": {}}}}) else { unreachable!() };
    assert!(faults(&schema)[0].contains("no items"));
    assert_eq!(super::lint::faults_of(&schema, Role::Output), [] as [&str; 0]);
}

#[test]
fn alternatives_of_which_one_is_cut_away_are_anything() {
    let members: Map<String, Value> = (0..40).map(|n| (format!("member_{n}"), json!({"type": "string"}))).collect();
    let schema = json!({"type": "object", "properties": {
        "one": {"description": "One.", "anyOf": [{"type": "string"}, {"$ref": "#/$defs/d"}]},
        "list": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/d"}]}},
    }, "$defs": {"d": {"type": "object", "properties": members}}});
    let made = portable(&schema, Role::Input, 400).unwrap();
    assert_eq!(faults(&made.schema), [] as [&str; 0], "{}", Value::Object(made.schema));
    assert_eq!(made.schema["properties"]["one"], json!({"description": "One."}));
}

#[test]
fn a_property_that_two_parts_have_is_one_of_a_type() {
    let nullable = json!({"anyOf": [{"type": "string", "maxLength": 8}, {"type": "null"}]});
    let object = json!({"anyOf": [{"type": "object", "properties": {"b": {"type": "string"}}}, {"type": "null"}]});
    let made = input(json!({"type": "object", "properties": {"x": {"allOf": [
        {"type": "object", "properties": {"url": {"type": "string"}, "o": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        {"type": "object", "properties": {"url": nullable, "o": object}},
    ]}}}));
    assert_eq!(faults(&made), [] as [&str; 0], "{}", Value::Object(made));
    assert_eq!(made["properties"]["x"]["properties"]["url"], json!({"type": "string"}));
}

#[test]
fn nothing_stands_beside_a_reference_that_leads_back() {
    let made =
        input(json!({"type": "object", "properties": {"where": {"description": "Which rows.", "$ref": "#/$defs/Filter"}}, "$defs": {
            "Filter": {"type": "object", "properties": {
                "not": {"description": "None of these.", "$ref": "#/$defs/Filter"},
                "and": {"description": "All of these.", "$ref": "#/$defs/List"},
                "name": {"description": "Of a column.", "$ref": "#/$defs/Name"},
            }},
            "List": {"type": "object", "properties": {"of": {"type": "array", "items": {"description": "One.", "$ref": "#/$defs/Filter"}}}},
            "Name": {"type": "string"},
        }}));
    assert_eq!(faults(&made), [] as [&str; 0]);
    assert_eq!(made["properties"]["where"]["description"], "Which rows.");
    let filter = &made["$defs"]["Filter"]["properties"];
    assert_eq!(filter["not"], json!({"$ref": "#/$defs/Filter"}));
    assert_eq!(filter["and"], json!({"$ref": "#/$defs/List"}));
    assert_eq!(filter["name"]["description"], "Of a column.");
    assert_eq!(made["$defs"]["List"]["properties"]["of"]["items"], json!({"$ref": "#/$defs/Filter"}));
}

#[test]
fn where_a_circle_is_cut_something_is_said_in_its_place() {
    let circle = json!({"allOf": [{"$ref": "#/$defs/d"}, {"$ref": "#/$defs/d"}]});
    for of in [
        json!({"type": "array", "items": circle}),
        json!({"type": "array", "prefixItems": [{"anyOf": [circle]}], "items": false}),
        json!({"type": "array", "items": {"anyOf": [circle, {"type": "string"}]}}),
        json!({"anyOf": [circle, {"type": "array", "items": {"allOf": [circle, {"$ref": "#/$defs/d"}]}}]}),
    ] {
        let made =
            input(json!({"type": "object", "properties": {"a": {"type": "array", "items": {"$ref": "#/$defs/d"}}}, "$defs": {"d": of}}));
        assert_eq!(faults(&made), [] as [&str; 0], "{of} became {made:?}");
    }
}

#[test]
fn parts_that_lead_back_into_themselves_come_to_an_end() {
    let object = |property: Value| json!({"type": "object", "properties": {"a": property}});
    let back = json!({"$ref": "#/$defs/d"});
    let plain = json!({"type": "object", "properties": {}});
    // A hundred definitions, each of which has to be read into the one before.
    let chain: Map<String, Value> = (0..100)
        .map(|at| {
            let next = json!({"$ref": format!("#/$defs/d{}", (at + 1) % 100)});
            let deep = (0..50).fold(json!({"allOf": [next.clone(), object(next)]}), |inner, _| object(inner));
            (format!("d{at}"), json!({"allOf": [deep.clone(), {"type": "object", "description": "x", "properties": {"b": deep}}]}))
        })
        .collect();
    for (start, defs) in [
        ("d", json!({"d": {"allOf": [object(plain.clone()), object(json!({"anyOf": [back, {"type": "string"}]}))]}})),
        ("d", json!({"d": {"allOf": [object(json!({"anyOf": [back, plain]})), object(json!({"allOf": [plain, back]}))]}})),
        ("d0", Value::Object(chain)),
    ] {
        let schema = json!({"type": "object", "properties": {"a": {"$ref": format!("#/$defs/{start}")}}, "$defs": defs});
        // The stack that an async worker has.
        let read = std::thread::Builder::new().stack_size(2 << 20).spawn(move || portable(&schema, Role::Input, MAX)).unwrap();
        if let Ok(made) = read.join().unwrap() {
            assert_eq!(faults(&made.schema), [] as [&str; 0]);
        }
    }
}

#[test]
fn an_array_whose_members_are_cut_away_says_that_they_can_be_anything() {
    let members: Map<String, Value> = (0..40).map(|n| (format!("member_{n}"), json!({"type": "string"}))).collect();
    let schema = json!({"type": "object", "properties": {
        "list": {"type": "array", "items": {"type": "object", "properties": {"deep": {"type": "array", "items": {"type": "object", "properties": members}}}}},
        "same": {"type": "array", "items": {"$ref": "#/$defs/d"}},
    }, "$defs": {"d": {"type": "object", "properties": members}}});
    for max in [300, 600, 1200] {
        let made = portable(&schema, Role::Input, max).unwrap();
        assert!(made.notes[0].contains("published"), "{:?}", made.notes);
        assert_eq!(faults(&made.schema), [] as [&str; 0], "{}", Value::Object(made.schema));
    }
}

#[test]
fn a_list_of_values_that_is_too_long_is_told_in_part_and_withholds_nothing() {
    let values = |count: usize| -> Vec<String> { (0..count).map(|n| format!("value-{n:04}")).collect() };
    let schema = json!({"type": "object", "required": ["zone"], "properties": {
        "zone": {"type": "string", "description": "Where.", "enum": values(9000)},
        "list": {"type": "array", "items": {"$ref": "#/$defs/kind"}},
        "few": {"type": "string", "enum": ["a", "b"]}
    }, "$defs": {"kind": {"type": "string", "enum": values(3000)}}});
    let made = portable(&schema, Role::Input, 8 << 10).unwrap();
    assert!(made.notes[0].contains("lists of values"), "{:?}", made.notes);
    assert_eq!(faults(&made.schema), [] as [&str; 0]);
    let made = Value::Object(made.schema);
    let zone = &made["properties"]["zone"];
    assert!(zone["description"].as_str().unwrap().starts_with("Where.\nOne of 9000 values: value-0000, value-0001"), "{zone}");
    assert_eq!((zone.get("enum"), &zone["type"]), (None, &json!("string")));
    assert_eq!(made["properties"]["few"]["enum"], json!(["a", "b"]));
    assert!(!made.to_string().contains("value-2999"));
}

#[test]
fn a_relaxed_schema_takes_what_breaks_the_promise() {
    let promise = json!({"type": "object", "properties": {"id": {"type": "integer", "minimum": 1}, "when": {"type": "string", "format": "date-time"},
        "list": {"type": "array", "items": {"$ref": "#/$defs/Item"}, "minItems": 1}, "kind": {"enum": ["a", "b"]}}, "required": ["id", "when"],
        "additionalProperties": false, "$defs": {"Item": {"type": "object", "properties": {"a": {"type": "string", "pattern": "^x"}}, "required": ["a"]}}});
    let (relaxed, _) = Promise::of(&portable(&promise, Role::Output, MAX).unwrap().schema);
    assert_eq!(faults_of(&relaxed, Role::Output), [] as [&str; 0]);
    let schema = Schema::new(&relaxed).unwrap();
    for taken in [
        json!({}),
        json!({"id": null, "when": "yesterday", "list": [null, {}, {"a": "y"}], "kind": "c", "more": 1}),
        json!({"id": 1.5, "list": []}),
    ] {
        assert!(schema.check(&taken.to_string()).is_ok(), "{taken}");
    }
    assert!(schema.check(r#"{"id": "one"}"#).is_err(), "a type is still a type");
}

/// Anything that may stand in a schema, well made or not.
fn any_schema() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("string"),
        Just("number"),
        Just("integer"),
        Just("boolean"),
        Just("object"),
        Just("array"),
        Just("null"),
        Just("int"),
        Just("zzz")
    ];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        word.clone().prop_map(Value::from),
        word.prop_map(|word| json!({"type": word})),
        "[a-z\\\\(\\[{$^.*+?|)]{0,8}".prop_map(|text| json!({"type": "string", "pattern": text})),
        "#/(\\$defs|properties|definitions)/[ab]".prop_map(|to| json!({"$ref": to})),
        Just(json!({"$ref": "#"})),
    ];
    leaf.prop_recursive(5, 80, 5, |inner| {
        let key = prop_oneof![
            Just("type"),
            Just("properties"),
            Just("required"),
            Just("items"),
            Just("prefixItems"),
            Just("additionalProperties"),
            Just("anyOf"),
            Just("oneOf"),
            Just("allOf"),
            Just("not"),
            Just("enum"),
            Just("const"),
            Just("minimum"),
            Just("exclusiveMaximum"),
            Just("minItems"),
            Just("$defs"),
            Just("definitions"),
            Just("a"),
            Just("b"),
            Just("nullable"),
            Just("default"),
            Just("description"),
            Just("patternProperties"),
            Just("$ref"),
            Just("$id"),
            Just("id"),
            Just("format")
        ];
        prop_oneof![
            proptest::collection::vec((key, inner.clone()), 0..5).prop_map(|members| members
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()),
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

/// Room for everything, and room that most of these have not.
fn some_max() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(MAX), 1 => 60_usize..1200]
}

/// Schemas as people write them, of types that are said.
fn made_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": "string", "maxLength": 2})),
        Just(json!({"type": "integer", "minimum": -3, "maximum": u64::MAX})),
        Just(json!({"type": "number", "exclusiveMinimum": 0})),
        Just(json!({"type": ["string", "null"]})),
        Just(json!({"enum": ["a", 1, null]})),
        Just(json!({"const": "b"})),
        Just(json!({"type": "boolean"})),
        Just(json!({"$ref": "#/$defs/d"})),
        Just(json!(true)),
    ];
    let one = leaf.prop_recursive(4, 40, 4, |inner| {
        let list = proptest::collection::vec(inner.clone(), 1..4);
        let named = proptest::collection::vec((prop_oneof![Just("a"), Just("b"), Just("c")], inner.clone()), 0..4)
            .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>());
        prop_oneof![
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            (list.clone(), any::<bool>()).prop_map(|(first, closed)| json!({"type": "array", "prefixItems": first, "items": !closed})),
            list.clone().prop_map(|list| json!({"anyOf": list})),
            list.clone().prop_map(|list| json!({"oneOf": list})),
            list.prop_map(|list| json!({"allOf": list})),
            (named.clone(), named.clone())
                .prop_map(|(a, b)| json!({"allOf": [{"type": "object", "properties": a}, {"type": "object", "properties": b}]})),
            (named.clone(), any::<bool>())
                .prop_map(|(properties, open)| json!({"type": "object", "properties": properties, "additionalProperties": open})),
            (named, inner).prop_map(|(properties, rest)| json!({"type": "object", "properties": properties, "additionalProperties": rest})),
        ]
    });
    (one.clone(), one.clone(), one)
        .prop_map(|(a, b, d)| json!({"type": "object", "properties": {"a": a, "b": b}, "required": ["a"], "$defs": {"d": d}}))
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5_i64..5).prop_map(Value::from),
        Just(json!(0.5)),
        Just(json!("a")),
        Just(json!("b")),
        Just(json!("long text")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::vec((prop_oneof![Just("a"), Just("b"), Just("c")], inner), 0..3).prop_map(|members| members
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn whatever_is_written_what_is_published_has_no_fault(schema in any_schema(), max in some_max()) {
        for role in [Role::Input, Role::Output] {
            if let Ok(made) = portable(&schema, role, max) {
                prop_assert_eq!(faults(&made.schema), Vec::<String>::new(), "{} became {}", schema, Value::Object(made.schema.clone()));
                let (relaxed, _) = Promise::of(&made.schema);
                prop_assert_eq!(faults_of(&relaxed, Role::Output), Vec::<String>::new(), "{} became {}", schema, Value::Object(relaxed.clone()));
                let again = portable(&Value::Object(made.schema.clone()), role, MAX).unwrap().schema;
                prop_assert_eq!(faults(&again), Vec::<String>::new());
            }
        }
    }

    #[test]
    fn what_is_published_takes_what_was_taken_before(schema in made_schema(), max in some_max(), a in any_value(), b in any_value()) {
        let Value::Object(before) = &schema else { unreachable!() };
        let Ok(before) = Schema::new(before) else { return Ok(()) };
        let Ok(made) = portable(&schema, Role::Input, max) else { return Ok(()) };
        prop_assert_eq!(faults(&made.schema), Vec::<String>::new(), "{} became {}", schema, Value::Object(made.schema.clone()));
        let after = Schema::new(&made.schema).map_err(TestCaseError::fail)?;
        let loose = Schema::new(&Promise::of(&made.schema).0).map_err(TestCaseError::fail)?;
        let value = json!({"a": a, "b": b}).to_string();
        if before.check(&value).is_ok() {
            prop_assert!(after.check(&value).is_ok(), "{} takes {}, and {} does not", schema, value, Value::Object(made.schema));
            prop_assert!(loose.check(&value).is_ok(), "{} takes {}, and relaxed does not", schema, value);
        }
    }
}
