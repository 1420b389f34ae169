//! What is published of a component, kept beside its code, so that a host can list it without loading it.
//!
//! The compiler keeps bytes here and knows nothing of what is in them. They are found by the component's digest, by what its code is compiled for, and by
//! `settings`: everything else that they were made with. Like code, they are believed only where a digest that is made with the folder's key says that they
//! are what was written.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use wasmtime::Engine;

use super::{
    Compiler, beside,
    cache::{self, Cache, CacheError},
};
use crate::{
    config::PluginCompiler,
    wasm::engine::{EngineKind, Target, Tier},
};

/// No description is longer: it is what a plugin lists, and that has limits of its own.
const LONGEST: u64 = 256 << 20;

impl Compiler {
    /// What was kept of a component whose code is in the cache and is not to be replaced by better code, and what that code is for. None: it has to be loaded.
    pub(crate) async fn description(&self, digest: blake3::Hash, settings: Arc<str>) -> Option<(Target, Vec<u8>)> {
        let tiers: &'static [Tier] = match self.host.compiler {
            PluginCompiler::Auto | PluginCompiler::Cranelift => &[Tier::Cranelift],
            PluginCompiler::Winch => &[Tier::Winch, Tier::Cranelift],
        };
        let (cache, engines) = (Arc::clone(&self.cache), Arc::clone(&self.engines));
        let looking = beside(move || {
            let targets = tiers.iter().flat_map(|tier| EngineKind::ALL.map(|kind| Target { tier: *tier, kind }));
            for target in targets {
                // Another engine is dear: do not make it to look for what cannot be there.
                let is_there_anyway = target == Target { tier: Tier::Cranelift, kind: EngineKind::Plain };
                if !is_there_anyway && !cache.has_target(target) {
                    continue;
                }
                let Ok(engine) = engines.get(target) else { continue };
                if cache.has(&engine, target, digest)
                    && let Some(description) = cache.description(&engine, target, digest, &settings)
                {
                    return Ok(Some((target, description)));
                }
            }
            Ok(None)
        });
        looking.await.ok().flatten()
    }

    /// Keeps what is published of a component with code for this target. None in place of the text: what was kept is not true any more.
    pub(crate) async fn describe(&self, target: Target, digest: blake3::Hash, settings: Arc<str>, text: Option<Vec<u8>>) {
        let (cache, engines) = (Arc::clone(&self.cache), Arc::clone(&self.engines));
        let writing = beside(move || {
            let engine = engines.get(target)?;
            match text {
                Some(text) => cache.keep_description(&engine, target, digest, &settings, &text),
                None => cache.forget_description(&engine, target, digest, &settings),
            }
            Ok(())
        });
        if let Err(error) = writing.await {
            tracing::debug!(%error, "what a plugin publishes could not be kept");
        }
    }

    /// A short text for everything that a description was made with. It tells nothing of what that is. None: nothing can be kept.
    pub(crate) fn settings(&self, parts: &[&[u8]]) -> Option<Arc<str>> {
        let (_, key) = self.cache.ready().ok()?;
        let mut hasher = blake3::Hasher::new_keyed(&key);
        for part in parts {
            hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes()).update(part);
        }
        hasher.finalize().to_hex().get(..16).map(Into::into)
    }
}

impl Cache {
    fn description_file(&self, engine: &Engine, target: Target, digest: blake3::Hash, settings: &str) -> Option<PathBuf> {
        let code = self.entry(engine, target, digest)?;
        Some(code.with_file_name(format!("{}-{settings}.listing", digest.to_hex())))
    }

    /// What was kept. What is not what was written is deleted.
    fn description(&self, engine: &Engine, target: Target, digest: blake3::Hash, settings: &str) -> Option<Vec<u8>> {
        let path = self.description_file(engine, target, digest, settings)?;
        let file = cache::open_ours(&path).ok()?;
        let modified = file.metadata().and_then(|about| about.modified()).ok();
        let mut told = [0; blake3::OUT_LEN];
        let mut text = Vec::new();
        let mut file = file.take(LONGEST);
        file.read_exact(&mut told).and_then(|()| file.read_to_end(&mut text)).ok()?;
        let (_, key) = self.ready().ok()?;
        let mut hasher = cache::keyed(&key, &path);
        hasher.update(&text);
        if hasher.finalize() != blake3::Hash::from_bytes(told) {
            tracing::warn!(
                file = %path.display(),
                "what was kept of a plugin is not what was written: the disk or somebody has changed it; the plugin is loaded to list it"
            );
            let _ = fs::remove_file(&path);
            return None;
        }
        cache::mark_used(&path, modified);
        // Its code may not be loaded for long, and is needed then.
        if let Some(code) = self.entry(engine, target, digest) {
            let modified = fs::metadata(&code).and_then(|about| about.modified()).ok();
            cache::mark_used(&code, modified);
        }
        Some(text)
    }

