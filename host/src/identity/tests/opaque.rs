//! Tokens that only their issuer can read: what it says counts for as long as it may, and it is
//! asked no more than needed.

use axum::response::{IntoResponse, Response};

use super::*;
use crate::config::{IntrospectionConfig, Secret};

/// What the issuer answers: it knows this host, and its tokens.
pub(super) async fn introspect(State(server): State<Arc<Server>>, headers: http::HeaderMap, body: String) -> Response {
    server.introspected.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(20)).await;
    if let Some((status, answer)) = server.trouble.lock().unwrap().clone() {
        let status = http::StatusCode::from_u16(status).unwrap();
        return (status, [("retry-after", "30")], Json(answer)).into_response();
    }
    // RFC 6749, 2.3.1: "tool bay" and "p%:+" are encoded before they are joined.
    let wanted = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode("tool+bay:p%25%3A%2B"));
    if headers.get("authorization").is_none_or(|sent| sent.to_str().unwrap() != wanted) {
        return (http::StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    }
    let form: std::collections::HashMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert_eq!(form["token_type_hint"], "access_token");
    let known = server.known.lock().unwrap().get(&form["token"]).cloned();
    Json(known.unwrap_or(json!({"active": false}))).into_response()
}

impl Lab {
    fn introspecting(&self) -> IssuerConfig {
        let introspection = IntrospectionConfig {
            client_id: "tool bay".to_owned(),
            client_secret: Secret("p%:+".to_owned()),
            ..IntrospectionConfig::default()
        };
        IssuerConfig { introspection: Some(introspection), ..self.config() }
    }

    /// Something that the issuer says of a token. What is null is left out.
    fn knows(&self, token: &str, claims: Value) {
        let mut answer = json!({"active": true, "iss": self.issuer, "sub": "ann", "aud": RESOURCE, "exp": unix_time::seconds() + 60,
            "scope": "mcp:tools mcp:admin", "roles": ["reader"], "client_id": "client", "token_type": "Bearer"});
        let all = answer.as_object_mut().unwrap();
        all.extend(claims.as_object().unwrap().clone());
        all.retain(|_, value| !value.is_null());
        self.server.known.lock().unwrap().insert(token.to_owned(), answer);
    }

