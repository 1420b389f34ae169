//! wasi-nn through `/mcp`: what a plugin computes, and what it gets wrong without harm to anybody.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use toolbay_tests::{Client, Server, Setup, Value, json, models, secs};

fn setup(more: &str) -> Setup {
    let model = models::section("t5-tiny", &models::folder("t5-tiny"), "neural");
    models::with_library(Setup::new().test_plugin("neural")).config(&format!("{model}\n{more}"))
}

fn cases() -> Vec<Value> {
    models::json(&models::folder("t5-tiny").join("cases.json")).as_array().expect("a list").clone()
}

async fn decode(client: &Client, case: &Value, ragged: bool) -> Value {
    let reply = client.call("decode", json!({ "model": "t5-tiny", "ids": case["ids"], "ragged": ragged })).await;
    reply.result()["structuredContent"]["result"].clone()
}

async fn model(server: &Server) -> Value {
    server.status().await["models"][0].clone()
}

#[tokio::test]
async fn a_guest_decodes_to_the_tokens_that_pytorch_gave_alone_and_among_many() {
    let server = setup("").start().await;
    for ragged in [false, true] {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let (client, cases, next) = (&Client::modern(&server), &cases(), &next);
        let caller = |_| async move {
            let mut right = 0;
            while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                right += usize::from(decode(client, case, ragged).await == case["out"]);
            }
            right
        };
        let right: usize = futures::future::join_all((0..32).map(caller)).await.into_iter().sum();
        assert_eq!(right, cases.len(), "ragged: {ragged}");
    }
    for case in cases().iter().take(5) {
        assert_eq!(decode(&Client::modern(&server), case, false).await, case["out"]);
    }
    let model = model(&server).await;
    assert_eq!(
        (&model["name"], &model["device"], &model["failed"], &model["queued"]),
        (&json!("t5-tiny"), &json!("cpu"), &json!(0), &json!(0))
    );
    assert!(model["mean_batch"].as_f64() > Some(1.0), "computes of many callers should run as one: {model}");
}

#[tokio::test]
async fn what_a_guest_gets_wrong_is_an_error_of_wasi_nn_and_harms_nobody() {
    let server = setup("[plugin.neural]\nmemory = \"1GiB\"").start().await;
    let client = Client::modern(&server);
    for (what, words) in [
        ("type", "InvalidArgument: t5-tiny/encoder_model takes input_ids: i64["),
        ("short", "has 16 bytes of data, not 3"),
        ("long", "has 16 bytes of data, not 64"),
        ("rank", "InvalidArgument: "),
        ("ranks", "at most 32 dimensions, not 1000"),
        ("huge", "larger than any memory"),
        ("huge-and-zero", "larger than any memory"),
        ("empty", "InvalidArgument: "),
        ("no-columns", "RuntimeError: "),
        ("unequal-rows", "InvalidArgument: t5-tiny/encoder_model takes as many rows in each input"),
        ("unequal-lengths", "RuntimeError: "),
        ("ids-out-of-range", "RuntimeError: "),
        ("negative-ids", "RuntimeError: "),
        ("no-input", "needs an input"),
        ("twice", "is given twice"),
        ("many-inputs", "has no input"),
        ("name", "has no input"),
        ("memory", "raise `nn_memory` in [plugin.neural]"),
        ("graphs", "handle limit"),
        ("model", "NotFound: there is no model \"nobody\""),
        ("graph", "NotFound: the model t5-tiny has no graph"),
        ("bare", "NotFound: "),
        ("bring", "Security: plugin neural may not bring graphs of its own"),
    ] {
        let why = client.call("wrong", json!({ "model": "t5-tiny", "what": what })).await.failure();
        assert!(why.contains(words), "{what}: {why} should say {words}");
    }
    let nan = client.call("wrong", json!({ "model": "t5-tiny", "what": "nan" })).await.ok();
    assert!(nan.contains("of nothing but NaN: true"), "{nan}");
    let case = &cases()[0];
    assert_eq!(decode(&client, case, true).await, case["out"]);
}