    fn keep_description(&self, engine: &Engine, target: Target, digest: blake3::Hash, settings: &str, text: &[u8]) {
        if let Err(error) = self.try_keep_description(engine, target, digest, settings, text) {
            // Where code cannot be kept either, that is told.
            tracing::debug!(%error, "what a plugin publishes cannot be kept, so it is loaded at every start");
        }
    }

    fn try_keep_description(
        &self,
        engine: &Engine,
        target: Target,
        digest: blake3::Hash,
        settings: &str,
        text: &[u8],
    ) -> Result<(), CacheError> {
        let (folder, key) = self.ready()?;
        let path = self.description_file(engine, target, digest, settings).ok_or(CacheError::NoFolder)?;
        path.parent().map_or(Ok(()), cache::make_ours)?;
        let mut hasher = cache::keyed(&key, &path);
        hasher.update(text);
        let scratch = self.scratch(folder, &[&hasher.finalize().as_bytes()[..], text].concat())?;
        rename(&scratch.0, path)
    }

    fn forget_description(&self, engine: &Engine, target: Target, digest: blake3::Hash, settings: &str) {
        if let Some(path) = self.description_file(engine, target, digest, settings) {
            let _ = fs::remove_file(path);
        }
    }
}

fn rename(from: &Path, to: PathBuf) -> Result<(), CacheError> {
    fs::rename(from, &to).map_err(|source| CacheError::Io { what: "cannot write", path: to, source })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        config::HostConfig,
        wasm::{compile::Worker, engine::Engines},
    };

    const PLAIN: Target = Target { tier: Tier::Cranelift, kind: EngineKind::Plain };

    #[tokio::test]
    async fn what_was_kept_is_found_by_everything_that_it_was_made_with_and_only_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let host = HostConfig { instances: 4, cache: Some(folder.path().join("cache")), ..HostConfig::default() };
        let compiler = Compiler::new(Engines::new(&host).unwrap(), &host, Worker::InProcess).unwrap();
        let bytes = Bytes::from(wat::parse_str("(component)").unwrap());
        let digest = blake3::hash(&bytes);
        let settings = compiler.settings(&[b"a", b"b"]).unwrap();
        assert_ne!(compiler.settings(&[b"ab"]).unwrap(), settings);
        assert_eq!(compiler.settings(&[b"a", b"b"]).unwrap(), settings);
        compiler.describe(PLAIN, digest, settings.clone(), Some(b"lists".to_vec())).await;
        assert!(compiler.description(digest, settings.clone()).await.is_none(), "there is no code for it");
        compiler.compile(bytes, digest).await.unwrap();
        assert_eq!(compiler.description(digest, settings.clone()).await, Some((PLAIN, b"lists".to_vec())));
        let other = compiler.settings(&[b"other"]).unwrap();
        assert!(compiler.description(digest, other).await.is_none());
        let engine = compiler.engines.get(PLAIN).unwrap();
        let file = compiler.cache.description_file(&engine, PLAIN, digest, &settings).unwrap();
        let written = fs::read(&file).unwrap();
        for at in 0..written.len() {
            let mut flipped = written.clone();
            flipped[at] ^= 1;
            fs::write(&file, flipped).unwrap();
            assert!(compiler.description(digest, settings.clone()).await.is_none(), "a bit of byte {at}");
            assert!(!file.exists());
        }
        compiler.describe(PLAIN, digest, settings.clone(), Some(b"lists".to_vec())).await;
        assert!(compiler.description(digest, settings.clone()).await.is_some());
        compiler.describe(PLAIN, digest, settings.clone(), None).await;
        assert!(compiler.description(digest, settings).await.is_none());
    }
}
