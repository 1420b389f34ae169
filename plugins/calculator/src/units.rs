//! Units of measurement, and the way from one to another.

use crate::{Unit, finite};

/// What a unit measures.
#[derive(PartialEq, Clone, Copy)]
enum Quantity {
    Length,
    Mass,
    Temperature,
}

impl Quantity {
    fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Mass => "mass",
            Self::Temperature => "temperature",
        }
    }
}

/// A unit as a line: a value in it, plus `offset`, times `factor`, is the value in metres, grams or kelvin.
struct Scale {
    quantity: Quantity,
    factor: f64,
    offset: f64,
}

/// Converts a value where both units measure the same quantity.
pub fn convert(value: f64, from: Unit, to: Unit) -> Result<f64, String> {
    let (from, to) = (scale(from), scale(to));
    if from.quantity != to.quantity {
        return Err(format!("a {} cannot be converted to a {}", from.quantity.name(), to.quantity.name()));
    }
    let exact = (value + from.offset) * from.factor / to.factor - to.offset;
    finite(twelve_digits(exact))
}

/// 100 °C are 212 °F, and not 211.99999999999994: twelve digits are more than any measurement has.
fn twelve_digits(exact: f64) -> f64 {
    let shift = 10f64.powf(11.0 - exact.abs().log10().floor());
    let rounded = (exact * shift).round() / shift;
    // Zero, and what is next to zero or to infinity, has no such shift.
    if rounded.is_finite() { rounded } else { exact }
}

fn scale(unit: Unit) -> Scale {
    let (quantity, factor, offset) = match unit {
        Unit::Millimetre => (Quantity::Length, 0.001, 0.0),
        Unit::Centimetre => (Quantity::Length, 0.01, 0.0),
        Unit::Metre => (Quantity::Length, 1.0, 0.0),
        Unit::Kilometre => (Quantity::Length, 1000.0, 0.0),
        Unit::Inch => (Quantity::Length, 0.0254, 0.0),
        Unit::Foot => (Quantity::Length, 0.3048, 0.0),
        Unit::Yard => (Quantity::Length, 0.9144, 0.0),
        Unit::Mile => (Quantity::Length, 1609.344, 0.0),
        Unit::Gram => (Quantity::Mass, 1.0, 0.0),
        Unit::Kilogram => (Quantity::Mass, 1000.0, 0.0),
        Unit::Ounce => (Quantity::Mass, 28.349_523_125, 0.0),
        Unit::Pound => (Quantity::Mass, 453.592_37, 0.0),
        Unit::Celsius => (Quantity::Temperature, 1.0, 273.15),
        Unit::Fahrenheit => (Quantity::Temperature, 5.0 / 9.0, 459.67),
        Unit::Kelvin => (Quantity::Temperature, 1.0, 0.0),
    };
    Scale { quantity, factor, offset }
}
