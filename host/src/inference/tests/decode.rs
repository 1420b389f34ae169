//! Whole translations: the same tokens as PyTorch gave, alone and among many.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    ids: Vec<i64>,
    out: Vec<i64>,
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(t5().join("cases.json")).unwrap()).unwrap()
}

/// Greedy decoding, as a plugin does it.
async fn decode(registry: &Registry, ids: &[i64], ragged: bool) -> Vec<i64> {
    let account = account("p");
    let mut loading = Loading::default();
    let mut load = |name: &str| registry.graph("p", name, &mut loading).unwrap();
    let (encoder, first) = (load("t5/encoder_model"), load("t5:decoder_model"));
    let next = load(if ragged { "t5/decoder_with_past_model_ragged" } else { "t5/decoder_with_past_model" });
    let length = u32::try_from(ids.len()).unwrap();
    let mask = || ("encoder_attention_mask".to_owned(), i64s(&account, &[1, length], &vec![1; ids.len()]));
    let (_, hidden) = encoder.compute(&account, text(&account, ids)).await.unwrap().pop().unwrap();
    let start = ("input_ids".to_owned(), i64s(&account, &[1, 1], &[0]));
    let mut outputs = first.compute(&account, vec![start, mask(), ("encoder_hidden_states".to_owned(), hidden)]).await.unwrap();
    let mut tokens = Vec::new();
    loop {
        let (mut past, mut token) = (Vec::new(), 0);
        for (name, tensor) in outputs {
            if name == "logits" {
                let logits = f32s(&tensor);
                let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
                token = i64::try_from(best.0).unwrap();
            } else {
                past.push((name.replace("present.", "past_key_values."), tensor));
            }
        }
        tokens.push(token);
        if token == 1 || tokens.len() == 64 {
            return tokens;
        }
        past.push(("input_ids".to_owned(), i64s(&account, &[1, 1], &[token])));
        past.push(mask());
        if ragged {
            let seen = tokens.len() + 1;
            past.push(("decoder_attention_mask".to_owned(), i64s(&account, &[1, u32::try_from(seen).unwrap()], &vec![1; seen])));
        }
        outputs = next.compute(&account, past).await.unwrap();
    }
}

/// Decodes all cases with so many callers; answers how many are right, and the mean batch.
pub(super) async fn decode_all(registry: &Arc<Registry>, callers: usize, ragged: bool) -> (usize, usize, f64) {
    let cases = Arc::new(cases());
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (registry, cases, next) = (registry.clone(), cases.clone(), next.clone());
        tasks.spawn(async move {
            let mut right = 0;
            while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                right += usize::from(decode(&registry, &case.ids, ragged).await == case.out);
            }
            right
        });
    }
    let right = tasks.join_all().await.into_iter().sum();
    (right, cases.len(), registry.statuses()[0].counts.mean_batch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_all_tokens_are_as_pytorch_has_them() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    let (right, all, mean_batch) = decode_all(&registry, 1, false).await;
    assert_eq!((right, mean_batch), (all, 1.0));
    assert_eq!(all, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_many_callers_of_mixed_lengths_all_tokens_are_the_same() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    let (right, all, mean_batch) = decode_all(&registry, 32, false).await;
    assert_eq!(right, all);
    assert!(mean_batch > 1.0, "computes of many callers should run as one: {mean_batch}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_different_steps_run_as_one_with_the_ragged_decoder() {
    if !has_library() {
        return;
    }
    // A window that no machine is too slow for: nobody waits for it while all are there.
    let registry = registry(|model| model.batch_window = Duration::from_millis(200));
    let (right, all, mean_batch) = decode_all(&registry, 32, true).await;
    assert_eq!(right, all);
    assert!(mean_batch > 8.0, "{mean_batch}: {:?}", registry.statuses());
}
