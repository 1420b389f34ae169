//! How well tools are found, and what a search saves: over the tools of real servers, by questions as people and as models ask them.
//!
//! `tests/search/tools.json` has what 31 public servers said of their tools in November 2026, descriptions cut at 400 bytes, and how long each was in the
//! list; `vectors` has what all-MiniLM-L6-v2 makes of them and of the questions. The figures in `docs/endpoints.md` are what this prints:
//! `cargo test -p toolbay --lib catalog::search::tests::corpus -- --nocapture`.
//!
//! Where texts have changed, the model has to see them. `TOOLBAY_SENTENCES` is its folder, as `tests/search/to_onnx.py` makes it:
//! `TOOLBAY_RENEW=1 TOOLBAY_SENTENCES=… cargo test …`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use blake3::Hash;
use serde::Deserialize;
use serde_json::json;

use super::{lab, put, tool};
use crate::{
    catalog::{
        Catalog, Snapshot,
        search::{
            Index, Meaning,
            embedder::Embedder,
            vault::{of_bytes, to_bytes},
            vectors::{Vector, Vectors},
        },
    },
    config::{Config, ModelConfig},
    embedding::SentenceModel,
    inference::Registry,
};

#[derive(Deserialize)]
struct Real {
    name: String,
    title: Option<String>,
    description: String,
    parameters: BTreeMap<String, String>,
    /// Of its entry in the list.
    bytes: usize,
}

struct Question {
    person: String,
    model: String,
    right: Vec<String>,
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/search").join(name)
}

fn file(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn questions() -> Vec<Question> {
    let lines = file("questions.tsv");
    let question = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [person, model, right] = columns[..] else { panic!("{line:?}") };
        Question { person: person.to_owned(), model: model.to_owned(), right: right.split(' ').map(str::to_owned).collect() }
    };
    lines.lines().filter(|line| !line.starts_with('#')).map(question).collect()
}

/// Of how many questions a right tool is the first, among the first five, and among the first ten.
type Recall = [usize; 3];

fn recall(questions: &[Question], best: impl Fn(&Question) -> Vec<String>) -> Recall {
    let mut found = [0; 3];
    for question in questions {
        let best = best(question);
        let place = best.iter().position(|name| question.right.contains(name));
        for (found, most) in found.iter_mut().zip([1, 5, 10]) {
            *found += usize::from(place.is_some_and(|place| place < most));
        }
    }
    found
}

/// All that is measured.
struct Corpus {
    whole: Arc<Catalog>,
    chosen: Arc<Catalog>,
    /// Of the entry in the list, by the tool.
    bytes: BTreeMap<String, usize>,
    servers: usize,
    questions: Vec<Question>,
}

