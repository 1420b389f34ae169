//! Proofs of DPoP: which are let in, and why others are not.

use super::*;

const URL: &str = "https://tools.example.com/mcp";

/// A caller with a key of its own.
struct Caller {
    pair: Pair,
}

impl Caller {
    fn new(pair: Pair) -> Self {
        Self { pair }
    }

    /// The public key alone.
    fn jwk(&self) -> Value {
        let mut jwk = self.pair.jwk("x");
        jwk.as_object_mut().unwrap().retain(|name, _| ["kty", "crv", "x", "y"].contains(&name.as_str()));
        jwk
    }

    fn thumbprint(&self) -> String {
        jwk::Jwk::of(self.jwk()).unwrap().thumbprint().unwrap()
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// A proof for a token, with other claims and another header. What is null is left out.
    fn proof(&self, token: &str, header: Value, claims: Value) -> String {
        let merge = |mut into: Value, from: Value| {
            let all = into.as_object_mut().unwrap();
            all.extend(from.as_object().unwrap().clone());
            all.retain(|_, value| !value.is_null());
            into
        };
        let header = merge(json!({"typ": "dpop+jwt", "alg": self.algorithm(), "jwk": self.jwk()}), header);
        let ath = BASE64.encode(crypto::sha256(token.as_bytes()));
        let claims = merge(json!({"jti": fresh(), "htm": "POST", "htu": URL, "iat": unix_time::seconds(), "ath": ath}), claims);
        self.pair.sign(&header, &claims)
    }
}

fn fresh() -> String {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    format!("proof-{}", LAST.fetch_add(1, Ordering::SeqCst))
}

async fn show(issuers: &Issuers, token: &str, proof: Option<&str>) -> Result<Principal, Refusal> {
    let proof = Proof { text: proof, method: "POST", url: URL, vouched: false };
    issuers.authenticate(&Shown { token, proof: Some(proof) }, &[RESOURCE]).await
}

#[tokio::test]
async fn who_has_the_key_is_let_in_once_with_each_proof() {
    let lab = Lab::start().await;
    let issuers = lab.issuers(lab.config());
    for caller in [Caller::new(Pair::ec()), Caller::new(Pair::ed())] {
        let token = lab.token(json!({}), json!({"cnf": {"jkt": caller.thumbprint()}}));
        let proof = caller.proof(&token, json!({}), json!({}));
        assert_eq!(show(&issuers, &token, Some(&proof)).await.unwrap().subject(), "main:ann");
        assert!(matches!(show(&issuers, &token, Some(&proof)).await, Err(Refusal::Proof(why)) if why.contains("used before")));
        // What RFC 9449 lets a client write.
        for claims in [
            json!({"htu": "HTTPS://TOOLS.example.com:443/mcp"}),
            json!({"htu": "https://tools.example.com/x/../mcp"}),
            json!({"htu": format!("{URL}?a=b#c")}),
            json!({"iat": unix_time::seconds() - 50}),
            json!({"iat": unix_time::seconds() as f64 + 0.5}),
            json!({"nonce": "unasked", "more": 1}),
        ] {
            assert!(show(&issuers, &token, Some(&caller.proof(&token, json!({}), claims.clone()))).await.is_ok(), "{claims}");
        }
        // The proof of one is good for nobody else's token, also with the same id.
        let id = json!({"jti": "same"});
        let other = Caller::new(Pair::ec());
        let others = lab.token(json!({}), json!({"cnf": {"jkt": other.thumbprint()}}));
        assert!(show(&issuers, &token, Some(&caller.proof(&token, json!({}), id.clone()))).await.is_ok());
        assert!(show(&issuers, &others, Some(&other.proof(&others, json!({}), id))).await.is_ok());
    }
}

#[tokio::test]
async fn no_bad_proof_is_let_in_and_each_is_told_why() {
    let lab = Lab::start().await;
    let issuers = lab.issuers(lab.config());
    let (caller, other) = (Caller::new(Pair::ec()), Caller::new(Pair::ec()));
    let token = lab.token(json!({}), json!({"cnf": {"jkt": caller.thumbprint()}}));
    let headed = |header: Value| caller.proof(&token, header, json!({}));
    let with = |claims: Value| caller.proof(&token, json!({}), claims);
    let good = with(json!({}));
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let part = |value: Value| BASE64.encode(value.to_string());
    let unsigned = |alg: &str| format!("{}.{payload}.", part(json!({"typ": "dpop+jwt", "alg": alg, "jwk": caller.jwk()})));
    let mut private = caller.jwk();
    private["d"] = json!("abc");
    let mut for_others = caller.jwk();
    for_others["use"] = json!("enc");
    let secret = json!({"kty": "oct", "k": "c2VjcmV0"});
    let cases = [
        ("nothing", String::new(), "not a JWT"),
        ("no JWT", "hello".to_owned(), "not a JWT"),
        ("two parts", format!("{header}.{payload}"), "not a JWT"),
        ("four parts", format!("{good}.x"), "not a JWT"),
        ("no base64", format!("!{good}"), "header"),
        ("huge", format!("{header}.{}.{signature}", "A".repeat(1 << 14)), "too long"),
        ("the access token itself", token.clone(), "header"),
        ("another typ", headed(json!({"typ": "at+jwt"})), "typ"),
        ("typ JWT", headed(json!({"typ": "JWT"})), "typ"),
        ("no typ", headed(json!({"typ": null})), "header"),
        ("a crit", headed(json!({"crit": ["b64"]})), "crit"),
        ("alg none", unsigned("none"), "algorithm"),
        ("alg HS256", unsigned("HS256"), "algorithm"),
        ("alg in small letters", headed(json!({"alg": "es256"})), "algorithm"),
        ("another alg than its key's", headed(json!({"alg": "EdDSA"})), "jwk is not a public key"),
        ("RS256 with an EC key", headed(json!({"alg": "RS256"})), "jwk is not a public key"),
        ("no key", headed(json!({"jwk": null})), "header"),
        ("a key that is a text", headed(json!({"jwk": "x"})), "jwk is not a key"),
        ("a private key", headed(json!({"jwk": private})), "private key"),
        ("a symmetric key", headed(json!({"jwk": secret})), "private key"),
        ("a key for encryption", headed(json!({"jwk": for_others})), "jwk is not a public key"),
        ("another's key", other.proof(&token, json!({}), json!({})), "not the one that the token is bound to"),
        ("another's key under its signature", other.proof(&token, json!({"jwk": caller.jwk()}), json!({})), "signature"),
        ("no signature", format!("{header}.{payload}."), "signature"),
        ("a signature of zeros", format!("{header}.{payload}.{}", BASE64.encode([0; 64])), "signature"),
        ("a signature cut", format!("{header}.{payload}.{}", &signature[..40]), "signature"),
        (
            "other claims under the signature",
            format!(
                "{header}.{}.{signature}",
                part(json!({"jti": "x", "htm": "POST", "htu": URL, "iat": unix_time::seconds(), "ath": "x"}))
            ),
            "signature",
        ),
        ("no jti", with(json!({"jti": null})), "claims"),
        ("an empty jti", with(json!({"jti": ""})), "jti is empty"),
        ("a jti that is a number", with(json!({"jti": 1})), "claims"),
        ("no htm", with(json!({"htm": null})), "claims"),
        ("another method", with(json!({"htm": "GET"})), "(htm)"),
        ("the method in small letters", with(json!({"htm": "post"})), "(htm)"),
        ("no htu", with(json!({"htu": null})), "claims"),
        ("another path", with(json!({"htu": "https://tools.example.com/other/mcp"})), "(htu)"),
        ("another host", with(json!({"htu": "https://evil.example/mcp"})), "(htu)"),
        ("another scheme", with(json!({"htu": "http://tools.example.com/mcp"})), "(htu)"),
        ("another port", with(json!({"htu": "https://tools.example.com:8443/mcp"})), "(htu)"),
        ("a user in the URL", with(json!({"htu": "https://a@tools.example.com/mcp"})), "(htu)"),
        ("no URL", with(json!({"htu": "/mcp"})), "(htu)"),
        ("old", with(json!({"iat": unix_time::seconds() - 120})), "(iat)"),
        ("of the beginning of time", with(json!({"iat": 0})), "(iat)"),
        ("of the future", with(json!({"iat": unix_time::seconds() + 600})), "(iat)"),
        ("of the end of time", with(json!({"iat": 1e300})), "(iat)"),
        ("no iat", with(json!({"iat": null})), "claims"),
        ("iat as text", with(json!({"iat": "now"})), "claims"),
        ("no ath", with(json!({"ath": null})), "claims"),
        ("for another token", with(json!({"ath": BASE64.encode(crypto::sha256(b"other"))})), "(ath)"),
        ("the token in place of its hash", with(json!({"ath": token})), "(ath)"),
        ("an empty ath", with(json!({"ath": ""})), "(ath)"),
    ];
    assert!(cases.len() >= 50);
    for (what, proof, says) in &cases {
        let refusal = show(&issuers, &token, Some(proof)).await.map(|principal| panic!("{what}: {principal:?} was let in")).unwrap_err();
        assert!(matches!(refusal, Refusal::Proof(why) if why.contains(says)), "{what}: {refusal:?}");
        assert!(!refusal.to_string().contains("evil"), "{what}: {refusal}");
    }
    assert!(matches!(show(&issuers, &token, None).await, Err(Refusal::Proof(why)) if why.contains("once")));
    // By the scheme Bearer, with or without a proof beside it.
    assert_eq!(ask(&issuers, &token).await, Err(Refusal::NoProof));
    // A proof makes no other token a bound one.
    let plain = lab.token(json!({}), json!({}));
    assert_eq!(show(&issuers, &plain, Some(&caller.proof(&plain, json!({}), json!({})))).await, Err(Refusal::NotBound));
    assert!(show(&issuers, &token, Some(&good)).await.is_ok(), "nothing of all that used up the good one");
}

#[tokio::test]
async fn an_issuer_can_be_held_to_bound_tokens_and_a_change_forgets_no_proof() {
    let lab = Lab::start().await;
    let (caller, loose) = (Caller::new(Pair::ec()), lab.issuers(lab.config()));
    let plain = lab.token(json!({}), json!({}));
    let bound = lab.token(json!({}), json!({"cnf": {"jkt": caller.thumbprint()}}));
    let proof = caller.proof(&bound, json!({}), json!({}));
    assert!(ask(&loose, &plain).await.is_ok() && show(&loose, &bound, Some(&proof)).await.is_ok());
    let config = IssuerConfig { require_dpop: true, ..lab.config() };
    let auth = AuthConfig { issuer: [("main".to_owned(), config)].into(), ..AuthConfig::default() };
    let strict = Issuers::new(&auth, Some(&loose));
    assert_eq!((loose.require_dpop(), strict.require_dpop()), ((false, false), (true, true)));
    assert_eq!(ask(&strict, &plain).await, Err(Refusal::NotBound));
    assert!(matches!(show(&strict, &bound, Some(&proof)).await, Err(Refusal::Proof(why)) if why.contains("used before")));
    assert!(show(&strict, &bound, Some(&caller.proof(&bound, json!({}), json!({})))).await.is_ok());
}

#[tokio::test]
async fn a_proof_needs_a_nonce_of_this_host_where_that_is_asked_for() {
    let lab = Lab::start().await;
    let caller = Caller::new(Pair::ec());
    let token = lab.token(json!({}), json!({"cnf": {"jkt": caller.thumbprint()}}));
    let keys = |text: &str| vec![crate::config::Secret(text.to_owned())];
    let with = |nonce_keys| lab.issuers(IssuerConfig { dpop_nonces: true, nonce_keys, ..lab.config() });
    let (one, other, stranger) = (with(keys("a")), with(keys("a")), with(keys("b")));
    let proof = |claims: Value| caller.proof(&token, json!({}), claims);
    for claims in [json!({}), json!({"nonce": "made-up"}), json!({"nonce": 5}), json!({"nonce": ""})] {
        let refusal = show(&one, &token, Some(&proof(claims.clone()))).await.unwrap_err();
        let Refusal::Nonce(nonce) = &refusal else { panic!("{claims}: {refusal:?}") };
        assert!(refusal.to_string().contains("DPoP-Nonce") && !nonce.is_empty());
        // It is good more than once, at every host with the same key and at no other.
        for _ in 0..2 {
            assert!(show(&one, &token, Some(&proof(json!({"nonce": nonce})))).await.is_ok());
        }
        assert!(show(&other, &token, Some(&proof(json!({"nonce": nonce})))).await.is_ok());
        assert!(matches!(show(&stranger, &token, Some(&proof(json!({"nonce": nonce})))).await, Err(Refusal::Nonce(_))));
        let again = proof(json!({"nonce": nonce}));
        assert!(show(&one, &token, Some(&again)).await.is_ok());
        assert!(matches!(show(&one, &token, Some(&again)).await, Err(Refusal::Proof(why)) if why.contains("used before")));
    }
    // Who has not the key learns no nonce.
    let thief = Caller::new(Pair::ec());
    assert!(matches!(show(&one, &token, Some(&thief.proof(&token, json!({}), json!({})))).await, Err(Refusal::Proof(_))));
}
