//! Real components: what is published of them, and what they answer.

use serde_json::{Value, json};

use super::*;
use crate::{config::ToolOverride, wasm::typed::encode::OutputError};

/// Functions of several types; `math` and the top both have an `add`.
const SHOP: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (global $top (mut i32) (i32.const 4096))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
            (global.get $top)
            (global.set $top (i32.add (global.get $top) (local.get 3))))
        (data (i32.const 64) "sold \"out\"")
        (data (i32.const 128) "\01\00\00\00\40\00\00\00\0a\00\00\00") ;; err("sold out")
        (data (i32.const 144) "\00\00\00\00\07\00\00\00")             ;; ok({count: 7, note: none})
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func (export "buy") (param $size i32) (param $some i32) (param $count i32) (result i32)
            (if (result i32) (local.get $some) (then (i32.const 144)) (else (i32.const 128))))
        (func (export "nothing"))
        (func (export "try") (param i32) (result i32) (local.get 0))
        (func (export "nan") (result f64) (f64.const nan))
        (func (export "echo") (param i32 i32) (result i32)
            (i32.store (i32.const 32) (local.get 0)) (i32.store (i32.const 36) (local.get 1)) (i32.const 32)))
    (core instance $i (instantiate $m))
    (type $size (enum "small" "extra-large"))
    (export $size' "size" (type $size))
    (type $order (record (field "count" u32) (field "a-note" (option u8))))
    (export $order' "order" (type $order))
    (func $add (param "a" s32) (param "second-one" s32) (result s32) (canon lift (core func $i "add")))
    (export "add" (func $add))
    (func (export "buy-it") (param "size" $size') (param "how-many" (option u8)) (result (result $order' (error string)))
        (canon lift (core func $i "buy") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (func (export "nothing") (canon lift (core func $i "nothing")))
    (func (export "try") (param "fail" bool) (result (result)) (canon lift (core func $i "try")))
    (func (export "nan") (result f64) (canon lift (core func $i "nan")))
    (func (export "echo") (param "text" string) (result string)
        (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (instance $math (export "add" (func $add)))
    (export "shop:tools/math@1.2.3" (instance $math))
    (export "wasi:cli/run@0.2.0" (instance $math))
    (export "toolbay:plugin/tools@0.1.0" (instance $math)))"#;

fn tool<'d>(described: &'d Described, name: &str) -> &'d TypedFunction {
    described.functions.iter().find(|function| function.tool().name.as_str() == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn functions_are_published_in_snake_case_and_an_interface_names_those_that_fall_together() {
    let (_, described) = described(&engine(), SHOP);
    let names: Vec<&str> = described.functions.iter().map(|function| function.tool().name.as_str()).collect();
    assert_eq!(names, ["add", "math_add", "buy_it", "nothing", "try", "nan", "echo"]);
    assert_eq!(described.warnings, Vec::<String>::new());
}

#[test]
fn what_componentize_py_leaves_behind_is_no_tool() {
    let text = r#"(component
        (core module $m (func (export "f") (param i32)) (func (export "g")))
        (core instance $i (instantiate $m))
        (func $init (param "stub-wasi" bool) (canon lift (core func $i "f")))
        (func $mine (canon lift (core func $i "g")))
        (instance $left (export "init" (func $init)))
        (instance $own (export "init" (func $mine)))
        (export "exports" (instance $left))
        (export "engine" (instance $own)))"#;
    let (_, described) = described(&engine(), text);
    let names: Vec<&str> = described.functions.iter().map(|function| function.tool().name.as_str()).collect();
    assert_eq!(names, ["init"]);
    assert_eq!(tool(&described, "init").tool().input_schema["properties"], json!({}));
}

#[test]
fn what_componentize_qjs_leaves_behind_is_no_tool() {
    let text = |params: &str| {
        format!(
            r#"(component
        (core module $m (memory (export "m") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
            (func (export "f") (param i32 i32 i32 i32 i32 i32 i32 i32)) (func (export "g")))
        (core instance $i (instantiate $m))
        (func $init {params} (canon lift (core func $i "f") (memory (core memory $i "m")) (realloc (core func $i "realloc"))))
        (func $mine (canon lift (core func $i "g")))
        (export "init" (func $init))
        (export "wizer-initialize" (func $mine))
        (export "mine" (func $mine)))"#
        )
    };
    let names = |params: &str| {
        let (_, described) = described(&engine(), &text(params));
        described.functions.iter().map(|function| function.tool().name.as_str().to_owned()).collect::<Vec<_>>()
    };
    let left = r#"(param "shim" string) (param "script" string) (param "entry-path" (option string)) (param "disable-gc" bool)"#;
    assert_eq!(names(left), ["mine"]);
    // An author's own function of that name stays.
    assert_eq!(names(&left.replace("shim", "text")), ["init", "mine"]);
}

#[test]
fn schemas_say_what_the_types_say() {
    let (_, described) = described(&engine(), SHOP);
    let buy = tool(&described, "buy_it").tool();
    assert_eq!(
        Value::Object((*buy.input_schema).clone()),
        json!({
            "type": "object",
            "properties": {
                "size": {"type": "string", "enum": ["small", "extra_large"]},
                "how_many": {"type": "integer", "minimum": 0, "maximum": 255},
            },
            "required": ["size"],
        })
    );
    let order = json!({
        "type": "object",
        "properties": {
            "count": {"type": "integer", "minimum": 0, "maximum": 4294967295u32},
            "a_note": {"type": "integer", "minimum": 0, "maximum": 255},
        },
        "required": ["count"],
    });
    assert_eq!(buy.output_schema.as_deref().cloned().map(Value::Object), Some(order));
    let add = tool(&described, "add").tool();
    let result = json!({
        "type": "object",
        "properties": {"result": {"type": "integer", "minimum": -2147483648, "maximum": 2147483647}},
        "required": ["result"],
    });
    assert_eq!(add.output_schema.as_deref().cloned().map(Value::Object), Some(result));
    assert_eq!(tool(&described, "nothing").tool().output_schema, None);
    assert_eq!(tool(&described, "try").tool().output_schema, None);
    for function in &described.functions {
        let tool = function.tool();
        assert!(jsonschema::draft202012::meta::is_valid(&Value::Object((*tool.input_schema).clone())));
        assert!(!tool.notifies && tool.title.is_none());
    }
    assert!(tool(&described, "add").clone().with_notifies(true).tool().notifies);
}

#[test]
fn calls_are_answered_by_structured_content_and_its_text() {
    let engine = engine();
    let (component, described) = described(&engine, SHOP);
    let call = |name: &str, arguments: &str| call(&engine, &component, tool(&described, name), arguments);
    let structured = |output: &CallOutput| output.structured.as_ref().map(|json| json.as_str().to_owned());

    let output = call("add", r#"{"a": 2, "second_one": -5}"#);
    assert_eq!((structured(&output).as_deref(), text(&output), output.is_error), (Some(r#"{"result":-3}"#), "-3", false));
    assert_eq!(text(&call("math_add", r#"{"second_one": 1.0, "a": 1}"#)), "2");

    let output = call("buy_it", r#"{"size": "extra_large", "how_many": 3}"#);
    assert_eq!((structured(&output).as_deref(), text(&output), output.is_error), (Some(r#"{"count":7}"#), r#"{"count":7}"#, false));
    let output = call("buy_it", r#"{"size": "small"}"#);
    assert_eq!((structured(&output), text(&output), output.is_error), (None, "sold \"out\"", true));

    assert_eq!(call("nothing", "{}"), CallOutput::default());
    assert_eq!(call("try", r#"{"fail": false}"#), CallOutput::default());
    let output = call("try", r#"{"fail": true}"#);
    assert_eq!((structured(&output), text(&output), output.is_error), (None, "the tool failed without a message", true));

    let output = call("echo", r#"{"text": "a\n\"b\" \u00e9"}"#);
    assert_eq!((structured(&output).as_deref(), text(&output)), (Some("{\"result\":\"a\\n\\\"b\\\" é\"}"), "a\n\"b\" é"));
}

#[test]
fn an_answer_that_json_has_not_is_named() {
    let (_, described) = described(&engine(), SHOP);
    let error = tool(&described, "nan").output(&[Val::Float64(f64::NAN)], 100).unwrap_err();
    assert_eq!(error.to_string(), "the answer cannot be written as JSON: `result` is NaN");
    assert_eq!(tool(&described, "echo").output(&[Val::String("x".repeat(99))], 100), Err(OutputError::TooLarge { limit: 100 }));
    // What the guest says in place of an answer is limited too.
    let refused = Val::Result(Err(Some(Box::new(Val::String("x".repeat(99))))));
    assert_eq!(tool(&described, "buy_it").output(&[refused], 100), Err(OutputError::TooLarge { limit: 100 }));
}

#[test]
fn the_path_of_what_json_has_not_leads_there() {
    let shape = record(&["list-of"], vec![Shape::List(Box::new(Shape::Option(Box::new(Shape::F32))))]);
    let number = |number: f32| Val::Option(Some(Box::new(Val::Float32(number))));
    let value = Val::Record(vec![("list-of".into(), Val::List(vec![number(1.0), number(f32::NEG_INFINITY)]))]);
    let error = crate::wasm::typed::encode::value(&shape, &value, 100, "").unwrap_err();
    assert_eq!(error.to_string(), "the answer cannot be written as JSON: `list_of[1]` is infinite");
}

#[test]
fn functions_that_json_cannot_carry_are_left_out_with_a_reason() {
    let wat = r#"(component
        (core module $m (func (export "f") (param i32)) (func (export "g") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (type $file (resource (rep i32)))
        (export $file' "file" (type $file))
        (type $holder (record (field "inner" (own $file'))))
        (export $holder' "holder" (type $holder))
        (func (export "close") (param "the-file" $holder') (canon lift (core func $i "f")))
        (func (export "open") (result (own $file')) (canon lift (core func $i "g")))
        (func (export "[static]file.count") (result u32) (canon lift (core func $i "g")))
        (func (export "fine") (param "a" u32) (canon lift (core func $i "f"))))"#;
    let (_, described) = described(&engine(), wat);
    assert_eq!(described.functions.len(), 1);
    assert_eq!(
        described.warnings,
        [
            "the function \"[static]file.count\" is not a tool: it belongs to a resource, which cannot be written as JSON",
            "the function \"close\" is not a tool: its parameter \"the-file\" is or has in it a resource, which cannot be written as JSON",
            "the function \"open\" is not a tool: its result is or has in it a resource, which cannot be written as JSON",
        ]
    );
}

#[test]
fn names_that_fall_together_even_with_their_interface_are_left_out() {
    let wat = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $math (export "add" (func $f)))
        (export "a:b/math@1.0.0" (instance $math))
        (export "c:d/math@1.0.0" (instance $math)))"#;
    let (_, described) = described(&engine(), wat);
    assert_eq!(described.functions.len(), 1);
    assert_eq!(
        described.warnings,
        ["the function \"add\" of c:d/math@1.0.0 is not a tool: there is another one that is published as math_add"]
    );
}

#[test]
fn a_type_that_would_grow_without_end_is_left_out() {
    // Each tuple holds the one before twice: 2^20 types when written out. A record of pointers keeps the flat size small.
    let mut types = String::from("(type $t0 (list u8))");
    for i in 1..16 {
        types.push_str(&format!("(type $t{i} (list (tuple $t{0} $t{0})))", i - 1));
    }
    let wat = format!(
        r#"(component
            (core module $m (memory (export "memory") 1) (func (export "f") (param i32 i32)) (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m))
            {types}
            (func (export "bomb") (param "x" $t15) (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "r"))))
            (func (export "fine") (param "x" $t5) (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "r")))))"#
    );
    let (_, described) = described(&engine(), &wat);
    assert_eq!(described.functions.len(), 1);
    assert_eq!(
        described.warnings,
        ["the function \"bomb\" is not a tool: its parameter \"x\" is or has in it a type that is too large when written out"]
    );
}

#[test]
fn a_type_that_is_too_deep_is_left_out() {
    let deep = |count: usize| format!("{}u8{}", "(option ".repeat(count), ")".repeat(count));
    let wat = |count: usize| {
        format!(
            r#"(component
                (core module $m (memory (export "memory") 1) (func (export "f") (param i32)) (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
                (core instance $i (instantiate $m))
                (func (export "deep") (param "x" {}) (param "y" u64) (param "z" (list u8))
                    (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "r")))))"#,
            deep(count)
        )
    };
    let (_, shallow) = described(&engine(), &wat(45));
    // The deepest values that are allowed are still read.
    let json = format!("{{\"x\": {}1{}, \"y\": 1, \"z\": \"\"}}", "{\"some\":".repeat(44), "}".repeat(44));
    assert!(shallow.functions[0].arguments(&json).is_ok());
    let (_, deep) = described(&engine(), &wat(60));
    assert_eq!(deep.functions.len(), 0);
    assert!(deep.warnings[0].contains("nested more than 48 deep"), "{:?}", deep.warnings);
}

#[test]
fn a_thousand_functions_are_published_and_the_rest_is_counted() {
    let many: String = (0..1100).map(|i| format!("(export \"f{i}\" (func $f))")).collect();
    let wat = format!(
        "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) (func $f (canon lift (core func $i \"f\"))) {many})"
    );
    let (_, described) = described(&engine(), &wat);
    assert_eq!(described.functions.len(), 1000);
    assert_eq!(described.warnings, ["100 functions are not tools: a plugin can have 1000"]);
}

#[test]
fn the_operator_has_the_last_word() {
    let engine = engine();
    let component = Component::new(&engine, wat::parse_str(SHOP).unwrap()).unwrap();
    let said = ToolOverride {
        title: Some("Add".into()),
        description: Some("Adds.".into()),
        params: [("second_one".to_owned(), "The other.".to_owned()), ("third".to_owned(), "?".to_owned())].into(),
        ..ToolOverride::default()
    };
    let described = describe(&engine, &component, &Docs::default(), &[("add".to_owned(), said)].into());
    let add = tool(&described, "add").tool();
    assert_eq!((add.title.as_deref(), add.description.as_deref()), (Some("Add"), Some("Adds.")));
    assert_eq!(add.input_schema["properties"]["second_one"]["description"], "The other.");
    assert_eq!(described.warnings, ["the function \"add\": the configuration describes a parameter \"third\" that it does not have"]);
}
