//! Functions over every type of WIT: most give back what they were given.

wit_bindgen::generate!();

macro_rules! echoes {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(fn $name(value: $type) -> $type {
            value
        })*
    };
}

struct Kinds;

impl Guest for Kinds {
    echoes! {
        echo_bool: bool,
        echo_s8: i8,
        echo_u8: u8,
        echo_s16: i16,
        echo_u16: u16,
        echo_s32: i32,
        echo_u32: u32,
        echo_s64: i64,
        echo_u64: u64,
        echo_f32: f32,
        echo_f64: f64,
        echo_char: char,
        echo_string: String,
        echo_bytes: Vec<u8>,
        echo_strings: Vec<String>,
        echo_matrix: Vec<Vec<f64>>,
        echo_option: Option<u32>,
        echo_option_option: Option<Option<u32>>,
        echo_options: Vec<Option<String>>,
        echo_tuple: (u32, String, bool),
        echo_enum: Colour,
        echo_flags: Permissions,
        echo_record: Point,
        echo_records: Vec<Point>,
        echo_variant: Shape,
        echo_results: Holder,
        echo_nested: Drawing,
    }

    fn divide(a: i32, b: i32) -> Result<i32, String> {
        a.checked_div(b).ok_or_else(|| format!("{a} cannot be divided by {b}"))
    }

    fn fail_with(kind: Problem) -> Result<(), Problem> {
        Err(kind)
    }

    fn fail_silently(fail: bool) -> Result<Point, ()> {
        if fail { Err(()) } else { Ok(Point { x: 1, y: 2, short_name: None }) }
    }

    fn succeed_silently() -> Result<(), ()> {
        Ok(())
    }

    fn nothing() {}

    fn no_arguments() -> String {
        "no arguments".into()
    }

    fn no_answer(_value: String) {}

    fn optional_arguments(required_text: String, times: Option<u8>, upper_case: Option<bool>) -> String {
        let text = if upper_case == Some(true) { required_text.to_uppercase() } else { required_text };
        text.repeat(times.unwrap_or(1).into())
    }

    fn many_arguments(
        a1: u8,
        a2: u16,
        a3: u32,
        a4: u64,
        a5: i8,
        a6: i16,
        a7: i32,
        a8: i64,
        a9: f32,
        a10: f64,
        a11: bool,
        a12: char,
        a13: String,
        a14: String,
        a15: String,
        a16: String,
        a17: String,
        a18: String,
        a19: String,
        a20: String,
    ) -> String {
        let texts = [a13, a14, a15, a16, a17, a18, a19, a20].join(" ");
        format!("{a1} {a2} {a3} {a4} {a5} {a6} {a7} {a8} {a9} {a10} {a11} {a12} {texts}")
    }

    fn trap() {
        core::arch::wasm32::unreachable()
    }
}

export!(Kinds);
