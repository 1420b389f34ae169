//! Tokens of an issuer in this process: which are let in, and why others are not.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::get};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};

use super::*;

mod opaque;
mod proofs;
mod rotation;

const RESOURCE: &str = "https://tools.example.com/mcp";

/// A key of the issuer.
enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Pair {
    fn ec() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap())
    }

    fn ed() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": x, "y": y})
            }
            Self::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "alg": "EdDSA", "x": BASE64.encode(pair.public_key().as_ref())})
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = match self {
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
        };
        format!("{text}.{}", BASE64.encode(signature))
    }
}

/// What the issuer answers, and how often it was asked.
#[derive(Default)]
struct Server {
    keys: Mutex<Value>,
    down: Mutex<bool>,
    asked: AtomicUsize,
    /// What it says of opaque tokens, and how often it was asked about one.
    known: Mutex<std::collections::HashMap<String, Value>>,
    introspected: AtomicUsize,
    /// What it answers whatever it is asked about a token.
    trouble: Mutex<Option<(u16, Value)>>,
}

struct Lab {
    server: Arc<Server>,
    issuer: String,
    ec: Pair,
    ed: Pair,
}

impl Lab {
    async fn start() -> Self {
        let (ec, ed, server) = (Pair::ec(), Pair::ed(), Arc::new(Server::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/realm", listener.local_addr().unwrap());
        let metadata =
            json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "introspection_endpoint": format!("{issuer}/introspect")});
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(move || std::future::ready(Json(metadata.clone()))))
            .route(
                "/realm/keys",
                get(|State(server): State<Arc<Server>>| async move {
                    server.asked.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if *server.down.lock().unwrap() {
                        Err(http::StatusCode::BAD_GATEWAY)
                    } else {
                        Ok(Json(server.keys.lock().unwrap().clone()))
                    }
                }),
            )
            .route("/realm/introspect", axum::routing::post(opaque::introspect))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let lab = Self { server, issuer, ec, ed };
        lab.list(&[lab.ec.jwk("k1"), lab.ed.jwk("k2")]);
        lab
    }

    fn list(&self, keys: &[Value]) {
        *self.server.keys.lock().unwrap() = json!({"keys": keys});
    }

    fn config(&self) -> IssuerConfig {
        IssuerConfig { issuer: self.issuer.clone(), ..IssuerConfig::default() }
    }

    fn issuers(&self, config: IssuerConfig) -> Issuers {
        Issuers::new(&AuthConfig { issuer: [("main".to_owned(), config)].into(), ..AuthConfig::default() }, None)
    }

    fn claims(&self) -> Value {
        json!({"iss": self.issuer, "sub": "ann", "aud": RESOURCE, "exp": unix_time::seconds() + 60, "scope": "mcp:tools mcp:admin", "roles": ["reader"],
            "realm_access": {"roles": ["deep"]}})
    }

    /// A token with another header and other claims. A claim that is null is left out.
    fn token(&self, header: Value, claims: Value) -> String {
        let merge = |mut into: Value, from: Value| {
            let (all, from) = (into.as_object_mut().unwrap(), from.as_object().unwrap().clone());
            all.extend(from);
            all.retain(|_, value| !value.is_null());
            into
        };
        let header = merge(json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}), header);
        self.ec.sign(&header, &merge(self.claims(), claims))
    }
}

async fn ask(issuers: &Issuers, token: &str) -> Result<Principal, Refusal> {
    issuers.authenticate(&Shown { token, proof: None }, &[RESOURCE]).await
}

