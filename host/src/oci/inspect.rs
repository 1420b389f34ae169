//! What is in a registry under a name, without pulling the component.

use serde_json::Value;

use super::{
    artifact::{self, Found, Manifest, SIDECAR, SIDECAR_ANNOTATION},
    client::Registry,
    error::RegistryError,
    signature,
};
use crate::config::{OciReference, RegistryConfig};

/// Largest configuration, and sidecar, that is shown.
const MOST: u64 = 1 << 20;

/// What is there.
#[derive(Clone, Debug)]
pub struct Description {
    /// Of what the name stands for.
    pub digest: String,
    /// What the manifest says.
    pub manifest: Manifest,
    /// The configuration, where it is JSON.
    pub config: Option<Value>,
    /// The sidecar, where there is one.
    pub sidecar: Option<String>,
    /// How many signatures by cosign there are.
    pub signatures: usize,
}

/// Looks at what a reference names.
///
/// # Errors
///
/// It cannot be had.
pub async fn describe(reference: &OciReference, config: &RegistryConfig) -> Result<Description, RegistryError> {
    let registry = Registry::open(reference, config).await?;
    let named = registry.manifest(reference.asked()).await?;
    let digest = named.digest.clone();
    let manifest = match artifact::read(&named)? {
        Found::Manifest(manifest) => *manifest,
        Found::Index(one) => match artifact::read(&registry.manifest(&one).await?)? {
            Found::Manifest(manifest) => *manifest,
            Found::Index(_) => return Err(RegistryError::new("it is a list of lists")),
        },
    };
    let config = registry.blob(&manifest.config, MOST).await.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let sidecar = match manifest.layers.iter().find(|layer| layer.media_type == SIDECAR) {
        Some(layer) => Some(String::from_utf8_lossy(&registry.blob(layer, MOST).await?).into_owned()),
        None => manifest.annotations.as_ref().and_then(|all| all.get(SIDECAR_ANNOTATION)).cloned(),
    };
    let signatures = signature::get(&registry, &digest).await?.len();
    Ok(Description { digest, manifest, config, sidecar, signatures })
}
