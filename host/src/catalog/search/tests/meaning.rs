//! What is found by meaning: by a model that knows a few words, and what happens until it has seen all tools, when it changes, and when it fails.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use blake3::Hash;
use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::{lab, put, tool};
use crate::{
    catalog::{
        Catalog, Policy, Role,
        search::{Embedded, Embedder},
    },
    provider::{Call, CallContext, Principal, ProviderChange, ProviderId},
};

/// Words with one meaning, each of a direction of its own.
const MEANINGS: &[&[&str]] = &[&["mail", "letter", "post"], &["weather", "rain", "umbrella"], &["music", "song", "tune"]];

/// A model that knows these words alone.
struct Toy {
    version: Mutex<&'static str>,
    /// Texts that it has seen.
    seen: AtomicUsize,
    fails: Mutex<Option<&'static str>>,
}

impl Toy {
    fn new() -> Arc<Self> {
        Arc::new(Self { version: Mutex::new("1"), seen: AtomicUsize::new(0), fails: Mutex::default() })
    }

    fn version_now(&self) -> Result<Hash, String> {
        match *self.fails.lock().unwrap() {
            Some(why) => Err(why.to_owned()),
            None => Ok(blake3::hash(self.version.lock().unwrap().as_bytes())),
        }
    }
}

impl Embedder for Toy {
    fn version(&self) -> BoxFuture<'_, Result<Hash, String>> {
        async { self.version_now() }.boxed()
    }

    fn embed<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Embedded, String>> {
        async {
            self.seen.fetch_add(1, SeqCst);
            let mut vector = vec![0.01_f32; MEANINGS.len() + 1];
            for (words, number) in MEANINGS.iter().zip(&mut vector) {
                *number += words.iter().filter(|word| text.to_lowercase().contains(**word)).count() as f32;
            }
            Ok(Embedded { version: self.version_now()?, vector })
        }
        .boxed()
    }
}

fn house() -> Vec<ProviderChange> {
    vec![
        put("office", vec![tool("send", "Sends a letter", json!({})), tool("forecast", "Tells whether you need an umbrella", json!({}))]),
        put("player", vec![tool("play", "Plays a song", json!({}))]),
    ]
}

