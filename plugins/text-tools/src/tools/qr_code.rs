//! A text as a QR code.

use qrcodegen::{QrCode, QrCodeEcc};
use serde::Deserialize;

use crate::{
    answer,
    exports::toolbay::plugin::tools::CallResult,
    format::png,
    tool::{Entry, arguments},
};

pub const ENTRY: Entry = Entry {
    name: "qr_code",
    title: "QR code",
    description: "Draws a QR code of a text or a URL, as a PNG image.",
    input: r#"{
        "type": "object",
        "properties": {
            "text": { "type": "string", "minLength": 1, "maxLength": 2953, "description": "What a phone reads when it looks at the code." },
            "scale": { "type": "integer", "minimum": 1, "maximum": 16, "default": 8, "description": "Pixels a side of each little square." }
        },
        "required": ["text"],
        "additionalProperties": false
    }"#,
    output: None,
    run,
};

/// Light squares around the code, as its standard asks for.
const BORDER: i32 = 4;

#[derive(Deserialize)]
struct Arguments {
    text: String,
    #[serde(default = "default_scale")]
    scale: i32,
}

fn default_scale() -> i32 {
    8
}

fn run(json: &str) -> Result<CallResult, String> {
    let Arguments { text, scale } = arguments(json)?;
    let code = QrCode::encode_text(&text, QrCodeEcc::Low)
        .map_err(|_| format!("{} bytes are too much for a QR code: at most 2953 fit", text.len()))?;
    let scale = scale.clamp(1, 16);
    let side = (code.size() + 2 * BORDER) * scale;
    let square = |pixel: u32| pixel as i32 / scale - BORDER;
    let png = png::black_and_white(side as u32, |x, y| code.get_module(square(x), square(y)));
    Ok(answer::blocks(vec![answer::image(png, "image/png"), answer::text(format!("A QR code of {side} × {side} pixels."))]))
}
