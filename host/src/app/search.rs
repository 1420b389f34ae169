//! The model that endpoints with a search rank tools by, as the configuration says.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{
    catalog::{
        Catalog,
        search::{Embedder, MeaningStatus},
    },
    config::Config,
    embedding::SentenceModel,
    inference::Registry,
};

/// Has the catalog use the model of this configuration.
pub(super) fn apply(catalog: &Catalog, models: &Arc<Registry>, config: &Config) {
    let name = config.search.model.as_deref();
    catalog.embed_with(name.map(|name| SentenceModel::new(Arc::clone(models), name) as Arc<dyn Embedder>));
}

/// Where vectors are kept. None: nowhere.
pub(super) fn folder(config: &Config) -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    config.search.cache.clone().or_else(|| Some(cache()?.join(Path::new("toolbay/search"))))
}

/// For `/status`. None: tools are found by words alone.
pub(super) fn status(catalog: &Catalog, config: &Config) -> Option<Value> {
    let model = config.search.model.as_deref()?;
    let MeaningStatus { tools, embedded, error } = catalog.meanings();
    let mut section = json!({ "model": model, "tools": tools, "embedded": embedded });
    if let (Some(error), Some(section)) = (error, section.as_object_mut()) {
        section.insert("error".to_owned(), error.into());
    }
    Some(section)
}

/// Why the model cannot be used, if it cannot.
pub(super) async fn trouble(models: &Arc<Registry>, config: &Config) -> Option<String> {
    let model = SentenceModel::new(Arc::clone(models), config.search.model.as_deref()?);
    let why = model.version().await.err()?;
    Some(format!("tools are searched by words alone: {why}"))
}

/// What the operator should know of it, if anything.
pub(super) fn warning(config: &Config) -> Option<String> {
    let is_used = config.endpoint.values().any(|endpoint| endpoint.search);
    let model = config.search.model.as_deref().filter(|_| !is_used)?;
    Some(format!("[search] model = {model:?} is not used: no [endpoint.NAME] has search = true"))
}
