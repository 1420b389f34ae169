//! Answers as applications really give them, and what they want to be asked with.

use super::*;

/// A path, and what is answered there.
type Answer = (&'static str, StatusCode, Vec<(header::HeaderName, &'static str)>, Vec<u8>);

/// An application with a `GET` for each of these, whose answer is promised to be of this schema.
async fn promising(schema: &Value, answers: Vec<Answer>) -> (Running, Arc<dyn Provider>) {
    let mut app = Router::new();
    let mut paths = serde_json::Map::new();
    for (name, status, headers, body) in answers {
        let headers: HeaderMap = headers.into_iter().map(|(name, value)| (name, value.parse().unwrap())).collect();
        app = app.route(&format!("/{name}"), get(async move || (status, headers, body)));
        let content = json!({"application/json": {"schema": schema}});
        paths.insert(
            format!("/{name}"),
            json!({"get": {"operationId": name, "responses": {"200": {"description": "ok", "content": content,
            "headers": {"X-Total-Count": {"schema": {"type": "integer"}}}}}}}),
        );
    }
    let app = start(app).await;
    let provider = loaded(&document(paths.into(), json!({})), &app.base).await;
    (app, provider)
}

const JSON: (header::HeaderName, &str) = (header::CONTENT_TYPE, "application/json");

fn blocks(output: &CallOutput) -> Vec<&str> {
    output.content.iter().map(|block| if let Content::Text(text) = block { text.as_str() } else { "" }).collect()
}