#[tokio::test]
async fn a_good_token_is_let_in_by_each_kind_of_key_and_says_who_has_it() {
    let lab = Lab::start().await;
    let issuers = lab.issuers(IssuerConfig { roles_claim: Some("roles".to_owned()), ..lab.config() });
    let ann = ask(&issuers, &lab.token(json!({}), json!({}))).await.unwrap();
    assert_eq!((ann.subject(), ann.roles().to_string().as_str()), ("main:ann", "reader"));
    for header in [json!({"typ": null}), json!({"typ": "JWT"}), json!({"typ": "application/at+jwt"}), json!({"kid": null})] {
        assert!(ask(&issuers, &lab.token(header.clone(), json!({}))).await.is_ok(), "{header}");
    }
    let claims = lab.claims();
    assert!(ask(&issuers, &lab.ed.sign(&json!({"alg": "EdDSA", "kid": "k2"}), &claims)).await.is_ok());
    assert!(ask(&issuers, &lab.token(json!({}), json!({"aud": ["x", RESOURCE]}))).await.is_ok());
    assert!(ask(&issuers, &lab.token(json!({}), json!({"aud": format!("{RESOURCE}/")}))).await.is_ok());
    assert_eq!(lab.server.asked.load(Ordering::SeqCst), 1, "the keys are asked for once");

    // Roles by scopes and by values, by a claim inside of another, and for everybody.
    let config = IssuerConfig {
        roles_claim: Some("realm_access.roles".to_owned()),
        roles: [("deep".to_owned(), vec!["a".to_owned()]), ("mcp:admin".to_owned(), vec!["b".to_owned(), "c".to_owned()])].into(),
        default_roles: vec!["all".to_owned()],
        ..lab.config()
    };
    let ann = ask(&lab.issuers(config), &lab.token(json!({}), json!({}))).await.unwrap();
    assert_eq!(ann.roles().to_string(), "a, all, b, c");
    let plain = ask(&lab.issuers(lab.config()), &lab.token(json!({}), json!({}))).await.unwrap();
    assert!(plain.roles().is_empty(), "what no configuration names gives nothing");
}

#[tokio::test]
async fn what_one_more_scope_would_give_is_known_where_it_may_be_asked_for() {
    let lab = Lab::start().await;
    let roles = |scope: &str, role: &str| (scope.to_owned(), vec![role.to_owned()]);
    let config = IssuerConfig {
        scopes: vec!["mcp:tools".to_owned()],
        roles: [roles("mcp:tools", "user"), roles("mcp:files", "clerk"), roles("mcp:admin", "boss"), roles("mcp:root", "root")].into(),
        step_up: vec!["mcp:files".to_owned(), "mcp:admin".to_owned()],
        ..lab.config()
    };
    let issuers = lab.issuers(config);
    let steps = async |scope: &str| {
        let ann = ask(&issuers, &lab.token(json!({}), json!({ "scope": scope }))).await.unwrap();
        let steps = ann.steps()?;
        let each: Vec<_> = steps.each.iter().map(|step| format!("{} by {}", step.roles, step.scopes)).collect();
        Some((each, steps.all.to_string()))
    };
    let found = |each: &[&str], all: &str| Some((each.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>(), all.to_owned()));
    let both = ["clerk, user by mcp:tools mcp:files", "boss, user by mcp:tools mcp:admin"];
    assert_eq!(steps("mcp:tools").await, found(&both, "boss, clerk, user"));
    assert_eq!(steps("mcp:tools openid").await, found(&both, "boss, clerk, user"), "what means nothing here is not asked for");
    let one = ["boss, clerk, user by mcp:tools mcp:files mcp:admin"];
    assert_eq!(steps("mcp:files mcp:tools").await, found(&one, "boss, clerk, user"), "what it has it keeps");
    assert_eq!(steps("mcp:tools mcp:files mcp:admin").await, None);
}

