//! Sentences as vectors, by an ONNX model of the configuration: what the search for tools goes by beside words.
//!
//! A folder as Hugging Face has it: `*.onnx`, and `tokenizer.json` or `vocab.txt` of the WordPiece kind, which models of the BERT family have.

mod folder;
mod pool;
mod tokenizer;
mod wordpiece;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use blake3::Hash;
use futures::{FutureExt, future::BoxFuture};

use crate::{
    catalog::search::{Embedded, Embedder},
    inference::{Account, ElementType, Graph, Registry, Tensor},
};
use folder::{Folder, Pooling};
use tokenizer::Tokenizer;

/// Who computes, among the plugins that share the device. No plugin has this name.
const CALLER: &str = "tool search";
/// What one sentence may take: far more than any takes.
const MEMORY: u64 = 256 << 20;
const TIME: Duration = Duration::from_secs(60);

/// Makes vectors by a model of the configuration, as its files are at the moment.
pub struct SentenceModel {
    registry: Arc<Registry>,
    /// As in `[model.NAME]`, with `/FILE` behind it where there are several.
    name: String,
    open: Mutex<Option<Arc<Open>>>,
}

/// One version of the model.
struct Open {
    graph: Graph,
    /// What it takes, and of which type.
    inputs: Vec<(String, Input, ElementType)>,
    version: Hash,
    tokenizer: Tokenizer,
    pooling: Pooling,
    longest: usize,
}

/// What an input of the graph is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Tokens,
    /// 1 for each token: none is padding.
    Mask,
    /// 0 for each token: all are of the first sentence.
    Types,
}

impl SentenceModel {
    /// By the model of this name.
    #[must_use]
    pub fn new(registry: Arc<Registry>, name: &str) -> Arc<Self> {
        Arc::new(Self { registry, name: name.to_owned(), open: Mutex::new(None) })
    }

    /// The model as it is now.
    async fn open(&self) -> Result<Arc<Open>, String> {
        let (graph, folder) = self.registry.own_graph(&self.name).map_err(|error| error.to_string())?;
        let kept = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(open) = kept.filter(|open| open.graph.is(&graph)) {
            return Ok(open);
        }
        let opening = tokio::task::spawn_blocking(move || Open::new(graph, folder)).await;
        let opened = opening.map_err(|error| error.to_string())?;
        let open = Arc::new(opened.map_err(|why| format!("[search] model = {:?}: {why}", self.name))?);
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&open));
        Ok(open)
    }
}

impl Embedder for SentenceModel {
    fn version(&self) -> BoxFuture<'_, Result<Hash, String>> {
        async { Ok(self.open().await?.version) }.boxed()
    }

    fn embed<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Embedded, String>> {
        async {
            let open = self.open().await?;
            let vector = open.embed(text).await?;
            Ok(Embedded { version: open.version, vector })
        }
        .boxed()
    }
}

impl Open {
    /// Reads what lies beside the graph. Blocks.
    fn new(graph: Graph, folder: PathBuf) -> Result<Self, String> {
        let inputs =
            graph.inputs().iter().map(|slot| Ok((slot.name.clone(), input(&slot.name)?, slot.ty))).collect::<Result<Vec<_>, String>>()?;
        if !inputs.iter().any(|(_, input, _)| *input == Input::Tokens) {
            return Err("its graph takes no \"input_ids\", so it is no model of sentences".to_owned());
        }
        let file = graph.status().name;
        let stem = file.rsplit('/').next().unwrap_or_default();
        let Folder { version, tokenizer, pooling, longest } = Folder::read(&folder, stem)?;
        Ok(Self { graph, inputs, version, tokenizer, pooling, longest })
    }

    async fn embed(&self, text: &str) -> Result<Vec<f32>, String> {
        let tokens = self.tokenizer.encode(text, self.longest);
        let account = Account::new(CALLER, MEMORY, MEMORY, TIME);
        let length = u32::try_from(tokens.len()).map_err(|error| error.to_string())?;
        let tensor = |(name, input, ty): &(String, Input, ElementType)| {
            let numbers = tokens.iter().map(|token| match input {
                Input::Tokens => i64::from(*token),
                Input::Mask => 1,
                Input::Types => 0,
            });
            let bytes: Vec<u8> = match ty {
                #[expect(clippy::cast_possible_truncation, reason = "vocabularies are far smaller")]
                ElementType::I32 => numbers.flat_map(|number| (number as i32).to_le_bytes()).collect(),
                _ => numbers.flat_map(i64::to_le_bytes).collect(),
            };
            (name.clone(), Tensor::new(&account, *ty, vec![1, length], bytes))
        };
        let inputs = self.inputs.iter().map(tensor).collect();
        let outputs = self.graph.compute(&account, inputs).await.map_err(|error| error.to_string())?;
        pool::pool(&outputs, self.pooling)
    }
}

/// What an input of this name is for.
fn input(name: &str) -> Result<Input, String> {
    match name {
        "input_ids" => Ok(Input::Tokens),
        "attention_mask" => Ok(Input::Mask),
        "token_type_ids" => Ok(Input::Types),
        other => {
            Err(format!("its graph takes {other:?}, and a model of sentences takes input_ids, attention_mask and token_type_ids alone"))
        }
    }
}