#[tokio::test]
async fn an_answer_that_breaks_the_promise_is_delivered() {
    let schema = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string", "minLength": 5, "pattern": "^x"}, "closed": {"type": "string", "enum": ["yes"]}, "n": {"type": "integer"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"closed": {"type": "string"}}}},
        "open": {"type": "object", "additionalProperties": {"type": "boolean"}}, "both": {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}]},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "either": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    }});
    let ok = StatusCode::OK;
    let answer = |name: &'static str, body: Value| (name, ok, vec![JSON], body.to_string().into_bytes());
    let (_app, provider) = promising(
        &schema,
        vec![
            answer("null", json!({"name": null, "list": [{"closed": "no"}, {"closed": null}], "maybe": null})),
            answer("loose", json!({"name": "a", "closed": "later", "n": 2.5, "more": [1], "either": 3})),
            answer("wrong", json!({"name": ["a"], "list": {"x": 1}, "open": {"a": 1, "b": true}, "both": {"a": 7}})),
            answer("list", json!([1, 2])),
            answer("nothing", json!(null)),
            ("created", StatusCode::CREATED, vec![JSON], br#"{"id": 5}"#.to_vec()),
            ("text", ok, vec![(header::CONTENT_TYPE, "text/plain")], b"done".to_vec()),
            ("gone", StatusCode::NO_CONTENT, Vec::new(), Vec::new()),
        ],
    )
    .await;
    let published = Value::Object((**tool(&provider, "null").output_schema.as_ref().unwrap()).clone());
    for word in ["required", "minLength", "pattern", "enum", "oneOf"] {
        assert!(!published.to_string().contains(word), "{word}: {published}");
    }
    let null = call(&provider, "null", json!({})).await;
    assert_eq!(structured(&null), json!({"name": null, "list": [{"closed": "no"}, {"closed": null}], "maybe": null}));
    let meta = null.meta.as_ref().unwrap().as_str();
    assert!(
        meta.contains("name is null, not text") && meta.contains("list.1.closed") && !meta.contains("maybe") && null.content.len() == 1,
        "{meta}"
    );
    let loose = call(&provider, "loose", json!({})).await;
    assert_eq!((structured(&loose)["closed"].as_str(), loose.meta.as_ref(), loose.content.len()), (Some("later"), None, 1));
    let wrong = call(&provider, "wrong", json!({})).await;
    assert_eq!(structured(&wrong), json!({"name": null, "list": null, "open": {"a": null, "b": true}, "both": {"a": null}}));
    assert!(blocks(&wrong)[0].contains(r#""name":["a"]"#) && blocks(&wrong)[1].contains("name is a list, not text"), "{wrong:?}");
    for name in ["list", "nothing", "created", "text", "gone"] {
        let output = call(&provider, name, json!({})).await;
        assert!(structured(&output).is_object(), "{name}: who was promised an object gets one: {output:?}");
    }
    assert_eq!(structured(&call(&provider, "created", json!({})).await), json!({"id": 5}));
    assert_eq!(blocks(&call(&provider, "text", json!({})).await), ["done"]);
    assert_eq!(blocks(&call(&provider, "list", json!({})).await)[0], "[1,2]");
}

#[tokio::test]
async fn the_answer_of_the_first_good_status_is_published_whichever_it_is() {
    let content = |schema: Value| json!({"description": "ok", "content": {"application/json; charset=utf-8": {"schema": schema}}});
    let object = |name: &str| json!({"type": "object", "properties": {name: {"type": "integer"}}});
    let paths = json!({
        "/a": {"post": {"operationId": "a", "responses": {"201": content(object("id"))}}},
        "/b": {"post": {"operationId": "b", "responses": {"200": content(object("x")), "201": content(object("y")), "204": {"description": "none"}}}},
        "/c": {"post": {"operationId": "c", "responses": {"2XX": content(object("z")), "400": content(json!({"type": "string"}))}}},
        "/d": {"post": {"operationId": "d", "responses": {"200": content(object("x")), "202": content(json!({"type": "array"}))}}},
    });
    let provider = loaded(&document(paths, json!({})), "http://127.0.0.1:9").await;
    let has = |name: &str| {
        tool(&provider, name)
            .output_schema
            .as_ref()
            .map(|schema| schema["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>())
    };
    assert_eq!(
        (has("a"), has("b"), has("c"), has("d")),
        (Some(vec!["id".to_owned()]), Some(vec!["x".to_owned()]), Some(vec!["z".to_owned()]), None)
    );
}

#[tokio::test]
async fn text_is_read_in_its_own_characters() {
    let ok = StatusCode::OK;
    let utf16: Vec<u8> = "\u{feff}{\"a\":\"ü\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (_app, provider) = promising(
        &json!({}),
        vec![
            ("bom", ok, vec![JSON], b"\xef\xbb\xbf{\"a\":\"\xc3\xbc\"}".to_vec()),
            ("latin", ok, vec![(header::CONTENT_TYPE, "application/json; charset=ISO-8859-1")], b"{\"a\":\"\xfc\"}".to_vec()),
            ("utf16", ok, vec![JSON], utf16),
            ("plain", ok, vec![(header::CONTENT_TYPE, "text/plain; charset=\"windows-1252\"")], b"caf\xe9 \x80".to_vec()),
            ("lines", ok, vec![(header::CONTENT_TYPE, "application/x-ndjson")], b"{\"a\":1}\n{\"a\":2}\n".to_vec()),
            ("sequence", ok, vec![(header::CONTENT_TYPE, "application/json-seq")], b"\x1e{\"a\":1}\n\x1e{\"a\":2}\n".to_vec()),
            ("unsaid", ok, vec![JSON], b"{\"a\":1}\n{\"a\":2}".to_vec()),
        ],
    )
    .await;
    for name in ["bom", "latin", "utf16"] {
        assert_eq!(structured(&call(&provider, name, json!({})).await), json!({"a": "ü"}), "{name}");
    }
    assert_eq!(text(&call(&provider, "plain", json!({})).await), "café €");
    for name in ["lines", "sequence", "unsaid"] {
        assert_eq!(structured(&call(&provider, name, json!({})).await), json!([{"a": 1}, {"a": 2}]), "{name}");
    }
}

#[tokio::test]
async fn headers_that_say_something_are_told() {
    let (_app, provider) = promising(
        &json!({}),
        vec![
            ("made", StatusCode::CREATED, vec![(header::LOCATION, "/orders/5")], Vec::new()),
            (
                "page",
                StatusCode::OK,
                vec![
                    JSON,
                    (header::LINK, "</x?page=2>; rel=\"next\""),
                    (header::HeaderName::from_static("x-total-count"), "42"),
                    (header::SERVER, "x"),
                ],
                b"[]".to_vec(),
            ),
            ("later", StatusCode::ACCEPTED, vec![(header::RETRY_AFTER, "30")], Vec::new()),
            ("bad", StatusCode::CONFLICT, vec![(header::LOCATION, "/orders/4")], b"it is there".to_vec()),
        ],
    )
    .await;
    assert_eq!(text(&call(&provider, "made", json!({})).await), "201 Created\nLocation: /orders/5");
    assert_eq!(text(&call(&provider, "later", json!({})).await), "202 Accepted\nRetry-After: 30");
    let page = call(&provider, "page", json!({})).await;
    assert_eq!(blocks(&page), ["[]", "Link: </x?page=2>; rel=\"next\"\nX-Total-Count: 42"]);
    let bad = call(&provider, "bad", json!({})).await;
    assert_eq!((bad.is_error, text(&bad)), (true, "409 Conflict: it is there\nLocation: /orders/4"));
}

fn secret(text: &str) -> Secret {
    Secret(text.to_owned())
}

#[tokio::test]
async fn each_operation_is_sent_with_what_its_security_schemes_ask_for() {
    let app = start(Router::new().fallback(any(echo))).await;
    let schemes = json!({"securitySchemes": {
        "key": {"type": "apiKey", "in": "query", "name": "appid"}, "head": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "sid"}, "basic": {"type": "http", "scheme": "basic"},
        "token": {"type": "http", "scheme": "Bearer"}, "oauth": {"type": "oauth2", "flows": {}}, "unused": {"type": "mutualTLS"},
    }});
    let with = |security: Value| {
        json!({"get": {"security": security, "responses": {}, "parameters": [
        {"name": "q", "in": "query", "schema": {"type": "string"}}, {"name": "appid", "in": "query", "required": true, "schema": {"type": "string"}},
        {"name": "X-Api-Key", "in": "header", "schema": {"type": "string"}}]}})
    };
    let paths = json!({
        "/key": with(json!([{"key": []}])), "/two": with(json!([{"head": [], "cookie": []}])), "/either": with(json!([{"unused": []}, {"basic": []}])),
        "/token": with(json!([{"token": []}])), "/oauth": with(json!([{"oauth": ["read"]}])), "/open": with(json!([])), "/usual": {"get": {"responses": {}}},
    });
    let mut whole: Value = serde_json::from_str(&document(paths, schemes)).unwrap();
    whole["security"] = json!([{"key": []}]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), whole.to_string()).unwrap();
    let credentials = [("key", "k 1"), ("head", "h1"), ("cookie", "c1"), ("basic", "ann:pw"), ("token", "t1"), ("oauth", "o1")];
    let source = OpenApiSource {
        base_url: Some(app.base.parse().unwrap()),
        credentials: credentials.map(|(name, value)| (name.to_owned(), secret(value))).into(),
        ..source(file.path().to_str().unwrap())
    };
    let provider = load_with(source.clone()).await.unwrap();
    let sent = async |tool: &str, arguments: Value| {
        let seen = structured(&call(&provider, tool, arguments).await);
        let header = |name: &str| seen["headers"][name].as_str().unwrap_or_default().to_owned();
        (seen["uri"].as_str().unwrap().to_owned(), header("authorization"), header("x-api-key"), header("cookie"))
    };
    let is = |uri: &str, authorization: &str, key: &str, cookie: &str| {
        (uri.to_owned(), authorization.to_owned(), key.to_owned(), cookie.to_owned())
    };
    assert_eq!(sent("get_key", json!({"q": "x"})).await, is("/key?q=x&appid=k+1", "", "", ""));
    assert_eq!(sent("get_usual", json!({})).await, is("/usual?appid=k+1", "", "", ""));
    assert_eq!(sent("get_two", json!({"appid": "own"})).await, is("/two?appid=own", "", "h1", "sid=c1"));
    assert_eq!(sent("get_either", json!({"appid": "own"})).await, is("/either?appid=own", "Basic YW5uOnB3", "", ""));
    assert_eq!(sent("get_token", json!({"appid": "own"})).await.1, "Bearer t1");
    assert_eq!(sent("get_oauth", json!({"appid": "own"})).await.1, "Bearer o1");
    assert_eq!(sent("get_open", json!({"appid": "own"})).await, is("/open?appid=own", "", "", ""));
    // What the operator gives is no argument, and never shows.
    let schema = tool(&provider, "get_key").input_schema.clone();
    assert!(
        schema["properties"].get("appid").is_none() && schema.get("required").is_none() && schema["properties"].get("X-Api-Key").is_some()
    );
    assert!(!format!("{source:?}{:?}", provider.tools()).contains("k 1"));
    // Nothing is given: that is told once, with what to do; a scheme that is not there too.
    let none = OpenApiSource { credentials: BTreeMap::default(), ..source.clone() };
    let Ok(Look::New(_, warnings)) = reader(&none, ServerLimits::default()).look().await else { panic!() };
    assert!(warnings.iter().any(|text| text.contains("credentials = { key = … }") && text.contains("the query \"appid\"")), "{warnings:?}");
    let odd = OpenApiSource { credentials: [("kez".to_owned(), secret("x"))].into(), ..source };
    let Ok(Look::New(_, warnings)) = reader(&odd, ServerLimits::default()).look().await else { panic!() };
    assert!(warnings.iter().any(|text| text.contains("\"kez\"") && text.contains("it has ") && text.contains("oauth")), "{warnings:?}");
}

#[tokio::test]
async fn a_key_may_stand_in_the_query_of_every_request() {
    let app = start(Router::new().fallback(any(echo))).await;
    let paths = json!({"/w": {"get": {"operationId": "w", "parameters": [{"name": "q", "in": "query"}, {"name": "appid", "in": "query"}]}},
        "/x?action=do": {"get": {"operationId": "x", "parameters": [{"name": "q", "in": "query"}]}}});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document(paths, json!({}))).unwrap();
    let source = OpenApiSource {
        base_url: Some(format!("{}/v1?tenant=a%26b&x", app.base).parse().unwrap()),
        query: [("appid".to_owned(), secret("k&1"))].into(),
        ..source(file.path().to_str().unwrap())
    };
    let provider = load_with(source).await.unwrap();
    let uri = async |tool: &str, arguments: Value| structured(&call(&provider, tool, arguments).await)["uri"].as_str().unwrap().to_owned();
    assert_eq!(uri("w", json!({"q": "a"})).await, "/v1/w?tenant=a%26b&x&q=a&appid=k%261");
    assert_eq!(uri("x", json!({"q": "a"})).await, "/v1/x?tenant=a%26b&x&action=do&q=a&appid=k%261");
    assert!(tool(&provider, "w").input_schema["properties"].get("appid").is_none());
}

