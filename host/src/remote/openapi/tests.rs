//! Applications on real sockets, as they are found in the world, and documents as they come.

mod answers;
mod corpus;
mod found;
mod generated;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Redirect},
    routing::{any, get, post},
};
use serde_json::json;
use url::Url;

use super::*;
use crate::{
    config::{DocumentPlace, OpenApiSource, PublishRules, Secret, ServerLimits},
    provider::{CallContext, Content},
};

/// An application on a free port of loopback; it ends with the test.
struct Running {
    base: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn start(app: Router) -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    Running { base, task: tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }) }
}

fn source(document: &str) -> OpenApiSource {
    OpenApiSource::new(match document.parse::<Url>() {
        Ok(url) if url.scheme() == "http" => DocumentPlace::Url(url),
        _ => DocumentPlace::File(document.into()),
    })
}

/// `Authorization: Bearer own-token`.
fn own_token() -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer own-token"))])
}

fn reader(source: &OpenApiSource, limits: ServerLimits) -> Reader {
    Reader::new(ProviderId::new("app").unwrap(), source, limits, PublishRules::default(), Arc::new(|_| true))
}

async fn load_within(source: &OpenApiSource, limits: ServerLimits) -> Result<Arc<dyn Provider>, Error> {
    match reader(source, limits).look().await? {
        Look::New(provider, _) => Ok(provider),
        Look::Same => panic!("nothing was read before"),
    }
}

async fn load_with(source: OpenApiSource) -> Result<Arc<dyn Provider>, Error> {
    load_within(&source, ServerLimits { call: Duration::from_secs(20), ..ServerLimits::default() }).await
}

/// A document of this text in a file, with the application at `base`.
async fn loaded(text: &str, base: &str) -> Arc<dyn Provider> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let source = OpenApiSource { base_url: Some(base.parse().unwrap()), ..source(file.path().to_str().unwrap()) };
    load_with(source).await.unwrap_or_else(|error| panic!("{error}"))
}

/// A document with these paths and components.
fn document(paths: Value, components: Value) -> String {
    json!({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths, "components": components}).to_string()
}

fn tool<'p>(provider: &'p Arc<dyn Provider>, name: &str) -> &'p Tool {
    let names: Vec<&str> = provider.tools().iter().map(|tool| tool.name.as_str()).collect();
    provider.tools().iter().find(|tool| tool.name.as_str() == name).unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

async fn call(provider: &Arc<dyn Provider>, tool: &str, arguments: Value) -> CallOutput {
    let arguments = arguments.to_string();
    let context = CallContext {
        principal: Some(crate::provider::Principal::new("ann")),
        caller_trace: Some(Arc::from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        ..CallContext::default()
    };
    provider.call(Call { tool, arguments: &arguments, context: context.into() }).await.unwrap()
}

fn text(output: &CallOutput) -> &str {
    match output.content.as_slice() {
        [Content::Text(text)] => text,
        other => panic!("no single text: {other:?}"),
    }
}

fn structured(output: &CallOutput) -> Value {
    assert!(!output.is_error, "{output:?}");
    serde_json::from_str(output.structured.as_ref().expect("structured content").as_str()).unwrap()
}

/// Says what it was sent.
async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Json<Value> {
    let headers: BTreeMap<String, String> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    Json(json!({"method": method.as_str(), "uri": uri.to_string(), "headers": headers, "body": String::from_utf8_lossy(&body)}))
}

/// What FastAPI writes of a classifier: a reference to a model, a validation error of its own.
fn classifier_document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "FastAPI", "version": "0.1.0"},
        "paths": {"/classify": {"post": {
            "summary": "Classify",
            "description": "Says what a text is about.",
            "operationId": "classify_classify_post",
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Text"}}}, "required": true},
            "responses": {
                "200": {"description": "ok", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Label"}}}},
                "422": {"description": "no", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}}}
            }
        }}},
        "components": {"schemas": {
            "Text": {"properties": {
                "text": {"type": "string", "minLength": 1, "title": "Text"},
                "top": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "title": "Top"}
            }, "type": "object", "required": ["text"], "title": "Text"},
            "Label": {"properties": {"label": {"type": "string"}, "score": {"type": "number"}}, "type": "object", "required": ["label", "score"]},
            "HTTPValidationError": {"type": "object"}
        }}
    })
}

