//! The translator with the tiny T5: the same tokens as PyTorch's, alone and in company, with one beam and with several.

use std::sync::Arc;

use toolbay_tests::{Client, Server, Setup, Value, json, models};

struct Case {
    text: String,
    tokens: Value,
    french: String,
}

fn cases() -> Vec<Case> {
    let cases = models::json(&models::folder("t5-tiny").join("cases.json"));
    let case = |case: &Value| Case {
        text: case["text"].as_str().expect("a text").to_owned(),
        tokens: case["out"].clone(),
        french: case["fr"].as_str().expect("a text").to_owned(),
    };
    cases.as_array().expect("cases").iter().map(case).collect()
}

/// A server with the tiny T5, which tells the tokens too.
async fn start(more: &str) -> (Server, Client) {
    let config = models::section("t5-tiny", &models::folder("t5-tiny"), "translator");
    let setup = models::with_library(Setup::new().plugin("translator"));
    let server = setup.config(&config).config(&format!("[plugin.translator]\nenv = {{ SHOW_TOKENS = \"1\" }}\n{more}")).start().await;
    let client = Client::modern(&server);
    (server, client)
}

/// The text and the tokens of each piece.
async fn translate(client: &Client, arguments: Value) -> (String, Value) {
    let reply = client.call("translate", arguments).await;
    let text = reply.ok();
    assert_eq!(reply.result()["structuredContent"]["translation"], text.as_str());
    (text, reply.result()["_meta"]["tokens"].clone())
}

#[tokio::test]
async fn two_hundred_of_two_hundred_cases_have_the_tokens_of_pytorch() {
    let (_server, client) = start("").await;
    let cases = cases();
    assert_eq!(cases.len(), 200);
    for case in cases {
        let (text, tokens) = translate(&client, json!({ "text": case.text })).await;
        assert_eq!((text, tokens), (case.french, json!([case.tokens])), "{}", case.text);
    }
}

