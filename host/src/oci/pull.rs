//! One pull: from a reference to verified files in the cache; and the same from what the cache
//! already has.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    artifact::{self, Descriptor, Found, Manifest, Parts, RawManifest, SidecarPart},
    cache::{Cache, blocking},
    client::Registry,
    digest::sha256,
    error::RegistryError,
    signature,
};
use crate::{
    config::{Config, OciReference, RegistryConfig, SignedRule},
    threads::{Task, Threads},
};

/// A pull that takes longer is given up, however steadily something comes.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// What holds for pulls of one reference.
#[derive(Clone, Debug, PartialEq)]
pub struct PullSettings {
    /// How its registry is reached.
    pub registry: RegistryConfig,
    /// The signatures that it needs.
    pub signed: Vec<SignedRule>,
    /// Bytes of the largest component.
    pub max_file: u64,
}

impl PullSettings {
    /// As the configuration says.
    #[must_use]
    pub fn of(config: &Config, reference: &OciReference) -> Self {
        Self {
            registry: config.registry.get(&reference.registry).cloned().unwrap_or_default(),
            signed: signature::demanded(&config.trust.signed, reference),
            max_file: config.host.max_file,
        }
    }
}

/// A plugin from a registry, in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Of what the reference names: a manifest, or a list of them.
    pub digest: String,
    /// The file of the component.
    pub component: PathBuf,
    /// The file of its sidecar, if it has one.
    pub sidecar: Option<PathBuf>,
}

/// Pulls what a reference names into the cache, apart from the threads that serve calls.
///
/// # Errors
///
/// It cannot be had, is not what its digest says, is no plugin, or is not signed as demanded.
/// Nothing that was there before is changed.
pub async fn pull(reference: &OciReference, settings: &PullSettings, cache: &Arc<Cache>) -> Result<Artifact, RegistryError> {
    static THREADS: Threads = Threads::outgoing();
    let (reference, settings, cache) = (reference.clone(), settings.clone(), Arc::clone(cache));
    let pulling = async move {
        let limit = tokio::time::timeout(LONGEST, pull_now(&reference, &settings, &cache));
        limit
            .await
            .unwrap_or_else(|_| Err(RegistryError::new(format_args!("pulling it took longer than {} minutes", LONGEST.as_secs() / 60))))
    };
    // Where there can be no more threads, it is pulled all the same.
    let Ok(threads) = THREADS.handle() else { return pulling.await };
    Task::new(threads.spawn(pulling))
        .end()
        .await
        .unwrap_or_else(|error| Err(RegistryError::new(format_args!("the pull has failed: {error}"))))
}

async fn pull_now(reference: &OciReference, settings: &PullSettings, cache: &Arc<Cache>) -> Result<Artifact, RegistryError> {
    let registry = Registry::open(reference, &settings.registry).await?;
    let named = registry.manifest(reference.asked()).await?;
    if !settings.signed.is_empty() {
        let digest = &named.digest;
        let kept = blocking(cache, {
            let digest = digest.clone();
            move |cache| signature::kept(cache, &digest)
        })
        .await?;
        if signature::check(&settings.signed, &kept, named.subject()).is_err() {
            let fetched = signature::fetch(&registry, cache, digest).await?;
            signature::check(&settings.signed, &fetched, named.subject())?;
        }
    }
    let (raw, manifest) = match artifact::read(&named)? {
        Found::Manifest(manifest) => (named.clone(), manifest),
        Found::Index(digest) => {
            let raw = registry.manifest(&digest).await?;
            match artifact::read(&raw)? {
                Found::Manifest(manifest) => (raw, manifest),
                Found::Index(_) => return Err(RegistryError::new("it is a list of lists")),
            }
        }
    };
    let Parts { component, sidecar } = manifest.parts(settings.max_file)?;
    let file = into_cache(&registry, cache, &component).await?;
    let sidecar = match sidecar {
        None => None,
        Some(SidecarPart::Text(text)) => Some(text.into_bytes()),
        Some(SidecarPart::Layer(layer)) => Some(registry.blob(&layer, layer.size).await?),
    };
    let reference = reference.clone();
    blocking(cache, move |cache| {
        let sidecar = match sidecar {
            None => None,
            Some(text) => {
                cache.keep_bytes(&text)?;
                Some(cache.sidecar(&text)?)
            }
        };
        for raw in [&raw, &named] {
            cache.keep_bytes(&raw.bytes)?;
        }
        // Last: what a tag names in the cache is there whole.
        cache.name(&reference, &named.digest)?;
        Ok(Artifact { digest: named.digest.clone(), component: file, sidecar })
    })
    .await?
}

async fn into_cache(registry: &Registry, cache: &Arc<Cache>, blob: &Descriptor) -> Result<PathBuf, RegistryError> {
    let digest = blob.digest.clone();
    if let Some(path) = blocking(cache, {
        let digest = digest.clone();
        move |cache| cache.blob(&digest)
    })
    .await?
    {
        return Ok(path);
    }
    let scratch = blocking(cache, Cache::scratch).await??;
    registry.blob_into(blob, &scratch.0).await?;
    Ok(blocking(cache, move |cache| cache.keep(&scratch, &digest)).await??)
}

/// What the cache has for a reference, held against the same rules as what comes from a registry.
/// None: nothing, or nothing whole. Blocks.
///
/// # Errors
///
/// It is there, and may not be used.
pub(super) fn cached(reference: &OciReference, settings: &PullSettings, cache: &Cache) -> Result<Option<Artifact>, RegistryError> {
    let Some(named) = reference.digest.clone().or_else(|| cache.named(reference)) else { return Ok(None) };
    let read = |digest: &str| {
        let bytes = cache.read(digest)?;
        Some(RawManifest { digest: sha256(&bytes), bytes: bytes.into(), media_type: None })
    };
    let found = |digest: &str| -> Result<Option<Found>, RegistryError> { read(digest).map(|raw| artifact::read(&raw)).transpose() };
    if !settings.signed.is_empty()
        && let Some(raw) = read(&named)
    {
        signature::check(&settings.signed, &signature::kept(cache, &named), raw.subject())?;
    }
    let manifest: Manifest = match found(&named)? {
        None => return Ok(None),
        Some(Found::Manifest(manifest)) => *manifest,
        Some(Found::Index(digest)) => match found(&digest)? {
            Some(Found::Manifest(manifest)) => *manifest,
            _ => return Ok(None),
        },
    };
    let Parts { component, sidecar } = manifest.parts(settings.max_file)?;
    let Some(component) = cache.blob(&component.digest) else { return Ok(None) };
    let sidecar = match sidecar {
        None => None,
        Some(SidecarPart::Text(text)) => Some(cache.sidecar(text.as_bytes())?),
        Some(SidecarPart::Layer(layer)) => match cache.read(&layer.digest) {
            Some(text) => Some(cache.sidecar(&text)?),
            None => return Ok(None),
        },
    };
    Ok(Some(Artifact { digest: named, component, sidecar }))
}
