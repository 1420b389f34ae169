//! Ways of a beam search change places on the host: what a graph computes is as if the caller had put the rows there.

use super::*;

/// A source of these ids, as two equal rows, after the first step: what the next step takes, but for its token.
async fn two_rows(registry: &Registry, account: &Arc<Account>, ids: [&[i64]; 2]) -> Vec<(String, Tensor)> {
    let (encoder, first) = (graph(registry, "t5/encoder_model"), graph(registry, "t5/decoder_model"));
    let length = u32::try_from(ids[0].len()).unwrap();
    let mask = |name: &str| (name.to_owned(), i64s(account, &[2, length], &vec![1; 2 * ids[0].len()]));
    let text = vec![("input_ids".to_owned(), i64s(account, &[2, length], &ids.concat())), mask("attention_mask")];
    let (_, hidden) = encoder.compute(account, text).await.unwrap().pop().unwrap();
    let starts = ("input_ids".to_owned(), i64s(account, &[2, 1], &[0, 0]));
    let outputs = first.compute(account, vec![starts, mask("encoder_attention_mask"), ("encoder_hidden_states".to_owned(), hidden)]).await;
    let past = outputs.unwrap().into_iter().filter(|(name, _)| name != "logits");
    past.map(|(name, tensor)| (name.replace("present.", "past_key_values."), tensor)).collect()
}

/// The other inputs of a step with so many rows, `seen` tokens of which came before.
fn step(account: &Arc<Account>, tokens: &[i64], source: usize, seen: Option<usize>) -> Vec<(String, Tensor)> {
    let rows = u32::try_from(tokens.len()).unwrap();
    let ones = |name: &str, length: usize| {
        (name.to_owned(), i64s(account, &[rows, u32::try_from(length).unwrap()], &vec![1; tokens.len() * length]))
    };
    let mut inputs = vec![("input_ids".to_owned(), i64s(account, &[rows, 1], tokens)), ones("encoder_attention_mask", source)];
    inputs.extend(seen.map(|seen| ones("decoder_attention_mask", seen + 1)));
    inputs
}

fn orders(account: &Arc<Account>, order: &[i64], source: bool) -> Vec<(String, Tensor)> {
    let index = |name: &str| (name.to_owned(), i64s(account, &[u32::try_from(order.len()).unwrap()], order));
    let mut inputs = vec![index("beam_idx")];
    inputs.extend(source.then(|| index("encoder_beam_idx")));
    inputs
}

/// The same rows as bytes of the caller's own.
fn by_hand(account: &Arc<Account>, tensor: &Tensor, order: &[i64]) -> Tensor {
    let bytes = tensor.bytes().unwrap();
    let size = bytes.len() / usize::try_from(tensor.dims()[0]).unwrap();
    let rows: Vec<u8> = order.iter().flat_map(|row| bytes[usize::try_from(*row).unwrap() * size..][..size].to_vec()).collect();
    let mut dims = tensor.dims().to_vec();
    dims[0] = u32::try_from(order.len()).unwrap();
    Tensor::new(account, tensor.ty(), dims, rows)
}

fn contents(outputs: &[(String, Tensor)]) -> Vec<(String, Vec<u32>, Vec<u8>)> {
    outputs.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec(), tensor.bytes().unwrap())).collect()
}

const SOURCES: [&[i64]; 2] = [&[5, 6, 7, 1], &[9, 8, 3, 1]];

#[tokio::test]
async fn rows_in_another_order_are_as_if_the_caller_had_put_them_there() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    for (name, ragged) in [("t5/decoder_with_past_model", None), ("t5/decoder_with_past_model_ragged", Some(1))] {
        let (next, account) = (graph(&registry, name), account("p"));
        for order in [&[1, 0][..], &[1, 1], &[0, 1, 1, 0], &[1], &[0, 1]] {
            let tokens: Vec<i64> = (3..).take(order.len()).collect();
            let mut moved = two_rows(&registry, &account, SOURCES).await;
            let mut placed: Vec<_> = moved.iter().map(|(name, tensor)| (name.clone(), by_hand(&account, tensor, order))).collect();
            moved.extend(orders(&account, order, true));
            for inputs in [&mut moved, &mut placed] {
                inputs.extend(step(&account, &tokens, 4, ragged));
            }
            let moved = contents(&next.compute(&account, moved).await.unwrap());
            assert_eq!(moved, contents(&next.compute(&account, placed).await.unwrap()), "{name} {order:?}");
            assert!(moved.iter().any(|(name, ..)| name == "present.0.encoder.key"), "what came in is given back in its new order");
        }
        assert_eq!(account.memory(), 0, "what was booked for the order is given back");
    }
}

