//! How long a search takes among 10,000 tools, by words and by meaning, and how long it takes to count the words of them:
//! `cargo bench -p toolbay --bench search`.
//!
//! With `TOOLBAY_SENTENCES`, the folder of a model as `scripts/sentences.sh` makes it, and `ORT_DYLIB_PATH`, what a whole search takes with that model.
//!
//! The tools are those of `tests/search/tools.json`, again and again under other names, from as many servers.

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use toolbay::{
    catalog::{
        Access, Catalog, Choice, Role,
        search::{Embedded, Embedder, Index, Lexicon, Meaning, Meanings, Terms},
    },
    config::{Config, ModelConfig},
    embedding::SentenceModel,
    inference::Registry,
    provider::{Call, CallError, CallOutput, Provider, ProviderChange, ProviderId, Tool, ToolName},
};

const TOOLS: usize = 10_000;

struct Fixed(ProviderId, Vec<Arc<Tool>>);

impl Provider for Fixed {
    fn id(&self) -> &ProviderId {
        &self.0
    }
    fn tools(&self) -> &[Arc<Tool>] {
        &self.1
    }
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        Box::pin(async move { Err(CallError::UnknownTool(call.tool.to_owned())) })
    }
}

fn tool(real: &Value, round: usize) -> Result<Arc<Tool>, Box<dyn Error>> {
    let text = |member: &str| real.get(member).and_then(Value::as_str).map(str::to_owned);
    let parameters = real.get("parameters").and_then(Value::as_object).into_iter().flatten();
    let properties: Map<_, _> = parameters.map(|(name, about)| (name.clone(), json!({ "type": "string", "description": about }))).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    let name = ToolName::new(format!("{}_{round}", text("name").unwrap_or_default()))?;
    Ok(Arc::new(Tool { title: text("title"), description: text("description"), ..Tool::new(name, schema) }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/search");
    let servers: BTreeMap<String, Vec<Value>> = serde_json::from_str(&std::fs::read_to_string(folder.join("tools.json"))?)?;
    let questions = std::fs::read_to_string(folder.join("questions.tsv"))?;
    let questions: Vec<&str> = questions.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split('\t').nth(1)).collect();
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    let mut left = TOOLS;
    for round in 0.. {
        for (server, tools) in &servers {
            let tools: Vec<_> = tools.iter().take(left).map(|real| tool(real, round)).collect::<Result<_, _>>()?;
            left -= tools.len();
            providers.push(Arc::new(Fixed(ProviderId::new(format!("{server}{round}"))?, tools)));
        }
        if left == 0 {
            break;
        }
    }
    let terms: Vec<_> = providers.iter().map(|provider| (provider.id(), Arc::new(Terms::of(provider)))).collect();
    let lexicon = Lexicon::new(terms.iter().map(|(id, terms)| (*id, terms)), &Arc::new(Meanings::default()));
    let catalog = Catalog::new();
    catalog.apply(providers.iter().map(|provider| ProviderChange::Put(Arc::clone(provider))).collect());
    let tools: Vec<_> = catalog.snapshot().callable().cloned().collect();
    let timed = |what: &str, begin: Instant| println!("{what}: {:.1} ms", begin.elapsed().as_secs_f64() * 1000.0);

    let begin = Instant::now();
    let index = Index::new(&tools, &lexicon);
    timed(&format!("an index of {} tools of {} servers, all words counted anew", tools.len(), providers.len()), begin);
    let begin = Instant::now();
    drop(Index::new(&tools, &lexicon));
    timed("the same, with the words of each server counted before", begin);

    searched("a search by words", &index, &questions, |_| None);

    // As `serve` does it, by a model that takes no time: its own is added to what is measured.
    let runtime = Runtime::new()?;
    catalog.embed_with(Some(Arc::new(Random(blake3::hash(b"")))));
    let _keeper = runtime.spawn(catalog.keep_meanings(None));
    while catalog.meanings().embedded < tools.len() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let index = Index::new(&tools, catalog.snapshot().lexicon());
    searched("a search by words and meaning", &index, &questions, |question| runtime.block_on(catalog.meaning_of(question)));
    if let Some(folder) = std::env::var_os("TOOLBAY_SENTENCES") {
        with_model(&runtime, &catalog, folder.into(), &questions)?;
    }
    Ok(())
}

/// Searches as an endpoint does them, with the model of sentences in a folder. Its vectors of the tools are those of the other model: to make them takes
/// minutes, and what they are changes no time.
fn with_model(runtime: &Runtime, catalog: &Arc<Catalog>, folder: PathBuf, questions: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.model.insert("sentences".to_owned(), ModelConfig { path: folder, ..ModelConfig::default() });
    let model = SentenceModel::new(Registry::open(&config)?, "sentences");
    let version = runtime.block_on(model.version())?;
    catalog.embed_with(Some(Arc::new(Random(version))));
    while catalog.meanings().embedded < TOOLS {
        std::thread::sleep(Duration::from_millis(10));
    }
    catalog.embed_with(Some(Arc::new(Asked(model, version))));
    while catalog.meanings().embedded < TOOLS {
        std::thread::sleep(Duration::from_millis(10));
    }
    let access = Arc::new(Access::of(Role { servers: vec!["*".to_owned()], ..Role::default() }));
    let chosen = catalog.choose(Choice { endpoint: ProviderId::new("all")?, access, search: true });
    let snapshot = chosen.snapshot();
    let index = Index::new(&snapshot.callable().cloned().collect::<Vec<_>>(), snapshot.lexicon());
    let find = snapshot.tools().find(|entry| entry.name() == "find_tools").ok_or("no search")?;
    let ask = |question: &str| -> Result<Duration, Box<dyn Error>> {
        let arguments = json!({ "query": question }).to_string();
        let begin = Instant::now();
        let call = Call { tool: "find_tools", arguments: &arguments, context: Box::default() };
        runtime.block_on(find.provider().call(call))?;
        Ok(begin.elapsed())
    };
    ask("warm up the index")?;
    let (clear, open): (Vec<&str>, Vec<&str>) = questions.iter().partition(|question| index.read(question).is_clear());
    // Each is another one, of as many words.
    let new: Vec<Duration> =
        (0..5).flat_map(|n| open.iter().map(move |one| format!("{one} {n}"))).map(|one| ask(&one)).collect::<Result<_, _>>()?;
    told("whole, a question that the model reads", new);
    open.iter().try_for_each(|question| ask(question).map(drop))?;
    told("whole, one that it has read", (0..5).flat_map(|_| &open).map(|one| ask(one)).collect::<Result<_, _>>()?);
    told("whole, one that is clear by its words", (0..5).flat_map(|_| &clear).map(|one| ask(one)).collect::<Result<_, _>>()?);
    Ok(())
}

fn searched(what: &str, index: &Index, questions: &[&str], meaning: impl Fn(&str) -> Option<Meaning>) {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        for question in questions {
            let meaning = meaning(question);
            let begin = Instant::now();
            let found = index.search(question, meaning.as_ref(), 5);
            times.push(begin.elapsed());
            assert!(!found.is_empty(), "nothing is found for {question:?}");
        }
    }
    told(what, times);
}

fn told(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default();
    println!("{what}: median {:?}, 99th percentile {:?}, of {}", at(50), at(99), times.len());
}

/// Vectors as long as those of all-MiniLM-L6-v2, in any direction.
struct Random(blake3::Hash);

/// A model that reads questions alone: tools have their vectors of this version.
struct Asked(Arc<SentenceModel>, blake3::Hash);

impl Embedder for Asked {
    fn version(&self) -> BoxFuture<'_, Result<blake3::Hash, String>> {
        async { Ok(self.1) }.boxed()
    }

    fn embed<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Embedded, String>> {
        self.0.embed(text)
    }
}

impl Embedder for Random {
    fn version(&self) -> BoxFuture<'_, Result<blake3::Hash, String>> {
        async { Ok(self.0) }.boxed()
    }

    fn embed<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Embedded, String>> {
        async move {
            let mut bytes = [0; 384];
            blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(&mut bytes);
            Ok(Embedded { version: self.0, vector: bytes.map(|byte| f32::from(byte.cast_signed())).to_vec() })
        }
        .boxed()
    }
}
