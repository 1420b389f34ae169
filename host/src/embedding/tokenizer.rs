//! The tokenizer of a model's folder: a text as the numbers that the graph takes.

use std::{collections::HashMap, fs, io::ErrorKind, path::Path};

use serde_json::Value;

use super::wordpiece::{Normal, WordPiece, words};

/// Bytes of a text that are looked at: more tokens than any sentence has.
const TEXT: usize = 8 << 10;

/// What stands around a sentence, by the family of the model.
const AROUND: &[(&str, &str)] = &[("[CLS]", "[SEP]"), ("<s>", "</s>")];

/// A tokenizer of the WordPiece kind.
pub(super) struct Tokenizer {
    normal: Normal,
    pieces: WordPiece,
    begin: u32,
    end: u32,
}

impl Tokenizer {
    /// `tokenizer.json`, or else `vocab.txt`.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join("tokenizer.json");
        if let Some(file) = json(&path)? {
            return Self::of_json(&file).map_err(|why| format!("{}: {why}", path.display()));
        }
        let path = folder.join("vocab.txt");
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                format!("there is no tokenizer.json and no vocab.txt in {}; put that of the model there", folder.display())
            }
            _ => format!("cannot read {}: {error}", path.display()),
        })?;
        let config = json(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let is = |key: &str, usual: bool| config.get(key).and_then(Value::as_bool).unwrap_or(usual);
        let lower = is("do_lower_case", true);
        let normal = Normal { lower, no_accents: is("strip_accents", lower), chinese: is("tokenize_chinese_chars", true) };
        let vocabulary = text.lines().zip(0..).map(|(piece, number)| (piece.into(), number)).collect();
        Self::new(normal, WordPiece { vocabulary, ..WordPiece::default() }, "[UNK]").map_err(|why| format!("{}: {why}", path.display()))
    }

    fn of_json(file: &Value) -> Result<Self, String> {
        let model = &file["model"];
        let kind = model["type"].as_str().unwrap_or("WordPiece");
        if kind != "WordPiece" || !model["vocab"].is_object() {
            return Err(format!("it is of the kind {kind:?}, and only \"WordPiece\" is read, which models of the BERT family have"));
        }
        let normalizer = &file["normalizer"];
        if !matches!(normalizer["type"].as_str(), None | Some("BertNormalizer")) {
            return Err(format!("its normalizer is {}, and only \"BertNormalizer\" is known", normalizer["type"]));
        }
        let is = |key: &str, usual: bool| normalizer[key].as_bool().unwrap_or(usual);
        let lower = is("lowercase", false);
        // Unset, accents go with the capitals.
        let normal = Normal { lower, no_accents: is("strip_accents", lower), chinese: is("handle_chinese_chars", normalizer.is_object()) };
        let vocabulary: HashMap<Box<str>, u32> = model["vocab"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(piece, number)| Some((piece.as_str().into(), u32::try_from(number.as_u64()?).ok()?)))
            .collect();
        let mut pieces = WordPiece { vocabulary, ..WordPiece::default() };
        if let Some(prefix) = model["continuing_subword_prefix"].as_str() {
            prefix.clone_into(&mut pieces.prefix);
        }
        if let Some(longest) = model["max_input_chars_per_word"].as_u64() {
            pieces.longest = usize::try_from(longest).unwrap_or(usize::MAX);
        }
        Self::new(normal, pieces, model["unk_token"].as_str().unwrap_or("[UNK]"))
    }

    fn new(normal: Normal, mut pieces: WordPiece, unknown: &str) -> Result<Self, String> {
        let number = |pieces: &WordPiece, piece: &str| pieces.vocabulary.get(piece).copied();
        pieces.unknown = number(&pieces, unknown).ok_or_else(|| format!("there is no {unknown:?} in its vocabulary"))?;
        let around = AROUND.iter().find_map(|(begin, end)| Some((number(&pieces, begin)?, number(&pieces, end)?)));
        let (begin, end) = around.ok_or("there are no \"[CLS]\" and \"[SEP]\" in its vocabulary")?;
        Ok(Self { normal, pieces, begin, end })
    }

    /// A text as so many tokens at most, with those at its ends.
    pub(super) fn encode(&self, text: &str, most: usize) -> Vec<u32> {
        let text = text.get(..text.floor_char_boundary(TEXT)).unwrap_or_default();
        let mut tokens = vec![self.begin];
        for word in words(text, self.normal) {
            self.pieces.split(&word, &mut tokens);
            if tokens.len() >= most {
                break;
            }
        }
        tokens.truncate(most.saturating_sub(1).max(1));
        tokens.push(self.end);
        tokens
    }
}

