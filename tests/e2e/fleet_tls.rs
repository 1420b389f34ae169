//! Several hosts that ask everybody for a certificate, each other too: what one of them has is reached through the
//! others, and nobody else is taken for one of them.

use std::fs;

use rcgen::ExtendedKeyUsagePurpose;
use reqwest::{Certificate, Identity};
use toolbay_tests::{Client, Server, Setup, eventually, json, secs};

use crate::certificates::{Authority, authority, signed};

const KEY: &str = "a-key-that-is-long-enough-to-sign-it";
const OTHER: &str = "another-key-that-is-long-enough-too!";

/// A host that shows others a certificate by `shows`.
async fn host(ours: &Authority, shows: &Authority, keys: &str) -> Server {
    let setup = Setup::new().plugin("calculator").test_plugin("everything").env("KEY", KEY).env("OTHER", OTHER).config(&format!(
        "[state]\nkeys = [{keys}]\ncopies = 3\n[tasks]\nadvertise = \"127.0.0.1\"\n[plugin.everything]\ntimeout = \"10m\"\n\
         [http]\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\ntls_client_ca = \"ca.pem\"\n\
         [cluster]\ntls_cert = \"peer.pem\"\ntls_key = \"peer-key.pem\"\ntls_ca = \"ca.pem\"\n"
    ));
    let (server, peer) = (signed(ours, ExtendedKeyUsagePurpose::ServerAuth), signed(shows, ExtendedKeyUsagePurpose::ClientAuth));
    for (name, text) in
        [("cert.pem", server.0), ("key.pem", server.1), ("peer.pem", peer.0), ("peer-key.pem", peer.1), ("ca.pem", ours.pem())]
    {
        fs::write(setup.home().join(name), text).unwrap();
    }
    setup.start_unready().await
}

/// A client that has a certificate, and that a host answers.
async fn client(ours: &Authority, server: &Server) -> Client {
    // It installs what encrypts, for every client of this process.
    drop(toolbay_tests::client::http());
    let (cert, key) = signed(ours, ExtendedKeyUsagePurpose::ClientAuth);
    let builder = reqwest::Client::builder().tls_certs_only([Certificate::from_pem(ours.pem().as_bytes()).unwrap()]);
    let http = builder.identity(Identity::from_pem(format!("{cert}{key}").as_bytes()).unwrap()).build().unwrap();
    let ready = format!("{}/readyz", server.base);
    eventually("it is ready", secs(60), || async {
        let answer = http.get(&ready).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    Client::legacy_through(&server.url, &http).await
}

const BOTH: &str = "{ from_env = \"KEY\" }, { from_env = \"OTHER\" }";

#[tokio::test]
async fn hosts_that_ask_for_certificates_reach_each_other() {
    let ours = authority();
    let hosts = [host(&ours, &ours, BOTH).await, host(&ours, &ours, BOTH).await, host(&ours, &ours, BOTH).await];
    for server in &hosts[1..] {
        client(&ours, server).await;
    }
    let first = client(&ours, &hosts[0]).await;
    let [_, second, third] = hosts.each_ref().map(|host| first.also_at(&host.url));
    // The session's stream is at the first.
    let mut stream = second.listen_legacy().await;
    assert_eq!(third.rpc("resources/subscribe", json!({ "uri": "test://watched-resource" })).await.result(), &json!({}));
    first.call("test_trigger_resource_update", json!({})).await.ok();
    let updated = stream.wait_method("notifications/resources/updated").await;
    assert_eq!(updated["params"]["uri"], "test://watched-resource");
    // A call at the third is cancelled at the second: the third asks the first for that, which takes it for an instance.
    let (id, request) = third.request("tools/call", json!({ "name": "slow_compute", "arguments": { "seconds": 300 } }));
    let call = tokio::spawn(async move { request.send().await.expect("an answer").text().await });
    // Until it has begun there is nothing to be cancelled.
    eventually("it ends", secs(60), || async {
        assert_eq!(second.notify("notifications/cancelled", json!({ "requestId": id })).await.status, 202);
        call.is_finished().then_some(())
    })
    .await;
    let body = call.await.expect("no panic").expect("a body");
    assert!(!body.contains("\"result\""), "{body}");
    // The keys rotate, one host after the other: first the other one signs, then it is the only one.
    for (round, keys) in ["{ from_env = \"OTHER\" }, { from_env = \"KEY\" }", "{ from_env = \"OTHER\" }"].into_iter().enumerate() {
        let begun = client(&ours, &hosts[0]).await;
        for server in &hosts {
            let path = server.home().join("toolbay.toml");
            let text = fs::read_to_string(&path).unwrap();
            let line = text.lines().find(|line| line.starts_with("keys = [")).unwrap();
            fs::write(server.home().join("new"), text.replace(line, &format!("keys = [{keys}]"))).unwrap();
            fs::rename(server.home().join("new"), &path).unwrap();
            let hold = || async { (server.log().matches("configuration reloaded").count() > round).then_some(()) };
            eventually("the new keys hold", secs(60), hold).await;
            if keys.contains("KEY") {
                // Whichever keys sign by now, a stream goes through every other host.
                for other in &hosts[1..] {
                    drop(begun.also_at(&other.url).listen_legacy().await);
                }
            }
        }
    }
    let again = client(&ours, &hosts[0]).await;
    drop(again.also_at(&hosts[1].url).listen_legacy().await);
}

#[tokio::test]
async fn who_only_says_that_a_request_was_handed_on_is_a_client() {
    let ours = authority();
    let server = host(&ours, &ours, BOTH).await;
    let client = client(&ours, &server).await;
    // Between instances this waits until a call is cancelled.
    let (_, request) = client.request("toolbay/awaitCancel", json!({}));
    for (name, value) in [("toolbay-handed-on", "cancel"), ("toolbay-handed-on-proof", "made-up")] {
        let request = request.try_clone().unwrap().header("toolbay-handed-on", "cancel").header(name, value);
        let answer = tokio::time::timeout(secs(60), async { request.send().await.unwrap().text().await.unwrap() }).await;
        assert!(answer.expect("it is answered at once").contains("-32601"), "there is no such method");
    }
}

#[tokio::test]
async fn a_host_without_a_certificate_that_counts_is_not_let_in_by_the_others() {
    let (ours, theirs) = (authority(), authority());
    let (first, second) = (host(&ours, &ours, BOTH).await, host(&ours, &theirs, BOTH).await);
    client(&ours, &second).await;
    let here = client(&ours, &first).await;
    let there = here.also_at(&second.url);
    // The first has the session; the second cannot ask it, and so answers by itself.
    assert_eq!(there.rpc("resources/subscribe", json!({ "uri": "test://watched-resource" })).await.result(), &json!({}));
    let mut stream = here.listen_legacy().await;
    here.call("test_trigger_resource_update", json!({})).await.ok();
    fs::remove_file(first.plugin_file("calculator")).unwrap();
    let next = stream.next().await.expect("a change");
    assert_eq!(next["method"], "notifications/tools/list_changed", "nobody was subscribed at the first: {next}");
}
