//! `[search]`: what tools are ranked by where an endpoint has `search = true`.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    model::ModelConfig,
    section::{Section, section},
    toml_reader::Table,
    types::{FilePath, optional, text},
};
use crate::similar;

section! {
    /// The search for tools of endpoints with `search = true`.
    #[derive(Eq)]
    pub struct SearchConfig {
        /// The `[model.NAME]` that tells how near two sentences are in meaning, as NAME, or NAME/FILE
        /// where its folder has several graphs. Unset: tools are found by words alone.
        model: Option<String> = None, optional(text("model", name));
        /// The folder for what the model made of the tools, so that it is there at the next start.
        cache: Option<PathBuf> = None, optional(FilePath)
            => restart, unset("`${XDG_CACHE_HOME:-~/.cache}/toolbay/search`");
    }
}

fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("the name of a model cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// Reads `[search]`, and holds the model against those that there are.
pub(super) fn read(table: Table<'_>, config: &mut SearchConfig, models: &BTreeMap<String, ModelConfig>) {
    config.read(&table);
    if let (Some(item), Some(name)) = (table.get("model"), &config.model) {
        let model = name.split('/').next().unwrap_or_default();
        if !models.contains_key(model) {
            let near = similar::did_you_mean(model, models.keys().map(String::as_str));
            item.fail(format_args!("there is no [model.{model}]{near}"));
        }
    }
    table.finish();
}
