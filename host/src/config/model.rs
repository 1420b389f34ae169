//! Models that plugins may run: `[model.NAME]` and `[inference]` of `toolbay.toml`.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use toml::de::DeValue;

use super::{
    key::TypeInfo,
    section::{Section, section},
    toml_reader::{Item, Table},
    types::{FilePath, KIB, MIB, MILLISECOND, SECOND, TIB, Type, duration, list, number, optional, size, text},
    units::{format_size, parse_size},
};
use crate::provider::ProviderId;

section! {
    /// Settings for all models.
    #[derive(Eq)]
    pub struct InferenceConfig {
        /// ONNX Runtime's library, `libonnxruntime.so`. Default: `ORT_DYLIB_PATH`, then
        /// `${XDG_CACHE_HOME:-~/.cache}/toolbay/onnxruntime`, then the folders of package managers.
        library: Option<PathBuf> = None, optional(FilePath) => restart;
        /// Largest tensor that a plugin may create.
        max_tensor: u64 = 256 * MIB, size(KIB..=TIB);
    }
}

section! {
    /// A folder of ONNX files, loaded once and shared by all calls.
    pub struct ModelConfig {
        /// The folder. All `*.onnx` files in it are loaded, and reloaded when they change.
        path: PathBuf = PathBuf::new(), FilePath => required;
        /// The plugins that may use the model. They also see the folder, read-only, as
        /// `/models/NAME`.
        plugins: Vec<String> = Vec::new(), list("plugins", text("plugin", parse_plugin));
        /// Where the model runs. Toolbay refuses to start if that GPU can't be used.
        device: Device = Device::Cpu, text("text", parse_device);
        /// CPU threads per run.
        threads: usize = 1, number(1..=1024);
        /// Replicas of each graph, which run concurrently.
        sessions: usize = 1, number(1..=64);
        /// Rows of different calls that run as one batch. 1 disables batching.
        max_batch: usize = 32, number(1..=4096);
        /// How long a request waits for others that are likely to come.
        batch_window: Duration = MILLISECOND * 2, duration(Duration::ZERO..=SECOND);
        /// GPU memory limit of the model: `"8GiB"`, or a fraction of the GPU's memory such as
        /// `0.5`.
        gpu_memory: Option<GpuMemory> = None, optional(GpuShare) => unset("as much as it needs");
        /// Share of the device's time relative to the weights of other models on it.
        weight: u32 = 1, number(1..=1000);
    }
}

/// Where a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    /// `cpu`.
    Cpu,
    /// `cuda:N`, by CUDA's number.
    Cuda(u16),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// An amount of a GPU's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GpuMemory {
    /// So many bytes.
    Bytes(u64),
    /// A share of all that the GPU has: over 0, at most 1.
    Share(f64),
}

/// Reads all of `[model.NAME]`.
pub(super) fn models(table: &Table<'_>) -> BTreeMap<String, ModelConfig> {
    let mut models = BTreeMap::new();
    for item in table.items() {
        if !is_name(&item.key) {
            item.fail_key(
                "the name of a model must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\" and \".\", starting with a letter or a digit",
            );
        }
        let Some(keys) = item.table() else { continue };
        let config = model(&item, keys);
        models.insert(item.key, config);
    }
    models
}

/// Neither of the characters that stand between a model and its file.
fn is_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    first && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn model(item: &Item<'_>, table: Table<'_>) -> ModelConfig {
    let mut config = ModelConfig::default();
    config.read(&table);
    if table.get("path").is_none() {
        item.fail("has no \"path\"; write the folder of its ONNX files: path = \"models/t5-small\"");
    }
    if let Some(memory) = table.get("gpu_memory").filter(|_| config.device == Device::Cpu) {
        memory.fail_key("is for a model on a GPU; set device = \"cuda:0\" beside it, or leave it out");
    }
    table.finish();
    config
}

fn parse_plugin(name: &str) -> Result<String, String> {
    ProviderId::new(name).map(|_| name.to_owned()).map_err(|error| error.to_string())
}

fn parse_device(text: &str) -> Result<Device, String> {
    let wrong = || format!("{text:?} is not allowed; it must be \"cpu\", or \"cuda:0\" with the number of the GPU");
    match text.split_once(':') {
        None if text == "cpu" => Ok(Device::Cpu),
        Some(("cuda", number)) if !number.starts_with('+') => number.parse().map(Device::Cuda).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// Bytes, or a share such as 0.5.
struct GpuShare;

impl Type<GpuMemory> for GpuShare {
    fn read(&self, item: &Item<'_>) -> Option<GpuMemory> {
        if let DeValue::Float(share) = item.value {
            let share: f64 = share.as_str().replace('_', "").parse().unwrap_or(f64::NAN);
            if share > 0.0 && share <= 1.0 {
                return Some(GpuMemory::Share(share));
            }
            item.fail("a share must be over 0.0 and at most 1.0");
            return None;
        }
        // A text that looks like a share was meant as one.
        if let Some(text) = item.value.as_str().filter(|text| parse_size(text).is_err() && text.trim().parse::<f64>().is_ok()) {
            item.fail(format_args!("{text:?} is not a size; a share is written without quotes: {}", text.trim()));
            return None;
        }
        item.size(MIB..=16 * TIB).map(GpuMemory::Bytes)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("size or share", json!({ "$ref": "#/$defs/GpuMemory" })).within(format!(
            "{} to {}, or more than 0 to 1.0",
            format_size(MIB),
            format_size(16 * TIB)
        ))
    }

    fn write(&self, _: &GpuMemory) -> Option<Value> {
        None
    }
}