#[tokio::test]
async fn the_source_keeps_its_rows_unless_it_is_said() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    let (next, account) = (graph(&registry, "t5/decoder_with_past_model"), account("p"));
    let before = two_rows(&registry, &account, SOURCES).await;
    let wanted: Vec<_> = before.iter().filter(|(name, _)| name.contains(".encoder.")).map(|(_, tensor)| tensor.bytes().unwrap()).collect();
    let inputs = [before, orders(&account, &[1, 0], false), step(&account, &[3, 4], 4, None)];
    let outputs = next.compute(&account, inputs.into_iter().flatten().collect()).await.unwrap();
    let found: Vec<_> = outputs.iter().filter(|(name, _)| name.contains(".encoder.")).map(|(_, tensor)| tensor.bytes().unwrap()).collect();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn searches_of_many_callers_at_different_steps_run_as_one() {
    if !has_library() {
        return;
    }
    // Nothing runs before all are there.
    let registry = registry(|model| model.batch_window = Duration::from_millis(500));
    let next = graph(&registry, "t5/decoder_with_past_model_ragged");
    let account = account("p");
    let mut alone = Vec::new();
    for together in [false, true] {
        let mut computes = Vec::new();
        for (caller, order) in [&[1, 0][..], &[1, 1, 0], &[0, 1], &[1]].into_iter().enumerate() {
            let mut past = two_rows(&registry, &account, [&SOURCES[0][caller % 2..], &SOURCES[1][caller % 2..]]).await;
            let source = 4 - caller % 2;
            // Some have come farther than others.
            for seen in 1..=caller {
                past.extend(step(&account, &[3, 4], source, Some(seen)));
                let outputs = next.compute(&account, past).await.unwrap().into_iter().filter(|(name, _)| name != "logits");
                past = outputs.map(|(name, tensor)| (name.replace("present.", "past_key_values."), tensor)).collect();
            }
            let tokens: Vec<i64> = (5..).take(order.len()).collect();
            past.extend(orders(&account, order, true));
            past.extend(step(&account, &tokens, source, Some(caller + 1)));
            computes.push(past);
        }
        if !together {
            for inputs in computes {
                alone.push(next.compute(&account, inputs).await.unwrap());
            }
            continue;
        }
        next.0.expect(5);
        let results = futures::future::join_all(computes.into_iter().map(|inputs| next.compute(&account, inputs))).await;
        for (result, alone) in results.into_iter().zip(&alone) {
            for ((name, tensor), (_, wanted)) in result.unwrap().iter().zip(alone) {
                assert_eq!(tensor.dims(), wanted.dims(), "{name}");
                let far = f32s(tensor).iter().zip(f32s(wanted)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(far < 1e-3, "{name}: {far}");
            }
        }
    }
    assert_eq!(registry.statuses()[0].counts.largest_batch, 4);
}

#[tokio::test]
async fn an_order_that_is_none_is_refused() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    let next = graph(&registry, "t5/decoder_with_past_model");
    let account = Account::new("p", 1 << 20, 32 << 20, Duration::from_secs(60));
    let index = |dims: &[u32], rows: &[i64]| ("beam_idx".to_owned(), i64s(&account, dims, rows));
    let floats = ("beam_idx".to_owned(), Tensor::new(&account, ElementType::F32, vec![2], vec![0; 8]));
    let short = ("beam_idx".to_owned(), Tensor::new(&account, ElementType::I64, vec![2], vec![0; 8]));
    for (given, wanted) in [
        (vec![index(&[2], &[0, 2])], "names row 2, and \"past_key_values.0.decoder.key\" has 2"),
        (vec![index(&[2], &[0, i64::MIN])], "has a row below 0"),
        (vec![index(&[1, 2], &[0, 1])], "is i64[rows] or i32[rows], and was given as i64[1, 2]"),
        (vec![floats], "was given as fp32[2]"),
        (vec![short], "has 16 bytes of data, not 8"),
        (vec![index(&[2], &[0, 1]), index(&[2], &[1, 0])], "is given twice"),
        (vec![index(&[3], &[0, 1, 1])], "as many rows in each input"),
    ] {
        let past = two_rows(&registry, &account, SOURCES).await;
        let inputs = [past, given, step(&account, &[3, 4], 4, None)].into_iter().flatten().collect();
        let fault = next.compute(&account, inputs).await.map(drop).unwrap_err();
        assert!(fault.message.contains(wanted), "{fault} should say {wanted}");
    }
    // A few rows become many, and that is booked.
    let many = vec![1; 2000];
    let past = two_rows(&registry, &account, SOURCES).await;
    let inputs = [past, orders(&account, &many, true), step(&account, &many, 4, None)].into_iter().flatten().collect();
    let fault = next.compute(&account, inputs).await.map(drop).unwrap_err();
    assert_eq!(fault.code, Code::TooLarge);
    assert!(fault.message.contains("raise `nn_memory` in [plugin.p]"), "{fault}");
    let encoder = graph(&registry, "t5/encoder_model");
    let mut inputs = text(&account, &[5, 1]);
    inputs.push(index(&[1], &[0]));
    let fault = encoder.compute(&account, inputs).await.map(drop).unwrap_err();
    assert!(fault.message.contains("has no input \"beam_idx\""), "{fault}");
    assert_eq!(account.memory(), 0);
}

#[tokio::test]
async fn rows_may_be_named_by_32_bits_too() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    let (next, account) = (graph(&registry, "t5/decoder_with_past_model"), account("p"));
    let mut logits = Vec::new();
    for wide in [true, false] {
        let index = if wide {
            i64s(&account, &[2], &[1, 1])
        } else {
            Tensor::new(&account, ElementType::I32, vec![2], [1_i32, 1].map(i32::to_le_bytes).concat())
        };
        let past = two_rows(&registry, &account, SOURCES).await;
        let inputs = [past, vec![("beam_idx".to_owned(), index)], step(&account, &[3, 4], 4, None)].into_iter().flatten().collect();
        logits.push(contents(&next.compute(&account, inputs).await.unwrap()));
    }
    assert_eq!(logits[0], logits[1]);
}
