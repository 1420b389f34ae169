//! What lies beside the graph of a model of sentences, as Sentence Transformers and Hugging Face have it.

use std::{fs, io, path::Path};

use blake3::{Hash, Hasher};
use serde_json::Value;

use super::tokenizer::{Tokenizer, json};

/// Tokens of a sentence where the folder does not say it, and at most: what a tool does stands at its beginning.
const USUAL: usize = 256;
const MOST: usize = 512;

/// How the vectors of tokens become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Their mean.
    #[default]
    Mean,
    /// That of the first token, `[CLS]`.
    First,
}

/// What is read of it.
pub(super) struct Folder {
    /// Of all that makes a vector what it is.
    pub(super) version: Hash,
    pub(super) tokenizer: Tokenizer,
    pub(super) pooling: Pooling,
    /// Tokens of a sentence.
    pub(super) longest: usize,
}

impl Folder {
    /// `stem`: the graph's file, without `.onnx`.
    pub(super) fn read(folder: &Path, stem: &str) -> Result<Self, String> {
        let tokenizer = Tokenizer::read(folder)?;
        let pooling = json(&folder.join("1_Pooling/config.json"))?.map_or(Pooling::Mean, |config| {
            let is_first = config.get("pooling_mode_cls_token").and_then(Value::as_bool).unwrap_or_default();
            if is_first { Pooling::First } else { Pooling::Mean }
        });
        let of = |file: &str, key: &str| -> Result<Option<usize>, String> {
            let said = json(&folder.join(file))?;
            Ok(said.and_then(|said| usize::try_from(said.get(key)?.as_u64()?).ok()))
        };
        let longest = of("sentence_bert_config.json", "max_seq_length")?.or(of("tokenizer_config.json", "model_max_length")?);
        let longest = longest.unwrap_or(USUAL).clamp(3, MOST);
        let version = version(folder, stem, pooling, longest).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
        Ok(Self { version, tokenizer, pooling, longest })
    }
}

/// A digest of the graph with its data, of the tokenizer, and of how they are used.
fn version(folder: &Path, stem: &str, pooling: Pooling, longest: usize) -> io::Result<Hash> {
    let mut files: Vec<_> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        path.is_file()
            && (name.starts_with(&format!("{stem}.onnx")) || matches!(&*name, "tokenizer.json" | "vocab.txt" | "tokenizer_config.json"))
    });
    files.sort();
    let mut hasher = Hasher::new();
    hasher.update(format!("{pooling:?} {longest}").as_bytes());
    for file in files {
        hasher.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hasher.update_reader(fs::File::open(file)?)?;
    }
    Ok(hasher.finalize())
}
