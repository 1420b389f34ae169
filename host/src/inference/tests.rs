//! The real ONNX Runtime with the tiny model of this repository.
//!
//! `scripts/onnxruntime.sh` installs the library. Where it is missing these tests say so and end, but not in CI, where they fail.

mod decode;
mod fairness;
mod faults;
mod gpu;
mod reorder;
mod swap;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::*;
use crate::config::{Config, ModelConfig};

/// The folder of the tiny translator.
fn t5() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/t5-tiny")
}

/// Whether the library is there.
fn has_library() -> bool {
    match library::load(None) {
        Ok(_) => true,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{error}");
            eprintln!("not tested: {error}");
            false
        }
    }
}

/// A registry with one model, `t5`, which the plugin `p` may use.
fn registry(change: impl FnOnce(&mut ModelConfig)) -> Arc<Registry> {
    let mut model = ModelConfig { path: t5(), plugins: vec!["p".to_owned(), "q".to_owned()], ..ModelConfig::default() };
    change(&mut model);
    let mut config = Config::default();
    config.model.insert("t5".to_owned(), model);
    Registry::open(&config).unwrap_or_else(|error| panic!("{error}"))
}

fn account(plugin: &str) -> Arc<Account> {
    Account::new(plugin, 64 << 20, 32 << 20, Duration::from_secs(60))
}

fn graph(registry: &Registry, name: &str) -> Graph {
    registry.graph("p", name, &mut Loading::default()).unwrap_or_else(|fault| panic!("{fault}"))
}

fn i64s(account: &Arc<Account>, dims: &[u32], values: &[i64]) -> Tensor {
    Tensor::new(account, ElementType::I64, dims.to_vec(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn f32s(tensor: &Tensor) -> Vec<f32> {
    assert_eq!(tensor.ty(), ElementType::F32);
    tensor.bytes().unwrap().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Inputs of the encoder for a text of these ids.
fn text(account: &Arc<Account>, ids: &[i64]) -> Vec<(String, Tensor)> {
    let dims = [1, u32::try_from(ids.len()).unwrap()];
    vec![("input_ids".to_owned(), i64s(account, &dims, ids)), ("attention_mask".to_owned(), i64s(account, &dims, &vec![1; ids.len()]))]
}
