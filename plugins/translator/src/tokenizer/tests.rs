//! The tokenizer beside Hugging Face's own: `tests/tokens.json` holds what that makes of the same texts.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Tokenizer;

const END: u32 = 1;

#[derive(Deserialize)]
struct Row {
    text: String,
    new: Vec<u32>,
    new_text: String,
    old: Vec<u32>,
    old_text: String,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    out: Vec<u32>,
    fr: String,
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).expect("the file is there")
}

fn new_layout() -> Vec<u8> {
    file("../../models/t5-tiny/tokenizer.json")
}

/// The same vocabulary as t5-small's file had it when it was published.
fn old_layout() -> Value {
    let mut file: Value = serde_json::from_slice(&new_layout()).expect("it is JSON");
    file["normalizer"] = file["normalizer"]["normalizers"][0].take();
    let mark = json!({ "type": "Metaspace", "replacement": "\u{2581}", "str_rep": "\u{2581}", "add_prefix_space": true });
    file["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, mark] });
    file["decoder"] = mark;
    file
}

fn rows() -> Vec<Row> {
    serde_json::from_slice(&file("tests/tokens.json")).expect("rows")
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&file("../../models/t5-tiny/cases.json")).expect("cases")
}

/// Numbers as the file has them: with the end.
fn encode(tokenizer: &Tokenizer<'_>, text: &str) -> Vec<u32> {
    let mut ids = tokenizer.encode(text);
    ids.push(END);
    ids
}

#[test]
fn texts_of_all_kinds_are_cut_as_hugging_face_cuts_them_in_the_new_layout() {
    let json = new_layout();
    let tokenizer = Tokenizer::read(&json).expect("a tokenizer");
    for row in rows() {
        assert_eq!(encode(&tokenizer, &row.text), row.new, "{:?}", row.text);
        assert_eq!(tokenizer.decode(&row.new), row.new_text, "{:?}", row.text);
    }
}

#[test]
fn and_in_the_layout_of_the_first_t5_small() {
    for json in [old_layout().to_string(), serde_json::to_string_pretty(&old_layout()).expect("JSON")] {
        let tokenizer = Tokenizer::read(json.as_bytes()).expect("a tokenizer");
        for row in rows() {
            assert_eq!(encode(&tokenizer, &row.text), row.old, "{:?}", row.text);
            assert_eq!(tokenizer.decode(&row.old), row.old_text, "{:?}", row.text);
        }
    }
}

#[test]
fn all_cases_of_the_tiny_model_are_cut_and_written_alike() {
    let json = new_layout();
    let tokenizer = Tokenizer::read(&json).expect("a tokenizer");
    for case in cases() {
        assert_eq!(encode(&tokenizer, &format!("translate English to French: {}", case.text)), case.ids, "{:?}", case.text);
        assert_eq!(tokenizer.decode(&case.out), case.fr);
    }
}

#[test]
fn a_file_in_ascii_says_the_same() {
    let json = String::from_utf8(new_layout()).expect("UTF-8");
    let escape = |char: char| {
        let mut units = [0; 2];
        char.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>()
    };
    let ascii: String = json.chars().map(|char| if char.is_ascii() { char.to_string() } else { escape(char) }).collect();
    let tokenizer = Tokenizer::read(ascii.as_bytes()).expect("a tokenizer");
    for row in rows() {
        assert_eq!(encode(&tokenizer, &row.text), row.new, "{:?}", row.text);
    }
}

#[test]
fn what_is_no_tokenizer_of_a_t5_is_refused_with_what_it_is() {
    let mut bpe = old_layout();
    bpe["model"] = json!({ "type": "BPE", "unk_id": 2, "vocab": { "a": 0 } });
    let mut wordpiece = old_layout();
    wordpiece["model"]["type"] = json!("WordPiece");
    let mut normalizer = old_layout();
    normalizer["normalizer"] = json!({ "type": "BertNormalizer" });
    let mut splitter = old_layout();
    splitter["pre_tokenizer"] = json!({ "type": "ByteLevel" });
    let mut damaged = old_layout();
    damaged["normalizer"]["precompiled_charsmap"] = json!("AA");
    for (json, word) in [
        (bpe.to_string(), "Unigram"),
        (wordpiece.to_string(), "WordPiece"),
        (normalizer.to_string(), "BertNormalizer"),
        (splitter.to_string(), "ByteLevel"),
        (damaged.to_string(), "precompiled_charsmap"),
        ("{}".to_owned(), "Unigram"),
        ("<html>".to_owned(), "JSON"),
        (old_layout().to_string()[..2000].to_owned(), "JSON"),
    ] {
        let why = Tokenizer::read(json.as_bytes()).err().expect("it is refused");
        assert!(why.contains(word), "{why}");
    }
}

/// Not a test of speed, but a way to see it: `cargo test --release -- --ignored --nocapture speed`.
#[test]
#[ignore = "prints figures"]
fn speed() {
    let mut file = old_layout();
    let pieces = file["model"]["vocab"].as_array_mut().expect("pieces");
    for number in pieces.len()..32_000 {
        pieces.push(json!([format!("\u{2581}piece{number}"), -10.0 - number as f64 / 1e4]));
    }
    let json = file.to_string();
    let start = std::time::Instant::now();
    for _ in 0..100 {
        std::hint::black_box(
            Tokenizer::read(json.as_bytes()).expect("a tokenizer").encode("translate English to French: The house is wonderful."),
        );
    }
    println!("{} bytes, {} µs", json.len(), start.elapsed().as_micros() / 100);
}
