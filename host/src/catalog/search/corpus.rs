//! How well tools are found, and what a search saves: over the tools of real servers, by questions as people and as models ask them.
//!
//! `tests/search/tools.json` has what 31 public servers said of their tools in November 2026, descriptions cut at 400 bytes, and how long each was in the
//! list. The figures in `docs/endpoints.md` are what this prints:
//! `cargo test -p toolbay --lib catalog::search::corpus -- --nocapture`.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::json;

use super::tests::{lab, put, tool};
use crate::catalog::{Snapshot, search::Index};

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

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/search").join(name)).unwrap()
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
fn recall(index: &Index, questions: &[Question], of: impl Fn(&Question) -> &str) -> [usize; 3] {
    let mut found = [0; 3];
    for question in questions {
        let best = index.search(of(question), 10);
        let is_right = |name: &String| question.right.contains(name);
        let place = best.iter().position(|found| is_right(&format!("{}/{}", found.entry.provider().id(), found.entry.own_name())));
        for (found, most) in found.iter_mut().zip([1, 5, 10]) {
            *found += usize::from(place.is_some_and(|place| place < most));
        }
    }
    found
}

#[test]
fn the_tools_of_real_servers_are_found() {
    let servers: BTreeMap<String, Vec<Real>> = serde_json::from_str(&file("tools.json")).unwrap();
    let mut bytes: BTreeMap<String, usize> = BTreeMap::new();
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
    let (_whole, catalog) = lab(changes);
    let snapshot: &Snapshot = &catalog.snapshot();
    let tools: Vec<_> = snapshot.callable().cloned().collect();
    let index = Index::new(&tools, &snapshot.lexicon);
    let questions = questions();
    let (people, models) = (recall(&index, &questions, |q| &q.person), recall(&index, &questions, |q| &q.model));
    let all: usize = bytes.values().sum::<usize>() + bytes.len() + 1;
    let listed = snapshot.list_json().len();
    let of_answer = |question: &Question| -> usize {
        let best = index.search(&question.model, 5);
        best.iter().map(|found| bytes[&format!("{}/{}", found.entry.provider().id(), found.entry.own_name())]).sum()
    };
    let answers = questions.iter().map(of_answer).sum::<usize>() / questions.len();
    println!("{} tools of {} servers, {} questions", bytes.len(), servers.len(), questions.len());
    println!("the list: {all} bytes; with a search: {listed} bytes; five tools of an answer: {answers} bytes on average");
    println!("a right tool is first, among five, among ten: as a model asks {models:?}, as a person asks {people:?}");
    // What it was when this was written, less a little: a change of the words may not make it worse unseen.
    assert!(models[0] >= 80 && models[1] >= 88, "{models:?}");
    assert!(people[1] >= 45, "{people:?}");
    assert!(listed * 100 < all, "{listed} of {all}");
}
