//! A fleet in one process: 200 hosts that reach each other over loopback, and clients whose every request comes in at another one.
//! Hosts die, come back and change their keys. What is forwarded is counted, so that it is never more than one request; and what
//! a call costs at one host does not grow with the sessions that are kept there.

mod client;
mod host;
mod random;

use std::{collections::BTreeMap, time::Duration};

use futures::{FutureExt as _, StreamExt as _, stream};
use http::Method;
use serde_json::{Value, json};

use super::support::*;
use crate::{
    descriptors,
    mcp::{FrontOptions, signing::Signer},
};
use client::{Client, able, task, without_body};
use host::{Fleet, HOSTS, Host, caller, options};
use random::Random;

const CLIENTS: usize = 200;
/// What each client does between two changes of the fleet.
const STEPS: usize = 2;
/// Files that a client's requests may open: two for each that is forwarded, and hosts keep connections for a while.
const FILES: usize = 60;
/// Clients that do something at once.
const AT_ONCE: usize = 24;
/// For so long an instance that was not reached is left alone, and a little more.
const LEFT_ALONE: Duration = Duration::from_millis(2_500);

/// All clients do some steps. Nothing may go wrong, and exactly so many requests are forwarded as have to be.
async fn work(fleet: &Fleet, clients: &mut [Client], what: &str) {
    let expected: usize = stream::iter(clients.iter_mut())
        .map(async |client| {
            let mut forwards = 0;
            for _ in 0..STEPS {
                forwards += client.step(fleet).await;
            }
            forwards
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<usize>>()
        .await
        .into_iter()
        .sum();
    assert_eq!(fleet.forwarded(), expected, "forwarded requests while {what}");
    println!("{what}: {} steps, {expected} requests forwarded", clients.len() * STEPS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_hosts_serve_every_client_wherever_its_requests_come_in() {
    let seed = Random::seed();
    println!("PROPTEST_RNG_SEED={seed}");
    let mut random = Random::of(seed, usize::MAX / 2);
    let mut fleet = Fleet::start(&["a"]).await;
    let count = CLIENTS.min(descriptors::limit() / FILES);
    let mut clients = Vec::with_capacity(count);
    for number in 0..count {
        clients.push(Client::begin(&fleet, number, seed).await);
    }
    work(&fleet, &mut clients, "all hosts are there").await;

    // A fifth of the hosts is gone, some of them with tasks.
    let mut addresses = BTreeMap::new();
    let mut tasks = Vec::new();
    while addresses.len() < HOSTS / 5 {
        let number = random.of_these(&fleet.alive());
        if tasks.len() < 8 {
            tasks.push((task(fleet.at(number), tasks.len()).await, number));
        }
        addresses.insert(number, fleet.hosts[number].take().unwrap().kill().await);
    }
    let look = async |fleet: &Fleet, (number, id): (usize, &str)| {
        let at = (number * 7 + 3) % fleet.alive().len();
        fleet.at(fleet.alive()[at]).send(number, modern("tasks/get", able(json!({"taskId": id})))).await
    };
    for (number, (id, _)) in tasks.iter().enumerate() {
        let seen = look(&fleet, (number, id)).await;
        assert_eq!(seen.status, 503, "{seen:?}");
        assert!(seen.headers.contains_key("retry-after"), "{seen:?}");
    }
    work(&fleet, &mut clients, "hosts are gone").await;

    // Half of those come back at their addresses, and know nothing of before.
    for (number, address) in addresses.iter().take(HOSTS / 10) {
        fleet.hosts[*number] = Some(Host::start(*number, &address.to_string(), &["a"]).await);
    }
    tokio::time::sleep(LEFT_ALONE).await;
    for (number, (id, _)) in tasks.iter().enumerate().filter(|(_, (_, host))| fleet.is_there(*host)) {
        let seen = look(&fleet, (number, id)).await;
        assert_eq!(seen.code(), -32602, "{seen:?}");
    }
    fleet.forwarded();
    work(&fleet, &mut clients, "some are back").await;

    // The key rotates: first all can read the new one, then all sign with it, host by host.
    let set = |fleet: &Fleet, which: &dyn Fn(usize) -> bool, keys: &[&str]| {
        for (number, host) in fleet.hosts.iter().enumerate().filter_map(|(number, host)| Some((number, host.as_ref()?))) {
            if which(number) {
                host.front.reconfigure(options(&format!("http://{}", host.address), keys));
            }
        }
    };
    set(&fleet, &|number| number % 2 == 0, &["a", "b"]);
    work(&fleet, &mut clients, "half of the hosts know the next key").await;
    set(&fleet, &|_| true, &["a", "b"]);
    set(&fleet, &|number| number % 2 == 0, &["b", "a"]);
    work(&fleet, &mut clients, "half of the hosts sign with the next key").await;
    set(&fleet, &|_| true, &["b", "a"]);
    for client in &mut clients[..count / 2] {
        client.open(&fleet).await;
    }
    work(&fleet, &mut clients[..count / 2], "all hosts sign with the next key").await;

    // The old key is taken away: whoever has a session of it begins again, wherever it was kept.
    let old = Signer::new(&options("", &["a"]).state);
    let is_old = |session: &str| old.open::<Value>(b"toolbay/session/1/", session).is_ok();
    let mut listening = Vec::new();
    for client in clients.iter().filter(|client| is_old(&client.session)).take(20) {
        let host = fleet.at(random.of_these(&fleet.alive()));
        listening.push(Events::of(host.answer(client.number, without_body(Method::GET, &client.session)).await));
    }
    assert!(!listening.is_empty());
    fleet.forwarded();
    set(&fleet, &|_| true, &["b"]);
    for mut stream in listening {
        assert_eq!(stream.next().await, None, "the stream of a session that is over ends");
    }
    let mut over = 0;
    for client in &mut clients {
        let is_over = is_old(&client.session);
        for _ in 0..3 {
            let host = fleet.at(random.of_these(&fleet.alive()));
            let seen = client.rpc(host, "tools/call", json!({"name": "where"})).await;
            assert_eq!(seen.status, if is_over { 404 } else { 200 }, "{seen:?}");
        }
        if is_over {
            over += 1;
            client.open(&fleet).await;
        }
    }
    println!("{over} sessions of the old key");
    work(&fleet, &mut clients, "the old key is gone").await;

    // What a later version gives out: more in the same format is read, another format begins again.
    let signer = Signer::new(&options("", &["b"]).state);
    let claims: Value = signer.open(b"toolbay/session/1/", &clients[0].session).unwrap();
    let mut more = claims.clone();
    more["later"] = json!({"x": 1});
    let hour = Duration::from_secs(3600);
    let (more, other) =
        (signer.seal(b"toolbay/session/1/", &more, hour).unwrap(), signer.seal(b"toolbay/session/2/", &claims, hour).unwrap());
    for number in fleet.alive() {
        let host = fleet.at(number);
        assert_eq!(host.send(0, legacy(Some(&more), "ping", Value::Null)).await.status, 200);
        let seen = host.send(0, legacy(Some(&other), "ping", Value::Null)).await;
        assert_eq!((seen.status.as_u16(), seen.code()), (404, -32001));
    }
}

#[tokio::test]
async fn a_call_costs_the_same_with_few_sessions_and_with_thousands() {
    /// The least of several: a table that grows does so now and then.
    const TIMES: usize = 16;
    const MAX: usize = 4_000;
    let cost = |front: &Lab, session: &str, number: usize| {
        let mut request = legacy(Some(session), "tools/call", json!({"name": "echo"}));
        request.extensions_mut().insert(caller(number));
        let mut request = Some(request);
        let call = || {
            let answered = front.endpoint.handle(None, request.take().unwrap()).now_or_never();
            assert_eq!(answered.expect("nothing is waited for").status(), 200);
        };
        let measured = allocation_counter::measure(call);
        (measured.count_total, measured.bytes_total)
    };
    let lab = Lab::with(FrontOptions { authenticated: true, max_sessions: MAX, ..FrontOptions::default() });
    let open = async |number: usize| {
        let mut request = legacy(None, "initialize", initialize());
        request.extensions_mut().insert(caller(number));
        let seen = lab.send(request).await;
        seen.headers["mcp-session-id"].to_str().unwrap().to_owned()
    };
    // What is made once is made.
    let first = open(0).await;
    cost(&lab, &first, 0);
    let mut costs = Vec::new();
    for kept in [10, 1_000, MAX * 3 / 4] {
        let mut number = 0;
        while lab.front.sessions() < kept {
            number += 1;
            let session = open(number).await;
            cost(&lab, &session, number);
        }
        let (mut anew, mut again) = (Vec::new(), Vec::new());
        for number in 0..TIMES {
            let session = open(number).await;
            anew.push(cost(&lab, &session, number));
            again.push(cost(&lab, &session, number));
        }
        costs.push((anew.into_iter().min().unwrap(), again.into_iter().min().unwrap()));
    }
    println!("allocations and bytes of a session's first call and of the next: {costs:?}");
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}