#[tokio::test]
async fn no_bad_token_is_let_in_and_each_is_told_why() {
    let lab = Lab::start().await;
    let issuers = lab.issuers(IssuerConfig { scopes: vec!["mcp:tools".to_owned()], ..lab.config() });
    let good = lab.token(json!({}), json!({}));
    let other = Pair::ec();
    let part = |value: Value| BASE64.encode(value.to_string());
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let none = |alg: &str| format!("{}.{payload}.", part(json!({"alg": alg, "kid": "k1"})));
    // The public key as the secret of an HMAC.
    let confused = {
        let text = format!("{}.{payload}", part(json!({"alg": "HS256", "kid": "k1"})));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, lab.ec.jwk("k1").to_string().as_bytes());
        format!("{text}.{}", BASE64.encode(ring::hmac::sign(&key, text.as_bytes())))
    };
    let time = unix_time::seconds();
    let with = |claims: Value| lab.token(json!({}), claims);
    let headed = |header: Value| lab.token(header, json!({}));
    let claim = |name: &str| Refusal::Claim(name.to_owned());
    let malformed = |refusal: &Refusal| matches!(refusal, Refusal::Malformed(_) | Refusal::Opaque(_));
    let is = |wanted: Refusal| move |refusal: &Refusal| *refusal == wanted;
    type Check<'a> = Box<dyn Fn(&Refusal) -> bool + 'a>;
    let cases: Vec<(&str, String, Check<'_>)> = vec![
        ("nothing", String::new(), Box::new(malformed)),
        ("no token", "hello".to_owned(), Box::new(malformed)),
        ("two parts", format!("{header}.{payload}"), Box::new(malformed)),
        ("four parts", format!("{good}.x"), Box::new(malformed)),
        ("five parts, as JWE has", format!("{good}.x.y"), Box::new(malformed)),
        ("an empty header", format!(".{payload}.{signature}"), Box::new(malformed)),
        ("no base64", format!("!{header}.{payload}.{signature}"), Box::new(malformed)),
        ("padded base64", format!("{header}=.{payload}.{signature}"), Box::new(malformed)),
        ("a header that is no object", format!("{}.{payload}.{signature}", part(json!([]))), Box::new(malformed)),
        ("a header without alg", format!("{}.{payload}.{signature}", part(json!({"kid": "k1"}))), Box::new(malformed)),
        ("a payload that is no object", format!("{header}.{}.{signature}", part(json!(1))), Box::new(malformed)),
        ("huge", format!("{header}.{}.{signature}", "A".repeat(1 << 20)), Box::new(malformed)),
        ("a crit", headed(json!({"crit": ["exp"]})), Box::new(malformed)),
        ("alg none", none("none"), Box::new(is(Refusal::Algorithm))),
        ("alg None", none("None"), Box::new(is(Refusal::Algorithm))),
        ("alg NONE", none("NONE"), Box::new(is(Refusal::Algorithm))),
        ("alg empty", none(""), Box::new(is(Refusal::Algorithm))),
        ("alg unknown", none("XX256"), Box::new(is(Refusal::Algorithm))),
        ("alg in small letters", headed(json!({"alg": "es256"})), Box::new(is(Refusal::Algorithm))),
        ("HMAC with the public key", confused, Box::new(is(Refusal::Algorithm))),
        ("HS384", none("HS384"), Box::new(is(Refusal::Algorithm))),
        ("HS512", none("HS512"), Box::new(is(Refusal::Algorithm))),
        ("RS256 with an EC key", headed(json!({"alg": "RS256"})), Box::new(is(Refusal::Algorithm))),
        ("ES384 with a P-256 key", headed(json!({"alg": "ES384"})), Box::new(is(Refusal::Algorithm))),
        ("EdDSA with an EC key", headed(json!({"alg": "EdDSA"})), Box::new(is(Refusal::Algorithm))),
        ("the key of another algorithm", headed(json!({"kid": "k2"})), Box::new(is(Refusal::Algorithm))),
        ("an unknown kid", headed(json!({"kid": "k9"})), Box::new(is(Refusal::Key))),
        ("a kid that is a path", headed(json!({"kid": "../../etc/passwd"})), Box::new(is(Refusal::Key))),
        ("an empty kid", headed(json!({"kid": ""})), Box::new(is(Refusal::Key))),
        ("a kid that is a number", headed(json!({"kid": 1})), Box::new(malformed)),
        ("a key inside of the token", headed(json!({"kid": "own", "jwk": other.jwk("own")})), Box::new(is(Refusal::Key))),
        (
            "a link to keys inside of the token",
            headed(json!({"kid": "own", "jku": "https://evil.example/keys"})),
            Box::new(is(Refusal::Key)),
        ),
        ("another's signature", other.sign(&json!({"alg": "ES256", "kid": "k1"}), &lab.claims()), Box::new(is(Refusal::Signature))),
        ("no signature", format!("{header}.{payload}."), Box::new(is(Refusal::Signature))),
        ("a signature of zeros", format!("{header}.{payload}.{}", BASE64.encode([0; 64])), Box::new(is(Refusal::Signature))),
        ("a signature cut", format!("{header}.{payload}.{}", &signature[..40]), Box::new(is(Refusal::Signature))),
        (
            "other claims under the signature",
            format!("{header}.{}.{signature}", part(json!({"iss": lab.issuer, "sub": "root", "aud": RESOURCE, "exp": time + 60}))),
            Box::new(is(Refusal::Signature)),
        ),
        ("an ID token", headed(json!({"typ": "id+jwt"})), Box::new(is(Refusal::Kind))),
        ("a logout token", headed(json!({"typ": "logout+jwt"})), Box::new(is(Refusal::Kind))),
        ("a DPoP proof", headed(json!({"typ": "dpop+jwt"})), Box::new(is(Refusal::Kind))),
        ("another issuer", with(json!({"iss": "https://evil.example"})), Box::new(is(Refusal::Issuer))),
        ("the issuer with a slash", with(json!({"iss": format!("{}/", lab.issuer)})), Box::new(is(Refusal::Issuer))),
        ("several issuers", with(json!({"iss": [lab.issuer, "x"]})), Box::new(malformed)),
        ("no issuer", with(json!({"iss": null})), Box::new(malformed)),
        ("expired", with(json!({"exp": time - 60})), Box::new(is(Refusal::Expired))),
        ("expired at the beginning of time", with(json!({"exp": 0})), Box::new(is(Refusal::Expired))),
        ("no exp", with(json!({"exp": null})), Box::new(|refusal| matches!(refusal, Refusal::Claim(_) | Refusal::Malformed(_)))),
        ("exp as text", with(json!({"exp": "tomorrow"})), Box::new(|refusal| matches!(refusal, Refusal::Claim(_) | Refusal::Malformed(_)))),
        (
            "exp below zero",
            with(json!({"exp": -1})),
            Box::new(|refusal| matches!(refusal, Refusal::Claim(_) | Refusal::Malformed(_) | Refusal::Expired)),
        ),
        ("not yet valid", with(json!({"nbf": time + 600})), Box::new(is(Refusal::Early))),
        ("another audience", with(json!({"aud": "https://other.example/mcp"})), Box::new(is(Refusal::Audience))),
        ("other audiences", with(json!({"aud": ["a", "b"]})), Box::new(is(Refusal::Audience))),
        ("an audience that begins like ours", with(json!({"aud": format!("{RESOURCE}/x")})), Box::new(is(Refusal::Audience))),
        ("our origin as the audience", with(json!({"aud": "https://tools.example.com"})), Box::new(is(Refusal::Audience))),
        ("no audience in the list", with(json!({"aud": []})), Box::new(is(Refusal::Audience))),
        ("no audience", with(json!({"aud": null})), Box::new(|refusal| matches!(refusal, Refusal::Claim(_) | Refusal::Malformed(_)))),
        (
            "an audience that is a number",
            with(json!({"aud": 5})),
            Box::new(|refusal| matches!(refusal, Refusal::Claim(_) | Refusal::Malformed(_))),
        ),
        ("no subject", with(json!({"sub": null})), Box::new(is(claim("sub")))),
        ("an empty subject", with(json!({"sub": ""})), Box::new(is(claim("sub")))),
        ("a subject with a line end", with(json!({"sub": "a\nb"})), Box::new(is(claim("sub")))),
        ("a subject with a space before it", with(json!({"sub": " ann"})), Box::new(is(claim("sub")))),
        ("a subject with a space behind it", with(json!({"sub": "ann\u{2003}"})), Box::new(is(claim("sub")))),
        ("a subject that is a number", with(json!({"sub": 7})), Box::new(is(claim("sub")))),
        ("a long subject", with(json!({"sub": "x".repeat(5000)})), Box::new(is(claim("sub")))),
        ("bound to a key", with(json!({"cnf": {"jkt": "abc"}})), Box::new(is(Refusal::NoProof))),
        ("bound to a certificate", with(json!({"cnf": {"x5t#S256": "abc"}})), Box::new(is(Refusal::Bound))),
        ("bound to both", with(json!({"cnf": {"jkt": "abc", "x5t#S256": "abc"}})), Box::new(is(Refusal::Bound))),
        ("bound to nothing that is known", with(json!({"cnf": {}})), Box::new(is(Refusal::Bound))),
        ("bound by a claim that is a text", with(json!({"cnf": "abc"})), Box::new(is(Refusal::Bound))),
        ("bound to a key that is no text", with(json!({"cnf": {"jkt": 1}})), Box::new(is(Refusal::Bound))),
        ("no scope", with(json!({"scope": null})), Box::new(is(Refusal::Scopes("mcp:tools".to_owned())))),
        ("other scopes", with(json!({"scope": "mcp:toolsx mcp"})), Box::new(is(Refusal::Scopes("mcp:tools".to_owned())))),
        ("scopes with commas", with(json!({"scope": "mcp:tools,mcp:admin"})), Box::new(is(Refusal::Scopes("mcp:tools".to_owned())))),
    ];
    assert!(cases.len() >= 60);
    assert!(ask(&issuers, &good).await.is_ok());
    for (what, token, is_right) in &cases {
        let refusal = ask(&issuers, token).await.map(|principal| panic!("{what} was let in as {principal:?}")).unwrap_err();
        assert!(is_right(&refusal), "{what}: {refusal:?}");
        assert!(!refusal.to_string().contains("evil") && refusal.to_string().len() > 20, "{what}: {refusal}");
    }
    assert!(ask(&issuers, &good).await.is_ok(), "the good one is still good");
    assert!(lab.server.asked.load(Ordering::SeqCst) <= 2, "unknown keys are no requests to the issuer");
}

