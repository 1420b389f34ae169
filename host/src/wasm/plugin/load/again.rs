//! Plugins that were loaded before: what is known of them without their code, and their code when a call needs it.

use std::{
    fs,
    sync::{Arc, LazyLock, PoisonError, atomic::Ordering},
};

use super::{
    super::{Plugin, described::Described, on_demand::Version},
    LastConfig, PluginHost, assemble,
};
use crate::{
    config::PluginConfig,
    offload, system,
    wasm::{
        engine::Target,
        folder::{LoadError, Loaded, Source, read_again},
    },
};

/// What a description looks like. Others are made anew.
const FORMAT: &str = "1";

/// This very program: another build may describe the same component in other words.
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let about = fs::metadata(system::own_program()).ok();
    let written = about.as_ref().and_then(|about| about.modified().ok());
    format!("{} {FORMAT} {:?} {written:?}", env!("CARGO_PKG_VERSION"), about.map(|about| about.len()))
});

impl PluginHost {
    /// A plugin that was described before, where there are too many for all to be in memory. None: it has to be loaded to be listed.
    pub(super) async fn described_before(self: &Arc<Self>, source: &Source, config: &Arc<PluginConfig>) -> Option<Loaded> {
        if !self.residents.are_too_many() {
            return None;
        }
        let settings = self.settings_of(config)?;
        let key = key(source.digest, &settings);
        let described = match self.common.described.find(&key) {
            Some(known) => known,
            None => {
                let (target, text) = self.compiler.description(source.digest, settings.clone()).await?;
                let (common, size) = (Arc::clone(&self.common), text.len());
                let read = move || common.described.get(&key, || Described::read(&text, target, &common).map(Arc::new));
                let read = if size <= offload::SMALL { read() } else { tokio::task::spawn_blocking(read).await.ok()? };
                read?
            }
        };
        let bell = (described.traits.tells || described.traits.lists).then(Arc::default);
        let of = (source.id.clone(), source.path.clone(), source.digest);
        Some(Version::new(self.clone(), of, config.clone(), Some(settings), bell).unloaded(described))
    }

    /// What descriptions are kept by that were made with this configuration. None: nothing can be kept.
    pub(super) fn settings_of(&self, config: &Arc<PluginConfig>) -> Option<Arc<str>> {
        let of_last = |last: &Option<LastConfig>| {
            last.as_ref().filter(|(last, _)| Arc::ptr_eq(last, config)).and_then(|(_, settings)| settings.clone())
        };
        if let Some(settings) = of_last(&self.last.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Some(settings);
        }
        let limits = format!("{} {}", self.limits.max_memory, self.limits.instances);
        let said = format!("{config:?}");
        let mut parts = vec![BUILD.as_bytes(), limits.as_bytes(), said.as_bytes()];
        // Not shown by the text of the configuration.
        parts.extend(config.grants.env.values().map(|secret| secret.0.as_bytes()));
        let settings = self.compiler.settings(&parts)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, kept)) = last.as_mut().filter(|(last, _)| Arc::ptr_eq(last, config)) {
            *kept = Some(settings.clone());
        }
        Some(settings)
    }

    /// Keeps what is published of a plugin for the next start, and says what that is.
    pub(in crate::wasm::plugin) async fn keep_description(&self, version: &Version, plugin: &Plugin) -> Arc<Described> {
        let described = Described::of(plugin);
        let Some(settings) = version.settings.clone() else { return Arc::new(described) };
        let grants = &version.config.grants;
        let sees_files = !grants.dirs.is_empty() || self.models.current().granted(version.id.as_str()).next().is_some();
        let lists_the_same = !described.traits.lists || !(plugin.code.reached.load(Ordering::Relaxed) || sees_files);
        let (common, target, key) = (Arc::clone(&self.common), described.target, key(version.digest, &settings));
        let making = tokio::task::spawn_blocking(move || {
            let Some(text) = described.text() else { return (Arc::new(described), None) };
            let read = || Described::read(&text, target, &common).map(Arc::new);
            let shared = if lists_the_same { common.described.get(&key, read) } else { read() };
            (shared.unwrap_or_else(|| Arc::new(described)), Some(text).filter(|_| lists_the_same))
        });
        let Ok((described, text)) = making.await else { return Arc::new(Described::of(plugin)) };
        self.compiler.describe(target, version.digest, settings, text).await;
        described
    }

    /// What was kept is not true any more.
    pub(in crate::wasm::plugin) async fn forget_description(&self, version: &Version, target: Target) {
        if let Some(settings) = version.settings.clone() {
            self.compiler.describe(target, version.digest, settings, None).await;
        }
    }

    /// The code of a plugin that is listed: from the cache, or compiled once more.
    pub(in crate::wasm::plugin) async fn load_again(self: &Arc<Self>, version: &Arc<Version>) -> Result<Arc<Plugin>, LoadError> {
        let failed = |error: &dyn std::fmt::Display| LoadError(error.to_string());
        let mut turn = Some(self.loads.acquire().await.map_err(|error| failed(&error))?);
        let found = self.compiler.code(version.digest).await.map_err(|error| failed(&error))?;
        let compiled = match found {
            Some(found) => found,
            None => {
                // Compiling has turns of its own.
                turn = None;
                tracing::info!(plugin = %version.id, "the code of a plugin is not in the cache any more; it is compiled again");
                let bytes = self.read(version).await?;
                self.compile(&version.id, bytes, version.digest).await?
            }
        };
        let (of, bell) = ((&version.id, version.digest), version.bell.clone().unwrap_or_default());
        // What its author says of it is in its description already.
        let (parts, engine, pre) = self.prepare(of, &version.config, Arc::default(), &compiled, bell, version.still_shared())?;
        let improves = self.compiler.improves(compiled.target.tier);
        let code = assemble(&parts, engine, pre, compiled, None)?;
        // Its lists are made under limits of its own: nobody else waits for them.
        drop(turn);
        let plugin = Plugin::load(code).await?;
        if improves {
            self.optimise_again(version.clone(), plugin.clone());
        }
        Ok(plugin)
    }

    /// Has better code made, which the next call loads.
    fn optimise_again(self: &Arc<Self>, version: Arc<Version>, plugin: Arc<Plugin>) {
        let (host, id, ended) = (self.clone(), version.id.clone(), self.ended.clone());
        let work = async move {
            let bytes = host.read(&version).await?;
            host.compiler.optimise(bytes, version.digest).await.map_err(|error| LoadError(error.to_string()))?;
            version.reload(&plugin);
            Ok::<_, LoadError>(())
        };
        tokio::spawn(async move {
            if let Some(Err(error)) = ended.run_until_cancelled(work).await {
                tracing::warn!(plugin = %id, %error, "the plugin cannot be compiled for speed; it is served from the code that it has");
            }
        });
    }

    /// The component that a plugin's file is, if the file is the same.
    async fn read(&self, version: &Version) -> Result<bytes::Bytes, LoadError> {
        let (path, max_file, digest) = (version.path.clone(), self.limits.max_file, version.digest);
        let read = tokio::task::spawn_blocking(move || read_again(&path, max_file, digest)).await;
        let bytes = read.map_err(|error| LoadError(error.to_string()))?.map_err(LoadError)?;
        self.compiler.component_of(bytes).await.map_err(|error| LoadError(error.to_string()))
    }
}

/// What a description is found by while it is in memory.
fn key(digest: blake3::Hash, settings: &str) -> Vec<u8> {
    [digest.as_bytes(), settings.as_bytes()].concat()
}
