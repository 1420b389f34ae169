//! JPEG, PNG and WebP to pixels, within a limit of memory that the file cannot argue with.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::Pixels;

/// Bytes of a decoded picture: 16 megapixels of three bytes. Beside it, the file and a copy must fit into the plugin's memory (128 MiB).
const MAX_DECODED: u64 = 48 << 20;

pub fn decode(file: &[u8]) -> Result<Pixels, String> {
    let format = image::guess_format(file).ok().filter(|format| matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP));
    let format = format.ok_or("it is not a JPEG, PNG or WebP picture, whatever it calls itself")?;
    let mut decoder = ImageReader::with_format(Cursor::new(file), format).into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > MAX_DECODED {
        return Err(format!("its {width} x {height} pixels take more than {} MiB", MAX_DECODED >> 20));
    }
    if width == 0 || height == 0 {
        return Err("it has no pixels".to_owned());
    }
    // A camera that was held upright says so, and leaves the pixels as they lie.
    let orientation = decoder.orientation().ok();
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    let image = image.into_rgb8();
    Ok(Pixels { width: image.width() as usize, height: image.height() as usize, bytes: image.into_raw() })
}

fn damaged(error: ImageError) -> String {
    match error {
        ImageError::Limits(_) => format!("it takes more than {} MiB", MAX_DECODED >> 20),
        ImageError::Unsupported(error) => format!("it is of a kind that is not known here ({error})"),
        error => format!("it is damaged ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_is_told_from_a_damaged_one() {
        assert!(decode(b"<html></html>").expect_err("no picture").contains("not a JPEG"));
        assert!(decode(b"").expect_err("nothing").contains("not a JPEG"));
        assert!(decode(b"GIF89a\x01\x00\x01\x00").expect_err("a GIF").contains("not a JPEG"));
        assert!(decode(b"\x89PNG\r\n\x1a\n\x00\x00").expect_err("the beginning of one").contains("damaged"));
    }

    #[test]
    fn a_small_file_of_many_pixels_is_refused_before_they_are_made() {
        // The head of a PNG of 100,000 x 100,000 pixels.
        let mut file = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x01\x86\xa0\x00\x01\x86\xa0\x08\x02\x00\x00\x00".to_vec();
        file.extend_from_slice(&crc(&file[12..]).to_be_bytes());
        file.extend_from_slice(b"\x00\x00\x00\x00IDAT");
        file.extend_from_slice(&crc(b"IDAT").to_be_bytes());
        let why = decode(&file).expect_err("it is too large");
        assert!(why.contains("100000 x 100000"), "{why}");
    }

    fn crc(bytes: &[u8]) -> u32 {
        let step =
            |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()));
        !bytes.iter().fold(!0, step)
    }
}