impl Corpus {
    fn read() -> Self {
        let servers: BTreeMap<String, Vec<Real>> = serde_json::from_str(&file("tools.json")).unwrap();
        let mut bytes = BTreeMap::new();
        let mut changes = Vec::new();
        for (server, tools) in &servers {
            let made = tools.iter().map(|real| {
                bytes.insert(format!("{server}/{}", real.name), real.bytes);
                let parameters: serde_json::Map<_, _> =
                    real.parameters.iter().map(|(name, about)| (name.clone(), json!({"description": about}))).collect();
                let mut tool = tool(&real.name, &real.description, parameters.into());
                tool.title.clone_from(&real.title);
                tool
            });
            changes.push(put(server, made.collect()));
        }
        let (whole, chosen) = lab(changes);
        let questions = questions();
        let unknown: Vec<_> = questions.iter().flat_map(|question| &question.right).filter(|name| !bytes.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        Self { whole, chosen, bytes, servers: servers.len(), questions }
    }

    fn index(&self) -> Index {
        let snapshot: &Snapshot = &self.chosen.snapshot();
        let tools: Vec<_> = snapshot.callable().cloned().collect();
        Index::new(&tools, &snapshot.lexicon)
    }

    /// Everything that a model is to see.
    fn texts(&self) -> BTreeSet<String> {
        let tools = self.whole.snapshot().lexicon.all().flat_map(|terms| terms.sentences()).collect::<Vec<_>>();
        let questions = self.questions.iter().flat_map(|question| [question.person.clone(), question.model.clone()]);
        tools.into_iter().chain(questions).collect()
    }
}

fn best(index: &Index, question: &str, meaning: Option<&Meaning>, most: usize) -> Vec<String> {
    let found = index.search(question, meaning, most);
    found.iter().map(|found| format!("{}/{}", found.entry.provider().id(), found.entry.own_name())).collect()
}

#[test]
fn the_tools_of_real_servers_are_found() {
    let corpus = Corpus::read();
    let Corpus { bytes, questions, .. } = &corpus;
    assert!(corpus.servers >= 20 && 2 * questions.len() >= 200);
    let index = corpus.index();
    let models = recall(questions, |question| best(&index, &question.model, None, 10));
    let people = recall(questions, |question| best(&index, &question.person, None, 10));
    let all: usize = bytes.values().sum::<usize>() + bytes.len() + 1;
    let listed = corpus.chosen.snapshot().list_json().len();
    let of_answer = |question: &Question| -> usize { best(&index, &question.model, None, 5).iter().map(|name| bytes[name]).sum() };
    let answers = questions.iter().map(of_answer).sum::<usize>() / questions.len();
    println!("{} tools of {} servers, {} tasks, each asked for in two ways", bytes.len(), corpus.servers, questions.len());
    println!("the list: {all} bytes; with a search: {listed} bytes; five tools of an answer: {answers} bytes on average");
    println!("by words, a right tool is first, among five, among ten: as a model asks {models:?}, as a person asks {people:?}");
    // What it was when this was written, less a little: a change of the words may not make it worse unseen.
    assert!(models[0] * 100 >= 85 * questions.len() && models[1] * 100 >= 96 * questions.len(), "{models:?}");
    assert!(people[1] * 100 >= 48 * questions.len(), "{people:?}");
    assert!(listed * 100 < all, "{listed} of {all}");
}

/// What the model makes of all texts.
fn vectors(corpus: &Corpus) -> (Hash, HashMap<Hash, Vector>) {
    let version = blake3::hash(b"all-MiniLM-L6-v2");
    let texts = corpus.texts();
    if env::var_os("TOOLBAY_RENEW").is_some()
        && let Some(folder) = env::var_os("TOOLBAY_SENTENCES")
    {
        let model = ModelConfig { path: folder.into(), ..ModelConfig::default() };
        let mut config = Config::default();
        config.model.insert("sentences".to_owned(), model);
        let model = SentenceModel::new(Registry::open(&config).unwrap(), "sentences");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let made: Vec<(Hash, Vector)> = texts
            .iter()
            .map(|text| {
                let embedded = runtime.block_on(model.embed(text)).unwrap();
                (blake3::hash(text.as_bytes()), Vector::of(&embedded.vector).unwrap())
            })
            .collect();
        fs::write(path("vectors"), to_bytes(version, made.iter().map(|(digest, vector)| (digest, vector)))).unwrap();
    }
    let known: HashMap<Hash, Vector> = of_bytes(&fs::read(path("vectors")).unwrap(), version).unwrap().into_iter().collect();
    let missing: Vec<_> = texts.iter().filter(|text| !known.contains_key(&blake3::hash(text.as_bytes()))).collect();
    assert!(missing.is_empty(), "the model has not seen these; see the head of this file: {missing:?}");
    (version, known)
}

#[test]
fn the_tools_of_real_servers_are_found_by_what_they_mean() {
    let corpus = Corpus::read();
    let questions = &corpus.questions;
    let (version, vectors) = vectors(&corpus);
    let of = |text: &str| vectors[&blake3::hash(text.as_bytes())].clone();
    let mut alone: Vec<(String, Vector)> = Vec::new();
    for terms in corpus.whole.snapshot().lexicon.all() {
        let all: Vec<_> = terms.sentences().iter().map(|text| Some(of(text))).collect();
        alone.extend(terms.names().zip(all.iter().flatten().cloned()));
        terms.put_vectors(Vectors::new(version, &all));
    }
    let index = corpus.index();
    let meaning = |text: &str| Meaning { version, vector: of(text) };
    let by_share = |question: &str, share: f32| -> Vec<String> {
        let words: HashMap<String, f32> = {
            let found = index.search(question, None, 10_000);
            let most = found.first().map_or(1.0, |found| found.score);
            found.iter().map(|found| (format!("{}/{}", found.entry.provider().id(), found.entry.own_name()), found.score / most)).collect()
        };
        let rows: Vec<_> = alone.iter().map(|(_, vector)| Some(vector.clone())).collect();
        let cosines: Vec<f32> = Vectors::new(version, &rows).cosines(&of(question)).collect();
        let mut all: Vec<(f32, &String)> =
            alone.iter().zip(cosines).map(|((name, _), cosine)| (cosine + share * words.get(name).copied().unwrap_or(0.0), name)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.into_iter().take(10).map(|(_, name)| name.clone()).collect()
    };
    for share in [0.0, 0.05, 0.1, 0.2, 0.3, 0.4] {
        let models = recall(questions, |question| by_share(&question.model, share));
        let people = recall(questions, |question| by_share(&question.person, share));
        println!("meaning, and words for {share}: as a model asks {models:?}, as a person asks {people:?}");
    }
    let models = recall(questions, |question| best(&index, &question.model, Some(&meaning(&question.model)), 10));
    let people = recall(questions, |question| best(&index, &question.person, Some(&meaning(&question.person)), 10));
    println!("joined: as a model asks {models:?}, as a person asks {people:?}, of {}", questions.len());
    // As a search does it, which asks the model only where the words leave something open.
    let served = |text: &str| {
        let meaning = (!index.read(text).is_clear()).then(|| meaning(text));
        best(&index, text, meaning.as_ref(), 10)
    };
    let clear = |of: fn(&Question) -> &str| questions.iter().filter(|question| index.read(of(question)).is_clear()).count();
    println!("clear by words: as a model asks {}, as a person asks {}", clear(|one| &one.model), clear(|one| &one.person));
    let served = (recall(questions, |question| served(&question.model)), recall(questions, |question| served(&question.person)));
    println!("as it is served: as a model asks {:?}, as a person asks {:?}", served.0, served.1);
    assert!(served.0[1] >= models[1] && served.1[1] >= people[1], "{served:?}: the model is not asked where it would have helped");
    let by_words = recall(questions, |question| best(&index, &question.person, None, 10));
    assert!(people[1] > by_words[1] + questions.len() / 10, "{people:?} {by_words:?}");
    assert!(models[1] * 100 >= 96 * questions.len(), "{models:?}");
}