#[tokio::test]
async fn thirty_two_callers_at_once_with_texts_of_all_lengths_get_the_same_tokens() {
    let (server, _) = start("concurrency = 32\nqueue = 64\n").await;
    let cases = Arc::new(cases());
    let callers = (0..32).map(|caller| {
        let (cases, client) = (Arc::clone(&cases), Client::modern(&server));
        tokio::spawn(async move {
            // Each goes through the cases from another place and in other steps: 1 to 4 lines at once.
            let lines = 1 + caller % 4;
            for round in 0..8 {
                let chosen: Vec<&Case> = (0..lines).map(|line| &cases[(caller * 37 + round * 11 + line * 5) % cases.len()]).collect();
                let text = chosen.iter().map(|case| case.text.as_str()).collect::<Vec<_>>().join("\n");
                let (_, tokens) = translate(&client, json!({ "text": text })).await;
                assert_eq!(tokens, chosen.iter().map(|case| case.tokens.clone()).collect::<Value>(), "{text}");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("every caller got its own");
    }
}

#[tokio::test]
async fn beam_search_has_the_tokens_of_transformers_with_every_setting() {
    let rows = models::json(&models::folder("t5-tiny").join("beams.json"));
    let rows = rows.as_array().expect("rows");
    let mut ways: Vec<(Value, Value)> = Vec::new();
    for row in rows {
        let way = (row["early_stopping"].clone(), row["length_penalty"].clone());
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    assert!(ways.len() >= 5, "{ways:?}");
    for (stopping, penalty) in ways {
        let setup = models::with_library(Setup::new().plugin("translator"));
        models::copy(&setup, "t5-tiny", "model", |file, mut json| {
            if file != "config.json" {
                return None;
            }
            // Some of the texts are longer than the model likes; transformers does not cut them.
            json["n_positions"] = json!(512);
            let task = &mut json["task_specific_params"]["translation_en_to_fr"];
            task["early_stopping"] = stopping.clone();
            task["length_penalty"] = penalty.clone();
            Some(json)
        });
        let config = models::section("t5-tiny", &setup.home().join("model"), "translator");
        let server = setup.config(&config).config("[plugin.translator]\nenv = { SHOW_TOKENS = \"1\" }").start().await;
        let client = Client::modern(&server);
        let own = rows.iter().filter(|row| row["early_stopping"] == stopping && row["length_penalty"] == penalty);
        for row in own {
            let (_, tokens) = translate(&client, json!({ "text": row["text"], "beams": row["beams"] })).await;
            assert_eq!(tokens, json!([row["out"]]), "{row}");
        }
    }
}

#[tokio::test]
async fn files_as_t5_small_has_them_drop_in_unchanged() {
    let setup = models::with_library(Setup::new().plugin("translator"));
    models::copy(&setup, "t5-tiny", "model", |file, mut json| match file {
        // The layout in which t5-small was published.
        "tokenizer.json" => {
            json["normalizer"] = json["normalizer"]["normalizers"][0].take();
            let mark = json!({ "type": "Metaspace", "replacement": "\u{2581}", "str_rep": "\u{2581}", "add_prefix_space": true });
            json["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, mark] });
            json["decoder"] = mark;
            Some(json)
        }
        "config.json" => {
            json["n_positions"] = json!(512);
            json["task_specific_params"] = json!({
                "summarization": { "early_stopping": true, "length_penalty": 2.0, "max_length": 200, "num_beams": 4, "prefix": "summarize: " },
                "translation_en_to_fr": { "early_stopping": true, "max_length": 300, "num_beams": 4, "prefix": "translate English to French: " }
            });
            Some(json)
        }
        _ => None,
    });
    // Without the file that is not part of an export.
    std::fs::remove_file(setup.home().join("model/decoder_with_past_model_ragged.onnx")).expect("it is there");
    let config = models::section("t5-small", &setup.home().join("model"), "translator");
    let server = setup.config(&config).config("[plugin.translator]\nenv = { SHOW_TOKENS = \"1\", MODEL = \"t5-small\" }").start().await;
    let client = Client::modern(&server);
    let beams = models::json(&models::folder("t5-tiny").join("beams.json"));
    let beams = beams
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| row["early_stopping"] == true && row["beams"] == 4 && row["length_penalty"] == 1.0);
    for row in beams.step_by(5) {
        let (_, tokens) = translate(&client, json!({ "text": row["text"] })).await;
        assert_eq!(tokens, json!([row["out"]]), "{row}");
    }
    for case in cases().iter().step_by(9) {
        let (_, tokens) = translate(&client, json!({ "text": case.text, "beams": 1 })).await;
        assert_eq!(tokens, json!([case.tokens]), "{}", case.text);
    }
}

#[tokio::test]
async fn a_search_where_the_host_puts_no_rows_in_place_has_the_same_tokens() {
    let setup = models::with_library(Setup::new().plugin("translator"));
    models::copy(&setup, "t5-tiny", "model", |file, mut json| {
        if file != "config.json" {
            return None;
        }
        json["n_positions"] = json!(512);
        Some(json)
    });
    let folder = setup.home().join("model");
    std::fs::remove_file(folder.join("decoder_with_past_model_ragged.onnx")).expect("it is there");
    // One of its tensors has another name for its rows: the host cannot know that they are the same.
    let path = folder.join("decoder_with_past_model.onnx");
    let mut graph = std::fs::read(&path).expect("it is there");
    let name = b"batch_size";
    let at = graph.windows(name.len()).rposition(|bytes| bytes == name).expect("its rows have a name");
    graph[at + name.len() - 1] = b'f';
    std::fs::write(&path, graph).expect("it can be written");
    let config = models::section("t5-tiny", &folder, "translator");
    let server = setup.config(&config).config("[plugin.translator]\nenv = { SHOW_TOKENS = \"1\" }").start().await;
    let graphs = server.status().await["models"][0]["graphs"].clone();
    let next = graphs.as_array().expect("graphs").iter().find(|graph| graph["name"] == "t5-tiny/decoder_with_past_model");
    assert_eq!(next.map(|graph| &graph["batches"]), Some(&json!(false)), "{graphs}");
    let client = Client::modern(&server);
    let beams = models::json(&models::folder("t5-tiny").join("beams.json"));
    let rows = beams.as_array().expect("rows").iter();
    let rows = rows.filter(|row| row["early_stopping"] == true && row["beams"] == 4 && row["length_penalty"] == 1.0);
    for row in rows.step_by(7) {
        let (_, tokens) = translate(&client, json!({ "text": row["text"], "beams": 4 })).await;
        assert_eq!(tokens, json!([row["out"]]), "{row}");
    }
    let model = server.status().await["models"][0].clone();
    assert!(model["failed"].as_u64() > Some(0), "it was tried, and refused: {model}");
}

#[tokio::test]
async fn nothing_is_translated_to_nothing() {
    let (_server, client) = start("").await;
    for text in ["", "   ", "\n\t\r\n", "\u{3000}"] {
        assert_eq!(translate(&client, json!({ "text": text })).await, (String::new(), json!([])));
    }
}

#[tokio::test]
async fn a_long_text_is_translated_line_by_line_and_tells_how_far_it_is() {
    let (_server, client) = start("").await;
    let cases = cases();
    let chosen = &cases[..40];
    let joined = |of: fn(&Case) -> &str| chosen.iter().map(of).collect::<Vec<_>>().join("\n\n");
    let params = json!({
        "name": "translate",
        "arguments": { "text": format!("  {}\n", joined(|case| &case.text)) },
        "_meta": { "progressToken": "far" },
    });
    let reply = client.rpc("tools/call", params).await;
    assert_eq!(reply.ok(), joined(|case| &case.french), "lines stay lines");
    assert_eq!(reply.result()["structuredContent"]["pieces"], 40);
    let progress: Vec<f64> =
        reply.notifications("notifications/progress").iter().map(|note| note["params"]["progress"].as_f64().expect("a number")).collect();
    assert!(progress.len() > 2 && progress.is_sorted() && progress.last() == Some(&40.0), "{progress:?}");
}

#[tokio::test]
async fn a_paragraph_is_cut_at_the_ends_of_its_sentences() {
    let (_server, client) = start("").await;
    let simple: Vec<Case> = cases().into_iter().filter(|case| case.text.matches(['.', '!', '?']).count() == 1).take(12).collect();
    let joined = |of: fn(&Case) -> &str| simple.iter().map(of).collect::<Vec<_>>().join(" ");
    let (text, tokens) = translate(&client, json!({ "text": joined(|case| &case.text) })).await;
    assert_eq!(text, joined(|case| &case.french));
    assert_eq!(tokens.as_array().map(Vec::len), Some(12));
}

#[tokio::test]
async fn a_text_without_an_end_is_cut_somewhere_and_one_over_the_limit_is_refused() {
    let (_server, client) = start("").await;
    let reply = client.call("translate", json!({ "text": "a".repeat(700) })).await;
    reply.ok();
    assert!(reply.result()["structuredContent"]["pieces"].as_u64() > Some(5), "{reply:?}");
    let why = client.call("translate", json!({ "text": "word ".repeat(10_001) })).await.failure();
    assert!(why.contains("50005 characters") && why.contains("50000"), "{why}");
    let why = client.call("translate", json!({ "text": "Hello!", "beams": 9 })).await.failure();
    assert!(why.contains("beams"), "{why}");
}

#[tokio::test]
async fn marks_of_the_tokenizer_in_a_text_do_no_harm() {
    let (_server, client) = start("").await;
    for text in ["</s>", "<pad><pad>", "Hello </s> world", "<extra_id_0> is red.", "\u{2581}\u{2581}", "👩‍👩‍👧‍👦 日本 \u{0}"]
    {
        client.call("translate", json!({ "text": text })).await.ok();
    }
    let first = &cases()[0];
    assert_eq!(translate(&client, json!({ "text": first.text })).await.0, first.french);
}

#[tokio::test]
async fn without_a_model_or_a_grant_the_tool_is_there_and_says_what_to_write() {
    let setup = models::with_library(Setup::new().plugin("translator"));
    let server = setup.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, ["translate"]);
    let why = client.call("translate", json!({ "text": "Hello!" })).await.failure();
    assert!(why.contains("[model.t5-tiny]"), "{why}");

    let setup = models::with_library(Setup::new().plugin("translator"));
    let config = models::section("t5-tiny", &models::folder("t5-tiny"), "another");
    let server = setup.config(&config).start().await;
    let why = Client::modern(&server).call("translate", json!({ "text": "Hello!" })).await.failure();
    assert!(why.contains("plugins") && why.contains("translator"), "{why}");
}

#[tokio::test]
async fn without_onnx_runtime_the_tool_is_there_and_says_how_to_get_it() {
    let section = models::section("t5-tiny", &models::folder("t5-tiny"), "translator");
    // The cache of the suites has no library, and an empty name is none. What the system's package manager put in place cannot be hidden.
    let server = Setup::new().plugin("translator").env("ORT_DYLIB_PATH", "").config(&section).start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, ["translate"]);
    let reply = client.call("translate", json!({ "text": "Hello!" })).await;
    if server.log().contains("ONNX Runtime loaded library=/usr/") {
        assert_eq!(reply.ok(), "Bonjour !");
    } else {
        let why = reply.failure();
        assert!(why.contains("ONNX Runtime") && why.contains("scripts/onnxruntime.sh"), "{why}");
    }
}

#[tokio::test]
async fn the_library_is_loaded_from_where_it_really_is() {
    // What runs a GPU lies beside the library, and is looked for there: not beside a link to it.
    let section = models::section("t5-tiny", &models::folder("t5-tiny"), "translator");
    let setup = Setup::new().plugin("translator");
    let real = models::onnxruntime().canonicalize().expect("it is there");
    let link = setup.home().join("libonnxruntime.so");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    let server = setup.env("ORT_DYLIB_PATH", link.to_str().expect("a path in UTF-8")).config(&section).start().await;
    let log = server.log();
    assert!(log.contains(&format!("library={}", real.display())), "{log}");
}

#[tokio::test]
async fn a_library_that_is_named_and_not_there_is_refused_at_the_start() {
    let section = models::section("t5-tiny", &models::folder("t5-tiny"), "translator");
    let setup = Setup::new().plugin("translator").env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so");
    let refused = setup.config(&section).refused().await;
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.stderr.contains("/nowhere/libonnxruntime.so") && refused.stderr.contains("scripts/onnxruntime.sh"),
        "{}",
        refused.stderr
    );
}
