//! What callers get wrong is told to them, and harms nobody else.

use super::*;

/// The message of a compute that must fail.
async fn refused(graph: &Graph, account: &Arc<Account>, inputs: Vec<(String, Tensor)>) -> NnError {
    match graph.compute(account, inputs).await {
        Err(fault) => fault,
        Ok(outputs) => panic!("{:?} should have been refused", outputs.iter().map(|(name, _)| name).collect::<Vec<_>>()),
    }
}

#[tokio::test]
async fn every_wrong_input_is_named_with_what_the_graph_takes() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    let (encoder, account) = (graph(&registry, "t5/encoder_model"), account("p"));
    let takes = "t5/encoder_model takes input_ids: i64[batch_size, encoder_sequence_length] and was given";
    for (ids, wanted) in [
        (Tensor::new(&account, ElementType::F32, vec![1, 2], vec![0; 8]), format!("{takes} fp32[1, 2]")),
        (i64s(&account, &[2], &[1, 2]), format!("{takes} i64[2]")),
        (i64s(&account, &[1, 2, 1], &[1, 2]), format!("{takes} i64[1, 2, 1]")),
        (Tensor::new(&account, ElementType::I64, vec![1, 2], vec![0; 15]), "has 16 bytes of data, not 15".to_owned()),
        (Tensor::new(&account, ElementType::I64, vec![u32::MAX; 4], vec![0; 8]), "is larger than any memory".to_owned()),
        (Tensor::new(&account, ElementType::I64, vec![1; 33], vec![0; 8]), "at most 32 dimensions, not 33".to_owned()),
    ] {
        let mask = i64s(&account, &[1, 2], &[1, 1]);
        let fault = refused(&encoder, &account, vec![("input_ids".to_owned(), ids), ("attention_mask".to_owned(), mask)]).await;
        assert_eq!(fault.code, Code::InvalidArgument, "{fault}");
        assert!(fault.message.contains(&wanted), "{fault} should say {wanted}");
    }
    let ids = |_| ("input_ids".to_owned(), i64s(&account, &[1, 1], &[1]));
    let two = ("attention_mask".to_owned(), i64s(&account, &[2, 1], &[1, 1]));
    for (inputs, wanted) in [
        ((0..1).map(ids).chain([two]).collect(), "as many rows in each input, and was given: input_ids 1, attention_mask 2"),
        (Vec::new(), "needs an input \"input_ids\"; it has input_ids, attention_mask"),
        ((0..1).map(ids).collect(), "needs an input \"attention_mask\""),
        ((0..2).map(ids).collect(), "is given twice"),
        (vec![("idz".to_owned(), i64s(&account, &[1], &[1]))], "has no input \"idz\"; it has input_ids, attention_mask"),
    ] {
        let fault = refused(&encoder, &account, inputs).await;
        assert!(fault.message.contains(wanted), "{fault} should say {wanted}");
    }
    assert_eq!(account.memory(), 0, "what was refused is not held");
}

#[tokio::test]
async fn what_the_runtime_refuses_fails_that_compute_and_not_those_that_run_with_it() {
    if !has_library() {
        return;
    }
    // All five come within the window, and nothing runs before.
    let registry = registry(|model| model.batch_window = Duration::from_millis(500));
    let encoder = graph(&registry, "t5/encoder_model");
    encoder.0.expect(6);
    let compute = |ids: [i64; 3]| {
        let (encoder, account) = (encoder.clone(), account("p"));
        async move { encoder.compute(&account, text(&account, &ids)).await.map(drop) }
    };
    let (good, bad) = ([5, 6, 1], [5, 1 << 40, 1]);
    let answers = tokio::join!(compute(good), compute(bad), compute(good), compute(good), compute(good));
    assert!(answers.0.is_ok() && answers.2.is_ok() && answers.3.is_ok() && answers.4.is_ok(), "{answers:?}");
    let fault = answers.1.unwrap_err();
    assert_eq!(fault.code, Code::Runtime);
    assert!(fault.message.starts_with("t5/encoder_model did not compute: "), "{fault}");
    assert_eq!(registry.statuses()[0].counts.largest_batch, 5);
}