#[tokio::test]
async fn lists_and_objects_are_written_as_their_style_says() {
    let app = start(Router::new().fallback(any(echo))).await;
    let parameter = |name: &str, more: Value| {
        let mut parameter = json!({"name": name, "in": "query", "schema": {}});
        parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parameter
    };
    let form = json!({"type": "object", "properties": {"a": {"type": "array", "items": {}}, "b": {"type": "array", "items": {}}, "items": {"type": "array", "items": {}}, "meta": {"type": "object"}}});
    let encoding = json!({"a": {"style": "form", "explode": false}, "meta": {"style": "deepObject", "explode": true}, "items": {"style": "deepObject", "explode": true}});
    let paths = json!({
        "/q": {"get": {"operationId": "q", "parameters": [
            parameter("c", json!({"explode": false})), parameter("s", json!({"style": "spaceDelimited", "explode": false})),
            parameter("p", json!({"style": "pipeDelimited", "explode": false})), parameter("o", json!({"explode": false})),
            parameter("d", json!({"style": "deepObject"})), parameter("r", json!({"allowReserved": true})),
        ]}},
        "/f": {"post": {"operationId": "f", "requestBody": {"required": true, "content": {"application/x-www-form-urlencoded": {"schema": form, "encoding": encoding}}}}},
    });
    let provider = loaded(&document(paths, json!({})), &app.base).await;
    let seen = structured(&call(&provider, "q", json!({"c": ["a,b", "c"], "s": ["a b", "c"], "p": ["a|b", "c"], "o": {"k": "v,w"}, "d": {"l": [{"a": 1}, {"a": 2}]}, "r": "a/b?c&d#e"})).await);
    assert_eq!(
        seen["uri"],
        "/q?c=a%2Cb,c&s=a+b%20c&p=a%7Cb%7Cc&o=k,v%2Cw&d%5Bl%5D%5B0%5D%5Ba%5D=1&d%5Bl%5D%5B1%5D%5Ba%5D=2&r=a/b?c%26d%23e"
    );
    let seen =
        structured(&call(&provider, "f", json!({"a": [1, 2], "b": [1, 2], "meta": {"k": {"l": "v"}}, "items": [{"price": "p"}]})).await);
    assert_eq!(seen["body"], "a=1%2C2&b=1&b=2&items%5B0%5D%5Bprice%5D=p&meta%5Bk%5D%5Bl%5D=v");
}

