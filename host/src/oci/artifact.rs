//! What a manifest says: which layer is the component, and which the sidecar. The forms of `wkg`
//! and of Wassette are read, that of `wkg` is written.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::RegistryError;
use crate::{config::is_digest, sigstore::Subject};

/// The layer of a component, as `wkg` writes it.
pub(super) const COMPONENT: &str = "application/wasm";
/// The configuration beside it.
pub(super) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Our sidecar, as a layer of its own.
pub(super) const SIDECAR: &str = "application/vnd.toolbay.sidecar.v1+toml";
/// Our sidecar, as an annotation of the manifest.
pub(super) const SIDECAR_ANNOTATION: &str = "dev.toolbay.sidecar";
/// A manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// A list of manifests, for several platforms.
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What a registry may answer with.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// What components are called by those who push them: `wkg` and Wassette today, the rest earlier.
const COMPONENTS: [&str; 4] = [
    COMPONENT,
    "application/vnd.wasm.component.v1",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
];

/// Largest sidecar.
const MAX_SIDECAR: u64 = 1 << 20;

/// A manifest as it was sent.
#[derive(Clone, Debug)]
pub struct RawManifest {
    /// To the last byte, as the digest is of them.
    pub bytes: Bytes,
    /// Of the bytes.
    pub digest: String,
    /// What the registry calls it.
    pub media_type: Option<String>,
}

impl RawManifest {
    /// What signatures are held against.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { digest: &self.digest, bytes: &self.bytes }
    }
}

/// A manifest (OCI Image Specification).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What its layers are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its configuration.
    pub config: Descriptor,
    /// What is in it.
    pub layers: Vec<Descriptor>,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What names a blob or a manifest.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// `sha256:…`.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What refers to a manifest, as a registry lists it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Referrer {
    pub(super) digest: String,
    pub(super) artifact_type: Option<String>,
}

#[derive(Deserialize)]
struct Referrers {
    manifests: Vec<Referrer>,
}

/// What a list says that refers to a manifest.
pub(super) fn referrers(list: &[u8]) -> Result<Vec<Referrer>, RegistryError> {
    let list: Referrers = serde_json::from_slice(list)
        .map_err(|error| RegistryError::new(format_args!("the list of what refers to it cannot be read: {error}")))?;
    Ok(list.manifests.into_iter().filter(|one| is_digest(&one.digest)).collect())
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<IndexEntry>,
}

#[derive(Deserialize)]
struct IndexEntry {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
}

/// What a registry has under a name.
pub(super) enum Found {
    Manifest(Box<Manifest>),
    /// A list, in which this is the one for WebAssembly: its digest.
    Index(String),
}

/// What to do with the sidecar of an artifact.
#[derive(Clone, Debug)]
pub(super) enum SidecarPart {
    Layer(Descriptor),
    Text(String),
}

/// The parts of an artifact that count here.
pub(super) struct Parts {
    pub(super) component: Descriptor,
    pub(super) sidecar: Option<SidecarPart>,
}

/// Reads what a registry sent.
pub(super) fn read(raw: &RawManifest) -> Result<Found, RegistryError> {
    let wrong = |why: &dyn std::fmt::Display| RegistryError::new(format_args!("the manifest {} cannot be read: {why}", raw.digest));
    let is_index = |of: &str| of.starts_with(INDEX) || of.contains("manifest.list");
    let value: serde_json::Value = serde_json::from_slice(&raw.bytes).map_err(|error| wrong(&error))?;
    // What it says of itself counts: a digest is of that, and not of a header.
    let says = value.get("mediaType").and_then(serde_json::Value::as_str).or(raw.media_type.as_deref()).unwrap_or_default();
    if is_index(says) || (value.get("manifests").is_some() && value.get("layers").is_none()) {
        let Index { manifests } = serde_json::from_value(value).map_err(|error| wrong(&error))?;
        let is_wasm = |entry: &&IndexEntry| entry.platform.as_ref().is_some_and(|platform| platform.architecture == "wasm");
        let mut fit = manifests.iter().filter(is_wasm).filter(|entry| is_digest(&entry.digest));
        return match (fit.next(), fit.next()) {
            (Some(one), None) => Ok(Found::Index(one.digest.clone())),
            (None, _) => Err(wrong(&"it is a list of images for several platforms, and none is for the architecture \"wasm\"")),
            (Some(_), Some(_)) => Err(wrong(&"it is a list with several for the architecture \"wasm\"; name one of them by its digest")),
        };
    }
    let manifest: Manifest = serde_json::from_value(value).map_err(|error| wrong(&error))?;
    let mut all = manifest.layers.iter().chain(std::iter::once(&manifest.config));
    if let Some(one) = all.find(|one| !is_digest(&one.digest)) {
        return Err(wrong(&format_args!("{:?} is no digest that is supported: sha256: and 64 hex digits", one.digest)));
    }
    Ok(Found::Manifest(Box::new(manifest)))
}

