//! `preprocessor_config.json`: what is done to a picture before a model sees it.

use std::path::Path;

use serde::Deserialize;

use super::{
    Pixels,
    resample::{self, Filter},
};

/// What is done, in this order. What is not said is as in ViT's own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Recipe {
    do_resize: bool,
    size: Size,
    resample: Filter,
    do_center_crop: bool,
    crop_size: Option<Size>,
    do_rescale: bool,
    rescale_factor: f32,
    do_normalize: bool,
    image_mean: [f32; 3],
    image_std: [f32; 3],
}

/// A size, in one of the ways in which it is written.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Size {
    Both { height: usize, width: usize },
    Shortest { shortest_edge: usize },
    Square(usize),
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            do_resize: true,
            size: Size::Square(224),
            resample: Filter::Bilinear,
            do_center_crop: false,
            crop_size: None,
            do_rescale: true,
            rescale_factor: 1.0 / 255.0,
            do_normalize: true,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
        }
    }
}

/// No model sees more; a recipe that says so is damaged.
const SIDES: std::ops::RangeInclusive<usize> = 1..=4096;

impl Recipe {
    /// Reads it from a model's folder.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let file = std::fs::read(folder.join("preprocessor_config.json"))
            .map_err(|error| format!("its preprocessor_config.json cannot be read: {error}"))?;
        Self::parse(&file)
    }

    fn parse(file: &[u8]) -> Result<Self, String> {
        let recipe: Self = serde_json::from_slice(file).map_err(|error| format!("its preprocessor_config.json cannot be read: {error}"))?;
        let sizes = [Some(recipe.size), recipe.crop_size].into_iter().flatten();
        let sides = sizes.flat_map(|size| match size {
            Size::Both { height, width } => [height, width],
            Size::Shortest { shortest_edge: side } | Size::Square(side) => [side; 2],
        });
        if sides.into_iter().any(|side| !SIDES.contains(&side)) || recipe.image_std.contains(&0.0) {
            return Err("its preprocessor_config.json has a size that is not from 1 to 4096, or an image_std of 0".to_owned());
        }
        Ok(recipe)
    }

    /// Resizes and cuts.
    pub fn fit(&self, mut pixels: Pixels) -> Pixels {
        if self.do_resize {
            let (width, height) = self.size.of(&pixels);
            pixels = resample::resize(pixels, width, height, self.resample);
        }
        match self.crop_size.filter(|_| self.do_center_crop) {
            Some(Size::Both { height, width }) => centre(&pixels, width, height),
            Some(Size::Square(side) | Size::Shortest { shortest_edge: side }) => centre(&pixels, side, side),
            None => pixels,
        }
    }

    /// Bytes to numbers, one channel after the other.
    pub fn normalise(&self, pixels: &Pixels) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(pixels.bytes.len());
        for channel in 0..3 {
            let (mean, deviation) = if self.do_normalize { (self.image_mean[channel], self.image_std[channel]) } else { (0.0, 1.0) };
            let factor = if self.do_rescale { self.rescale_factor } else { 1.0 };
            numbers.extend(pixels.bytes.iter().skip(channel).step_by(3).map(|byte| (f32::from(*byte) * factor - mean) / deviation));
        }
        numbers
    }
}

impl Size {
    /// Width and height for a picture.
    fn of(self, pixels: &Pixels) -> (usize, usize) {
        match self {
            Self::Both { height, width } => (width, height),
            Self::Square(side) => (side, side),
            Self::Shortest { shortest_edge: side } => {
                let short = pixels.width.min(pixels.height);
                // A picture that is a line is not made endless.
                let other = |long: usize| (side * long / short).min(side * 64);
                if pixels.width < pixels.height { (side, other(pixels.height)) } else { (other(pixels.width), side) }
            }
        }
    }
}

/// The middle of a picture; black where there is none.
fn centre(pixels: &Pixels, width: usize, height: usize) -> Pixels {
    let mut bytes = vec![0; width * height * 3];
    let start = |from: usize, to: usize| (from.saturating_sub(to) / 2, to.saturating_sub(from).div_ceil(2));
    let ((left, into_x), (top, into_y)) = (start(pixels.width, width), start(pixels.height, height));
    let run = width.min(pixels.width) * 3;
    for row in 0..height.min(pixels.height) {
        let from = ((top + row) * pixels.width + left) * 3;
        let to = ((into_y + row) * width + into_x) * 3;
        bytes[to..to + run].copy_from_slice(&pixels.bytes[from..from + run]);
    }
    Pixels { width, height, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_a_size_are_read() {
        let size = |text: &str| Recipe::parse(format!("{{\"size\": {text}}}").as_bytes()).map(|recipe| recipe.size.of(&grey(30, 20)));
        assert_eq!(size("224"), Ok((224, 224)));
        assert_eq!(size(r#"{"height": 12, "width": 34}"#), Ok((34, 12)));
        assert_eq!(size(r#"{"shortest_edge": 10}"#), Ok((15, 10)));
        assert!(size("0").is_err());
        assert!(size("\"large\"").is_err());
        assert_eq!(Recipe::parse(b"{\"image_processor_type\": \"ViTFeatureExtractor\", \"do_convert_rgb\": null}"), Ok(Recipe::default()));
    }

    #[test]
    fn numbers_come_channel_by_channel() {
        let pixels = Pixels { width: 2, height: 1, bytes: vec![0, 255, 51, 255, 0, 204] };
        let near =
            |found: Vec<f32>, expected: [f32; 6]| assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        near(Recipe::default().normalise(&pixels), [-1.0, 1.0, 1.0, -1.0, -0.6, 0.6]);
        near(Recipe { do_normalize: false, ..Recipe::default() }.normalise(&pixels), [0.0, 1.0, 1.0, 0.0, 0.2, 0.8]);
    }

    #[test]
    fn the_middle_is_cut_out_and_what_is_missing_is_black() {
        let pixels = Pixels { width: 3, height: 1, bytes: vec![1, 1, 1, 2, 2, 2, 3, 3, 3] };
        assert_eq!(centre(&pixels, 1, 1).bytes, [2, 2, 2]);
        assert_eq!(centre(&pixels, 1, 3).bytes, [0, 0, 0, 2, 2, 2, 0, 0, 0]);
        let recipe = Recipe {
            size: Size::Shortest { shortest_edge: 4 },
            do_center_crop: true,
            crop_size: Some(Size::Square(2)),
            ..Recipe::default()
        };
        let found = recipe.fit(grey(9, 6));
        assert_eq!((found.width, found.height), (2, 2));
        assert!(found.bytes.iter().all(|byte| *byte == 7));
    }

    fn grey(width: usize, height: usize) -> Pixels {
        Pixels { width, height, bytes: vec![7; width * height * 3] }
    }
}
