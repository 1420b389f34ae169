//! Typed exports against real components, and for random types and values.

mod arguments;
mod component;
mod docs;
mod roundtrip;

use std::collections::BTreeMap;

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::subsequence,
};
use wasmtime::{
    Config, Engine, Store,
    component::{Component, Linker, Val},
};

use super::{
    Described, Docs, TypedFunction, describe,
    names::Names,
    wit_type::{Cases, Fields, Int, Shape},
};
use crate::provider::{CallOutput, Content};

/// An engine with every type there is.
fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_component_model_map(true).wasm_component_model_fixed_length_lists(true);
    Engine::new(&config).unwrap()
}

fn described(engine: &Engine, wat: &str) -> (Component, Described) {
    let component = Component::new(engine, wat::parse_str(wat).unwrap()).unwrap();
    let described = describe(engine, &component, &Docs::default(), &BTreeMap::new());
    (component, described)
}

fn call(engine: &Engine, component: &Component, function: &TypedFunction, arguments: &str) -> CallOutput {
    let arguments = function.arguments(arguments).unwrap_or_else(|error| panic!("{error}\n{arguments}"));
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, component).unwrap();
    let func = instance.get_func(&mut store, function.export()).unwrap();
    let mut results = vec![Val::Bool(false); function.result_count()];
    func.call(&mut store, &arguments, &mut results).unwrap();
    function.output(&results, 1 << 20).unwrap()
}

fn text(output: &CallOutput) -> &str {
    match output.content.as_slice() {
        [Content::Text(text)] => text,
        other => panic!("not one block of text: {other:?}"),
    }
}

/// Names as WIT allows them: words, acronyms, digits.
const WORDS: &[&str] =
    &["a", "b-c", "get-URL", "x1", "HTTP-code", "type", "name", "some", "ok", "error", "result", "null", "t-2-z", "long-name-of-four"];

fn names() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(WORDS, 1..=WORDS.len()).prop_shuffle()
}

fn few_names() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(WORDS, 1..=4).prop_shuffle()
}

fn leaf() -> impl Strategy<Value = Shape> {
    let int = prop::sample::select(vec![Int::S8, Int::U8, Int::S16, Int::U16, Int::S32, Int::U32, Int::S64, Int::U64]);
    prop_oneof![
        1 => Just(Shape::Bool),
        3 => int.prop_map(Shape::Int),
        1 => Just(Shape::F32),
        1 => Just(Shape::F64),
        1 => Just(Shape::Char),
        1 => Just(Shape::String),
        1 => Just(Shape::Bytes),
        1 => names().prop_map(|names| Shape::Enum(Names::new(names))),
        1 => names().prop_map(|names| Shape::Flags(Names::new(names))),
    ]
}

/// Any type.
fn shapes() -> impl Strategy<Value = Shape> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let maybe = proptest::option::of(boxed.clone());
        let key = prop_oneof![Just(Shape::Bool), Just(Shape::Char), Just(Shape::Int(Int::U64)), Just(Shape::Int(Int::S8))];
        let some_of = |inner: BoxedStrategy<Shape>| {
            few_names().prop_flat_map(move |names| {
                let shapes = vec(inner.clone(), names.len());
                (Just(names), shapes)
            })
        };
        prop_oneof![
            1 => inner.clone().prop_map(|item| if item == Shape::Int(Int::U8) { Shape::Bytes } else { Shape::List(Box::new(item)) }),
            1 => (boxed.clone(), 1..4u32).prop_map(|(item, count)| Shape::Fixed(item, count)),
            1 => vec(inner.clone(), 1..4).prop_map(|items| Shape::Tuple(items.into())),
            1 => boxed.clone().prop_map(Shape::Object),
            1 => (key, inner.clone()).prop_map(|pair| Shape::Pairs(Box::new(pair))),
            3 => some_of(inner.clone().boxed()).prop_map(|(names, shapes)| record(&names, shapes)),
            3 => some_of(inner.clone().boxed()).prop_flat_map(|(names, shapes)| {
                let none = vec(any::<bool>(), names.len());
                none.prop_map(move |none| {
                    let payloads = shapes.iter().zip(none).map(|(shape, none)| (!none).then(|| shape.clone())).collect();
                    Shape::Variant(Cases { names: Names::new(names.iter().copied()), payloads })
                })
            }),
            3 => boxed.prop_map(Shape::Option),
            2 => (maybe.clone(), maybe).prop_map(|(ok, error)| Shape::Result(ok, error)),
        ]
    })
}

fn record(names: &[&str], shapes: Vec<Shape>) -> Shape {
    Shape::Record(Fields { names: Names::new(names.iter().copied()), shapes: shapes.into() })
}