#[tokio::test]
async fn a_promise_that_leads_in_a_circle_or_doubles_is_none() {
    let content = |name: &str| json!({"200": {"description": "ok", "content": {"application/json": {"schema": {"type": "object", "properties": {"a": {"$ref": format!("#/components/schemas/{name}")}}}}}}});
    let mut schemas: serde_json::Map<String, Value> = (0..40)
        .map(|n| (format!("D{n}"), json!({"allOf": [{"$ref": format!("#/components/schemas/D{}", n + 1)}, {"$ref": format!("#/components/schemas/D{}", n + 1)}]})))
        .collect();
    schemas.insert("D40".to_owned(), json!({"type": "string"}));
    schemas.insert("Self".to_owned(), json!({"$ref": "#/components/schemas/Self"}));
    schemas.insert("Both".to_owned(), json!({"allOf": [{"$ref": "#/components/schemas/Both"}, {"$ref": "#/components/schemas/Both"}]}));
    let app = start(Router::new().fallback(any(async || Json(json!({"a": {"b": 1}}))))).await;
    let paths: serde_json::Map<String, Value> = ["Self", "Both", "D0"]
        .iter()
        .map(|name| (format!("/{name}"), json!({"get": {"operationId": name, "responses": content(name)}})))
        .collect();
    let provider = loaded(&document(paths.into(), json!({"schemas": schemas})), &app.base).await;
    for name in ["Self", "Both", "D0"] {
        assert_eq!(structured(&call(&provider, name, json!({})).await), json!({"a": {"b": 1}}), "{name}");
        assert!(tool(&provider, name).output_schema.is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_stream_of_events_is_read_as_far_as_it_goes() {
    let events = (header::CONTENT_TYPE, "text/event-stream; charset=utf-8");
    let whole = ": hello\r\n\r\ndata: {\"a\":1}\r\n\r\nevent: step\ndata: one\ndata:two\nid: 7\n\ndata: [DONE]\n\n";
    let (_app, provider) = promising(&json!({}), vec![("ended", StatusCode::OK, vec![events], whole.as_bytes().to_vec())]).await;
    assert_eq!(blocks(&call(&provider, "ended", json!({})).await), ["{\"a\":1}\nstep: one\ntwo"]);

    let endless = async || {
        let events = futures::stream::unfold(0, async |n: u32| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::convert::Infallible>(format!("data: {n}\n\n")), n + 1))
        });
        ([(header::CONTENT_TYPE, "text/event-stream")], axum::body::Body::from_stream(events))
    };
    let app = start(Router::new().route("/endless", get(endless))).await;
    let text = document(json!({"/endless": {"get": {"operationId": "endless"}}}), json!({}));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("api.json");
    std::fs::write(&file, text).unwrap();
    let source = OpenApiSource { base_url: Some(app.base.parse().unwrap()), ..source(file.to_str().unwrap()) };
    let provider = load_within(&source, ServerLimits { call: Duration::from_secs(2), ..ServerLimits::default() }).await.unwrap();
    let output = call(&provider, "endless", json!({})).await;
    let said = blocks(&output);
    assert!(!output.is_error && said[0].starts_with("0\n1\n2\n") && said[1].contains("raise `timeout`"), "{output:?}");
}