#[tokio::test]
async fn tensors_are_on_the_account_until_they_are_dropped() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    let encoder = graph(&registry, "t5/encoder_model");
    let account = Account::new("p", 4096, 2048, Duration::from_secs(60));
    let outputs = encoder.compute(&account, text(&account, &[5, 6, 1])).await.unwrap();
    // Three rows of 96 fp32.
    assert_eq!(account.memory(), 1152);
    let more = encoder.compute(&account, text(&account, &[5, 6, 1])).await.unwrap();
    let fault = refused(&encoder, &account, text(&account, &[5; 10])).await;
    assert_eq!(fault.code, Code::TooLarge);
    assert!(fault.message.contains("raise `nn_memory` in [plugin.p] of toolbay.toml"), "{fault}");
    drop((outputs, more));
    assert_eq!(account.memory(), 0);
    let large = Tensor::new(&account, ElementType::U8, vec![2049], vec![0; 2049]);
    let fault =
        refused(&encoder, &account, vec![("input_ids".to_owned(), large), ("attention_mask".to_owned(), i64s(&account, &[1], &[1]))]).await;
    assert_eq!(fault.code, Code::TooLarge);
    assert!(fault.message.contains("raise `max_tensor` in [inference]"), "{fault}");
}

#[tokio::test]
async fn a_call_computes_for_its_time_and_no_longer() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    let encoder = graph(&registry, "t5/encoder_model");
    let account = Account::new("p", 256 << 20, 32 << 20, Duration::from_millis(60));
    let fault = loop {
        match encoder.compute(&account, text(&account, &[5; 512])).await {
            Ok(_) => {}
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.code, Code::Timeout);
    assert!(fault.message.contains("raise `nn_time` in [plugin.p]"), "{fault}");
    assert_eq!(refused(&encoder, &account, text(&account, &[5, 1])).await.code, Code::Timeout, "it stays so");
}

#[tokio::test]
async fn models_are_found_by_name_and_only_by_those_who_may() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    let ask = |plugin: &str, name: &str| registry.graph(plugin, name, &mut Loading::default()).map(|graph| graph.status().name);
    for name in ["t5/encoder_model", "t5:encoder_model", "t5/encoder_model.onnx"] {
        assert_eq!(ask("p", name).unwrap(), "t5/encoder_model");
    }
    for (plugin, name, code, words) in [
        ("p", "t6/x", Code::NotFound, "there is no model \"t6\"; [model.t6] of toolbay.toml with its `path` makes it"),
        ("p", "t5", Code::NotFound, "has no graph \"t5\"; it has t5/decoder_model, t5/decoder_with_past_model,"),
        ("p", "t5/../x", Code::NotFound, "has no graph \"t5/../x\""),
        ("r", "t5/encoder_model", Code::Security, "put  plugins = [\"p\", \"q\", \"r\"]  into [model.t5] of toolbay.toml"),
        ("r", "t5/nothing", Code::Security, "plugin r may not use the model t5"),
    ] {
        let fault = ask(plugin, name).unwrap_err();
        assert_eq!(fault.code, code, "{fault}");
        assert!(fault.message.contains(words), "{fault} should say {words}");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_never_replaced_by_the_cpu() {
    if !has_library() {
        return;
    }
    let mut config = Config::default();
    let device = crate::config::Device::Cuda(7);
    config.model.insert("t5".to_owned(), ModelConfig { path: t5(), device, ..ModelConfig::default() });
    let error = Registry::open(&config).map(drop).unwrap_err().to_string();
    assert!(error.contains("model t5: cannot open ") && error.contains("cuda:7 cannot be used: "), "{error}");
    assert!(error.contains("toolbay setup inference --gpu"), "{error}");
}

#[test]
fn a_model_that_cannot_serve_is_told_before_the_start() {
    if !has_library() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let mut config = Config::default();
        config.model.insert("m".to_owned(), ModelConfig { path: folder.path().join("m"), ..ModelConfig::default() });
        Registry::open(&config).map(drop).unwrap_err().to_string()
    };
    let error = open();
    assert!(error.contains("cannot read its folder") && error.contains("set `path` in [model.m]"), "{error}");
    std::fs::create_dir(folder.path().join("m")).unwrap();
    let error = open();
    assert!(error.contains("there is no file *.onnx in "), "{error}");
    std::fs::write(folder.path().join("m/x.onnx"), b"no graph").unwrap();
    let error = open();
    assert!(error.contains("m/x.onnx: ") && error.contains("model m: cannot open "), "{error}");
    // An opset that nobody has yet: the field is in the export of every model.
    let mut bytes = std::fs::read(t5().join("encoder_model.onnx")).unwrap();
    let opset = bytes
        .windows(4)
        .rposition(|bytes| bytes == [0x42, 0x02, 0x10, 18])
        .or_else(|| bytes.windows(6).rposition(|bytes| bytes == [0x42, 0x04, 0x0a, 0x00, 0x10, 18]).map(|at| at + 2));
    let at = opset.expect("the opset of the graph");
    bytes[at + 3] = 120;
    std::fs::write(folder.path().join("m/x.onnx"), &bytes).unwrap();
    let error = open();
    assert!(error.contains("opset") && error.contains("install a newer ONNX Runtime (toolbay setup inference)"), "{error}");
}
