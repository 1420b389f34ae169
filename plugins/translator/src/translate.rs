//! A text to its translation: into pieces that the model takes, each to tokens, through the model, and back.

use std::path::{Path, PathBuf};

use crate::{model::Model, pieces, settings::Settings, tokenizer::Tokenizer};

/// Where the host shows a plugin the files of the models that it may use.
const MODELS: &str = "/models";

/// Tokens up to which a text is translated in one piece. T5 has learnt from sentences: what is longer, it tells in brief.
const WHOLE: usize = 128;

/// Pieces that are translated at once, where one way is followed for each: a model answers eight in little more time than one.
const TOGETHER: usize = 8;

/// What came out.
pub struct Translation {
    pub text: String,
    /// For each piece the tokens that the model answered, the end included.
    pub tokens: Vec<Vec<u32>>,
}

/// Translates with a model that the host has. `beams` that are not given are as many as the model says. `done` hears how many pieces are done, and of how
/// many.
///
/// An error is a sentence for who called.
pub fn translate(text: &str, beams: Option<usize>, name: &str, done: impl Fn(usize, usize)) -> Result<Translation, String> {
    if text.trim().is_empty() {
        return Ok(Translation { text: String::new(), tokens: Vec::new() });
    }
    // First what the host has to say: without a runtime or a grant there are no files either.
    let model = Model::open(name).map_err(|why| format!("The model \"{name}\" cannot be used: {}.", why.trim_end_matches('.')))?;
    run(text, beams, &model, &Path::new(MODELS).join(name), done)
        .map_err(|why| format!("The model \"{name}\" failed: {}.", why.trim_end_matches('.')))
}

fn run(text: &str, beams: Option<usize>, model: &Model, folder: &Path, done: impl Fn(usize, usize)) -> Result<Translation, String> {
    let settings = Settings::read(folder)?;
    let file = read(folder.join("tokenizer.json"))?;
    let tokenizer = Tokenizer::read(&file).map_err(|why| format!("its tokenizer.json is of a kind that is not known here: {why}"))?;
    let beams = beams.unwrap_or(settings.beams);
    let end = settings.ends.first().copied().unwrap_or_default();
    let source = |text: &str| {
        let mut ids = tokenizer.encode(&format!("{}{text}", settings.prefix));
        ids.push(end);
        ids
    };
    // What is longer than the model takes even in bytes need not be cut into tokens to know that.
    let fits = |text: &str, limit: usize| text.len() <= limit * 64 && source(text).len() <= limit;
    let pieces = pieces::cut(text, &|text| fits(text, settings.positions.min(WHOLE)), &|text| fits(text, settings.positions));
    let mut out = Translation { text: String::new(), tokens: Vec::with_capacity(pieces.len()) };
    for group in pieces.chunks(if beams > 1 { 1 } else { TOGETHER }) {
        done(out.tokens.len(), pieces.len());
        let sources: Vec<Vec<u32>> = group.iter().map(|piece| source(piece.text)).collect();
        for (piece, tokens) in group.iter().zip(model.generate(&sources, beams, &settings)?) {
            out.text.push_str(&tokenizer.decode(&tokens));
            out.text.push_str(piece.between);
            out.tokens.push(tokens);
        }
    }
    done(pieces.len(), pieces.len());
    Ok(out)
}

fn read(path: PathBuf) -> Result<Vec<u8>, String> {
    std::fs::read(&path).map_err(|error| format!("its file {} cannot be read: {error}", path.display()))
}