/// A JSON file. None: it is not there.
pub(super) fn json(path: &Path) -> Result<Option<Value>, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn file(vocabulary: &[&str]) -> Value {
        let vocabulary: serde_json::Map<_, _> = vocabulary.iter().enumerate().map(|(n, piece)| ((*piece).to_owned(), n.into())).collect();
        json!({
            "normalizer": { "type": "BertNormalizer", "lowercase": true, "strip_accents": null, "handle_chinese_chars": true },
            "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": vocabulary }
        })
    }

    const PIECES: &[&str] =
        &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##want", "##ed", "run", "##ning", ",", "uber", "東", "京", "!", "-", "it", "'", "s"];

    #[test]
    fn a_text_becomes_pieces_of_words() {
        let tokenizer = Tokenizer::of_json(&file(PIECES)).unwrap();
        let pieces = |text: &str| -> Vec<&str> {
            let tokens = tokenizer.encode(text, 64);
            tokens.iter().map(|token| PIECES[usize::try_from(*token).unwrap()]).collect()
        };
        assert_eq!(pieces("UNwanted,\trunning"), ["[CLS]", "un", "##want", "##ed", ",", "run", "##ning", "[SEP]"]);
        assert_eq!(pieces("\u{dc}ber  u\u{308}ber!"), ["[CLS]", "uber", "uber", "!", "[SEP]"]);
        assert_eq!(pieces("東京 it's-x"), ["[CLS]", "東", "京", "it", "'", "s", "-", "[UNK]", "[SEP]"]);
        assert_eq!(pieces("run\u{200b}ning\u{0}"), ["[CLS]", "run", "##ning", "[SEP]"]);
        assert_eq!(pieces(""), ["[CLS]", "[SEP]"]);
        assert_eq!(tokenizer.encode("run run run run", 4).len(), 4);
        assert_eq!(tokenizer.encode("run run", 4), [2, 7, 7, 3]);
    }

    /// `tests/search/tokens.json` is made by Hugging Face's `tokenizers`, of the vocabulary of all-MiniLM-L6-v2 as far as its cases need it.
    #[test]
    fn tokens_are_those_of_hugging_face() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/search/tokens.json");
        let file = super::json(&path).unwrap().unwrap();
        let tokenizer = Tokenizer::of_json(&file["tokenizer"]).unwrap();
        let cases = file["cases"].as_array().unwrap();
        assert!(cases.len() > 100);
        for case in cases {
            let text = case["text"].as_str().unwrap();
            assert_eq!(json!(tokenizer.encode(text, 1000)), case["ids"], "{text:?}");
        }
    }

    #[test]
    fn what_is_no_wordpiece_is_refused_by_its_name() {
        let refused = |file: &Value| Tokenizer::of_json(file).err().unwrap();
        assert!(refused(&json!({ "model": { "type": "Unigram", "vocab": [["a", 0.1]] } })).contains("\"Unigram\""));
        assert!(refused(&json!({ "model": { "type": "BPE", "vocab": {} } })).contains("\"BPE\""));
        assert!(refused(&file(&["[CLS]", "[SEP]"])).contains("[UNK]"));
        assert!(refused(&file(&["[UNK]"])).contains("[CLS]"));
        let mut other = file(PIECES);
        other["normalizer"]["type"] = "Precompiled".into();
        assert!(refused(&other).contains("Precompiled"));
    }

    #[test]
    fn a_vocabulary_alone_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Tokenizer::read(folder.path()).err().unwrap().contains("no tokenizer.json and no vocab.txt"));
        fs::write(folder.path().join("vocab.txt"), PIECES.join("\n")).unwrap();
        assert_eq!(Tokenizer::read(folder.path()).unwrap().encode("Running", 8), [2, 7, 8, 3]);
        fs::write(folder.path().join("tokenizer_config.json"), r#"{"do_lower_case": false}"#).unwrap();
        assert_eq!(Tokenizer::read(folder.path()).unwrap().encode("Running", 8), [2, 1, 3]);
    }

    proptest! {
        #[test]
        fn any_text_has_tokens_within_its_bounds(text in "\\PC{0,200}", most in 3usize..40) {
            let tokenizer = Tokenizer::of_json(&file(PIECES)).unwrap();
            let tokens = tokenizer.encode(&text, most);
            prop_assert!((2..=most).contains(&tokens.len()));
            prop_assert!(tokens.first() == Some(&2) && tokens.last() == Some(&3));
        }
    }
}