#[tokio::test]
async fn what_is_sent_without_end_before_an_answer_stops_nobody() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    // On a thread of its own, so that it is as fast as an attacker is.
    let flood = std::thread::spawn({
        let listener = listener.into_std().unwrap();
        move || {
            use std::io::{Read as _, Write as _};
            listener.set_nonblocking(false).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(1000);
            while stream.write_all(hints.as_bytes()).is_ok() {}
        }
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document(json!({"/a": {"get": {"operationId": "a"}}}), json!({}))).unwrap();
    let source = OpenApiSource { base_url: Some(base.parse().unwrap()), ..source(file.path().to_str().unwrap()) };
    let provider = load_within(&source, ServerLimits { call: Duration::from_secs(1), ..ServerLimits::default() }).await.unwrap();
    let mut others = 0;
    let answer = {
        let mut call = std::pin::pin!(call(&provider, "a", json!({})));
        loop {
            tokio::select! {
                answer = &mut call => break answer,
                () = tokio::time::sleep(Duration::from_millis(10)) => others += 1,
            }
        }
    };
    assert!(answer.is_error && text(&answer).contains("no answer within"), "{answer:?}");
    // This thread had its turns: some hundred where nothing else runs.
    assert!(others > 5, "{others}");
    flood.join().unwrap();
}
