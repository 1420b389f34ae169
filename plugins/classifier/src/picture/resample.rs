//! Makes a picture smaller or larger as Pillow does, so that a model sees what it has learnt from: each filter is widened by the factor by which the picture
//! becomes smaller, and rows are done before columns, with whole numbers between.

use serde::Deserialize;

use super::Pixels;

/// How the pixels between are found. The numbers are Pillow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub enum Filter {
    Nearest,
    Lanczos,
    Bilinear,
    Bicubic,
    Box,
    Hamming,
}

impl TryFrom<u8> for Filter {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        const ALL: [Filter; 6] = [Filter::Nearest, Filter::Lanczos, Filter::Bilinear, Filter::Bicubic, Filter::Box, Filter::Hamming];
        ALL.get(usize::from(number)).copied().ok_or_else(|| format!("resample is 0 to 5, not {number}"))
    }
}

impl Filter {
    /// How far it reaches to each side.
    fn reach(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
        let far = x.abs();
        match self {
            Self::Nearest => 1.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - far).max(0.0),
            Self::Hamming if far >= 1.0 => 0.0,
            Self::Hamming => sinc(x) * (0.54 + 0.46 * (x * std::f64::consts::PI).cos()),
            Self::Bicubic if far < 1.0 => (1.5 * far - 2.5) * far * far + 1.0,
            Self::Bicubic if far < 2.0 => ((-0.5 * far + 2.5) * far - 4.0) * far + 2.0,
            Self::Lanczos if far < 3.0 => sinc(x) * sinc(x / 3.0),
            Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

/// From where one new pixel comes: the first old one, and how much of each from there on.
struct Source {
    first: usize,
    weights: Vec<f32>,
}

fn sources(from: usize, to: usize, filter: Filter) -> Vec<Source> {
    let scale = from as f64 / to as f64;
    if filter == Filter::Nearest {
        return (0..to).map(|new| Source { first: (((new as f64 + 0.5) * scale) as usize).min(from - 1), weights: vec![1.0] }).collect();
    }
    let wide = scale.max(1.0);
    let reach = filter.reach() * wide;
    (0..to)
        .map(|new| {
            let centre = (new as f64 + 0.5) * scale;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(from);
            let weights: Vec<f64> = (first..end).map(|old| filter.at((old as f64 - centre + 0.5) / wide)).collect();
            let sum: f64 = weights.iter().sum();
            Source { first, weights: weights.iter().map(|weight| (weight / sum) as f32).collect() }
        })
        .collect()
}

/// The picture in another size.
pub fn resize(picture: Pixels, width: usize, height: usize, filter: Filter) -> Pixels {
    let narrow = if width == picture.width { picture } else { across(&picture, width, filter) };
    if height == narrow.height { narrow } else { down(&narrow, height, filter) }
}

fn across(picture: &Pixels, width: usize, filter: Filter) -> Pixels {
    let sources = sources(picture.width, width, filter);
    let mut bytes = Vec::with_capacity(width * picture.height * 3);
    for row in picture.bytes.chunks_exact(picture.width * 3) {
        for source in &sources {
            let mut sums = [0.0_f32; 3];
            for (pixel, weight) in row[source.first * 3..].chunks_exact(3).zip(&source.weights) {
                sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += f32::from(*value) * weight);
            }
            bytes.extend(sums.map(rounded));
        }
    }
    Pixels { width, height: picture.height, bytes }
}

fn down(picture: &Pixels, height: usize, filter: Filter) -> Pixels {
    let row = picture.width * 3;
    let mut bytes = Vec::with_capacity(row * height);
    let mut sums = vec![0.0_f32; row];
    for source in sources(picture.height, height, filter) {
        sums.fill(0.0);
        for (old, weight) in picture.bytes[source.first * row..].chunks_exact(row).zip(&source.weights) {
            sums.iter_mut().zip(old).for_each(|(sum, value)| *sum += f32::from(*value) * weight);
        }
        bytes.extend(sums.iter().copied().map(rounded));
    }
    Pixels { width: picture.width, height, bytes }
}

fn rounded(value: f32) -> u8 {
    // A cast saturates.
    (value + 0.5).floor() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 7 x 5 whose values are far from each other.
    fn picture() -> Pixels {
        Pixels { width: 7, height: 5, bytes: (0..7 * 5 * 3).map(|index| ((index * 89) % 256) as u8).collect() }
    }

    /// What `Image.resize` of Pillow 13 makes of it.
    #[test]
    fn the_result_is_pillows() {
        let made: serde_json::Value = serde_json::from_str(include_str!("../../tests/resized.json")).expect("JSON");
        let rows = made.as_array().expect("rows");
        assert_eq!(rows.len(), 24);
        for row in rows {
            let size = |name: &str| row[name].as_u64().expect("a size") as usize;
            let filter = Filter::try_from(size("resample") as u8).expect("a filter");
            let found = resize(picture(), size("width"), size("height"), filter);
            let expected: Vec<u8> =
                row["bytes"].as_array().expect("bytes").iter().map(|byte| byte.as_u64().expect("a byte") as u8).collect();
            assert_eq!(found.bytes.len(), expected.len());
            // Pillow counts in whole numbers of 22 bits: where a half is to be rounded, it may go the other way.
            let apart = found.bytes.iter().zip(&expected).map(|(found, expected)| found.abs_diff(*expected)).max();
            assert!(apart <= Some(1), "{filter:?} {} x {}: {:?}, not {expected:?}", found.width, found.height, found.bytes);
        }
    }
}