impl Manifest {
    /// The component and what is beside it. `max_file` is the largest component.
    pub(super) fn parts(&self, max_file: u64) -> Result<Parts, RegistryError> {
        let mut components = self.layers.iter().filter(|layer| COMPONENTS.contains(&layer.media_type.as_str()));
        let component = match (components.next(), components.next()) {
            (Some(one), None) => one.clone(),
            (Some(_), Some(_)) => return Err(RegistryError::new("it has several layers that are components, so none is the plugin")),
            (None, _) => {
                let types: Vec<_> = self.layers.iter().map(|layer| layer.media_type.as_str()).collect();
                let types = if types.is_empty() { "it has no layers".to_owned() } else { format!("its layers are {}", types.join(", ")) };
                return Err(RegistryError::new(format_args!(
                    "it is no WebAssembly component: none of its layers is {COMPONENT} ({types})"
                )));
            }
        };
        if component.size > max_file {
            return Err(RegistryError::new(format_args!(
                "its component has {} bytes, and {max_file} are allowed; make it smaller, or raise `max_file` in [host]",
                component.size
            )));
        }
        let mut layers = self.layers.iter().filter(|layer| layer.media_type == SIDECAR);
        let text = self.annotations.as_ref().and_then(|all| all.get(SIDECAR_ANNOTATION));
        let sidecar = match (layers.next(), layers.next(), text) {
            (None, _, None) => None,
            (Some(layer), None, None) if layer.size <= MAX_SIDECAR => Some(SidecarPart::Layer(layer.clone())),
            (Some(layer), None, None) => {
                return Err(RegistryError::new(format_args!("its sidecar has {} bytes, and {MAX_SIDECAR} are allowed", layer.size)));
            }
            (None, _, Some(text)) => Some(SidecarPart::Text(text.clone())),
            _ => return Err(RegistryError::new("it has several sidecars; it may have one, as a layer or as an annotation")),
        };
        Ok(Parts { component, sidecar })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::oci::sha256;

    fn raw(value: &Value) -> RawManifest {
        let bytes = serde_json::to_vec(value).unwrap();
        RawManifest { digest: sha256(&bytes), bytes: bytes.into(), media_type: None }
    }

    fn layer(media_type: &str, size: u64) -> Value {
        json!({ "mediaType": media_type, "digest": sha256(media_type.as_bytes()), "size": size })
    }

    fn manifest(layers: &[Value], annotations: Value) -> Value {
        json!({ "schemaVersion": 2, "config": layer(CONFIG, 2), "layers": layers, "annotations": annotations })
    }

    fn parts(value: &Value) -> Result<Parts, String> {
        match read(&raw(value)).map_err(|error| error.to_string())? {
            Found::Manifest(manifest) => manifest.parts(1000).map_err(|error| error.to_string()),
            Found::Index(digest) => Err(digest),
        }
    }

    #[test]
    fn the_component_is_found_in_all_forms_and_the_sidecar_beside_it() {
        for media_type in COMPONENTS {
            let found = parts(&manifest(&[layer("application/vnd.wasm.policy.v1+yaml", 5), layer(media_type, 9)], Value::Null)).unwrap();
            assert!(found.component.size == 9 && found.sidecar.is_none());
        }
        let found = parts(&manifest(&[layer(COMPONENT, 9), layer(SIDECAR, 5)], Value::Null)).unwrap();
        assert!(matches!(found.sidecar, Some(SidecarPart::Layer(layer)) if layer.size == 5));
        let found = parts(&manifest(&[layer(COMPONENT, 9)], json!({ SIDECAR_ANNOTATION: "queue = 1" }))).unwrap();
        assert!(matches!(found.sidecar, Some(SidecarPart::Text(text)) if text == "queue = 1"));
    }

    #[test]
    fn what_is_no_plugin_is_refused_with_what_it_is() {
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        let mut broken = manifest(&[layer(COMPONENT, 9)], Value::Null);
        broken["layers"][0]["digest"] = "sha512:00".into();
        for (value, says) in [
            (manifest(&[], Value::Null), "it has no layers"),
            (manifest(&[layer(tar, 9)], Value::Null), tar),
            (manifest(&[layer(COMPONENT, 9), layer(COMPONENTS[1], 9)], Value::Null), "several layers"),
            (manifest(&[layer(COMPONENT, 1001)], Value::Null), "max_file"),
            (manifest(&[layer(COMPONENT, 9), layer(SIDECAR, MAX_SIDECAR + 1)], Value::Null), "its sidecar has"),
            (manifest(&[layer(COMPONENT, 9), layer(SIDECAR, 1)], json!({ SIDECAR_ANNOTATION: "x" })), "several sidecars"),
            (broken, "sha512:00"),
            (json!([]), "cannot be read"),
            (json!({ "manifests": [{ "digest": "sha256:0", "platform": { "architecture": "amd64" } }] }), "none is for the architecture"),
        ] {
            let error = parts(&value).err().unwrap();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn of_a_list_the_one_for_wasm_is_taken() {
        let entry = |architecture: &str| json!({ "digest": sha256(architecture.as_bytes()), "platform": { "architecture": architecture } });
        let list = |entries: Vec<Value>| json!({ "mediaType": INDEX, "manifests": entries });
        assert_eq!(parts(&list(vec![entry("amd64"), entry("wasm")])).err().unwrap(), sha256(b"wasm"));
        assert!(parts(&list(vec![entry("wasm"), entry("wasm")])).err().unwrap().contains("several"));
    }
}
