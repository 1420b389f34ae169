//! What is known of a key, and of the table that it stands in.
//!
//! A key is declared once, by [`section!`](super::section::section). From its [`Key`] come the JSON
//! Schema, the tables of the reference page, the answer to "where does this key belong", and what
//! may be shown of a broken file.

use serde_json::Value;

/// What the page says of the default of a key that has to be set.
const REQUIRED: &str = "must be set";

/// One key of a table.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What it means, in Markdown.
    pub(super) doc: String,
    pub(super) of: TypeInfo,
    /// As it could stand in a file. None: it is not set.
    pub(super) default: Option<Value>,
    /// What the page says of the default where it is not set.
    pub(super) unset: Option<&'static str>,
    /// Whether its value may be, or hold, a secret.
    pub(super) secret: bool,
    /// Whether a change counts only from the next start on.
    pub(super) restart: bool,
    /// The kinds of servers that have it. Empty: it does not depend on that.
    pub(super) only: Vec<&'static str>,
}

/// What may stand behind a key.
#[derive(Clone, Debug)]
pub(super) struct TypeInfo {
    /// In words, for the page: `size`.
    pub(super) words: String,
    /// What is allowed, in words: `1KiB to 1GiB`.
    pub(super) range: Option<String>,
    /// As JSON Schema.
    pub(super) schema: Value,
    /// Whether the value may be, or hold, a secret.
    pub(super) secret: bool,
}

impl TypeInfo {
    pub(super) fn new(words: impl Into<String>, schema: Value) -> Self {
        Self { words: words.into(), range: None, schema, secret: false }
    }

    pub(super) fn within(self, range: String) -> Self {
        Self { range: Some(range), ..self }
    }

    /// Operators put secrets here, or into what they name here.
    pub(super) fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

impl Key {
    pub(super) fn new(name: &'static str, doc: &'static str, of: TypeInfo, default: Option<Value>) -> Self {
        let doc = doc.split_whitespace().collect::<Vec<_>>().join(" ");
        let secret = of.secret;
        Self { name, doc, of, default, unset: None, secret, restart: false, only: Vec::new() }
    }

    /// What holds where it is not set: `the image's`.
    pub(super) fn unset(self, words: &'static str) -> Self {
        Self { unset: Some(words), ..self }
    }

    /// Its value may hold a secret though it is plain text: an argument, or a URL, is as good a
    /// place as a variable.
    pub(super) fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// A change counts only from the next start on.
    pub(super) fn restart(self) -> Self {
        Self { restart: true, ..self }
    }

    /// What it means, and on what that depends, as one text.
    pub(super) fn meaning(&self) -> String {
        let only = self.only.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" or ");
        let only = if only.is_empty() { String::new() } else { format!(" Only with {only}.") };
        let restart = if self.restart { " A change needs a restart." } else { "" };
        format!("{}{only}{restart}", self.doc)
    }

    /// Whether there has to be a value.
    pub(super) fn is_required(&self) -> bool {
        self.unset == Some(REQUIRED)
    }

    /// There has to be a value.
    pub(super) fn required(self) -> Self {
        self.unset(REQUIRED)
    }

    /// Only these kinds of servers have it.
    pub(super) fn only(self, kinds: &[&'static str]) -> Self {
        Self { only: kinds.to_vec(), ..self }
    }
}

/// A table of `toolbay.toml`, and all keys that it may have.
#[derive(Clone, Debug)]
pub(super) struct TableInfo {
    /// How its header reads: `http`, `plugin.NAME`. Empty: the top level.
    pub(super) header: &'static str,
    /// Where its keys belong, in words: `in [http]`.
    pub(super) home: &'static str,
    /// What the JSON Schema calls it: `HttpSection`.
    pub(super) title: &'static str,
    /// What it is for.
    pub(super) about: String,
    /// Its keys, by what they are about: `limits`. A table of few keys has one group without a
    /// name.
    pub(super) groups: Vec<(&'static str, Vec<Key>)>,
}

impl TableInfo {
    /// All keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.groups.iter().flat_map(|(_, keys)| keys)
    }
}

/// All tables: what the reader and the excerpts of broken files know of keys that they did not ask
/// for.
#[derive(Clone, Debug, Default)]
pub(super) struct Vocabulary {
    pub(super) tables: Vec<TableInfo>,
}

impl Vocabulary {
    /// Where a key belongs, in words, if there is such a key anywhere.
    pub(super) fn home_of(&self, key: &str) -> Option<&'static str> {
        self.tables.iter().find(|table| table.keys().any(|known| known.name == key)).map(|table| table.home)
    }

    /// Whether a value of this key can be shown to anybody: a key of our own that is no secret in
    /// any table, nor is anything below it.
    pub(super) fn is_plain_key(&self, key: &str) -> bool {
        let mut same = self.tables.iter().flat_map(TableInfo::keys).filter(|known| known.name == key).peekable();
        same.peek().is_some() && same.all(|known| !known.secret)
    }

    /// Words that stand in the header of a table whose keys are names of secrets: `[auth.tokens]`,
    /// `[plugin.NAME.env]`.
    pub(super) fn words_of_secret_tables(&self) -> impl Iterator<Item = &'static str> {
        let all = |table: &&TableInfo| !table.header.is_empty() && table.keys().all(|key| key.secret);
        let whole = self.tables.iter().filter(all).map(|table| table.header);
        let keys = self.tables.iter().flat_map(TableInfo::keys).filter(|key| key.of.secret && !key.of.words.is_empty()).map(|key| key.name);
        whole.chain(keys)
    }

    /// The sections of the top level: `http`, `plugin`.
    pub(super) fn sections(&self) -> impl Iterator<Item = &'static str> {
        self.tables.iter().filter_map(|table| table.header.split('.').next()).filter(|section| !section.is_empty())
    }
}
