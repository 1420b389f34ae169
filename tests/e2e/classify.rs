//! The classifier with the tiny ViT: pictures that it has not seen, and everything that is no picture.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use toolbay_tests::{Client, Server, Setup, Value, json, models, outside::Outside};

fn held_out() -> std::path::PathBuf {
    models::folder("vit-tiny").join("held-out")
}

/// A server of pictures, with its good days and its bad ones.
///
/// | path | answer |
/// |---|---|
/// | `/held-out/FILE` | that picture, under its type |
/// | `/bytes/FILE` | the same as `application/octet-stream` |
/// | `/moved/FILE` | 302 to the picture |
/// | `/half/FILE` | its first half |
/// | `/page`, `/page.png` | a page in HTML, the second called a PNG |
/// | `/announced`, `/endless` | more than 20 MiB, the second without saying so |
/// | `/pixels` | a PNG of 100,000 x 100,000 |
/// | `/loop` | 302 to itself |
/// | `/broken` | 500 |
/// | `/hang` | nothing, ever |
fn answer(base: &str, path: &str) -> Option<Response> {
    let typed = |kind: &str, body: Vec<u8>| ([(header::CONTENT_TYPE, kind.to_owned())], body).into_response();
    let file = |name: &str| std::fs::read(held_out().join(name)).ok();
    let kind = |name: &str| match name.rsplit('.').next() {
        Some("jpg") => "image/jpeg",
        Some("png") => "image/png",
        _ => "image/webp; charset=binary",
    };
    let missing = || StatusCode::NOT_FOUND.into_response();
    let (folder, name) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    Some(match folder {
        "held-out" => file(name).map_or_else(missing, |bytes| typed(kind(name), bytes)),
        "bytes" => file(name).map_or_else(missing, |bytes| typed("application/octet-stream", bytes)),
        "half" => file(name).map_or_else(missing, |bytes| typed(kind(name), bytes[..bytes.len() / 2].to_vec())),
        "moved" => (StatusCode::FOUND, [(header::LOCATION, format!("{base}/held-out/{name}"))]).into_response(),
        "page" => typed("text/html; charset=utf-8", b"<html><body>a red circle</body></html>".to_vec()),
        "page.png" => typed("image/png", b"<html><body>a red circle</body></html>".to_vec()),
        "announced" => typed("image/png", vec![0; 21 << 20]),
        "endless" => {
            let chunk = bytes::Bytes::from(vec![0; 64 << 10]);
            let chunks = futures::stream::iter((0..400).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
            ([(header::CONTENT_TYPE, "image/png")], Body::from_stream(chunks)).into_response()
        }
        "pixels" => typed("image/png", vast_png()),
        "loop" => (StatusCode::FOUND, [(header::LOCATION, format!("{base}/loop"))]).into_response(),
        "broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "hang" => return None,
        _ => missing(),
    })
}

/// The beginning of a PNG that says it has ten thousand million pixels. The checksums are right.
fn vast_png() -> Vec<u8> {
    let head = b"IHDR\x00\x01\x86\xa0\x00\x01\x86\xa0\x08\x02\x00\x00\x00";
    let crc = |bytes: &[u8]| {
        let step =
            |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()));
        !bytes.iter().fold(!0, step)
    };
    let mut file = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d".to_vec();
    file.extend_from_slice(head);
    file.extend_from_slice(&crc(head).to_be_bytes());
    file.extend_from_slice(b"\x00\x00\x00\x00IDAT");
    file.extend_from_slice(&crc(b"IDAT").to_be_bytes());
    file
}

async fn pictures() -> Outside {
    Outside::with("127.0.0.1:0", |base| {
        let base = base.to_owned();
        Arc::new(move |path| answer(&base, path))
    })
    .await
}

async fn start(more: &str) -> (Server, Client, Outside) {
    let outside = pictures().await;
    let grant = format!("[plugin.classifier]\nhttp_private = [\"127.0.0.1:{}\"]\n{more}", outside.port());
    let config = models::section("vit-tiny", &models::folder("vit-tiny"), "classifier");
    let server = models::with_library(Setup::new().plugin("classifier")).config(&config).config(&grant).start().await;
    let client = Client::modern(&server);
    (server, client, outside)
}

fn labels() -> Vec<Value> {
    models::json(&held_out().join("labels.json")).as_array().expect("labels").clone()
}

#[tokio::test]
async fn pictures_that_it_has_not_seen_are_told_right_and_as_by_transformers() {
    let (_server, client, outside) = start("").await;
    let labels = labels();
    assert!(labels.len() >= 200, "{}", labels.len());
    let mut right = 0;
    for row in &labels {
        let url = format!("{}/held-out/{}", outside.base(), row["file"].as_str().expect("a name"));
        let reply = client.call("classify", json!({ "image_url": url })).await;
        let text = reply.ok();
        right += usize::from(row["label"] == text);
        let found = &reply.result()["structuredContent"];
        assert_eq!(found["label"], text);
        assert_eq!(row["answer"], text, "{row} {found}");
        // Decoders of JPEG and WebP may differ by a shade.
        let apart = (found["score"].as_f64().expect("a score") - row["score"].as_f64().expect("a score")).abs();
        assert!(apart < 0.02, "{row} {found}");
    }
    assert!(right * 100 >= labels.len() * 99, "{right} of {}", labels.len());
}

