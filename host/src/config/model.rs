//! Models that plugins may run: `[model.NAME]` and `[inference]` of `toolbay.toml`.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use toml::de::DeValue;

use super::{
    reader::{Item, Table, set},
    units::parse_size,
};
use crate::provider::ProviderId;

/// Longer than that, nobody waits for company.
const WINDOW: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(1);
/// More than one machine has.
const TENSOR: RangeInclusive<u64> = 1 << 10..=1 << 40;

/// `[inference]`: what holds for all models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferenceConfig {
    /// ONNX Runtime's library. None: it is looked for. Key: `library`.
    pub library: Option<PathBuf>,
    /// Bytes of one tensor that a plugin makes. Key: `max_tensor`.
    pub max_tensor: u64,
}

impl Default for InferenceConfig {
    fn default() -> Self {
        Self { library: None, max_tensor: 256 << 20 }
    }
}

/// `[model.NAME]`: a folder of ONNX files, loaded once and shared by all calls.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The folder. Key: `path`.
    pub path: PathBuf,
    /// Where it runs. Key: `device`.
    pub device: Device,
    /// Threads that one run uses, on the CPU. Key: `threads`.
    pub threads: usize,
    /// Copies of each graph that run at once. Key: `sessions`.
    pub sessions: usize,
    /// Rows that run as one; 1: each compute alone. Key: `max_batch`.
    pub max_batch: usize,
    /// How long a compute waits for others that are likely to come. Key: `batch_window`.
    pub batch_window: Duration,
    /// What it may take of its GPU's memory. Key: `gpu_memory`.
    pub gpu_memory: Option<GpuMemory>,
    /// Its share of a device's time, against the weights of the other models there. Key: `weight`.
    pub weight: u32,
    /// The plugins that may use it. Key: `plugins`.
    pub plugins: Vec<String>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            device: Device::Cpu,
            threads: 1,
            sessions: 1,
            max_batch: 32,
            batch_window: Duration::from_millis(2),
            gpu_memory: None,
            weight: 1,
            plugins: Vec::new(),
        }
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

/// Reads `[inference]`.
pub(super) fn inference(table: Table<'_>, config: &mut InferenceConfig) {
    set(&mut config.library, table.get("library").and_then(|item| item.file_path()).map(Some));
    set(&mut config.max_tensor, table.get("max_tensor").and_then(|item| item.size(TENSOR, "")));
    table.finish();
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
    let count = |key, most| table.get(key).and_then(|item: Item<'_>| item.number(1..=most)).and_then(|number| usize::try_from(number).ok());
    match table.get("path") {
        Some(path) => set(&mut config.path, path.file_path()),
        None => item.fail("has no \"path\"; write the folder of its ONNX files: path = \"models/t5-small\""),
    }
    set(&mut config.device, table.get("device").and_then(|item| item.parsed(parse_device)));
    set(&mut config.threads, count("threads", 1024));
    set(&mut config.sessions, count("sessions", 64));
    set(&mut config.max_batch, count("max_batch", 4096));
    set(&mut config.batch_window, table.get("batch_window").and_then(|item| item.duration(WINDOW)));
    set(&mut config.weight, table.get("weight").and_then(|item| item.number(1..=1000)));
    if let Some(memory) = table.get("gpu_memory") {
        config.gpu_memory = gpu_memory(&memory);
        if config.device == Device::Cpu {
            memory.fail_key("is for a model on a GPU; set device = \"cuda:0\" beside it, or leave it out");
        }
    }
    let plugin = |name: &str| ProviderId::new(name).map(|_| name.to_owned()).map_err(|error| error.to_string());
    set(&mut config.plugins, table.get("plugins").and_then(|item| item.parsed_list(plugin)));
    table.finish();
    config
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
fn gpu_memory(item: &Item<'_>) -> Option<GpuMemory> {
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
        item.fail(format_args!("{text:?} is no size; a share is written without quotes: {}", text.trim()));
        return None;
    }
    item.size(1 << 20..=1 << 44, "").map(GpuMemory::Bytes)
}
