//! The same on a GPU. These need one: `just test-gpu` runs them, with the build of ONNX Runtime that has CUDA.

use super::*;
use crate::config::{Device, GpuMemory};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an NVIDIA GPU: just test-gpu"]
async fn on_a_gpu_all_tokens_are_as_pytorch_has_them_alone_and_with_many() {
    for (callers, ragged) in [(1, false), (32, false), (32, true)] {
        let registry = registry(|model| model.device = Device::Cuda(0));
        let begin = std::time::Instant::now();
        let (right, all, mean_batch) = decode::decode_all(&registry, callers, ragged).await;
        eprintln!("{callers} callers, ragged {ragged}: {right} of {all}, mean batch {mean_batch}, {:?}", begin.elapsed());
        assert_eq!(right, all);
    }
}

/// MiB of the GPU that are in use, by all.
fn used() -> u64 {
    let output =
        std::process::Command::new("nvidia-smi").args(["--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an NVIDIA GPU: just test-gpu"]
async fn two_models_on_one_gpu_stay_within_their_shares() {
    const LIMIT: u64 = 256 << 20;
    let mut config = Config::default();
    for name in ["a", "b"] {
        let (device, gpu_memory) = (Device::Cuda(0), Some(GpuMemory::Bytes(LIMIT)));
        let model = ModelConfig { path: t5(), device, gpu_memory, plugins: vec!["p".to_owned()], ..ModelConfig::default() };
        config.model.insert(name.to_owned(), model);
    }
    let before = used();
    let registry = Registry::open(&config).unwrap();
    for name in ["a", "b"] {
        let encoder = graph(&registry, &format!("{name}/encoder_model"));
        let account = Account::new("p", 1 << 30, 1 << 30, Duration::from_secs(60));
        encoder.compute(&account, text(&account, &[5, 6, 1])).await.unwrap();
        // More than its share: it is refused, and all goes on.
        let fault = encoder.compute(&account, text(&account, &[5; 8000])).await.map(drop).unwrap_err();
        assert_eq!(fault.code, Code::Runtime, "{fault}");
        encoder.compute(&account, text(&account, &[5, 6, 1])).await.unwrap();
    }
    // What CUDA itself takes for a process is beside it.
    const CONTEXT: u64 = 1024;
    let grown = used().saturating_sub(before);
    assert!(grown <= 2 * (LIMIT >> 20) + CONTEXT, "{grown} MiB");
}

#[test]
#[ignore = "needs an NVIDIA GPU: just test-gpu"]
fn a_share_is_of_all_that_the_gpu_has() {
    let registry = registry(|model| {
        model.device = Device::Cuda(0);
        model.gpu_memory = Some(GpuMemory::Share(0.25));
    });
    let limit = registry.statuses()[0].gpu_memory.unwrap();
    assert!(limit > 1 << 30, "{limit}");
}
