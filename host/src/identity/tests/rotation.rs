//! Keys that change under one name, keys that were withdrawn, and answers that are no list of keys.

use axum::response::{IntoResponse as _, Redirect};
use futures::future::join_all;

use super::*;

impl Lab {
    /// A token of this issuer, signed by another key under a name.
    fn by(&self, pair: &Pair, id: &str) -> String {
        let algorithm = match pair {
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        };
        let header = if id.is_empty() { json!({ "alg": algorithm }) } else { json!({ "alg": algorithm, "kid": id }) };
        pair.sign(&header, &self.claims())
    }

    fn asked(&self) -> usize {
        self.server.asked.load(Ordering::SeqCst)
    }
}

/// Has the keys of the only issuer been read so much earlier.
async fn pass(issuers: &Issuers, seconds: u64) {
    issuers.all[0].keys.pass(Duration::from_secs(seconds)).await;
}

fn without_name(pair: &Pair) -> Value {
    let mut jwk = pair.jwk("");
    jwk.as_object_mut().unwrap().remove("kid");
    jwk
}

#[tokio::test]
async fn keys_of_one_name_are_all_tried() {
    let lab = Lab::start().await;
    let (one, other, stranger) = (Pair::ec(), Pair::ec(), Pair::ec());
    lab.list(&[one.jwk("k1"), other.jwk("k1"), lab.ed.jwk("k1")]);
    let issuers = lab.issuers(lab.config());
    for pair in [&one, &other, &lab.ed] {
        for id in ["k1", ""] {
            assert!(ask(&issuers, &lab.by(pair, id)).await.is_ok(), "{id}");
        }
    }
    assert_eq!(ask(&issuers, &lab.by(&stranger, "k1")).await, Err(Refusal::Signature));
    assert_eq!(ask(&issuers, &lab.by(&stranger, "")).await, Err(Refusal::Signature));
    assert_eq!(lab.asked(), 1, "a wrong signature is no request to the issuer so soon");
    // Those of an issuer that names none, too.
    lab.list(&[without_name(&one), without_name(&other)]);
    let issuers = lab.issuers(lab.config());
    assert!(ask(&issuers, &lab.by(&one, "")).await.is_ok() && ask(&issuers, &lab.by(&other, "")).await.is_ok());
    assert_eq!(ask(&issuers, &lab.by(&one, "k1")).await, Err(Refusal::Key));
}

#[tokio::test]
async fn a_new_key_under_the_name_of_the_old_one_is_read_when_a_token_needs_it() {
    let lab = Lab::start().await;
    let new = Pair::ec();
    for id in ["k1", ""] {
        lab.list(&[lab.ec.jwk(id)]);
        let issuers = lab.issuers(lab.config());
        let (by_old, by_new) = (lab.by(&lab.ec, id), lab.by(&new, id));
        assert!(ask(&issuers, &by_old).await.is_ok());
        lab.list(&[new.jwk(id)]);
        assert_eq!(ask(&issuers, &by_new).await, Err(Refusal::Signature), "the issuer was asked just now");
        pass(&issuers, 6).await;
        assert!(ask(&issuers, &by_new).await.is_ok());
        // The old one is good for nothing, also for a token that was found good by it.
        assert_eq!(ask(&issuers, &by_old).await, Err(Refusal::Signature));
        let before = lab.asked();
        for _ in 0..20 {
            assert_eq!(ask(&issuers, &by_old).await, Err(Refusal::Signature));
        }
        assert_eq!(lab.asked(), before, "bad tokens are no requests to the issuer");
    }
}

