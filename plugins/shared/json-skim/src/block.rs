//! Sixteen bytes at a time: where the next byte of a class is.

/// Bytes that are looked at together.
const SIZE: usize = 16;

/// Classes of bytes.
pub const PRINTED: u8 = 0;
pub const QUOTES: u8 = 1;
pub const BRACKETS: u8 = 2;
pub const ENDS: u8 = 3;

/// Where the next byte of the class is, from here on. Where there is none: at the end.
#[cfg_attr(target_family = "wasm", target_feature(enable = "simd128"))]
pub fn find<const CLASS: u8>(text: &[u8], from: usize) -> usize {
    let mut at = from.min(text.len());
    let (blocks, last) = text[at..].as_chunks::<SIZE>();
    for block in blocks {
        let found = mask::<CLASS>(block);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += SIZE;
    }
    last.iter().position(|byte| is::<CLASS>(*byte)).map_or(text.len(), |place| at + place)
}

/// Whether a byte is of the class.
fn is<const CLASS: u8>(byte: u8) -> bool {
    match CLASS {
        PRINTED => byte > b' ',
        QUOTES => matches!(byte, b'"' | b'\\'),
        BRACKETS => matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'),
        _ => matches!(byte, b',' | b'}' | b']' | b':' | b'"' | b'{' | b'[') || byte <= b' ',
    }
}

/// A bit for each byte of the class, the first one lowest.
#[cfg(not(target_family = "wasm"))]
fn mask<const CLASS: u8>(block: &[u8; SIZE]) -> u32 {
    block.iter().enumerate().fold(0, |mask, (at, byte)| mask | u32::from(is::<CLASS>(*byte)) << at)
}

/// A bit for each byte of the class, the first one lowest.
#[cfg(target_family = "wasm")]
#[target_feature(enable = "simd128")]
fn mask<const CLASS: u8>(block: &[u8; SIZE]) -> u32 {
    use core::arch::wasm32::{i8x16_bitmask, u8x16_eq, u8x16_gt, u8x16_le, u8x16_splat, v128, v128_load, v128_or};
    // SAFETY: a block has as many bytes as are loaded, and they may lie anywhere.
    let bytes: v128 = unsafe { v128_load(block.as_ptr().cast()) };
    let equal = |byte: u8| u8x16_eq(bytes, u8x16_splat(byte));
    // With this bit, square brackets are braces.
    let braced = v128_or(bytes, u8x16_splat(0x20));
    let braces = || v128_or(u8x16_eq(braced, u8x16_splat(b'{')), u8x16_eq(braced, u8x16_splat(b'}')));
    let found = match CLASS {
        PRINTED => u8x16_gt(bytes, u8x16_splat(b' ')),
        QUOTES => v128_or(equal(b'"'), equal(b'\\')),
        BRACKETS => v128_or(equal(b'"'), braces()),
        _ => {
            let blank = u8x16_le(bytes, u8x16_splat(b' '));
            v128_or(v128_or(v128_or(equal(b','), equal(b':')), v128_or(equal(b'"'), blank)), braces())
        }
    };
    u32::from(i8x16_bitmask(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_found_wherever_it_stands() {
        let of = |class: u8, byte: u8| match class {
            PRINTED => (find::<PRINTED>(&[byte], 0) == 0, is::<PRINTED>(byte)),
            QUOTES => (find::<QUOTES>(&[byte], 0) == 0, is::<QUOTES>(byte)),
            BRACKETS => (find::<BRACKETS>(&[byte], 0) == 0, is::<BRACKETS>(byte)),
            _ => (find::<ENDS>(&[byte], 0) == 0, is::<ENDS>(byte)),
        };
        for byte in 0..=u8::MAX {
            for class in [PRINTED, QUOTES, BRACKETS, ENDS] {
                let (found, known) = of(class, byte);
                assert_eq!(found, known, "{class} {byte}");
            }
        }
        for place in 0..50 {
            let mut text = [b'a'; 50];
            text[place] = b'"';
            for from in 0..=place {
                assert_eq!(find::<QUOTES>(&text, from), place);
            }
            assert_eq!(find::<QUOTES>(&text, place + 1), 50);
        }
        assert_eq!(find::<QUOTES>(b"", 9), 0);
    }
}