    fn introspected(&self) -> usize {
        self.server.introspected.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn what_the_issuer_says_of_a_token_counts_as_the_claims_of_a_jwt() {
    let lab = Lab::start().await;
    let config = IssuerConfig {
        roles_claim: Some("roles".to_owned()),
        roles: [("reader".to_owned(), vec!["a".to_owned()]), ("mcp:admin".to_owned(), vec!["b".to_owned()])].into(),
        scopes: vec!["mcp:tools".to_owned()],
        ..lab.introspecting()
    };
    let issuers = lab.issuers(config);
    lab.knows("good-token", json!({}));
    let ann = ask(&issuers, "good-token").await.unwrap();
    assert_eq!((ann.subject(), ann.roles().to_string().as_str()), ("main:ann", "a, b"));
    // What RFC 7662 lets an issuer leave out, or write otherwise.
    for (token, claims) in [
        ("no-exp", json!({"exp": null})),
        ("no-iss", json!({"iss": null})),
        ("no-type", json!({"token_type": null})),
        ("several", json!({"aud": ["x", RESOURCE]})),
        ("nulls==", json!({"nbf": null, "cnf": null})),
        ("a.b.c", json!({})),
        ("v4.public.abc.def", json!({})),
        ("a.b.c.d.e", json!({})),
    ] {
        lab.knows(token, claims);
        assert_eq!(ask(&issuers, token).await.map(|ann| ann.subject().to_owned()), Ok("main:ann".to_owned()), "{token}");
    }
    // Of a token without a person the subject is the client, as RFC 9068 has it.
    lab.knows("machine", json!({"sub": null}));
    assert_eq!(ask(&issuers, "machine").await.unwrap().subject(), "main:client");
    let asked = lab.introspected();
    for _ in 0..5 {
        assert!(ask(&issuers, "good-token").await.is_ok());
    }
    assert_eq!(lab.introspected(), asked, "an answer counts for a while");
    // A JWT is verified here, and not shown to its issuer again.
    assert!(ask(&issuers, &lab.token(json!({}), json!({}))).await.is_ok());
    assert!(ask(&issuers, &lab.token(json!({"kid": "k9"}), json!({}))).await.is_err());
    assert_eq!(lab.introspected(), asked);
    // What is known stays known when something else changes.
    let auth = AuthConfig { issuer: [("main".to_owned(), issuers.all[0].config().clone())].into(), ..AuthConfig::default() };
    let again = Issuers::new(&auth, Some(&issuers));
    assert!(ask(&again, "good-token").await.is_ok() && lab.introspected() == asked);
    let other = Issuers::new(&AuthConfig { issuer: [("main".to_owned(), lab.config())].into(), ..AuthConfig::default() }, Some(&again));
    assert!(matches!(ask(&other, "good-token").await, Err(Refusal::Opaque(_))), "and is gone with its issuer");
}

#[tokio::test]
async fn no_bad_opaque_token_is_let_in_and_each_is_told_why() {
    let lab = Lab::start().await;
    let issuers = lab.issuers(IssuerConfig { scopes: vec!["mcp:tools".to_owned()], ..lab.introspecting() });
    let claim = |name: &str| Refusal::Claim(name.to_owned());
    let types = Refusal::Malformed("what its issuer says of it is not of the types of RFC 7662");
    let cases = [
        ("revoked", json!({"active": false}), Refusal::Inactive),
        ("expired", json!({"exp": unix_time::seconds() - 60}), Refusal::Expired),
        ("expired-long-ago", json!({"exp": 0}), Refusal::Expired),
        ("exp-as-text", json!({"exp": "tomorrow"}), types.clone()),
        ("exp-below-zero", json!({"exp": -1}), Refusal::Expired),
        ("early", json!({"nbf": unix_time::seconds() + 600}), Refusal::Early),
        ("another-issuer", json!({"iss": "https://evil.example"}), Refusal::Issuer),
        ("issuer-with-slash", json!({"iss": format!("{}/", lab.issuer)}), Refusal::Issuer),
        ("issuer-is-a-list", json!({"iss": [lab.issuer]}), types.clone()),
        ("no-audience", json!({"aud": null}), claim("aud")),
        ("empty-audience", json!({"aud": []}), Refusal::Audience),
        ("another-audience", json!({"aud": "https://other.example/mcp"}), Refusal::Audience),
        ("longer-audience", json!({"aud": format!("{RESOURCE}/x")}), Refusal::Audience),
        ("origin-as-audience", json!({"aud": "https://tools.example.com"}), Refusal::Audience),
        ("audience-is-a-number", json!({"aud": 5}), types),
        ("no-scope", json!({"scope": null}), Refusal::Scopes("mcp:tools".to_owned())),
        ("other-scopes", json!({"scope": "mcp:toolsx"}), Refusal::Scopes("mcp:tools".to_owned())),
        ("nobody", json!({"sub": null, "client_id": null}), claim("sub")),
        ("empty-subject", json!({"sub": ""}), claim("sub")),
        ("subject-with-line-end", json!({"sub": "a\nb"}), claim("sub")),
        ("subject-is-a-number", json!({"sub": 7}), claim("sub")),
        ("refresh-token", json!({"token_type": "refresh_token"}), Refusal::Kind),
        ("keycloaks-refresh-token", json!({"token_type": "Refresh"}), Refusal::Kind),
        ("bound-to-a-key", json!({"cnf": {"jkt": "abc"}}), Refusal::NoProof),
        ("bound-to-a-certificate", json!({"cnf": {"x5t#S256": "abc"}}), Refusal::Bound),
        ("bound-to-something", json!({"cnf": {}}), Refusal::Bound),
    ];
    lab.knows("good-token", json!({}));
    assert!(ask(&issuers, "good-token").await.is_ok());
    for (token, claims, wanted) in cases {
        lab.knows(token, claims);
        let refusal = ask(&issuers, token).await.map(|principal| panic!("{token} was let in as {principal:?}")).unwrap_err();
        assert_eq!(refusal, wanted, "{token}");
        assert!(!refusal.to_string().contains("evil") && refusal.to_string().len() > 20, "{token}: {refusal}");
        assert_eq!(ask(&issuers, token).await, Err(wanted), "{token}, a second time");
    }
    // What no token can be is not even asked about.
    let asked = lab.introspected();
    let long = "a".repeat(20_000);
    for token in ["", "a b", "a\"b", "a%20b", "<script>", "a&token=good-token", "good-token\n", "ü", "==", &long] {
        assert!(matches!(ask(&issuers, token).await, Err(Refusal::Opaque(_) | Refusal::Malformed(_))), "{token}");
    }
    assert_eq!(lab.introspected(), asked);
    assert!(ask(&issuers, "good-token").await.is_ok(), "the good one is still good");
}

#[tokio::test]
async fn a_question_is_asked_once_for_all_that_wait_and_for_what_was_refused_just_now() {
    let lab = Lab::start().await;
    let issuers = Arc::new(lab.issuers(lab.introspecting()));
    lab.knows("good-token", json!({}));
    for (token, is_good) in [("good-token", true), ("unknown", false)] {
        let before = lab.introspected();
        let many = (0..50).map(|_| {
            let issuers = issuers.clone();
            tokio::spawn(async move { ask(&issuers, token).await })
        });
        for one in many.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap().is_ok(), is_good, "{token}");
        }
        assert_eq!(lab.introspected(), before + 1, "{token}");
    }
}

