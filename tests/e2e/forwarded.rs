//! What one host hands on to another is taken once: whoever has overheard it and sends it again gets nothing, also after a restart.

use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use toolbay_tests::{Client, Server, Setup, client::http, eventually, json, raw, secs};

const KEY: &str = "a-key-that-is-long-enough-to-sign-it";

/// What is between two hosts, and hears what one says.
struct Relay {
    port: u16,
    target: Arc<Mutex<String>>,
    heard: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let (target, heard) = (Arc::<Mutex<String>>::default(), Arc::<Mutex<Vec<u8>>>::default());
        let (to, ear) = (Arc::clone(&target), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                let (address, ear) = (to.lock().unwrap().clone(), Arc::clone(&ear));
                connections.spawn(async move {
                    let Ok(mut to) = TcpStream::connect(address).await else { return };
                    let ((mut says, mut hears), (mut answers, mut asks)) = (from.split(), to.split());
                    let listen = async {
                        let mut buffer = [0; 4096];
                        while let Ok(read) = says.read(&mut buffer).await {
                            ear.lock().unwrap().extend_from_slice(&buffer[..read]);
                            if read == 0 || asks.write_all(&buffer[..read]).await.is_err() {
                                break;
                            }
                        }
                    };
                    tokio::select! {
                        () = listen => {}
                        _ = tokio::io::copy(&mut answers, &mut hears) => {}
                    }
                });
            }
        });
        Self { port, target, heard, task }
    }

    /// The requests that were signed, as they were sent.
    fn signed(&self) -> Vec<String> {
        let heard = String::from_utf8(self.heard.lock().unwrap().clone()).expect("text");
        heard.split_inclusive("toolbay/awaitCancel\"}").filter_map(|part| part.find("POST ").map(|at| part[at..].to_owned())).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn setup(advertise: &str) -> Setup {
    Setup::new().plugin("calculator").test_plugin("everything").env("KEY", KEY).config(&format!(
        "[state]\nkeys = [{{ from_env = \"KEY\" }}]\ncopies = 2\n[tasks]\nadvertise = {advertise:?}\n[plugin.everything]\ntimeout = \"10m\"\n"
    ))
}

/// A call at one host, which its client cancels at the other, where its session is: the one asks the other for that.
async fn cancelled(client: &Client, runs: &Server, relay: &Relay) {
    let before = relay.signed().len();
    let (id, request) = client.also_at(&runs.url).request("tools/call", json!({ "name": "slow_compute", "arguments": { "seconds": 300 } }));
    let call = tokio::spawn(async move { request.send().await.expect("an answer").text().await });
    eventually("it asks", secs(60), || async { (relay.signed().len() > before).then_some(()) }).await;
    assert_eq!(client.notify("notifications/cancelled", json!({ "requestId": id })).await.status, 202);
    let body = tokio::time::timeout(secs(60), call).await.expect("it ends").expect("no panic").expect("a body");
    assert!(!body.contains("\"result\""), "{body}");
}

/// The status of the answer to it, sent again.
async fn again(server: &Server, request: &str) -> u16 {
    let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it takes the request");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|part| part == b"\r\n\r\n") {
        let mut buffer = [0; 1024];
        let read = tokio::time::timeout(secs(60), stream.read(&mut buffer)).await.expect("it answers").expect("it is there");
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
    }
    raw::status(&String::from_utf8_lossy(&answer)).expect("an answer of HTTP")
}

#[tokio::test]
async fn a_request_that_was_handed_on_is_taken_once_also_after_a_restart() {
    let relay = Relay::start().await;
    let advertise = format!("http://127.0.0.1:{}", relay.port);
    let mut home = setup(&advertise).start().await;
    let address = home.address().to_owned();
    relay.target.lock().unwrap().clone_from(&address);
    let other = setup("127.0.0.1").start().await;
    let client = Client::legacy(&home).await;
    cancelled(&client, &other, &relay).await;
    // Whoever has overheard it has the caller's rights, and not those of a host.
    let [first] = relay.signed().try_into().expect("it was sent once");
    assert_eq!(again(&home, &first).await, 421);
    let page = http().get(format!("{}/metrics", home.base)).send().await.expect("/metrics").text().await.expect("a page");
    assert!(page.contains("toolbay_refusals_total{reason=\"replay\"} 1\n"), "{page}");
    home.wait_log("the operator is told", |line| line.contains("WARN") && line.contains("came again")).await;
    // The next process at that address has seen nothing of it.
    home.signal(Signal::KILL);
    home.wait_exit(secs(60)).await;
    let home = setup(&advertise).listen(&address).start().await;
    for request in relay.signed() {
        assert_eq!(again(&home, &request).await, 421);
    }
    // For those that are honest it goes on: they sign for the new one.
    cancelled(&client, &other, &relay).await;
    for request in relay.signed() {
        assert_eq!(again(&home, &request).await, 421);
    }
}
