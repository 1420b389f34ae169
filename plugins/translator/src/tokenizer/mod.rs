//! Text to numbers and back, as the `tokenizer.json` of a T5 says: a SentencePiece unigram model with what is done to the text before.
//!
//! Both ways are read in which T5's tokenizers are written: `Precompiled` with `WhitespaceSplit` and `Metaspace` (t5-small as it was published), and
//! `Precompiled`, `Strip` and `Replace` with `Metaspace` (as transformers converts one today).

mod charsmap;
mod json;
mod pipeline;
mod unigram;
mod vocabulary;

use charsmap::Charsmap;
use json::Cursor;
use pipeline::{Added, Normalizer, Splitter};
use vocabulary::Vocabulary;

/// Reads texts and writes them.
pub struct Tokenizer<'a> {
    vocabulary: Vocabulary<'a>,
    unknown: u32,
    /// Tokens with a text of their own, which is found before anything is done to the text.
    added: Vec<Added>,
    normalizers: Vec<Normalizer>,
    charsmap: Option<Charsmap<'a>>,
    splitter: Splitter,
}

impl<'a> Tokenizer<'a> {
    /// Reads `tokenizer.json`.
    ///
    /// An error says what in it is not known here.
    pub fn read(file: &'a [u8]) -> Result<Self, String> {
        let mut added = Vec::new();
        let (mut steps, mut words, mut charsmap) = ((0, 0), (0, 0), None);
        let (mut vocabulary, mut unknown, mut kind) = (None, None, None);
        Cursor::new(file)
            .object(|cursor, key| {
                let start = cursor.position();
                match key {
                    b"added_tokens" => {
                        cursor.skip()?;
                        added = serde_json::from_slice(&file[start..cursor.position()]).ok()?;
                    }
                    // The table inside of it is large: what is around it is read as JSON later on, with the table left out.
                    b"normalizer" => {
                        charsmap = pipeline::charsmap(cursor.clone());
                        cursor.skip()?;
                        steps = (start, cursor.position());
                    }
                    b"pre_tokenizer" => {
                        cursor.skip()?;
                        words = (start, cursor.position());
                    }
                    b"model" => cursor.object(|cursor, key| match key {
                        b"type" => {
                            let text = cursor.text()?;
                            kind = file.get(text.start..text.end);
                            Some(())
                        }
                        b"unk_id" => {
                            unknown = cursor.word()?.parse().ok();
                            Some(())
                        }
                        b"vocab" if cursor.peek() == Some(b'[') => {
                            vocabulary = Some(Vocabulary::read(file, cursor)?);
                            Some(())
                        }
                        _ => cursor.skip(),
                    })?,
                    _ => cursor.skip()?,
                }
                Some(())
            })
            .ok_or("it is not the JSON of a tokenizer")?;
        let vocabulary = vocabulary.filter(|vocabulary| vocabulary.len() > 0);
        let (Some(vocabulary), Some(unknown)) = (vocabulary, unknown) else {
            return Err("its model is not Unigram with an unk_id, as T5 has it".to_owned());
        };
        if kind.is_some_and(|kind| kind != b"Unigram") {
            return Err(format!("its model is {}; T5 has Unigram", String::from_utf8_lossy(kind.unwrap_or_default())));
        }
        Ok(Self {
            vocabulary,
            unknown,
            added,
            normalizers: pipeline::normalizers(file, steps, charsmap)?,
            charsmap: match charsmap {
                Some(text) => Some(Charsmap::new(&file[text.start..text.end]).ok_or("its precompiled_charsmap is damaged")?),
                None => None,
            },
            splitter: pipeline::splitter(&file[words.0..words.1])?,
        })
    }

    /// The numbers of a text, without the one that ends it.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut out = Vec::with_capacity(text.len() / 3 + 4);
        pipeline::around(&self.added, text, |part, token| match token {
            Some(id) => out.push(id),
            None => {
                let part = self.normalize(part);
                self.splitter.words(part, |word| unigram::cut(&self.vocabulary, self.unknown, word, &mut out));
            }
        });
        out
    }

    fn normalize(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for normalizer in &self.normalizers {
            text = match normalizer {
                Normalizer::Precompiled => self.charsmap.as_ref().map_or(text.clone(), |map| map.normalize(&text)),
                other => other.apply(text),
            };
        }
        text
    }

    /// The text of numbers. Special tokens, such as the end, have none.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut out = String::new();
        let mut first = true;
        for id in ids {
            let added = self.added.iter().find(|added| added.id == *id);
            if added.is_some_and(|added| added.special) {
                continue;
            }
            let Some(piece) = added.map(|added| added.content.as_str()).or_else(|| self.vocabulary.text(*id)) else { continue };
            // The mark of a word's beginning is a space, but for the first word.
            let space = if first { "" } else { " " };
            for (index, part) in piece.split(self.splitter.mark).enumerate() {
                out.push_str(if index == 0 { "" } else { space });
                out.push_str(part);
            }
            first = false;
        }
        out
    }
}

#[cfg(test)]
mod tests;