#[tokio::test]
async fn a_call_that_ends_takes_its_computes_along() {
    let server = setup("").start().await;
    let client = std::sync::Arc::new(Client::modern(&server));
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.call("spin", json!({ "model": "t5-tiny", "length": 1500 })).await })
        })
        .collect();
    server.wait_plugin("neural", "has all calls", |status| status["in_flight"] == 8).await;
    toolbay_tests::eventually("computes are under way", secs(30), || async {
        model(&server).await["runs"].as_u64().filter(|runs| *runs > 0)
    })
    .await;
    for call in calls {
        call.abort();
        let _ = call.await;
    }
    server.wait_plugin("neural", "has no calls", |status| status["in_flight"] == 0).await;
    let model = model(&server).await;
    assert_eq!(model["queued"], 0, "{model}");
    let case = &cases()[0];
    assert_eq!(decode(&Client::modern(&server), case, false).await, case["out"]);
}

#[tokio::test]
async fn a_guest_brings_a_graph_of_its_own_if_it_may() {
    let server = setup("[plugin.neural]\nnn_load = \"1MiB\"\nnn_memory = \"20KiB\"").start().await;
    let client = Client::modern(&server);
    let bring = |graph: Vec<u8>, count: u32| client.call("bring", json!({ "graph": BASE64_STANDARD.encode(graph), "count": count }));
    let reply = bring(relu(), 10).await;
    assert_eq!(reply.result()["structuredContent"]["result"], json!([1.0, 2.0, 3.0]), "{reply:?}");
    let why = bring(b"no graph at all".to_vec(), 1).await.failure();
    assert!(why.contains("InvalidEncoding: "), "{why}");
    let why = bring(relu(), 1000).await.failure();
    assert!(why.contains("TooLarge: ") && why.contains("nn_memory"), "{why}");
    for (what, words) in [
        ("bring-two", "exactly one"),
        ("bring-much", "raise `nn_load` in [plugin.neural]"),
        ("bring-torch", "InvalidEncoding: this host runs graphs in the encoding onnx"),
        ("bring-to-gpu", "UnsupportedOperation: "),
    ] {
        let why = client.call("wrong", json!({ "model": "t5-tiny", "what": what })).await.failure();
        assert!(why.contains(words), "{what}: {why} should say {words}");
    }
}

#[tokio::test]
async fn a_plugin_that_was_granted_nothing_sees_neither_graphs_nor_files() {
    let model = models::section("t5-tiny", &models::folder("t5-tiny"), "somebody-else");
    let setup = models::with_library(Setup::new().test_plugin("neural")).config(&model);
    let server = setup.start().await;
    let client = Client::modern(&server);
    let why = client.call("wrong", json!({ "model": "t5-tiny", "what": "type" })).await.failure();
    assert!(why.contains("put  plugins = [\"somebody-else\", \"neural\"]  into [model.t5-tiny] of toolbay.toml"), "{why}");
    client.call("first_bytes", json!({ "path": "/models/t5-tiny/config.json" })).await.failure();
    let status = server.plugin_status("neural").await.expect("it is listed");
    assert!(status["warnings"].to_string().contains("none is granted"), "{status}");
}

#[tokio::test]
async fn a_granted_plugin_reads_what_lies_beside_the_graphs() {
    let server = setup("").start().await;
    let text = Client::modern(&server).call("first_bytes", json!({ "path": "/models/t5-tiny/config.json" })).await.ok();
    assert!(text.contains("architectures"), "{text}");
}

/// `y = Relu(x)` over three numbers, as ONNX has it: protobuf by hand.
fn relu() -> Vec<u8> {
    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).expect("a short field")], content].concat()
    }
    let tensor = |name: &[u8]| {
        let shape = field(0x12, &field(0x0a, &[0x08, 3]));
        let ty = field(0x12, &field(0x0a, &[&[0x08, 1][..], &shape].concat()));
        [field(0x0a, name), ty].concat()
    };
    let node = field(0x0a, &[field(0x0a, b"x"), field(0x12, b"y"), field(0x22, b"Relu")].concat());
    let graph = [node, field(0x12, b"g"), field(0x5a, &tensor(b"x")), field(0x62, &tensor(b"y"))].concat();
    [&[0x08, 8][..], &field(0x42, &[0x10, 18]), &field(0x3a, &graph)].concat()
}
