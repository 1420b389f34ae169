//! A text in Morse code, to be read and to be heard.

use serde::Deserialize;

use crate::{
    answer,
    exports::toolbay::plugin::tools::CallResult,
    format::wav,
    tool::{Entry, arguments},
};

pub const ENTRY: Entry = Entry {
    name: "morse_code",
    title: "Morse code",
    description: "Writes a text in International Morse code, and plays it as WAV audio.",
    input: r#"{
        "type": "object",
        "properties": {
            "text": { "type": "string", "minLength": 1, "maxLength": 200, "description": "Letters, digits and the commoner punctuation." },
            "words_per_minute": { "type": "integer", "minimum": 5, "maximum": 40, "default": 20 }
        },
        "required": ["text"],
        "additionalProperties": false
    }"#,
    output: None,
    run,
};

/// The pitch of the beep, in hertz.
const PITCH: f32 = 600.0;

/// At one word a minute, a dot takes this many milliseconds.
const DOT_MILLISECONDS: u32 = 1200;

#[derive(Deserialize)]
struct Arguments {
    text: String,
    #[serde(default = "default_speed")]
    words_per_minute: u32,
}

fn default_speed() -> u32 {
    20
}

fn run(json: &str) -> Result<CallResult, String> {
    let Arguments { text, words_per_minute } = arguments(json)?;
    let words = text.split_whitespace().map(word).collect::<Result<Vec<_>, _>>()?;
    let dot = DOT_MILLISECONDS / words_per_minute.clamp(5, 40) * wav::RATE / 1000;
    let sound = wav::mono(&words.iter().flat_map(|word| sound(word, dot)).collect::<Vec<_>>());
    Ok(answer::blocks(vec![answer::text(words.join(" / ")), answer::audio(sound, "audio/wav")]))
}

/// The letters of a word, each in dots and dashes, with blanks between.
fn word(word: &str) -> Result<String, String> {
    let letters = word
        .to_uppercase()
        .chars()
        .map(|c| letter(c).ok_or_else(|| format!("Morse code has no sign for {c:?}")))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(letters.join(" "))
}

/// The samples of a word: a dash is three dots long, so is the gap after a letter; that after a word is seven.
fn sound(word: &str, dot: u32) -> Vec<u8> {
    let mut samples = Vec::new();
    for sign in word.chars() {
        let (tone, gap) = match sign {
            '.' => (1, 1),
            '-' => (3, 1),
            _ => (0, 2),
        };
        samples.extend((0..tone * dot).map(|at| {
            let wave = (at as f32 * PITCH * std::f32::consts::TAU / wav::RATE as f32).sin();
            (f32::from(wav::SILENCE) + wave * 96.0) as u8
        }));
        samples.extend((0..gap * dot).map(|_| wav::SILENCE));
    }
    samples.extend((0..6 * dot).map(|_| wav::SILENCE));
    samples
}

fn letter(c: char) -> Option<&'static str> {
    Some(match c {
        'A' => ".-",
        'B' => "-...",
        'C' => "-.-.",
        'D' => "-..",
        'E' => ".",
        'F' => "..-.",
        'G' => "--.",
        'H' => "....",
        'I' => "..",
        'J' => ".---",
        'K' => "-.-",
        'L' => ".-..",
        'M' => "--",
        'N' => "-.",
        'O' => "---",
        'P' => ".--.",
        'Q' => "--.-",
        'R' => ".-.",
        'S' => "...",
        'T' => "-",
        'U' => "..-",
        'V' => "...-",
        'W' => ".--",
        'X' => "-..-",
        'Y' => "-.--",
        'Z' => "--..",
        '0' => "-----",
        '1' => ".----",
        '2' => "..---",
        '3' => "...--",
        '4' => "....-",
        '5' => ".....",
        '6' => "-....",
        '7' => "--...",
        '8' => "---..",
        '9' => "----.",
        '.' => ".-.-.-",
        ',' => "--..--",
        '?' => "..--..",
        '\'' => ".----.",
        '/' => "-..-.",
        '(' => "-.--.",
        ')' => "-.--.-",
        ':' => "---...",
        '=' => "-...-",
        '+' => ".-.-.",
        '-' => "-....-",
        '"' => ".-..-.",
        '@' => ".--.-.",
        _ => return None,
    })
}