/// Any value of a type that JSON can hold: not NaN, and no key twice.
fn values(shape: &Shape) -> BoxedStrategy<Val> {
    let some = |shape: &Shape| values(shape).prop_map(Box::new);
    match shape {
        Shape::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Shape::Int(int) => integers(*int),
        Shape::F32 => prop_oneof![any::<f32>(), Just(-0.0), Just(f32::MAX), Just(f32::MIN_POSITIVE / 8.0)]
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Val::Float32)
            .boxed(),
        Shape::F64 => prop_oneof![any::<f64>(), Just(-0.0), Just(f64::MAX), Just(f64::MIN_POSITIVE / 8.0)]
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Val::Float64)
            .boxed(),
        Shape::Char => any::<char>().prop_map(Val::Char).boxed(),
        Shape::String => prop_oneof![any::<String>(), "[\\x00-\\x7f]{0,9}"].prop_map(Val::String).boxed(),
        Shape::Bytes => vec(any::<u8>().prop_map(Val::U8), 0..40).prop_map(Val::List).boxed(),
        Shape::List(item) => vec(values(item), 0..4).prop_map(Val::List).boxed(),
        Shape::Fixed(item, count) => vec(values(item), *count as usize).prop_map(Val::FixedLengthList).boxed(),
        Shape::Tuple(shapes) => shapes.iter().map(values).collect::<Vec<_>>().prop_map(Val::Tuple).boxed(),
        Shape::Object(value) => btree_map(any::<String>(), values(value), 0..4)
            .prop_map(|map| Val::Map(map.into_iter().map(|(key, value)| (Val::String(key), value)).collect()))
            .boxed(),
        Shape::Pairs(pair) => vec((values(&pair.0), values(&pair.1)), 0..4).prop_map(Val::Map).boxed(),
        Shape::Record(fields) => {
            let names: Vec<String> = fields.names.iter().map(|name| name.wit.to_string()).collect();
            let all = fields.shapes.iter().map(values).collect::<Vec<_>>();
            all.prop_map(move |values| Val::Record(names.iter().cloned().zip(values).collect())).boxed()
        }
        Shape::Variant(cases) => {
            let all = cases.names.iter().zip(&cases.payloads).map(|(name, payload)| {
                let wit = name.wit.to_string();
                match payload {
                    None => Just(Val::Variant(wit, None)).boxed(),
                    Some(shape) => some(shape).prop_map(move |value| Val::Variant(wit.clone(), Some(value))).boxed(),
                }
            });
            proptest::strategy::Union::new(all.collect::<Vec<_>>()).boxed()
        }
        Shape::Enum(names) => {
            let names: Vec<String> = names.iter().map(|name| name.wit.to_string()).collect();
            prop::sample::select(names).prop_map(Val::Enum).boxed()
        }
        Shape::Flags(names) => {
            let names: Vec<String> = names.iter().map(|name| name.wit.to_string()).collect();
            let count = names.len();
            subsequence(names, 0..=count).prop_map(Val::Flags).boxed()
        }
        Shape::Option(inner) => prop_oneof![Just(Val::Option(None)), some(inner).prop_map(|value| Val::Option(Some(value)))].boxed(),
        Shape::Result(ok, error) => {
            let side = |shape: &Option<Box<Shape>>| match shape {
                None => Just(None).boxed(),
                Some(shape) => some(shape).prop_map(Some).boxed(),
            };
            prop_oneof![side(ok).prop_map(|value| Val::Result(Ok(value))), side(error).prop_map(|value| Val::Result(Err(value)))].boxed()
        }
    }
}

fn integers(int: Int) -> BoxedStrategy<Val> {
    let (least, greatest) = int.range();
    let make = move |value: i128| match int {
        Int::S8 => Val::S8(value.try_into().unwrap()),
        Int::U8 => Val::U8(value.try_into().unwrap()),
        Int::S16 => Val::S16(value.try_into().unwrap()),
        Int::U16 => Val::U16(value.try_into().unwrap()),
        Int::S32 => Val::S32(value.try_into().unwrap()),
        Int::U32 => Val::U32(value.try_into().unwrap()),
        Int::S64 => Val::S64(value.try_into().unwrap()),
        Int::U64 => Val::U64(value.try_into().unwrap()),
    };
    prop_oneof![Just(least), Just(greatest), Just(0), least..=greatest].prop_map(make).boxed()
}

/// A type with a value of it.
fn shapes_with_values() -> impl Strategy<Value = (Shape, Val)> {
    shapes().prop_flat_map(|shape| {
        let values = values(&shape);
        (Just(shape), values)
    })
}
