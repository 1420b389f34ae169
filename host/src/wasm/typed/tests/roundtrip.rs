//! For random types and values: nothing is lost on the way to JSON and back, and the published schemas say what is true.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    schema::portable::lint,
    wasm::typed::{decode, encode, schema},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_value_comes_back_as_it_was_and_fits_its_schema((shape, value) in shapes_with_values()) {
        let json = encode::value(&shape, &value, usize::MAX, "").unwrap();
        prop_assert_eq!(decode::value(&shape, &json).unwrap(), value.clone(), "{}", json);

        let schema = schema::of(&shape);
        prop_assert!(jsonschema::draft202012::meta::is_valid(&schema), "{}", schema);
        let published = schema::published(schema::only("result", schema.clone()));
        prop_assert_eq!(lint::faults(&published), Vec::<String>::new(), "{}", Value::Object(published));
        let parsed: Value = serde_json::from_str(&json).unwrap();
        prop_assert!(jsonschema::draft202012::is_valid(&schema, &parsed), "{}\n{}", schema, json);

        // The JSON that another writer would make of it is the same value, and comes back in our form.
        let mut other = String::new();
        loosely(&shape, &value, &mut other);
        prop_assert_eq!(decode::value(&shape, &other).unwrap(), value, "{}", other);
    }

    #[test]
    fn what_the_schema_takes_is_taken_and_the_other_way_round(
        (shape, value) in shapes_with_values(), at in any::<prop::sample::Index>(), junk in 0usize..12
    ) {
        let json = encode::value(&shape, &value, usize::MAX, "").unwrap();
        let mut changed: Value = serde_json::from_str(&json).unwrap();
        let junk = [json!(null), json!(true), json!(0), json!(-1), json!(1.5), json!(300), json!("x"), json!(""), json!([]), json!({}),
            json!({"ok": 1}), json!(["a", "a"])][junk].clone();
        let count = nodes(&mut changed, usize::MAX, &junk);
        nodes(&mut changed, at.index(count), &junk);
        let decoded = decode::value(&shape, &changed.to_string());
        let valid = jsonschema::draft202012::is_valid(&schema::of(&shape), &changed);
        // What every client reads says less than the types do: see `says_less`. The host checks all of it.
        if valid && !says_less(&shape) {
            prop_assert!(decoded.is_ok(), "{}\n{:?}", changed, decoded);
        }
        // `null` for an optional field is taken and not advertised.
        if decoded.is_ok() && !junk.is_null() {
            prop_assert!(valid, "{}\n{}", changed, schema::of(&shape));
        }
    }

    #[test]
    fn an_answer_over_its_limit_stops_there((shape, value) in shapes_with_values()) {
        let json = encode::value(&shape, &value, usize::MAX, "").unwrap();
        prop_assert_eq!(encode::value(&shape, &value, json.len(), "").unwrap(), json.clone());
        for limit in [json.len() - 1, json.len() / 2, 0] {
            prop_assert_eq!(encode::value(&shape, &value, limit, ""), Err(encode::OutputError::TooLarge { limit }));
        }
    }

    #[test]
    fn no_text_breaks_the_reader(shape in shapes(), text in "[\\[\\]{}\",:0-9eE.a-c\\\\ -]{0,40}") {
        let _ = decode::value(&shape, &text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The whole way: JSON, values, the memory of a real instance that hands back what it was given, values, JSON.
    #[test]
    fn a_guest_that_echoes_gives_back_what_it_was_sent((shape, value) in shapes_with_values()) {
        let engine = engine();
        let wat = echo(&shape);
        let (component, described) = described(&engine, &wat);
        prop_assert_eq!(&described.warnings, &Vec::<String>::new());
        let [function] = described.functions.as_slice() else { panic!("{:?}", described) };

        let fields = record(&["x"], vec![shape]);
        let value = Val::Record(vec![("x".into(), value)]);
        let json = encode::value(&fields, &value, usize::MAX, "").unwrap();
        let padding: String = (0..17).fold(String::new(), |mut text, i| { let _ = write!(text, ",\"p{i}\":{i}"); text });
        let sent = format!("{},{}}}", json.strip_suffix('}').unwrap(), padding.strip_prefix(',').unwrap()).replace("{,", "{");

        let output = call(&engine, &component, function, &format!("{{\"r\":{sent}}}"));
        let structured = output.structured.as_ref().unwrap().as_str();
        prop_assert_eq!(structured, &sent);
        prop_assert_eq!(text(&output), &sent);
        let schema = Value::Object((**function.tool().output_schema.as_ref().unwrap()).clone());
        let parsed: Value = serde_json::from_str(structured).unwrap();
        prop_assert!(jsonschema::draft202012::is_valid(&schema, &parsed), "{}\n{}", schema, parsed);
    }
}

/// A component that gives back the record that it gets. With so many fields both cross by a pointer, and to echo is to return it.
fn echo(shape: &Shape) -> String {
    let mut types = Types::default();
    let x = types.of(shape);
    let padding: String = (0..17).fold(String::new(), |mut text, i| {
        let _ = write!(text, " (field \"p{i}\" u64)");
        text
    });
    let record = types.export(&format!("(record (field \"x\" {x}){padding})"));
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") 4)
                (global $top (mut i32) (i32.const 16))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (global.set $top (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
                    (global.get $top)
                    (global.set $top (i32.add (global.get $top) (local.get 3))))
                (func (export "echo") (param i32) (result i32) (local.get 0)))
            (core instance $i (instantiate $m))
            {}
            (func (export "echo") (param "r" {record}) (result {record})
                (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#,
        types.wat
    )
}

/// The text format of types. Those with names in them have to be exported under a name before they are used.
#[derive(Default)]
struct Types {
    wat: String,
    count: usize,
}

impl Types {
    fn export(&mut self, ty: &str) -> String {
        let at = self.count;
        self.count += 1;
        let _ = writeln!(self.wat, "(type $t{at} {ty}) (export $e{at} \"e{at}\" (type $t{at}))");
        format!("$e{at}")
    }

    fn of(&mut self, shape: &Shape) -> String {
        let strings = |names: &Names| names.iter().map(|name| format!(" \"{}\"", name.wit)).collect::<String>();
        match shape {
            Shape::Bool => "bool".into(),
            Shape::Int(int) => format!("{int:?}").to_lowercase(),
            Shape::F32 => "f32".into(),
            Shape::F64 => "f64".into(),
            Shape::Char => "char".into(),
            Shape::String => "string".into(),
            Shape::Bytes => "(list u8)".into(),
            Shape::List(item) => format!("(list {})", self.of(item)),
            Shape::Fixed(item, count) => format!("(list {} {count})", self.of(item)),
            Shape::Tuple(items) => format!("(tuple {})", items.iter().map(|item| self.of(item)).collect::<Vec<_>>().join(" ")),
            Shape::Object(value) => format!("(map string {})", self.of(value)),
            Shape::Pairs(pair) => format!("(map {} {})", self.of(&pair.0), self.of(&pair.1)),
            Shape::Record(fields) => {
                let list = fields.names.iter().zip(&fields.shapes);
                let list: String = list.map(|(name, shape)| format!(" (field \"{}\" {})", name.wit, self.of(shape))).collect();
                self.export(&format!("(record{list})"))
            }
            Shape::Variant(cases) => {
                let list = cases.names.iter().zip(&cases.payloads);
                let list: String = list
                    .map(|(name, payload)| match payload {
                        None => format!(" (case \"{}\")", name.wit),
                        Some(shape) => format!(" (case \"{}\" {})", name.wit, self.of(shape)),
                    })
                    .collect();
                self.export(&format!("(variant{list})"))
            }
            Shape::Enum(names) => self.export(&format!("(enum{})", strings(names))),
            Shape::Flags(names) => self.export(&format!("(flags{})", strings(names))),
            Shape::Option(inner) => format!("(option {})", self.of(inner)),
            Shape::Result(ok, error) => {
                let ok = ok.as_deref().map(|shape| format!(" {}", self.of(shape))).unwrap_or_default();
                let error = error.as_deref().map(|shape| format!(" (error {})", self.of(shape))).unwrap_or_default();
                format!("(result{ok}{error})")
            }
        }
    }
}

/// Whether the published schema takes more than the type: what is inside of base64, the order in a tuple, other members of a record or a case, a flag that
/// comes twice, 64 bits.
fn says_less(shape: &Shape) -> bool {
    match shape {
        Shape::Bytes | Shape::Tuple(_) | Shape::Pairs(_) | Shape::Record(_) | Shape::Variant(_) | Shape::Result(..) | Shape::Flags(_) => {
            true
        }
        Shape::Int(int) => matches!(int, Int::S64 | Int::U64),
        Shape::List(inner) | Shape::Fixed(inner, _) | Shape::Object(inner) => says_less(inner),
        // An option in an option is an object with one member.
        Shape::Option(inner) => matches!(**inner, Shape::Option(_)) || says_less(inner),
        _ => false,
    }
}

/// Counts the values inside of a value, itself included, and puts junk in place of the one at `at`.
fn nodes(value: &mut Value, at: usize, junk: &Value) -> usize {
    if at == 0 {
        *value = junk.clone();
        return 1;
    }
    let mut count = 1;
    let inner: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(entries) => entries.values_mut().collect(),
        _ => Vec::new(),
    };
    for value in inner {
        count += nodes(value, if at >= count { at - count } else { usize::MAX }, junk);
    }
    count
}

/// Writes a value in all the ways that we do not: integers as decimals, `null` for what is not there, everything escaped, the last field first.
fn loosely(shape: &Shape, value: &Val, out: &mut String) {
    match (shape, value) {
        // JSON has no zeros in front.
        (Shape::Int(_), Val::S16(0) | Val::U32(0) | Val::U64(0)) => out.push_str("-0.0e7"),
        (Shape::Int(_), Val::S8(i)) => write!(out, "{i}.0").unwrap(),
        (Shape::Int(_), Val::U8(i)) => write!(out, "{i}e0").unwrap(),
        (Shape::Int(_), Val::S16(i)) => write!(out, "{i}0E-1").unwrap(),
        (Shape::Int(_), Val::U16(i)) => write!(out, "{i}.000").unwrap(),
        (Shape::Int(_), Val::S32(i)) => write!(out, "{i}.0e+0").unwrap(),
        (Shape::Int(_), Val::U32(i)) => write!(out, "{i}00e-2").unwrap(),
        (Shape::Int(_), Val::S64(i)) => write!(out, "{i}.00000000000000000000").unwrap(),
        (Shape::Int(_), Val::U64(i)) => write!(out, "{i}0000000000000000000000e-22").unwrap(),
        (Shape::String, Val::String(text)) => escaped(text, out),
        (Shape::Char, Val::Char(c)) => escaped(&c.to_string(), out),
        (Shape::Bytes, Val::List(items)) => {
            let bytes: Vec<u8> = items.iter().map(|item| if let Val::U8(byte) = item { *byte } else { panic!() }).collect();
            write!(out, "\"{}\"", STANDARD_NO_PAD.encode(bytes)).unwrap();
        }
        (Shape::List(item) | Shape::Fixed(item, _), Val::List(items) | Val::FixedLengthList(items)) => {
            series(out, "[]", items.iter(), |value, out| loosely(item, value, out));
        }
        (Shape::Tuple(shapes), Val::Tuple(items)) => {
            series(out, "[]", shapes.iter().zip(items), |(shape, value), out| loosely(shape, value, out));
        }
        (Shape::Object(shape), Val::Map(entries)) => series(out, "{}", entries.iter(), |(key, value), out| {
            loosely(&Shape::String, key, out);
            out.push_str(" : ");
            loosely(shape, value, out);
        }),
        (Shape::Record(fields), Val::Record(values)) => {
            let all = fields.names.iter().zip(&fields.shapes).zip(values).rev();
            series(out, "{}", all, |((name, shape), (_, value)), out| {
                escaped(&name.json, out);
                out.push(':');
                loosely(shape, value, out);
            });
        }
        (Shape::Flags(_), Val::Flags(names)) => {
            series(out, "[]", names.iter().rev(), |name, out| escaped(&name.replace('-', "_"), out));
        }
        (Shape::Enum(_), Val::Enum(name)) | (Shape::Variant(_), Val::Variant(name, None)) => escaped(&name.replace('-', "_"), out),
        _ => out.push_str(&encode::value(shape, value, usize::MAX, "").unwrap()),
    }
}

fn escaped(text: &str, out: &mut String) {
    out.push('"');
    text.encode_utf16().for_each(|unit| write!(out, "\\u{unit:04X}").unwrap());
    out.push('"');
}

fn series<T>(out: &mut String, ends: &str, items: impl Iterator<Item = T>, mut each: impl FnMut(T, &mut String)) {
    out.push_str(&ends[..1]);
    for (index, item) in items.enumerate() {
        out.push_str(if index > 0 { " ,\n" } else { "\t" });
        each(item, out);
    }
    out.push_str(&ends[1..]);
}

/// What a call costs beside the guest: `cargo test --release typed::tests::roundtrip::cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost() {
    let engine = engine();
    let wat = r#"(component
        (core module $m (func (export "f") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1))))
        (core instance $i (instantiate $m))
        (func (export "add") (param "a" f64) (param "b" f64) (result f64) (canon lift (core func $i "f"))))"#;
    let (_, described) = described(&engine, wat);
    let function = &described.functions[0];
    let count = 1_000_000;
    let start = std::time::Instant::now();
    for _ in 0..count {
        let values = function.arguments(std::hint::black_box(r#"{"a": 1234.5, "b": -7}"#)).unwrap();
        std::hint::black_box(function.output(&values[..1], 1 << 20).unwrap());
    }
    println!("{} ns for two numbers in and one out", start.elapsed().as_nanos() / count);
}
