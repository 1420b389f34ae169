//! Words that people use for one thing: who looks for a `folder` means a `directory` too.
//!
//! They are general on purpose. What is meant by words that have nothing in common is a matter of meaning, which words alone do not tell.

use std::{collections::HashMap, sync::LazyLock};

use super::words;

/// How much a word counts that stands for the one that was asked for.
pub(super) const SHARE: f32 = 0.5;

const GROUPS: &[&str] = &[
    "create add new make insert",
    "delete remove erase drop clear",
    "update change edit modify set replace",
    "list show get read fetch view retrieve",
    "find search look query lookup",
    "send post write push message notify",
    "picture image photo screenshot",
    "folder directory",
    "file document",
    "run execute start launch call invoke",
    "stop cancel end terminate kill abort",
    "copy duplicate clone fork",
    "move rename",
    "merge combine join",
    "error bug issue problem crash exception failure",
    "log output print",
    "customer client contact user",
    "calculate compute",
    "convert transform turn",
    "row record line entry",
    "column field",
    "chart graph plot diagram",
    "website site page web url",
    "download save export",
    "upload import attach",
    "restart rerun retry",
    "deploy release rollout",
    "weather forecast",
    "place location address",
    "route directions drive travel",
    "distance far duration",
    "branch version",
    "comment note remark",
    "video clip movie",
    "news headline article",
    "paper publication article",
    "table sheet spreadsheet",
    "alert alarm warning notification",
    "schedule plan",
    "server host machine node",
    "container pod",
    "meeting event appointment calendar",
    "summary overview summarize",
    "click press",
    "type enter fill",
    "everybody all broadcast",
    "group team channel",
    "open connect",
    "close disconnect",
    "test check validate verify",
    "money price payment invoice",
];

/// The words that are looked for beside this one.
pub(super) fn to(word: &str) -> &'static [String] {
    static RELATED: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(related);
    RELATED.get(word).map(Vec::as_slice).unwrap_or_default()
}

fn related() -> HashMap<String, Vec<String>> {
    let mut related: HashMap<String, Vec<String>> = HashMap::new();
    for group in GROUPS {
        let mut group_words: Vec<String> = Vec::new();
        words::each(group, |word| group_words.push(word.to_owned()));
        for word in &group_words {
            let others = related.entry(word.clone()).or_default();
            others.extend(group_words.iter().filter(|other| *other != word).cloned());
            others.sort();
            others.dedup();
        }
    }
    related
}