#[tokio::test]
async fn the_best_few_come_with_their_scores() {
    let (_server, client, outside) = start("").await;
    let url = format!("{}/held-out/000.png", outside.base());
    let reply = client.call("classify", json!({ "image_url": url, "top_k": 3 })).await;
    let text = reply.ok();
    let found = &reply.result()["structuredContent"];
    let predictions = found["predictions"].as_array().expect("predictions");
    assert_eq!((predictions.len(), text.lines().count()), (3, 3), "{text}");
    assert_eq!((&predictions[0]["label"], &predictions[0]["score"]), (&found["label"], &found["score"]));
    let scores: Vec<f64> = predictions.iter().map(|one| one["score"].as_f64().expect("a score")).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores.iter().sum::<f64>() <= 1.0001, "{scores:?}");
    let reply = client.call("classify", json!({ "image_url": url, "top_k": 100 })).await;
    assert_eq!(reply.result()["structuredContent"]["predictions"].as_array().map(Vec::len), Some(16));
    let why = client.call("classify", json!({ "image_url": url, "top_k": 0 })).await.failure();
    assert!(why.contains("top_k"), "{why}");
}

#[tokio::test]
async fn a_picture_is_known_by_its_bytes_and_found_behind_a_redirect() {
    let (_server, client, outside) = start("").await;
    for row in labels().iter().step_by(23) {
        for folder in ["bytes", "moved"] {
            let url = format!("{}/{folder}/{}", outside.base(), row["file"].as_str().expect("a name"));
            assert_eq!(client.call("classify", json!({ "image_url": url })).await.ok(), row["answer"].as_str().expect("a label"));
        }
    }
}

#[tokio::test]
async fn what_is_no_picture_is_a_friendly_sentence() {
    let (_server, client, outside) = start("").await;
    for (path, part) in [
        ("/held-out/none.png", "404"),
        ("/page", "text/html"),
        ("/page.png", "not a JPEG, PNG or WebP"),
        ("/announced", "20 MiB"),
        ("/endless", "20 MiB"),
        ("/pixels", "48 MiB"),
        ("/half/000.png", "damaged"),
        ("/loop", "redirecting"),
        ("/broken", "500"),
    ] {
        let why = client.call("classify", json!({ "image_url": format!("{}{path}", outside.base()) })).await.failure();
        assert!(why.contains(part) && why.starts_with("The picture cannot be") && why.ends_with('.') && why.len() < 300, "{path}: {why}");
    }
    let good = format!("{}/held-out/000.png", outside.base());
    client.call("classify", json!({ "image_url": good })).await.ok();
}

#[tokio::test]
async fn what_is_no_url_of_the_web_asks_nobody() {
    let (_server, client, outside) = start("").await;
    for url in [
        "",
        "picture.png",
        "ftp://example.com/a.png",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@127.0.0.1/a.png",
        "data:image/png;base64,AAAA",
    ] {
        let reply = client.call("classify", json!({ "image_url": url })).await;
        let why = reply.failure();
        assert!(why.contains("URL") || why.contains("uri"), "{url}: {why}");
    }
    assert!(outside.visits().is_empty(), "{:?}", outside.visits());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_after_the_http_timeout() {
    let (_server, client, outside) = start("http_timeout = \"500ms\"").await;
    let why = client.call("classify", json!({ "image_url": format!("{}/hang", outside.base()) })).await.failure();
    assert!(why.starts_with("The picture cannot be fetched") && why.contains("http_timeout"), "{why}");
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_not_asked_and_the_line_to_add_is_named() {
    let outside = pictures().await;
    let config = models::section("vit-tiny", &models::folder("vit-tiny"), "classifier");
    let setup = models::with_library(Setup::new().plugin("classifier"));
    let server = setup.config(&config).config("[plugin.classifier]\nhttp = [\"*\"]").start().await;
    let url = format!("{}/held-out/000.png", outside.base());
    let why = Client::modern(&server).call("classify", json!({ "image_url": url })).await.failure();
    assert!(why.starts_with("The picture cannot be fetched"), "{why}");
    let line = server.wait_log("the line that would grant it", |line| line.contains("http_private")).await;
    assert!(line.contains(&format!("127.0.0.1:{}", outside.port())), "{line}");
    assert!(outside.visits().is_empty(), "{:?}", outside.visits());
}

#[tokio::test]
async fn a_recipe_of_another_model_is_followed() {
    let outside = pictures().await;
    let setup = models::with_library(Setup::new().plugin("classifier"));
    // What an older export says: the size as one number, and labels of its own.
    models::copy(&setup, "vit-tiny", "model", |file, mut json| match file {
        "preprocessor_config.json" => Some(
            json!({ "do_normalize": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": 32 }),
        ),
        "config.json" => {
            json["id2label"] = json!({ "0": "tench, Tinca tinca" });
            Some(json)
        }
        _ => None,
    });
    let config = models::section("vit-base", &setup.home().join("model"), "classifier");
    let grant = format!("[plugin.classifier]\nhttp_private = [\"127.0.0.1:{}\"]\nenv = {{ MODEL = \"vit-base\" }}", outside.port());
    let server = setup.config(&config).config(&grant).start().await;
    let client = Client::modern(&server);
    for (label, expected) in [("red circle", "tench, Tinca tinca"), ("noise", "LABEL_15")] {
        let row = labels().into_iter().find(|row| row["answer"] == label).expect("there is one");
        let url = format!("{}/held-out/{}", outside.base(), row["file"].as_str().expect("a name"));
        assert_eq!(client.call("classify", json!({ "image_url": url })).await.ok(), expected);
    }
}
