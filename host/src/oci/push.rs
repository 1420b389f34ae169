//! From a component to an artifact in a registry, as `wkg` makes it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;

use super::{
    artifact::{COMPONENT, CONFIG, Descriptor, MANIFEST, Manifest, SIDECAR},
    client::Registry,
    component::Interfaces,
    digest::sha256,
    error::RegistryError,
};
use crate::config::{OciReference, RegistryConfig};

/// When every artifact was made: the same component is the same artifact, whoever pushes it and
/// when.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// What is pushed.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// The component.
    pub component: Bytes,
    /// Its sidecar.
    pub sidecar: Option<Bytes>,
    /// What the manifest says of it.
    pub annotations: BTreeMap<String, String>,
}

impl Package {
    /// The blobs and the manifest that names them.
    fn parts(&self) -> Result<(Vec<Bytes>, Bytes), String> {
        let Interfaces { imports, exports } = Interfaces::of(&self.component)?;
        let mut layers = vec![(COMPONENT, self.component.clone())];
        layers.extend(self.sidecar.clone().map(|sidecar| (SIDECAR, sidecar)));
        let digests: Vec<_> = layers.iter().map(|(_, bytes)| sha256(bytes)).collect();
        let config = json!({
            "created": CREATED,
            "author": null,
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": digests,
            "component": { "exports": exports, "imports": imports, "target": null },
        });
        let config = Bytes::from(config.to_string());
        let describe = |media_type: &str, bytes: &Bytes| Descriptor {
            media_type: media_type.to_owned(),
            digest: sha256(bytes),
            size: bytes.len() as u64,
            annotations: None,
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            artifact_type: None,
            config: describe(CONFIG, &config),
            layers: layers.iter().map(|(media_type, bytes)| describe(media_type, bytes)).collect(),
            annotations: (!self.annotations.is_empty()).then(|| self.annotations.clone()),
        };
        let manifest = serde_json::to_vec(&manifest).map_err(|error| error.to_string())?;
        let blobs = layers.into_iter().map(|(_, bytes)| bytes).chain([config]).collect();
        Ok((blobs, manifest.into()))
    }
}

/// Pushes it under the tag of a reference, and says its digest.
///
/// # Errors
///
/// It is no component, or the registry does not take it.
pub async fn push(reference: &OciReference, config: &RegistryConfig, package: &Package) -> Result<String, RegistryError> {
    let Some(tag) = reference.tag.as_deref().filter(|_| reference.digest.is_none()) else {
        return Err(RegistryError::new("a digest comes of what is pushed and cannot be chosen; name a tag"));
    };
    let (blobs, manifest) = package.parts()?;
    let registry = Registry::open(reference, config).await?;
    for blob in &blobs {
        registry.put_blob(&sha256(blob), blob).await?;
    }
    registry.put_manifest(tag, MANIFEST, &manifest).await?;
    Ok(sha256(&manifest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_the_same_each_time_and_names_all_of_it() {
        let component = Bytes::from(wat::parse_str("(component (import \"a:b/c\" (instance)))").unwrap());
        let annotations = BTreeMap::from([("org.opencontainers.image.version".to_owned(), "1.2".to_owned())]);
        let package = Package { component: component.clone(), sidecar: Some("queue = 1".into()), annotations };
        let (blobs, manifest) = package.parts().unwrap();
        assert_eq!(package.parts().unwrap(), (blobs.clone(), manifest.clone()));
        let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect::<Vec<_>>(), [COMPONENT, SIDECAR]);
        assert_eq!(manifest.layers[0].digest, sha256(&component));
        let config: serde_json::Value = serde_json::from_slice(&blobs[2]).unwrap();
        assert_eq!(manifest.config.digest, sha256(&blobs[2]));
        assert_eq!((&config["architecture"], &config["component"]["imports"][0]), (&json!("wasm"), &json!("a:b/c")));
        assert!(Package { component: "x".into(), ..Package::default() }.parts().unwrap_err().contains("no WebAssembly component"));
    }
}
