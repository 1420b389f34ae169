//! A file to what the model sees: decoded, resized, cut and normalised as the model's `preprocessor_config.json` says.

mod decode;
mod recipe;
mod resample;

pub use recipe::Recipe;

/// A picture: red, green, blue, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    pub width: usize,
    pub height: usize,
    /// Three bytes a pixel.
    pub bytes: Vec<u8>,
}

/// What the model takes: channels, rows, columns.
pub struct Input {
    pub width: usize,
    pub height: usize,
    pub numbers: Vec<f32>,
}

/// Decodes a JPEG, PNG or WebP file and prepares it.
///
/// An error reads as the end of "The picture cannot be used: …".
pub fn prepare(file: &[u8], recipe: &Recipe) -> Result<Input, String> {
    let pixels = recipe.fit(decode::decode(file)?);
    Ok(Input { width: pixels.width, height: pixels.height, numbers: recipe.normalise(&pixels) })
}
