//! TLS by certificate files: who connects how, files that are renewed, files that are wrong, and certificates of clients.

use std::{fs, io::Read as _, net::TcpStream, path::Path};

use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use reqwest::{Certificate, Client, Identity};
use toolbay_tests::{Server, Setup, Value, eventually, json, secs};

use crate::certificates::{Authority, authority, signed};

fn write(folder: &Path, (cert, key): &(String, String)) {
    // As renewing programs do: each file at once, one after the other.
    for (name, text) in [("key.pem", key), ("cert.pem", cert)] {
        fs::write(folder.join("new"), text).unwrap();
        fs::rename(folder.join("new"), folder.join(name)).unwrap();
    }
}

fn client(trusts: &Authority, identity: Option<&(String, String)>) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().tls_certs_only([Certificate::from_pem(trusts.pem().as_bytes()).unwrap()]).timeout(secs(20));
    let builder = match identity {
        Some((cert, key)) => builder.identity(Identity::from_pem(format!("{cert}{key}").as_bytes()).unwrap()),
        None => builder,
    };
    builder.build().unwrap()
}

/// The sum that a call of `add` makes.
async fn add(server: &Server, client: &Client) -> Result<f64, String> {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "add", "arguments": { "a": 1, "b": 2 },
        "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} } } });
    let request = client.post(&server.url).header("accept", "application/json, text/event-stream");
    let request = request.header("content-type", "application/json").header("mcp-protocol-version", "2026-07-28");
    let request = request.header("mcp-method", "tools/call").header("mcp-name", "add").body(message.to_string());
    let response = request.send().await.map_err(|error| format!("{error:?}"))?;
    let text = response.text().await.map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_str(&text).map_err(|_| text.clone())?;
    answer["result"]["structuredContent"]["result"].as_f64().ok_or(text)
}

fn setup() -> Setup {
    Setup::new().plugin("calculator").config("[http]\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\nheader_timeout = \"500ms\"\n")
}

#[tokio::test]
async fn calls_go_over_tls_and_a_renewed_certificate_counts_at_once() {
    let (first, second) = (authority(), authority());
    let setup = setup();
    write(setup.home(), &signed(&first, ExtendedKeyUsagePurpose::ServerAuth));
    let server = setup.start_unready().await;
    let kept = client(&first, None);
    assert_eq!(eventually("it is ready", secs(20), || async { add(&server, &kept).await.ok() }).await, 3.0);
    let old = client(&second, None);
    let refused = add(&server, &old).await.unwrap_err();
    assert!(refused.contains("InvalidCertificate"), "signed by somebody else: {refused}");
    // What speaks plainly, or not at all, is ended.
    assert!(reqwest::get(format!("{}/healthz", server.base.replace("https", "http"))).await.is_err());
    let mut silent = TcpStream::connect(server.base.trim_start_matches("https://")).unwrap();
    silent.set_read_timeout(Some(secs(20))).unwrap();
    let ended = tokio::task::spawn_blocking(move || silent.read(&mut [0; 16])).await.unwrap();
    assert_eq!(ended.unwrap(), 0, "a connection on which nobody greets");
    // The health check of images.
    server.setup().run(["health", "--url", &server.base, "--no-verify"]).await.expect_code(0);
    assert!(server.setup().run(["health", "--url", &server.base]).await.expect_code(1).all().contains("certificate"));
    // Another certificate, while a connection with the old one is open.
    write(server.home(), &signed(&second, ExtendedKeyUsagePurpose::ServerAuth));
    eventually("new connections get the new certificate", secs(20), || async { add(&server, &client(&second, None)).await.ok() }).await;
    assert_eq!(add(&server, &kept).await, Ok(3.0), "an open connection goes on");
    // A file that is none changes nothing, and is told.
    fs::write(server.home().join("cert.pem"), "no certificate").unwrap();
    server.wait_log("what is wrong with it", |log| log.contains("has no certificate in PEM format")).await;
    assert!(add(&server, &client(&second, None)).await.is_ok());
}

#[tokio::test]
async fn clients_may_have_to_show_a_certificate() {
    let (ours, theirs) = (authority(), authority());
    let setup = setup().config("tls_client_ca = \"clients.pem\"\n");
    write(setup.home(), &signed(&ours, ExtendedKeyUsagePurpose::ServerAuth));
    fs::write(setup.home().join("clients.pem"), ours.pem()).unwrap();
    let server = setup.start_unready().await;
    let known = signed(&ours, ExtendedKeyUsagePurpose::ClientAuth);
    let shown = client(&ours, Some(&known));
    eventually("it is ready", secs(20), || async { add(&server, &shown).await.ok() }).await;
    for identity in
        [None, Some(&signed(&theirs, ExtendedKeyUsagePurpose::ClientAuth)), Some(&signed(&ours, ExtendedKeyUsagePurpose::ServerAuth))]
    {
        assert!(add(&server, &client(&ours, identity)).await.is_err(), "{identity:?}");
    }
    fs::write(server.home().join("me.pem"), format!("{}{}", known.0, known.1)).unwrap();
    server.setup().run(["health", "--url", &server.base, "--no-verify", "--identity", "me.pem"]).await.expect_code(0);
    server.setup().run(["health", "--url", &server.base, "--no-verify"]).await.expect_code(1);
}

#[tokio::test]
async fn files_that_are_wrong_are_told_where_they_stand() {
    let ours = authority();
    let (cert, key) = signed(&ours, ExtendedKeyUsagePurpose::ServerAuth);
    let other = KeyPair::generate().unwrap().serialize_pem();
    for (config, told) in [
        ("tls_cert = \"cert.pem\"", "2:1: \"tls_cert\" in [http]: is of no use without \"tls_key\""),
        ("tls_client_ca = \"cert.pem\"", "2:1: \"tls_client_ca\" in [http]: is of no use without \"tls_cert\""),
        ("tls_cert = \"none.pem\"\ntls_key = \"key.pem\"", "2:12: \"tls_cert\" in [http]: cannot read the file"),
        ("tls_cert = \"key.pem\"\ntls_key = \"key.pem\"", "has no certificate in PEM format"),
        ("tls_cert = \"cert.pem\"\ntls_key = \"cert.pem\"", "3:11: \"tls_key\" in [http]: "),
        ("tls_cert = \"cert.pem\"\ntls_key = \"other.pem\"", "3:11: \"tls_key\" in [http]: is not the key of the certificate"),
        ("tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\ntls_client_ca = \"key.pem\"", "4:17: \"tls_client_ca\" in [http]: "),
    ] {
        let setup = Setup::new().config(&format!("[http]\n{config}\n"));
        write(setup.home(), &(cert.clone(), key.clone()));
        fs::write(setup.home().join("other.pem"), &other).unwrap();
        let said = setup.run(["check"]).await.expect_code(2).all();
        assert!(said.contains(told), "{config}: {said}");
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    }
}