#[tokio::test]
async fn keys_are_followed_and_asked_for_once_however_many_wait() {
    let lab = Lab::start().await;
    let issuers = Arc::new(lab.issuers(lab.config()));
    let (old, new) = (lab.token(json!({}), json!({})), Pair::ec());
    let many = (0..50).map(|_| {
        let (issuers, old) = (issuers.clone(), old.clone());
        tokio::spawn(async move { ask(&issuers, &old).await.is_ok() })
    });
    for one in many.collect::<Vec<_>>() {
        assert!(one.await.unwrap());
    }
    assert_eq!(lab.server.asked.load(Ordering::SeqCst), 1);
    // The issuer goes away: what is known stays, and what is new is not let in.
    *lab.server.down.lock().unwrap() = true;
    assert!(ask(&issuers, &lab.token(json!({}), json!({"sub": "bob"}))).await.is_ok());
    let by_new = new.sign(&json!({"alg": "ES256", "kid": "k3"}), &lab.claims());
    assert_eq!(ask(&issuers, &by_new).await, Err(Refusal::Key));
    // A host that starts while it is away says so.
    assert_eq!(ask(&lab.issuers(lab.config()), &old).await, Err(Refusal::NoKeys));
    *lab.server.down.lock().unwrap() = false;
    lab.list(&[new.jwk("k3")]);
    // It was asked just now, so it is not asked again at once.
    assert_eq!(ask(&issuers, &by_new).await, Err(Refusal::Key));
    let fresh = lab.issuers(lab.config());
    assert!(ask(&fresh, &by_new).await.is_ok());
    assert_eq!(ask(&fresh, &old).await, Err(Refusal::Key), "a key that is withdrawn is good for nothing");
}

#[tokio::test]
async fn a_configured_audience_counts_in_place_of_the_resource_and_keys_outlive_a_change_elsewhere() {
    let lab = Lab::start().await;
    let config = IssuerConfig { audience: vec!["api://tools".to_owned()], ..lab.config() };
    let auth = AuthConfig { issuer: [("main".to_owned(), config)].into(), ..AuthConfig::default() };
    let issuers = Issuers::new(&auth, None);
    assert!(ask(&issuers, &lab.token(json!({}), json!({"aud": "api://tools"}))).await.is_ok());
    assert_eq!(ask(&issuers, &lab.token(json!({}), json!({}))).await, Err(Refusal::Audience));
    let again = Issuers::new(&AuthConfig { default_roles: vec!["x".to_owned()], ..auth }, Some(&issuers));
    assert!(ask(&again, &lab.token(json!({}), json!({"aud": "api://tools"}))).await.is_ok());
    assert_eq!(lab.server.asked.load(Ordering::SeqCst), 1);
}