#[tokio::test]
async fn a_classifier_is_a_tool_by_the_address_of_its_document() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let app = Router::new().route("/openapi.json", get(async || Json(classifier_document()))).route(
        "/classify",
        post({
            let seen = Arc::clone(&seen);
            async move |headers: HeaderMap, Json(body): Json<Value>| {
                seen.lock().unwrap().push((headers, body.clone()));
                match body["text"].as_str() {
                    Some("strange") => Json(json!({"label": 5})).into_response(),
                    Some("bad") => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"detail": "no such text"}))).into_response(),
                    _ => Json(json!({"label": "sport", "score": 0.75})).into_response(),
                }
            }
        }),
    );
    let app = start(app).await;
    let configured = OpenApiSource {
        headers: {
            let mut headers = own_token();
            headers.insert("x-team", HeaderValue::from_static("blue"));
            headers
        },
        ..source(&format!("{}/openapi.json", app.base))
    };
    let provider = load_with(configured).await.unwrap();
    let tool = tool(&provider, "classify_classify_post");
    assert_eq!((tool.title.as_deref(), tool.description.as_deref()), (Some("Classify"), Some("Classify\n\nSays what a text is about.")));
    let input = Value::Object((*tool.input_schema).clone());
    assert_eq!(input["required"], json!(["text"]));
    assert_eq!(input["properties"]["text"], json!({"type": "string", "minLength": 1, "title": "Text"}));
    assert_eq!((input.get("additionalProperties"), input.get("$defs")), (None, None));
    let output = Value::Object((**tool.output_schema.as_ref().unwrap()).clone());
    assert_eq!((&output["type"], output.get("required")), (&json!("object"), None), "it is the application's promise, not ours");
    assert_eq!(output["properties"]["label"]["type"], json!(["string", "null"]));
    assert_eq!(tool.annotations.as_ref().unwrap()["readOnlyHint"], false);

    let output = call(&provider, "classify_classify_post", json!({"text": "A goal!", "top": null})).await;
    assert_eq!(structured(&output), json!({"label": "sport", "score": 0.75}));
    assert_eq!(text(&output), r#"{"label":"sport","score":0.75}"#);
    {
        let seen = seen.lock().unwrap();
        let (headers, body) = &seen[0];
        assert_eq!(*body, json!({"text": "A goal!", "top": null}));
        assert_eq!((&headers["x-team"], &headers["authorization"]), (&"blue".parse().unwrap(), &"Bearer own-token".parse().unwrap()));
        assert!(headers["traceparent"].to_str().unwrap().starts_with("00-0af76519"));
        assert!(!format!("{headers:?}").contains("ann"), "who calls is nobody's business there");
    }

    let bad = call(&provider, "classify_classify_post", json!({"text": "bad"})).await;
    assert!(bad.is_error && text(&bad).contains("422 Unprocessable Entity") && text(&bad).contains("no such text"), "{bad:?}");
    let strange = call(&provider, "classify_classify_post", json!({"text": "strange"})).await;
    assert_eq!((structured(&strange), &strange.content[0]), (json!({"label": null}), &Content::text(r#"{"label":5}"#)));
    assert!(format!("{:?}", strange.content[1]).contains("label is a number, not text"), "{strange:?}");
    let before = seen.lock().unwrap().len();
    for (arguments, word) in [
        (json!({}), "text"),
        (json!({"text": ""}), "text"),
        (json!({"text": "x", "top": 0}), "top"),
        (json!({"text": "x", "more": 1}), "more"),
    ] {
        let refused = call(&provider, "classify_classify_post", arguments).await;
        assert!(refused.is_error && text(&refused).contains(word), "{refused:?}");
    }
    assert_eq!(seen.lock().unwrap().len(), before, "nothing is sent that does not fit");
}

const TRANSLATOR: &str = r##"
openapi: 3.0.3
info: {title: Translator, version: "2"}
servers:
  - url: "{scheme}://example.invalid/v2"
    variables: {scheme: {default: http}}
paths:
  /translate/{lang}:
    parameters:
      - $ref: "#/components/parameters/Lang"
    get:
      operationId: translate
      parameters:
        - {name: text, in: query, required: true, schema: {type: string, nullable: true, example: Guten Tag}}
        - {name: limit, in: query, schema: {type: integer, minimum: 0, exclusiveMinimum: true, maximum: 9, exclusiveMaximum: false}}
      responses:
        200:
          description: ok
          content:
            application/json:
              schema: {$ref: "#/components/schemas/Answer"}
    delete:
      responses: {"204": {description: gone}}
components:
  parameters:
    Lang: {name: lang, in: path, required: true, description: Where to., schema: {type: string, enum: [de, fr]}}
  schemas:
    Answer:
      type: object
      properties:
        text: {type: string}
        alternatives: {type: array, items: {$ref: "#/components/schemas/Answer"}}
        note: {type: string, nullable: true}
        secret: {type: string, writeOnly: true}
      required: [text, secret]
"##;

#[tokio::test]
async fn a_translator_of_openapi_3_0_in_yaml_is_a_tool_with_a_schema_of_2020_12() {
    let app = Router::new().route(
        "/v2/translate/{lang}",
        get(async |uri: Uri| match uri.query() {
            Some(query) if query.contains("leer") => Json(json!({"text": "", "note": null})),
            query => Json(json!({"text": query, "alternatives": [{"text": "b", "alternatives": []}], "note": "n"})),
        })
        .delete(async || StatusCode::NO_CONTENT),
    );
    let app = start(app).await;
    let provider = loaded(TRANSLATOR, &format!("{}/v2/", app.base)).await;
    let translate = tool(&provider, "translate");
    let input = Value::Object((*translate.input_schema).clone());
    assert_eq!(input["required"], json!(["text", "lang"]));
    assert_eq!(input["properties"]["lang"], json!({"type": "string", "enum": ["de", "fr"], "description": "Where to."}));
    assert_eq!(input["properties"]["text"], json!({"anyOf": [{"type": "string"}, {"type": "null"}], "examples": ["Guten Tag"]}));
    assert_eq!(input["properties"]["limit"], json!({"type": "integer", "exclusiveMinimum": 0, "maximum": 9}));
    let output = Value::Object((**translate.output_schema.as_ref().unwrap()).clone());
    assert_eq!((&output["type"], output.get("required")), (&json!("object"), None));
    assert_eq!(output["properties"]["alternatives"]["items"], json!({"$ref": "#/$defs/Answer"}));
    assert!(output["$defs"]["Answer"]["properties"].get("secret").is_none());
    assert_eq!(translate.annotations.as_ref().unwrap()["readOnlyHint"], true);

    let answer = call(&provider, "translate", json!({"lang": "fr", "text": "Grüße & mehr", "limit": 3})).await;
    assert_eq!(structured(&answer)["text"], "text=Gr%C3%BC%C3%9Fe+%26+mehr&limit=3");
    assert_eq!(structured(&call(&provider, "translate", json!({"lang": "de", "text": "leer"})).await)["note"], Value::Null);
    for wrong in [json!({"lang": "xx", "text": "a"}), json!({"lang": "de"}), json!({"lang": "de", "text": "a", "limit": 0})] {
        assert!(call(&provider, "translate", wrong).await.is_error);
    }
    // Without an operationId: method and path.
    let gone = call(&provider, "delete_translate_lang", json!({"lang": "de"})).await;
    assert_eq!((gone.is_error, text(&gone)), (false, "204 No Content"));
}

#[tokio::test]
async fn every_parameter_goes_to_its_place_in_its_style() {
    let app = start(Router::new().fallback(any(echo))).await;
    let parameter = |name: &str, place: &str, more: Value| {
        let mut parameter = json!({"name": name, "in": place, "required": place == "path", "schema": {}});
        parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parameter
    };
    let paths = json!({"/a/{id}/{list}/x{m}": {"get": {"operationId": "get", "parameters": [
        parameter("id", "path", json!({})),
        parameter("list", "path", json!({})),
        parameter("m", "path", json!({"style": "matrix", "explode": true})),
        parameter("id", "query", json!({})),
        parameter("many", "query", json!({})),
        parameter("comma", "query", json!({"explode": false})),
        parameter("pipe", "query", json!({"style": "pipeDelimited", "explode": false})),
        parameter("deep", "query", json!({"style": "deepObject", "explode": true})),
        parameter("filter[x]", "query", json!({})),
        {"name": "json", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
        parameter("X-Num", "header", json!({})),
        parameter("Authorization", "header", json!({})),
        parameter("session", "cookie", json!({})),
    ]}}});
    let provider = loaded(&document(paths, json!({})), &app.base).await;
    let properties = tool(&provider, "get").input_schema["properties"].as_object().unwrap().clone();
    let names: Vec<&String> = properties.keys().collect();
    assert_eq!(names, ["id", "list", "m", "id_query", "many", "comma", "pipe", "deep", "filter_x", "json", "X-Num", "session"]);
    let arguments = json!({
        "id": "a/b?c#d%2e", "list": [1, "x,y"], "m": {"k": "v w"}, "id_query": true, "many": ["a", "b"], "comma": ["a", "b"], "pipe": [1, 2],
        "deep": {"a": {"b": 1}, "c": ["x"]}, "filter_x": "&=", "json": {"q": [1]}, "X-Num": 5, "session": "a;b"
    });
    let seen = structured(&call(&provider, "get", arguments).await);
    assert_eq!(
        seen["uri"],
        "/a/a%2Fb%3Fc%23d%252e/1,x%2Cy/x;k=v%20w?id=true&many=a&many=b&comma=a,b&pipe=1%7C2&deep%5Ba%5D%5Bb%5D=1&deep%5Bc%5D=x\
         &filter%5Bx%5D=%26%3D&json=%7B%22q%22%3A%5B1%5D%7D"
    );
    assert_eq!((&seen["headers"]["x-num"], &seen["headers"]["cookie"]), (&json!("5"), &json!("session=a%3Bb")));
    for id in ["..", ".", ""] {
        let refused = call(&provider, "get", json!({"id": id, "list": ["l"], "m": "m"})).await;
        assert!(refused.is_error && text(&refused).contains("`id`"), "{refused:?}");
    }
    let dots = json!({"/a/.{b}/c": {"get": {"operationId": "dots", "parameters": [parameter("b", "path", json!({}))]}}});
    let dots = loaded(&document(dots, json!({})), &app.base).await;
    assert_eq!(structured(&call(&dots, "dots", json!({"b": "b."})).await)["uri"], "/a/.b./c");
    let refused = call(&dots, "dots", json!({"b": ".%"})).await;
    assert_eq!(structured(&refused)["uri"], "/a/..%25/c");
    let refused = call(&provider, "get", json!({"id": "x", "list": ["l"], "m": "m", "X-Num": "a\r\nb: c"})).await;
    assert!(refused.is_error && text(&refused).contains("X-Num"), "{refused:?}");
}

#[tokio::test]
async fn bodies_are_written_as_the_document_says() {
    let app = start(Router::new().fallback(any(echo))).await;
    let body = |kind: &str, schema: Value| json!({"required": true, "content": {kind: {"schema": schema}}});
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let paths = json!({
        "/form": {"post": {"requestBody": body("application/x-www-form-urlencoded", object(json!({"a": {"type": "string"}, "b": {"type": "array", "items": {}}})))}},
        "/upload": {"post": {"requestBody": {"content": {"multipart/form-data": {
            "schema": object(json!({"file": {"type": "string", "format": "binary", "description": "A picture."}, "maybe": {"anyOf": [{"type": "string", "format": "binary"}, {"type": "null"}]}, "more": {"type": "object"}, "note": {"type": "string"}})),
            "encoding": {"file": {"contentType": "image/png"}}
        }}}}},
        "/text": {"put": {"requestBody": body("text/plain", json!({"type": "string"}))}},
        "/bytes": {"put": {"requestBody": body("application/octet-stream", json!({"type": "string", "format": "binary"}))}},
        "/list": {"post": {"requestBody": body("application/json", json!({"type": "array", "items": {"type": "integer"}}))}},
        "/open": {"post": {"requestBody": body("application/json; charset=utf-8", json!({"type": "object", "properties": {"a": {}}, "additionalProperties": true}))}},
        "/clash/{a}": {"post": {"parameters": [{"name": "a", "in": "path", "required": true, "schema": {}}], "requestBody": body("application/vnd.x+json", object(json!({"a": {}})))}},
        "/xml": {"post": {"requestBody": body("application/xml", json!({"type": "object", "xml": {"name": "pet", "namespace": "urn:p"}, "properties": {
            "id": {"type": "integer", "xml": {"attribute": true}}, "tag": {"type": "string", "xml": {"name": "Tag"}}}}))}},
        "/soap": {"post": {"requestBody": body("application/soap+xml; charset=utf-8", json!({}))}},
    });
    let provider = loaded(&document(paths, json!({})), &app.base).await;
    let sent = async |name: &str, arguments: Value| {
        let seen = structured(&call(&provider, name, arguments).await);
        (seen["headers"]["content-type"].as_str().unwrap_or_default().to_owned(), seen["body"].as_str().unwrap().to_owned())
    };
    let is = |kind: &str, body: &str| (kind.to_owned(), body.to_owned());
    assert_eq!(sent("post_form", json!({"a": "x y&", "b": [1, "z"]})).await, is("application/x-www-form-urlencoded", "a=x+y%26&b=1&b=z"));
    assert_eq!(sent("put_text", json!({"text": "Hallo"})).await, is("text/plain", "Hallo"));
    assert_eq!(sent("put_bytes", json!({"file": "AEE="})).await, is("application/octet-stream", "\u{0}A"));
    assert_eq!(sent("post_list", json!({"items": [1, 2]})).await, is("application/json", "[1,2]"));
    assert_eq!(sent("post_open", json!({"body": {"a": 1, "b": 2}})).await, is("application/json", r#"{"a":1,"b":2}"#));
    assert_eq!(sent("post_clash_a", json!({"a": "p", "body": {"a": 1}})).await, is("application/vnd.x+json", r#"{"a":1}"#));
    assert_eq!(sent("post_upload", json!({})).await, is("", ""));
    assert_eq!(sent("post_xml", json!({"xml": "<pet id=\"1\"/>"})).await, is("application/xml", "<pet id=\"1\"/>"));
    assert_eq!(sent("post_soap", json!({"xml": "<e/>"})).await, is("application/soap+xml", "<e/>"));
    let xml = &tool(&provider, "post_xml").input_schema["properties"]["xml"];
    let words = "Its root element is `pet` in the namespace urn:p. It has the attributes `id`. It has the elements `Tag`.";
    assert!(xml["description"].as_str().unwrap().ends_with(words), "{xml}");

    let schema = &tool(&provider, "post_upload").input_schema["properties"]["file"];
    assert_eq!(schema["contentEncoding"], "base64");
    assert!(schema["description"].as_str().unwrap().starts_with("A picture. "));
    for (file, name, expected, called) in [
        ("aGk=", Value::Null, "image/png", "file.png"),
        ("data:image/gif;base64,aGk=", Value::Null, "image/gif", "file.gif"),
        ("data:image/gif;name=a%20b.gif;base64,aGk=", Value::Null, "image/gif", "a b.gif"),
        ("aGk=", json!("me.png"), "image/png", "me.png"),
    ] {
        let mut arguments = json!({"file": file, "note": "n", "more": {"a": 1}});
        if !name.is_null() {
            arguments["file_name"] = name;
        }
        let (kind, body) = sent("post_upload", arguments).await;
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        let part = |head: &str, body: &str| format!("--{boundary}\r\nContent-Disposition: form-data; name={head}\r\n\r\n{body}\r\n");
        let parts = [
            part(&format!("\"file\"; filename=\"{called}\"\r\nContent-Type: {expected}"), "hi"),
            part("\"more\"\r\nContent-Type: application/json", r#"{"a":1}"#),
            part("\"note\"", "n"),
        ];
        assert_eq!(body, format!("{}--{boundary}--\r\n", parts.concat()));
    }
    let (_, body) = sent("post_upload", json!({"maybe": "aGk="})).await;
    assert!(body.contains("name=\"maybe\"; filename=\"maybe\"") && body.contains("\r\n\r\nhi\r\n"), "{body}");
    assert!(!sent("post_upload", json!({"maybe": null, "note": "n"})).await.1.contains("maybe"));
    let refused = call(&provider, "post_upload", json!({"file": "no base64!"})).await;
    assert!(refused.is_error && text(&refused).contains("`file` is not base64"), "{refused:?}");
}

#[tokio::test]
async fn answers_of_every_kind_are_what_a_caller_can_use() {
    let elsewhere = start(Router::new().fallback(any(echo))).await;
    let to = format!("{}/stolen", elsewhere.base);
    let kind = |kind: &'static str, body: &'static [u8]| get(async move || ([(header::CONTENT_TYPE, kind)], body));
    let app = Router::new()
        .route("/image", kind("image/png", b"\x89PNG"))
        .route("/audio", kind("audio/wav", b"RIFF"))
        .route("/text", kind("text/html; charset=utf-8", "<b>Grüße</b>".as_bytes()))
        .route("/binary", kind("application/pdf", b"\xff\xfe"))
        .route("/broken", kind("application/json", b"{"))
        .route("/number", kind("application/json", b"42"))
        .route("/empty", get(async || StatusCode::ACCEPTED))
        .route("/large", get(async || "x".repeat(20_000)))
        .route("/fails", get(async || (StatusCode::INTERNAL_SERVER_ERROR, "y".repeat(10_000))))
        .route("/inside", get(async || Redirect::temporary("/number")))
        .route("/outside", get(async move || Redirect::temporary(&to)))
        .route("/round", get(async || Redirect::temporary("/round")))
        .route("/hangs", get(async || std::future::pending::<()>().await));
    let app = start(app).await;
    let names = ["image", "audio", "text", "binary", "broken", "number", "empty", "large", "fails", "inside", "outside", "round", "hangs"];
    let paths: serde_json::Map<String, Value> =
        names.iter().map(|name| (format!("/{name}"), json!({"get": {"operationId": name, "responses": {}}}))).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document(paths.into(), json!({}))).unwrap();
    let source = OpenApiSource { base_url: Some(app.base.parse().unwrap()), headers: own_token(), ..source(file.path().to_str().unwrap()) };
    let limits = ServerLimits { call: Duration::from_secs(20), max_message: 15_000, ..ServerLimits::default() };
    let provider = load_within(&source, limits).await.unwrap();

    let block = async |name: &str| match call(&provider, name, json!({})).await.content.pop().unwrap() {
        Content::Block(block) => serde_json::from_str::<Value>(block.as_str()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(block("image").await, json!({"type": "image", "data": "iVBORw==", "mimeType": "image/png"}));
    assert_eq!(block("audio").await, json!({"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"}));
    let pdf = block("binary").await;
    assert_eq!(
        (&pdf["type"], &pdf["resource"]["mimeType"], &pdf["resource"]["blob"]),
        (&json!("resource"), &json!("application/pdf"), &json!("//4="))
    );
    assert_eq!(text(&call(&provider, "text", json!({})).await), "<b>Grüße</b>");
    assert_eq!(text(&call(&provider, "empty", json!({})).await), "202 Accepted");
    for name in ["number", "inside"] {
        assert_eq!(structured(&call(&provider, name, json!({})).await), json!(42), "{name}");
    }
    let broken = call(&provider, "broken", json!({})).await;
    assert_eq!((broken.is_error, &broken.content[0]), (false, &Content::text("{")), "it was done, whatever it says of it");
    assert!(format!("{:?}", broken.content[1]).contains("is not"), "{broken:?}");
    for (name, words) in [
        ("large", "max_message"),
        ("fails", "500 Internal Server Error: yyy"),
        ("outside", "307 Temporary Redirect: it leads to"),
        ("round", "307 Temporary Redirect"),
    ] {
        let failed = call(&provider, name, json!({})).await;
        assert!(failed.is_error && text(&failed).contains(words), "{name}: {failed:?}");
        assert!(text(&failed).len() < 5000 && !text(&failed).contains("own-token"));
    }
    let limits = ServerLimits { call: Duration::from_millis(50), ..limits };
    let hasty = load_within(&source, limits).await.unwrap();
    let late = call(&hasty, "hangs", json!({})).await;
    assert!(late.is_error && text(&late).contains("no answer within 50ms"), "{late:?}");
}

/// Takes connections, reads a request from each, and answers only from the third on.
async fn flaky(count: Arc<AtomicUsize>) -> Running {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            // An odd number of connections is cut.
            if count.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
            }
        }
    });
    Running { base, task }
}

#[tokio::test]
async fn only_what_can_be_sent_twice_is() {
    let count = Arc::new(AtomicUsize::new(0));
    let app = flaky(Arc::clone(&count)).await;
    let paths = json!({"/x": {"get": {"operationId": "read"}, "post": {"operationId": "write"}}});
    let provider = loaded(&document(paths, json!({})), &app.base).await;
    assert_eq!(text(&call(&provider, "read", json!({})).await), "ok");
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let failed = call(&provider, "write", json!({})).await;
    assert!(failed.is_error && text(&failed).contains("/x: "), "{failed:?}");
    assert_eq!(count.load(Ordering::SeqCst), 3, "a POST is sent once");
    let base = app.base.clone();
    drop(app);
    tokio::task::yield_now().await;
    let gone = call(&provider, "read", json!({})).await;
    assert!(gone.is_error && text(&gone).contains(&base), "{gone:?}");
}

#[tokio::test]
async fn one_more_call_than_may_run_and_wait_is_turned_away() {
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let app = start(Router::new().route(
        "/x",
        get(async move || {
            started.send(()).unwrap();
            std::future::pending::<()>().await;
        }),
    ));
    let app = app.await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document(json!({"/x": {"get": {"operationId": "x"}}}), json!({}))).unwrap();
    let source = OpenApiSource { base_url: Some(app.base.parse().unwrap()), ..source(file.path().to_str().unwrap()) };
    let limits = ServerLimits { concurrency: 1, queue: 0, ..ServerLimits::default() };
    let provider = load_within(&source, limits).await.unwrap();
    let first = tokio::spawn({
        let provider = Arc::clone(&provider);
        async move { call(&provider, "x", json!({})).await }
    });
    starts.recv().await.unwrap();
    let full = provider.call(Call { tool: "x", arguments: "{}", context: Box::default() }).await.unwrap_err();
    assert!(matches!(&full, CallError::Busy { what, .. } if what.contains("[server.app]")), "{full:?}");
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let again = tokio::spawn(async move { call(&provider, "x", json!({})).await });
    starts.recv().await.unwrap();
    again.abort();
}

#[tokio::test]
async fn what_cannot_be_used_is_left_out_and_the_rest_is_offered() {
    let schema = |reference: &str| json!({"requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {"x": {"$ref": reference}}}}}}});
    let with_id = |id: &str, mut operation: Value| {
        operation["operationId"] = json!(id);
        json!({"post": operation})
    };
    let paths = json!({
        "/far": with_id("far", schema("https://example.invalid/x.json")),
        "/nowhere": with_id("nowhere", schema("#/components/schemas/None")),
        "/endless": with_id("endless", schema("#/components/schemas/Endless")),
        "/{unknown}": with_id("unknown", json!({})),
        "/tree": with_id("tree", schema("#/components/schemas/Tree")),
        "/inner": with_id("inner", schema("#/components/schemas/Tree/properties/children")),
        "/tree/same": {"get": {"operationId": "tree"}, "options": {"operationId": "o"}},
        "/pattern": with_id("pattern", json!({"requestBody": {"content": {"application/json": {"schema": {"type": "string", "pattern": "^(?=a)b"}}}}})),
        "/name": with_id("a name, with ünicode / and more!", json!({})),
    });
    let components = json!({"schemas": {
        "Tree": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}}, "required": ["children"]},
        "Endless": {"allOf": [{"$ref": "#/components/schemas/Endless"}]},
        "Unused": {"type": "object"}
    }});
    let provider = loaded(&document(paths, components), "http://127.0.0.1:9").await;
    let mut names: Vec<&str> = provider.tools().iter().map(|tool| tool.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a_name_with_nicode_and_more", "inner", "pattern", "tree", "tree_2"]);
    let tree = Value::Object((*tool(&provider, "tree").input_schema).clone());
    assert_eq!(tree["properties"]["x"], json!({"$ref": "#/$defs/Tree"}));
    assert_eq!(tree["$defs"].as_object().unwrap().len(), 1);
    let refused = call(&provider, "tree", json!({"x": {"children": [{"children": 5}]}})).await;
    assert!(refused.is_error && text(&refused).contains("x.children.0.children"), "{refused:?}");
}

#[tokio::test]
async fn what_is_no_usable_document_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.json");
    let refused = async |text: &str| {
        std::fs::write(&path, text).unwrap();
        load_with(source(path.to_str().unwrap())).await.err().expect("an error").to_string()
    };
    for (text, words) in [
        ("{", "not JSON"),
        ("a: [", "neither JSON nor YAML"),
        ("swagger: '1.2'", "only 2.0 and 3.x"),
        ("{}", "no member \"openapi\""),
        (r#"{"openapi": "4.0.0"}"#, "only 2.0 and 3.x"),
        (r#"{"openapi": "3.1.0", "paths": {"/x": {"get": {}}}}"#, "base_url"),
        (r#"{"openapi": "3.1.0", "servers": [{"url": "/v1"}], "paths": {"/x": {"get": {}}}}"#, "[server.app]"),
        (r#"{"openapi": "3.1.0", "servers": [{"url": "ftp://x"}]}"#, "not an http or https"),
        (r#"{"openapi": "3.1.0", "servers": [{"url": "http://x"}], "paths": {}}"#, "no operations"),
        (r#"{"openapi": "3.1.0", "servers": [{"url": "http://x"}], "paths": {"/{a}": {"get": {}}}}"#, "{a}"),
        (
            r#"{"openapi": "3.1.0", "servers": [{"url": "http://x"}], "paths": {"/x": {"get": {"parameters": [{"name": "a"}]}}}}"#,
            "where it is (`in`) (at #/paths/~1x/get/parameters/0",
        ),
    ] {
        let error = refused(text).await;
        assert!(error.contains(words) && error.contains("api.json"), "{text}: {error}");
    }
    let missing = load_with(source("/nowhere/api.json")).await.err().unwrap().to_string();
    assert!(missing.contains("No such file"), "{missing}");
    let app = start(Router::new().fallback(any(async || StatusCode::NOT_FOUND))).await;
    let gone = load_with(source(&format!("{}/openapi.json", app.base))).await.err().unwrap().to_string();
    assert!(gone.contains("404") && gone.contains("/openapi.json"), "{gone}");
}

#[tokio::test]
async fn an_address_of_the_document_is_relative_to_the_document_and_an_operation_may_have_its_own() {
    let paths = json!({"/x": {"get": {"operationId": "here"}}, "/y": {"servers": [{"url": "../other"}], "get": {"operationId": "there"}}});
    let text =
        json!({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "servers": [{"url": "api/v1"}], "paths": paths}).to_string();
    let app = Router::new().route("/docs/openapi.json", get(async move || text.clone())).fallback(any(echo));
    let app = start(app).await;
    let provider = load_with(source(&format!("{}/docs/openapi.json", app.base))).await.unwrap();
    assert_eq!(structured(&call(&provider, "here", json!({})).await)["uri"], "/docs/api/v1/x");
    assert_eq!(structured(&call(&provider, "there", json!({})).await)["uri"], "/other/y");
}

#[tokio::test]
async fn a_document_from_elsewhere_does_not_say_who_gets_the_token() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let other = start(Router::new().fallback(any({
        let seen = Arc::clone(&seen);
        async move |headers: HeaderMap| {
            seen.lock().unwrap().push(headers.contains_key("authorization"));
            Json(json!({}))
        }
    })))
    .await;
    let elsewhere = json!([{"url": other.base}]);
    let paths = |servers: Value| json!({"/x": {"get": {"operationId": "x"}}, "/y": {"servers": servers, "get": {"operationId": "y"}}});
    let head = json!({"title": "t", "version": "1"});
    let whole = json!({"openapi": "3.1.0", "info": head, "servers": elsewhere, "paths": paths(json!([{"url": "/"}]))}).to_string();
    let part = json!({"openapi": "3.1.0", "info": head, "paths": paths(elsewhere)}).to_string();
    let app = Router::new().route("/whole.json", get(async move || whole.clone())).route("/part.json", get(async move || part.clone()));
    let app = start(app.fallback(any(echo))).await;
    let with_token = |name: &str| OpenApiSource { headers: own_token(), ..source(&format!("{}/{name}.json", app.base)) };
    for (document, left) in [("whole", "y"), ("part", "x")] {
        let provider = load_with(with_token(document)).await.unwrap();
        let names: Vec<&str> = provider.tools().iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, [left], "{document}");
        assert_eq!(structured(&call(&provider, left, json!({})).await)["headers"]["authorization"], "Bearer own-token");
    }
    // The operator says where it may go, or there is nothing that could go astray.
    let provider = load_with(OpenApiSource { base_url: Some(other.base.parse().unwrap()), ..with_token("whole") }).await.unwrap();
    call(&provider, "x", json!({})).await;
    let provider = load_with(OpenApiSource { headers: HeaderMap::new(), ..with_token("whole") }).await.unwrap();
    call(&provider, "x", json!({})).await;
    assert_eq!(*seen.lock().unwrap(), [true, false]);
}

/// A document with one operation of this name.
fn one(operation: &str) -> String {
    let paths = json!({"/x": {"get": {"operationId": operation, "responses": {"200": {"description": "ok"}}}}});
    let mut whole: Value = serde_json::from_str(&document(paths, json!({}))).unwrap();
    whole["servers"] = json!([{"url": "http://127.0.0.1:9"}]);
    whole.to_string()
}

/// The names of the tools of a version that is new; None: there is none.
async fn news(reader: &mut Reader) -> Result<Option<Vec<String>>, String> {
    match reader.look().await {
        Ok(Look::New(provider, _)) => Ok(Some(provider.tools().iter().map(|tool| tool.name.to_string()).collect())),
        Ok(Look::Same) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn a_file_is_read_again_when_it_has_changed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut reader = reader(&source(file.path().to_str().unwrap()), ServerLimits::default());
    std::fs::write(file.path(), one("first")).unwrap();
    assert_eq!(news(&mut reader).await, Ok(Some(vec!["first".to_owned()])));
    assert_eq!(news(&mut reader).await, Ok(None));
    std::fs::write(file.path(), one("second")).unwrap();
    reader.changed().await;
    assert_eq!(news(&mut reader).await, Ok(Some(vec!["second".to_owned()])));
    std::fs::write(file.path(), "openapi: 3.1.0\nservers: [{url: 'http://127.0.0.1:9'}]\npaths: {}").unwrap();
    reader.changed().await;
    for _ in 0..2 {
        let error = news(&mut reader).await.unwrap_err();
        assert!(error.contains("no operations"), "{error}");
    }
    std::fs::remove_file(file.path()).unwrap();
    reader.changed().await;
    let error = news(&mut reader).await.unwrap_err();
    assert!(error.contains("cannot read the OpenAPI document"), "{error}");
    std::fs::write(file.path(), one("second")).unwrap();
    reader.changed().await;
    assert_eq!(news(&mut reader).await, Ok(Some(vec!["second".to_owned()])), "a version that is back is new again");
}

#[tokio::test]
async fn a_document_at_a_url_is_sent_again_only_where_it_is_another() {
    let state = Arc::new(Mutex::new((Vec::<String>::new(), "first")));
    let app = {
        let state = Arc::clone(&state);
        Router::new().route(
            "/openapi.json",
            get(async move |headers: HeaderMap| {
                let mut state = state.lock().unwrap();
                let tag = format!("\"{}\"", state.1);
                let asked = headers.get(header::IF_NONE_MATCH).map(|tag| tag.to_str().unwrap().to_owned()).unwrap_or_default();
                let same = asked == tag;
                state.0.push(asked);
                match state.1 {
                    "away" => StatusCode::BAD_GATEWAY.into_response(),
                    _ if same => StatusCode::NOT_MODIFIED.into_response(),
                    name => ([(header::ETAG, tag)], one(name)).into_response(),
                }
            }),
        )
    };
    let app = start(app).await;
    let mut reader = reader(
        &OpenApiSource { refresh: Duration::from_millis(1), ..source(&format!("{}/openapi.json", app.base)) },
        ServerLimits::default(),
    );
    let become_ = |name| state.lock().unwrap().1 = name;
    assert_eq!(news(&mut reader).await, Ok(Some(vec!["first".to_owned()])));
    reader.changed().await;
    assert_eq!(news(&mut reader).await, Ok(None));
    become_("away");
    assert!(news(&mut reader).await.unwrap_err().contains("502"));
    become_("second");
    assert_eq!(news(&mut reader).await, Ok(Some(vec!["second".to_owned()])));
    assert_eq!(news(&mut reader).await, Ok(None));
    assert_eq!(state.lock().unwrap().0, ["", "\"first\"", "\"first\"", "\"first\"", "\"second\""]);
}

#[tokio::test]
async fn an_application_that_says_when_to_come_again_has_that_passed_on() {
    let app = start(Router::new().route("/x", get(async || (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "9")], "full")))).await;
    let provider = loaded(&one("x"), &app.base).await;
    let error = provider.call(Call { tool: "x", arguments: "{}", context: Box::default() }).await.unwrap_err();
    let CallError::Busy { what, retry_after } = &error else { panic!("{error}") };
    assert!(what.contains("503 Service Unavailable: full"), "{what}");
    assert_eq!(*retry_after, Duration::from_secs(9));
}