/// What `find_tools` of a catalog answers a caller with this role.
async fn asked(catalog: &Catalog, servers: &[&str], question: &str) -> Vec<String> {
    let role = Role { name: "r".to_owned(), servers: servers.iter().map(|name| (*name).to_owned()).collect(), ..Role::default() };
    let policy = Policy::new(vec![role], crate::provider::Roles::new(["r"]), Default::default());
    let seen = catalog.seen(&policy, Some(&Principal::new("ann")));
    let entry = Arc::clone(seen.resolve("find_tools").unwrap());
    let arguments = json!({"query": question, "limit": 50}).to_string();
    let call = Call { tool: "find_tools", arguments: &arguments, context: Box::<CallContext>::default() };
    let output = entry.provider().call(call).await.unwrap();
    let structured: Value = serde_json::from_str(output.structured.unwrap().as_str()).unwrap();
    structured["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// Keeps what the tools of a catalog mean, until dropped.
struct Keeper(tokio::task::JoinHandle<()>);

impl Keeper {
    fn start(catalog: &Arc<Catalog>, folder: Option<&Path>) -> Self {
        Self(tokio::spawn(catalog.keep_meanings(folder.map(Into::into))))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn until(what: &str, test: impl AsyncFn() -> bool) {
    for _ in 0..6000 {
        if test().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within a minute: {what}");
}

async fn all_are_embedded(catalog: &Catalog, tools: usize) {
    until("all tools have vectors", async || {
        let status = catalog.meanings();
        (status.tools, status.embedded, &status.error) == (tools, tools, &None)
    })
    .await;
}

const QUESTION: &str = "will it rain tomorrow";

#[tokio::test]
async fn tools_are_found_by_their_meaning_as_soon_as_all_have_been_seen() {
    let (whole, chosen) = lab(house());
    assert!(asked(&chosen, &["*"], QUESTION).await.is_empty());
    let toy = Toy::new();
    whole.embed_with(Some(toy.clone()));
    // Nobody has looked at the tools yet.
    assert!(asked(&chosen, &["*"], QUESTION).await.is_empty());
    let _keeper = Keeper::start(&whole, None);
    all_are_embedded(&whole, 3).await;
    assert_eq!(asked(&chosen, &["*"], QUESTION).await[0], "forecast");
    // The very name comes first, whatever it means, and words count beside the meaning.
    assert_eq!(asked(&chosen, &["*"], "play").await[0], "play");
    assert_eq!(asked(&chosen, &["*"], "post: who sends it").await[0], "send");
    // Without a model it is as before.
    whole.embed_with(None);
    assert!(asked(&chosen, &["*"], QUESTION).await.is_empty());
}

#[tokio::test]
async fn a_question_is_read_once_by_each_model_and_not_at_all_where_its_words_are_those_of_a_tool() {
    let (whole, chosen) = lab(house());
    let toy = Toy::new();
    whole.embed_with(Some(toy.clone()));
    let _keeper = Keeper::start(&whole, None);
    all_are_embedded(&whole, 3).await;
    let read = || toy.seen.load(SeqCst);
    let before = read();
    for _ in 0..3 {
        assert_eq!(asked(&chosen, &["*"], QUESTION).await[0], "forecast");
    }
    assert_eq!(read(), before + 1);
    // "Plays a song": a model could say nothing more.
    assert_eq!(asked(&chosen, &["*"], "please play the song").await[0], "play");
    assert_eq!(read(), before + 1);
    // One word of it, and one of none.
    assert_eq!(asked(&chosen, &["*"], "play music").await[0], "play");
    assert_eq!(read(), before + 2);
    *toy.version.lock().unwrap() = "2";
    whole.embed_with(Some(toy.clone()));
    all_are_embedded(&whole, 3).await;
    let before = read();
    assert_eq!(asked(&chosen, &["*"], QUESTION).await[0], "forecast");
    assert_eq!(read(), before + 1);
}

#[tokio::test]
async fn a_caller_finds_nothing_that_it_may_not_use_however_near_it_is() {
    let (whole, chosen) = lab(house());
    whole.embed_with(Some(Toy::new()));
    let _keeper = Keeper::start(&whole, None);
    all_are_embedded(&whole, 3).await;
    assert_eq!(asked(&chosen, &["office"], "play a tune").await.iter().find(|name| *name == "play"), None);
    assert_eq!(asked(&chosen, &["player"], "play a tune").await, ["play"]);
    // Nor what is for the pages of apps alone.
    let mut page = tool("umbrella_page", "Draws the rain", json!({}));
    page.meta = json!({"ui": {"resourceUri": "ui://rain", "visibility": ["app"]}}).as_object().cloned();
    whole.apply(vec![put("pages", vec![page])]);
    all_are_embedded(&whole, 4).await;
    assert!(!asked(&chosen, &["*"], QUESTION).await.contains(&"umbrella_page".to_owned()));
}

#[tokio::test]
async fn a_change_has_the_model_read_what_is_new_alone_and_words_rank_until_then() {
    let (whole, chosen) = lab(house());
    let toy = Toy::new();
    whole.embed_with(Some(toy.clone()));
    let _keeper = Keeper::start(&whole, None);
    all_are_embedded(&whole, 3).await;
    assert_eq!(toy.seen.load(SeqCst), 3);
    whole.apply(vec![put(
        "office",
        vec![
            tool("send", "Sends a letter", json!({})),
            tool("forecast", "Tells whether you need an umbrella", json!({})),
            tool("gauge", "How much rain there was", json!({})),
        ],
    )]);
    all_are_embedded(&whole, 4).await;
    assert_eq!(toy.seen.load(SeqCst), 4);
    until("the new tool is found too", async || asked(&chosen, &["*"], "umbrella").await.contains(&"gauge".to_owned())).await;
    // A provider that goes and comes back is known.
    whole.apply(vec![ProviderChange::Remove(ProviderId::new("player").unwrap())]);
    all_are_embedded(&whole, 3).await;
    let before = toy.seen.load(SeqCst);
    whole.apply(vec![put("player", vec![tool("play", "Plays a song", json!({}))])]);
    all_are_embedded(&whole, 4).await;
    assert_eq!(toy.seen.load(SeqCst), before);
}

#[tokio::test]
async fn vectors_are_there_at_the_next_start_and_are_not_those_of_another_model() {
    let folder = tempfile::tempdir().unwrap();
    // One that is being written has another name.
    let is_whole = |entry: &std::fs::DirEntry| entry.path().extension().is_none();
    let files = || std::fs::read_dir(folder.path()).map_or(0, |all| all.flatten().filter(is_whole).count());
    let (whole, _chosen) = lab(house());
    whole.embed_with(Some(Toy::new()));
    let keeper = Keeper::start(&whole, Some(folder.path()));
    until("the vectors are on disk", async || files() == 1).await;
    drop(keeper);

    let (whole, chosen) = lab(house());
    let toy = Toy::new();
    whole.embed_with(Some(toy.clone()));
    let keeper = Keeper::start(&whole, Some(folder.path()));
    all_are_embedded(&whole, 3).await;
    assert_eq!(toy.seen.load(SeqCst), 0);
    assert_eq!(asked(&chosen, &["*"], QUESTION).await[0], "forecast");
    drop(keeper);

    // Another model reads all of them again; so does one whose file is broken.
    let name = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&name).unwrap();
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    std::fs::write(&name, bytes).unwrap();
    for version in ["1", "2"] {
        let (whole, _chosen) = lab(house());
        let toy = Toy::new();
        *toy.version.lock().unwrap() = version;
        whole.embed_with(Some(toy.clone()));
        let _keeper = Keeper::start(&whole, Some(folder.path()));
        all_are_embedded(&whole, 3).await;
        assert_eq!(toy.seen.load(SeqCst), 3, "{version}");
    }
}

#[tokio::test]
async fn a_model_that_fails_leaves_the_words_and_one_that_changes_reads_all_again() {
    let (whole, chosen) = lab(house());
    let toy = Toy::new();
    *toy.fails.lock().unwrap() = Some("its folder is empty");
    whole.embed_with(Some(toy.clone()));
    let _keeper = Keeper::start(&whole, None);
    until("the failure is told", async || whole.meanings().error.as_deref() == Some("its folder is empty")).await;
    assert_eq!(asked(&chosen, &["*"], "song").await, ["play"]);
    *toy.fails.lock().unwrap() = None;
    // Another look is taken whenever something changes.
    whole.apply(vec![put("new", vec![tool("post", "Brings the post", json!({}))])]);
    all_are_embedded(&whole, 4).await;
    assert_eq!(asked(&chosen, &["*"], QUESTION).await[0], "forecast");
    // The question is of the new version, the tools are of the old one: they are not compared.
    *toy.version.lock().unwrap() = "2";
    assert!(asked(&chosen, &["*"], QUESTION).await.is_empty());
    whole.apply(vec![ProviderChange::Remove(ProviderId::new("new").unwrap())]);
    until("the tools are of the new version", async || {
        asked(&chosen, &["*"], QUESTION).await.first().is_some_and(|name| name == "forecast")
    })
    .await;
    *toy.fails.lock().unwrap() = Some("out of memory");
    assert_eq!(asked(&chosen, &["*"], "song").await, ["play"]);
}