#[tokio::test]
async fn an_answer_counts_no_longer_than_the_token() {
    let lab = Lab::start().await;
    let issuers = lab.issuers(IssuerConfig { leeway: Duration::from_secs(60), ..lab.introspecting() });
    // By its clock it ends now, and the issuer still says that it is active: it is let in, and
    // asked about again.
    lab.knows("ends", json!({"exp": unix_time::seconds()}));
    for count in 1..=3 {
        assert!(ask(&issuers, "ends").await.is_ok());
        assert_eq!(lab.introspected(), count);
    }
    lab.knows("ends", json!({"active": false}));
    assert_eq!(ask(&issuers, "ends").await, Err(Refusal::Inactive));
}

#[tokio::test]
async fn an_issuer_that_is_away_is_no_fault_of_the_token_and_is_left_alone_for_a_while() {
    let lab = Lab::start().await;
    let trouble = |answer: Option<(u16, Value)>| *lab.server.trouble.lock().unwrap() = answer;
    let away = |refusal: &Refusal| matches!(refusal, Refusal::Unavailable(..)).then(|| refusal.retry_after().unwrap().as_secs());
    lab.knows("good-token", json!({}));
    for status in [503, 429] {
        let issuers = lab.issuers(lab.introspecting());
        trouble(Some((status, json!({}))));
        let before = lab.introspected();
        for token in ["good-token", "good-token", "other"] {
            let refusal = ask(&issuers, token).await.unwrap_err();
            assert!(away(&refusal).is_some_and(|after| (2..=30).contains(&after)), "{status}: {refusal:?}");
        }
        assert_eq!(lab.introspected(), before + 1, "{status}: it asked for a pause");
        trouble(None);
        assert!(ask(&lab.issuers(lab.introspecting()), "good-token").await.is_ok());
    }
    // What the operator has to mend is told to no caller, but 401 would be wrong: another token is
    // of no use.
    for answer in [
        (401, json!({})),
        (403, json!({})),
        (404, json!({})),
        (400, json!({"error": "invalid_client"})),
        (200, json!([])),
        (200, json!({"active": "yes"})),
    ] {
        trouble(Some(answer.clone()));
        let issuers = lab.issuers(lab.introspecting());
        assert!(ask(&issuers, "good-token").await.is_err_and(|refusal| away(&refusal).is_some()), "{answer:?}");
        trouble(None);
        assert!(ask(&issuers, "good-token").await.is_ok(), "{answer:?}: and nothing keeps a good token out when it is mended");
    }
    // Whoever sends what the issuer does not even read keeps nobody else out.
    let issuers = lab.issuers(lab.introspecting());
    trouble(Some((400, json!({"error": "unsupported_token_type"}))));
    assert_eq!(ask(&issuers, "a.b.c").await, Err(Refusal::Inactive));
    trouble(None);
    assert!(ask(&issuers, "good-token").await.is_ok());
    // Nobody is there.
    let gone = IntrospectionConfig { endpoint: Some("http://127.0.0.1:1/".to_owned()), ..lab.introspecting().introspection.unwrap() };
    let issuers = lab.issuers(IssuerConfig { introspection: Some(gone), ..lab.config() });
    assert!(ask(&issuers, "good-token").await.is_err_and(|refusal| away(&refusal).is_some()));
    // What is known by then stays known until its time is over.
    let issuers = lab.issuers(lab.introspecting());
    assert!(ask(&issuers, "good-token").await.is_ok());
    trouble(Some((503, json!({}))));
    assert!(ask(&issuers, "good-token").await.is_ok());
}
