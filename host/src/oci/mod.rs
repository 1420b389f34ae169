//! Plugins in an OCI registry: pulled, verified and kept on disk by digest, so that the folder of
//! plugins serves them like its own files; and pushed.
//!
//! A pull goes from the outside in: what the registry says is held against the digest that it was
//! asked for (`client`), read as an artifact (`artifact`), held against the signatures that
//! `[trust]` demands (`signature`) and put into the cache (`cache`). [`Pulls`] does that for
//! each `source` of the configuration, again and again, and says what is there now.

mod artifact;
mod authorize;
mod body;
mod cache;
mod client;
mod component;
mod credentials;
mod digest;
mod error;
mod helper;
mod inspect;
mod pull;
mod pulls;
mod push;
mod signature;

pub use artifact::{Descriptor, Manifest, RawManifest};
pub use cache::Cache;
pub use client::Registry;
pub use component::Interfaces;
pub use digest::sha256;
pub use error::RegistryError;
pub use inspect::{Description, describe};
pub use pull::{Artifact, PullSettings, pull};
pub use pulls::Pulls;
pub use push::{Package, push};
