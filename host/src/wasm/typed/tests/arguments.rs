//! What is said of arguments that do not fit.

use super::*;
use crate::wasm::typed::{decode, diagnostics::ArgumentError};

fn fields(list: Vec<(&'static str, Shape)>) -> Fields {
    let (names, shapes): (Vec<_>, Vec<_>) = list.into_iter().unzip();
    Fields { names: Names::new(names), shapes: shapes.into() }
}

fn problems(list: Vec<(&'static str, Shape)>, json: &str) -> String {
    decode::arguments(&fields(list), json).unwrap_err().to_string()
}

fn only(shape: Shape, json: &str) -> String {
    let message = problems(vec![("x", shape)], &format!("{{\"x\": {json}}}"));
    message.strip_prefix("the arguments do not fit the tool's input schema:\n- ").unwrap_or(&message).to_owned()
}

fn point() -> Shape {
    record(&["x-value", "y"], vec![Shape::Int(Int::S32), Shape::Option(Box::new(Shape::F64))])
}

fn choice() -> Shape {
    Shape::Variant(Cases { names: Names::new(["nothing", "a-number"]), payloads: vec![None, Some(Shape::Int(Int::U8))].into() })
}

#[test]
fn a_message_says_which_argument_what_was_got_and_what_is_allowed() {
    assert_eq!(only(Shape::Int(Int::U8), "256"), "`x`: got 256, expected an integer from 0 to 255");
    assert_eq!(only(Shape::Int(Int::S8), "\"7\""), "`x`: got \"7\", expected an integer from -128 to 127");
    assert_eq!(only(Shape::Int(Int::S8), "1.5"), "`x`: got 1.5, expected an integer from -128 to 127");
    assert_eq!(only(Shape::Int(Int::S8), "null"), "`x`: got null, expected an integer from -128 to 127");
    assert_eq!(only(Shape::F64, "[1, 2]"), "`x`: got [1, 2], expected a number");
    assert_eq!(only(Shape::F64, "1e999"), "`x`: got 1e999, expected a number");
    assert_eq!(only(Shape::F32, "1e39"), "`x`: got 1e39, expected a number that fits 32 bits");
    assert_eq!(only(Shape::Bool, "0"), "`x`: got 0, expected true or false");
    assert_eq!(only(Shape::Char, "\"ab\""), "`x`: got \"ab\", expected a string of one character");
    assert_eq!(only(Shape::String, "{\"a\": 1}"), "`x`: got an object, expected a string");
    assert!(only(Shape::Bytes, "\"a*\"").starts_with("`x`: got \"a*\", expected a string with base64: "));
    assert_eq!(
        only(Shape::Enum(Names::new(["red", "dark-blue"])), "\"blue\""),
        "`x`: got \"blue\", expected one of \"red\", \"dark_blue\""
    );
    assert_eq!(only(Shape::Flags(Names::new(["r", "w"])), "[\"w\", \"x\"]"), "`x[1]`: got \"x\", expected one of \"r\", \"w\"");
    assert_eq!(only(Shape::Flags(Names::new(["r", "w"])), "[\"w\", \"w\"]"), "`x[1]`: \"w\" is there already");
    assert_eq!(only(point(), "{\"x_value\": 1e10}"), "`x.x_value`: got 1e10, expected an integer from -2147483648 to 2147483647");
    assert_eq!(only(point(), "[]"), "`x`: got an array, expected an object with \"x_value\", \"y\"");
    assert_eq!(only(choice(), "\"other\""), "`x`: got \"other\", expected one of \"nothing\", {\"a_number\": …}");
    assert_eq!(
        only(choice(), "\"a_number\""),
        "`x`: the case \"a_number\" has a value: write {\"a_number\": …} with an integer from 0 to 255"
    );
    assert_eq!(only(choice(), "{\"nothing\": null}"), "`x`: the case \"nothing\" has no value: write \"nothing\"");
    assert_eq!(only(choice(), "{\"a_number\": -1}"), "`x.a_number`: got -1, expected an integer from 0 to 255");
    assert_eq!(only(Shape::Fixed(Box::new(Shape::Bool), 2), "[true]"), "`x`: got an array of 1, expected an array of 2 items");
    assert_eq!(only(Shape::Tuple([Shape::Bool].into()), "[true, 1, 2]"), "`x`: got an array of 3, expected an array of 1 items");
    let list = Shape::List(Box::new(point()));
    assert_eq!(
        only(list, "[{\"x_value\": 1}, {\"x_value\": true}]"),
        "`x[1].x_value`: got true, expected an integer from -2147483648 to 2147483647"
    );
    let map = Shape::Object(Box::new(Shape::Bool));
    assert_eq!(only(map, "{\"a b\": 1}"), "`x[\"a b\"]`: got 1, expected true or false");
    let long = format!("\"{}\"", "é".repeat(100));
    assert_eq!(only(Shape::Bool, &long), format!("`x`: got \"{}…, expected true or false", "é".repeat(39)));
}

#[test]
fn an_unknown_name_is_told_with_the_one_that_was_meant_and_a_missing_one_with_its_type() {
    let list = || vec![("latitude", Shape::F64), ("longitude", Shape::F64), ("units", Shape::Option(Box::new(Shape::String)))];
    assert_eq!(
        problems(list(), "{\"lattitude\": 1, \"longitude\": 2, \"city\": \"Oslo\"}"),
        "the arguments do not fit the tool's input schema:\n\
         - `lattitude` is unknown: did you mean \"latitude\"?\n\
         - `city` is unknown: known are \"latitude\", \"longitude\", \"units\"\n\
         - `latitude` is missing: expected a number"
    );
}

#[test]
fn all_problems_are_told_up_to_five() {
    let list = || vec![("items", Shape::List(Box::new(Shape::Bool)))];
    let ArgumentError::Unfit { problems, more } = decode::arguments(&fields(list()), "{\"items\": [1,2,3,4,5,6,7]}").unwrap_err() else {
        panic!()
    };
    assert_eq!((problems.len(), more), (5, 2));
    assert!(problems[4].starts_with("`items[4]`"));
}

#[test]
fn a_name_twice_is_a_problem() {
    assert!(problems(vec![("a", Shape::Bool)], "{\"a\": true, \"a\": false}").ends_with("`a` is there twice"));
    assert!(only(Shape::Object(Box::new(Shape::Bool)), "{\"k\": true, \"k\": true}").ends_with("`x`: \"k\" is there twice"));
}

#[test]
fn what_is_no_object_or_no_json_is_told_so() {
    for (json, got) in [("[1]", "an array"), ("null", "null"), ("3", "3"), ("\"a\"", "the string \"a\""), ("true", "true")] {
        let message = problems(vec![], json);
        assert!(message.contains("have to be a JSON object") && message.ends_with(got), "{message}");
    }
    for json in ["", "{", "{\"a\"", "{} {}", "{\"a\": tru}", "{\"a\": 1,}"] {
        assert!(matches!(decode::arguments(&fields(vec![]), json), Err(ArgumentError::Syntax(_))), "{json}");
    }
}

#[test]
fn no_integer_is_ever_rounded() {
    let u64s = |json: &str| decode::value(&Shape::Int(Int::U64), json).ok();
    assert_eq!(u64s("18446744073709551615"), Some(Val::U64(u64::MAX)));
    assert_eq!(u64s("18446744073709551615.0"), Some(Val::U64(u64::MAX)));
    assert_eq!(u64s("18446744073709551616"), None);
    assert_eq!(u64s("1.8446744073709551615e19"), Some(Val::U64(u64::MAX)));
    assert_eq!(u64s("9007199254740993.0"), Some(Val::U64(9_007_199_254_740_993)));
    assert_eq!(u64s("9007199254740992.5"), None);
    assert_eq!(u64s("3.00000000000000000000000001"), None);
    assert_eq!(u64s("1e-400"), None);
    assert_eq!(u64s("0e99999999999999999999"), Some(Val::U64(0)));
    assert_eq!(u64s("1e99999999999999999999"), None);
    assert_eq!(u64s("-0.0"), Some(Val::U64(0)));
    assert_eq!(u64s("-1"), None);
    assert_eq!(decode::value(&Shape::Int(Int::S64), "-9223372036854775808.00").ok(), Some(Val::S64(i64::MIN)));
}

#[test]
fn an_option_inside_an_option_can_say_all_three_things() {
    let twice = Shape::Option(Box::new(Shape::Option(Box::new(Shape::Bool))));
    let some = |value: Val| Val::Option(Some(Box::new(value)));
    assert_eq!(decode::value(&twice, "null").unwrap(), Val::Option(None));
    assert_eq!(decode::value(&twice, "{\"some\": null}").unwrap(), some(Val::Option(None)));
    assert_eq!(decode::value(&twice, "{\"some\": true}").unwrap(), some(some(Val::Bool(true))));
    assert!(decode::value(&twice, "true").is_err());
}

#[test]
fn little_json_cannot_take_much_memory() {
    let names: Vec<String> = (0..1000).map(|i| format!("field-number-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wide = record(&names, vec![Shape::Option(Box::new(Shape::Bool)); 1000]);
    let list = Fields { names: Names::new(["items"]), shapes: [Shape::List(Box::new(wide))].into() };
    let json = |count: usize| format!("{{\"items\":[{}]}}", vec!["{}"; count].join(","));
    assert!(decode::arguments(&list, &json(100)).is_ok());
    assert!(matches!(decode::arguments(&list, &json(100_000)), Err(ArgumentError::TooLarge(_))));
}

#[test]
fn deep_json_is_refused_and_not_followed() {
    let json = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(decode::arguments(&fields(vec![("a", Shape::String)]), &json).is_err());
}