#[tokio::test]
async fn a_token_that_is_shown_again_and_again_is_good_no_longer_than_its_key_is_listed() {
    let lab = Lab::start().await;
    let issuers = lab.issuers(lab.config());
    let token = lab.by(&lab.ec, "k1");
    assert!(ask(&issuers, &token).await.is_ok());
    lab.list(&[Pair::ec().jwk("k9")]);
    pass(&issuers, 500).await;
    assert!(ask(&issuers, &token).await.is_ok());
    assert_eq!(lab.asked(), 1);
    // Nobody waits for what is asked every ten minutes.
    pass(&issuers, 200).await;
    assert!(ask(&issuers, &token).await.is_ok());
    let refused = async {
        while ask(&issuers, &token).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap();
    assert_eq!(lab.asked(), 2);

    // After a long silence whoever comes first does.
    let issuers = lab.issuers(lab.config());
    lab.list(&[lab.ec.jwk("k1")]);
    assert!(ask(&issuers, &token).await.is_ok());
    lab.list(&[Pair::ec().jwk("k9")]);
    pass(&issuers, 5000).await;
    assert_eq!(ask(&issuers, &token).await, Err(Refusal::Key));

    // An issuer that is away withdraws nothing.
    let issuers = lab.issuers(lab.config());
    lab.list(&[lab.ec.jwk("k1")]);
    assert!(ask(&issuers, &token).await.is_ok());
    *lab.server.down.lock().unwrap() = true;
    for _ in 0..3 {
        pass(&issuers, 5000).await;
        assert!(ask(&issuers, &token).await.is_ok());
    }
}

#[tokio::test]
async fn two_issuers_may_have_keys_of_one_name_and_people_of_one_name() {
    let (one, two) = (Lab::start().await, Lab::start().await);
    let config =
        AuthConfig { issuer: [("one".to_owned(), one.config()), ("two".to_owned(), two.config())].into(), ..AuthConfig::default() };
    let issuers = Issuers::new(&config, None);
    for (lab, name) in [(&one, "one:ann"), (&two, "two:ann")] {
        assert_eq!(ask(&issuers, &lab.by(&lab.ec, "k1")).await.unwrap().subject(), name);
    }
    // The key of one says nothing for the other.
    assert_eq!(ask(&issuers, &one.by(&two.ec, "k1")).await, Err(Refusal::Signature));
    assert_eq!(ask(&issuers, &two.by(&one.ec, "k1")).await, Err(Refusal::Signature));
}

#[tokio::test]
async fn what_is_no_list_of_keys_is_none_and_nobody_is_sent_elsewhere() {
    let lab = Lab::start().await;
    let keys = json!({ "keys": [lab.ec.jwk("k1")] });
    let huge = json!({ "keys": [lab.ec.jwk("k1")], "more": "x".repeat(2 << 20) }).to_string();
    let far = json!({ "keys": (0..150).map(|_| json!({ "kty": "oct", "k": "AAAA" })).chain([lab.ec.jwk("k1")]).collect::<Vec<_>>() });
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "k1", "k": "AAAA", "alg": "HS256" }] });
    let encryption = {
        let mut jwk = lab.ec.jwk("k1");
        jwk["use"] = json!("enc");
        json!({ "keys": [jwk] })
    };
    let odd = json!({ "keys": [1, null, "x", {}, { "kty": 5 }, { "kty": "EC", "crv": "P-256", "kid": "k1", "x": "AA", "y": "AA" }, lab.ec.jwk("k1")] });
    let visited = Arc::new(AtomicUsize::new(0));
    let elsewhere = {
        let (visited, keys) = (visited.clone(), keys.clone());
        move || {
            visited.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Json(keys.clone()))
        }
    };
    let text = |text: String| get(move || std::future::ready(text.clone()));
    let slow = || async {
        let drip = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((Ok::<_, std::convert::Infallible>(" "), ()))
        });
        axum::body::Body::from_stream(drip).into_response()
    };
    let router = Router::new()
        .route("/good", text(keys.to_string()))
        .route("/odd", text(odd.to_string()))
        .route("/huge", text(huge))
        .route("/far", text(far.to_string()))
        .route("/secret", text(secret.to_string()))
        .route("/encryption", text(encryption.to_string()))
        .route("/empty", text(json!({ "keys": [] }).to_string()))
        .route("/nothing", text(String::new()))
        .route("/list", text(keys["keys"].to_string()))
        .route("/page", text("<html>sign in</html>".to_owned()))
        .route("/deep", text("[".repeat(100_000)))
        .route("/moved", get(|| async { Redirect::temporary("/elsewhere") }))
        .route("/elsewhere", get(elsewhere))
        .route("/slow", get(slow));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let token = lab.by(&lab.ec, "k1");
    let paths =
        ["good", "odd", "huge", "far", "secret", "encryption", "empty", "nothing", "list", "page", "deep", "moved", "slow", "missing"];
    let results = join_all(paths.map(|path| {
        let issuers = lab.issuers(IssuerConfig { jwks: Some(format!("{base}/{path}")), ..lab.config() });
        let token = &token;
        async move { (path, ask(&issuers, token).await) }
    }));
    for (path, result) in results.await {
        match path {
            "good" | "odd" | "far" => assert!(result.is_ok(), "{path}: {result:?}"),
            _ => assert_eq!(result, Err(Refusal::NoKeys), "{path}"),
        }
    }
    assert_eq!(visited.load(Ordering::SeqCst), 0, "a redirect is not followed");
}
