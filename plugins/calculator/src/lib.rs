//! Arithmetic, statistics and units: every function of `wit/calculator.wit` is a tool.

mod statistics;
mod units;

wit_bindgen::generate!();

struct Calculator;

impl Guest for Calculator {
    fn add(a: f64, b: f64) -> f64 {
        a + b
    }

    fn subtract(a: f64, b: f64) -> f64 {
        a - b
    }

    fn multiply(a: f64, b: f64) -> f64 {
        a * b
    }

    fn divide(a: f64, b: f64) -> Result<f64, String> {
        if b == 0.0 {
            return Err("division by zero".into());
        }
        finite(a / b)
    }

    fn power(base: f64, exponent: f64) -> Result<f64, String> {
        finite(base.powf(exponent))
    }

    fn square_root(number: f64) -> Result<f64, String> {
        if number < 0.0 {
            return Err(format!("{number} is negative: it has no real square root"));
        }
        finite(number.sqrt())
    }

    fn greatest_common_divisor(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { Self::greatest_common_divisor(b, a % b) }
    }

    fn statistics(numbers: Vec<f64>) -> Result<Summary, String> {
        statistics::summary(numbers)
    }

    fn convert(value: f64, from_unit: Unit, to_unit: Unit) -> Result<f64, String> {
        units::convert(value, from_unit, to_unit)
    }
}

/// The number, if it is one that can be written down.
fn finite(number: f64) -> Result<f64, String> {
    if number.is_nan() {
        Err("the result is not a real number".into())
    } else if number.is_infinite() {
        Err("the result is too large for a 64-bit floating-point number".into())
    } else {
        Ok(number)
    }
}

export!(Calculator);
