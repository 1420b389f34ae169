//! Documents as they are found: with flaws, in several files, of other versions, large.

use super::*;
use crate::config::OutputSchema;

/// What a text becomes, with everything that is told of it.
async fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    read_file(file.path()).await
}

async fn read_file(path: &std::path::Path) -> (Vec<String>, Vec<String>) {
    match reader(&source(path.to_str().unwrap()), ServerLimits::default()).look().await {
        Ok(Look::New(provider, warnings)) => (provider.tools().iter().map(|tool| tool.name.to_string()).collect(), warnings),
        Ok(Look::Same) => panic!("nothing was read before"),
        Err(error) => (Vec::new(), vec![error.to_string()]),
    }
}

/// A good operation, and these paths beside it.
fn beside_good(paths: Value) -> String {
    let mut all = json!({"/good": {"get": {"operationId": "good", "responses": {"200": {"description": "ok"}}}}});
    all.as_object_mut().unwrap().extend(paths.as_object().unwrap().clone());
    json!({"openapi": "3.0.3", "info": {"title": "t"}, "servers": [{"url": "http://127.0.0.1:9"}], "paths": all}).to_string()
}

#[tokio::test]
async fn a_flaw_costs_its_operation_and_is_told_with_its_place() {
    for (paths, place, word) in [
        (json!({"/bad": {"get": {"parameters": [{"in": "query", "schema": {}}]}}}), "#/paths/~1bad/get/parameters/0", "no name"),
        (json!({"/bad": {"get": {"parameters": [{"name": "x"}]}}}), "#/paths/~1bad/get/parameters/0", "where it is"),
        (json!({"/bad": {"get": {"parameters": {"name": "x"}}}}), "#/paths/~1bad/get/parameters", "not a list"),
        (json!({"/bad": {"get": {"parameters": [null]}}}), "#/paths/~1bad/get/parameters/0", "not an object"),
        (json!({"/bad": {"get": {"parameters": [{"$ref": "#/components/parameters/None"}]}}}), "parameters/0", "leads nowhere"),
        (json!({"/bad": null}), "#/paths/~1bad", "null"),
        (json!({"/bad": {"get": "later"}}), "#/paths/~1bad/get", "not an object"),
        (json!({"/bad": {"post": {"requestBody": {"content": {"multipart/mixed": {}}}}}}), "requestBody", "multipart/mixed"),
        (json!({"/bad": {"post": {"requestBody": {}}}}), "requestBody", "content"),
        (json!({"/{bad}": {"get": {}}}), "#/paths/~1{bad}/get", "{bad}"),
        (json!({"/bad": {"$ref": "#/paths/~1bad"}}), "#/paths/~1bad", "circle"),
        (json!({"/bad": {"head": {}}}), "#/paths/~1bad/head", "HEAD has no answer"),
        (json!({"/bad": {"options": {}}}), "#/paths/~1bad/options", "OPTIONS"),
    ] {
        let (tools, warnings) = read(&beside_good(paths.clone())).await;
        assert_eq!(tools, ["good"], "{paths}: {warnings:?}");
        assert!(warnings.len() == 1 && warnings[0].contains(place) && warnings[0].contains(word), "{paths}: {warnings:?}");
    }
}

#[tokio::test]
async fn what_is_only_odd_costs_nothing() {
    let operation = |more: Value| {
        let mut operation = json!({"operationId": "odd", "responses": {"200": {"description": "ok"}}});
        operation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"/odd": {"get": operation}})
    };
    for more in [
        json!({"deprecated": "true"}),
        json!({"summary": 404}),
        json!({"description": null, "tags": "x"}),
        json!({"externalDocs": {"url": "/docs/#price"}}),
        json!({"externalDocs": 5, "callbacks": [], "servers": null, "security": "none"}),
        json!({"parameters": [{"name": "x", "in": "query", "required": "true", "schema": {"type": "string"}}]}),
        json!({"parameters": [{"name": "x", "in": "query", "schema": {"type": "int", "minimum": "0", "enum": null}}]}),
        json!({"parameters": [{"name": "x", "in": "query", "schema": {"type": "object", "properties": [], "required": true}}]}),
        json!({"parameters": [{"name": "x", "in": "query", "schema": null, "style": 7}]}),
        json!({"parameters": null, "requestBody": null, "responses": []}),
    ] {
        let (mut tools, warnings) = read(&beside_good(operation(more.clone()))).await;
        tools.sort();
        assert_eq!((tools.len(), &warnings), (2, &Vec::new()), "{more}");
    }
    let (tools, warnings) = read(&beside_good(json!({"x-codegen-contextRoot": "/apis/registry/v2"}))).await;
    assert_eq!((tools.len(), warnings.len()), (1, 0));
    let port = r#"{"openapi": "3.0.3", "servers": [{"url": "http://127.0.0.1:{port}", "variables": {"port": {"default": 9}}}], "paths": {"/x": {"get": {}}}}"#;
    assert_eq!(read(port).await.0, ["get_x"]);
}

#[tokio::test]
async fn a_place_in_a_text_of_lines_has_its_line() {
    let yaml = "openapi: 3.0.0\nservers: [{url: http://127.0.0.1:9}]\npaths:\n  /x:\n    get: {}\n  /y:\n    get:\n      parameters:\n        - in: query\n";
    let (tools, warnings) = read(yaml).await;
    assert_eq!(tools, ["get_x"]);
    assert!(warnings[0].contains("#/paths/~1y/get/parameters/0, line 9)"), "{warnings:?}");
    let json =
        "{\"openapi\": \"3.0.0\", \"servers\": [{\"url\": \"http://127.0.0.1:9\"}],\n\"paths\": {\n\"/x\": {\"get\": {}},\n\"/y\": null}}";
    assert!(read(json).await.1[0].contains("line 4)"), "{:?}", read(json).await.1);
}

#[tokio::test]
async fn what_is_written_in_yaml_or_nearly_json_is_read() {
    for text in [
        // A whole number that no integer holds, a key that is a number, an alias and what it is merged with, a tag, a document's mark.
        "---\nopenapi: 3.0.0\nservers: [{url: http://127.0.0.1:9}]\nx-all: &all\n  responses: {200: {description: ok}}\npaths:\n  /x:\n    get:\n      <<: *all\n      operationId: x\n      parameters:\n        - {name: seed, in: query, schema: {type: integer, minimum: -9223372036854776000, maximum: 18446744073709551615000}}\n        - {name: t, in: query, schema: {type: string, default: !!str 5}}\n",
        "\u{feff}{\"openapi\": \"3.0.0\", \"servers\": [{\"url\": \"http://127.0.0.1:9\"}], \"paths\": {\"/x\": {\"get\": {\"operationId\": \"x\"}}}}",
        "{\"openapi\": \"3.0.0\", \"servers\": [{\"url\": \"http://127.0.0.1:9\"}], \"paths\": {\"/x\": {\"get\": {\"operationId\": \"x\"}},}, # a word\n}",
        "{\"openapi\": \"3.0.0\", \"info\": {\"title\": \"\\ud83d \\\\ud83d\"}, \"servers\": [{\"url\": \"http://127.0.0.1:9\"}], \"paths\": {\"/x\": {\"get\": {\"operationId\": \"x\"}}}}",
    ] {
        assert_eq!(read(text).await, (vec!["x".to_owned()], Vec::new()), "{text}");
    }
}

/// A document with one operation, `a`, with a body of this schema.
fn with_body(schema: Value, components: Value) -> String {
    let body = json!({"required": true, "content": {"application/json": {"schema": schema}}});
    document(json!({"/a": {"post": {"operationId": "a", "requestBody": body}}}), components)
}

#[tokio::test]
async fn references_lead_wherever_they_may() {
    let schemas = json!({"schemas": {
        "A/B~C": {"type": "integer"},
        "Page<User>": {"type": "boolean"},
        "A": {"type": "object", "properties": {"id": {"type": "integer", "readOnly": true}}},
        "Named": {"$anchor": "here", "type": "string", "minLength": 2},
    }});
    for (reference, kind) in [
        ("#/components/schemas/A~1B~0C", "integer"),
        ("#/components/schemas/A~1B%7E0C", "integer"),
        ("#/components/schemas/Page%3CUser%3E", "boolean"),
        ("#/components/schemas/Page<User>", "boolean"),
        ("#/components/schemas/A/properties/id", "integer"),
        ("#here", "string"),
        ("#/paths/~1a/post/requestBody/content/application~1json/schema/properties/y", "number"),
        ("Named", "string"),
    ] {
        let properties = json!({"x": {"$ref": reference}, "y": {"type": "number"}});
        let text = with_body(json!({"type": "object", "properties": properties}), schemas.clone());
        let provider = loaded(&text, "http://127.0.0.1:9").await;
        let schema = Value::Object((*tool(&provider, "a").input_schema).clone());
        let pointer = schema["properties"]["x"]["$ref"].as_str().unwrap_or_else(|| panic!("{reference}: {schema}"));
        assert_eq!(schema.pointer(&pointer[1..]).unwrap()["type"], kind, "{reference}: {schema}");
    }
    let parameter = json!({
        "/a": {"get": {"operationId": "a", "parameters": [{"name": "n", "in": "query", "schema": {"type": "integer"}}]}},
        "/b": {"get": {"operationId": "b", "parameters": [{"$ref": "#/paths/~1a/get/parameters/0"}]}},
    });
    let provider = loaded(&document(parameter, json!({})), "http://127.0.0.1:9").await;
    assert_eq!(tool(&provider, "b").input_schema["properties"]["n"]["type"], "integer");
}

#[tokio::test]
async fn a_schema_that_contains_itself_by_any_word_is_known_on_all_levels() {
    for (anchor, reference) in [("$recursiveAnchor", json!({"$recursiveRef": "#"})), ("title", json!({"$ref": "#"}))] {
        let anchor_value = if anchor == "title" { json!("t") } else { json!(true) };
        let schema = json!({anchor: anchor_value, "type": "object", "additionalProperties": true,
            "properties": {"n": {"type": "integer"}, "f": {"type": "array", "items": reference}}});
        let provider = loaded(&with_body(schema, json!({})), "http://127.0.0.1:9").await;
        let deep = |n: Value| json!({"f": [{"f": [{"n": n}]}]});
        let argument = tool(&provider, "a").input_schema["properties"].as_object().unwrap().keys().next().unwrap().clone();
        let refused = call(&provider, "a", json!({&argument: deep(json!("one"))})).await;
        assert!(refused.is_error && text(&refused).contains("f.0.f.0.n"), "{refused:?}");
    }
}

#[tokio::test]
async fn schemas_whose_names_cannot_be_written_stay_apart() {
    let named =
        |name: &str, kind: &str| (name.to_owned(), json!({"type": "object", "properties": {"v": {"type": kind}}, "required": ["v"]}));
    let schemas: serde_json::Map<String, Value> = [
        named("用户", "string"),
        named("订单", "number"),
        named("Page<User>", "integer"),
        named("Page[User]", "string"),
        named("Page_User", "boolean"),
    ]
    .into_iter()
    .collect();
    let names = ["用户", "订单", "Page<User>", "Page[User]", "Page_User"];
    let properties: serde_json::Map<String, Value> =
        names.iter().enumerate().map(|(at, name)| (format!("p{at}"), json!({"$ref": format!("#/components/schemas/{name}")}))).collect();
    let app = start(Router::new().fallback(any(echo))).await;
    let text = with_body(json!({"type": "object", "properties": properties}), json!({"schemas": schemas}));
    let provider = loaded(&text, &app.base).await;
    let right = json!({"p0": {"v": "a"}, "p1": {"v": 1.5}, "p2": {"v": 1}, "p3": {"v": "b"}, "p4": {"v": true}});
    assert!(!call(&provider, "a", right).await.is_error);
    for (at, wrong) in [json!(1), json!("a"), json!("a"), json!(1), json!("x")].into_iter().enumerate() {
        let refused = call(&provider, "a", json!({format!("p{at}"): {"v": wrong}})).await;
        assert!(refused.is_error, "{at}: {refused:?}");
    }
    let defs = tool(&provider, "a").input_schema["$defs"].to_string();
    assert!(names.iter().all(|name| defs.contains(name)), "the real names are told: {defs}");
}

#[tokio::test]
async fn arguments_are_what_their_names_say() {
    let app = start(Router::new().fallback(any(echo))).await;
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let body = |properties: Value| json!({"required": true, "content": {"application/json": {"schema": {"type": "object", "properties": properties}}}});
    let paths = json!({
        "/calls": {"get": {"operationId": "calls", "parameters": [parameter("StartTime>"), parameter("StartTime<"), parameter("StartTime")]}},
        "/people": {"post": {"operationId": "people", "requestBody": body(json!({"姓名": {"type": "string", "description": "Who."}, "城市": {"type": "string"}}))}},
        "/docs": {"post": {"operationId": "docs", "requestBody": body(json!({"_id": {}, "id": {}, "$id": {}, "i d": {}}))}},
    });
    let provider = loaded(&document(paths, json!({})), &app.base).await;
    let calls = structured(&call(&provider, "calls", json!({"StartTime": "a", "StartTime_query": "b"})).await);
    let uri = calls["uri"].as_str().unwrap();
    assert!(uri.contains("StartTime=a") && uri.contains("StartTime%3E=b"), "{uri}");
    let properties = &tool(&provider, "calls").input_schema["properties"];
    assert!(properties["StartTime_query"]["description"].as_str().unwrap().contains("`StartTime>`"), "{properties}");
    assert!(properties["StartTime"].get("description").is_none());

    let properties = tool(&provider, "people").input_schema["properties"].as_object().unwrap().clone();
    let by_real = |real: &str| properties.iter().find(|(_, schema)| schema.to_string().contains(real)).unwrap().0.clone();
    let (who, city) = (by_real("姓名"), by_real("城市"));
    assert!(who.is_ascii() && city.is_ascii() && properties[&who]["description"].as_str().unwrap().ends_with("Who."));
    let sent = structured(&call(&provider, "people", json!({who: "Ann", city: "Ulm"})).await);
    let sent: Value = serde_json::from_str(sent["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent, json!({"姓名": "Ann", "城市": "Ulm"}));

    let sent = structured(&call(&provider, "docs", json!({"_id": 1, "id": 2})).await);
    let sent: Value = serde_json::from_str(sent["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent, json!({"_id": 1, "id": 2}));
    let properties = tool(&provider, "docs").input_schema["properties"].as_object().unwrap().clone();
    assert_eq!(properties.len(), 4);
    assert!(properties.keys().all(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))));
}

#[tokio::test]
async fn a_bare_body_is_called_what_a_person_would_call_it() {
    let body = |kind: &str, schema: Value| json!({"post": {"requestBody": {"required": true, "content": {kind: {"schema": schema}}}}});
    let json = "application/json";
    let mut coded = body(json, json!({"type": "string"}));
    coded["post"]["x-codegen-request-body-name"] = json!("sentence");
    let paths = json!({
        "/translate": body(json, json!({"type": "string"})),
        "/fastapi": body(json, json!({"type": "string", "title": "English Text"})),
        "/pet": body(json, json!({"$ref": "#/components/schemas/NewPet"})),
        "/list": body(json, json!({"type": "array", "items": {}})),
        "/number": body(json, json!({"type": "integer"})),
        "/plain": body("text/plain", json!({"type": "string"})),
        "/image": body("image/png", json!({"type": "string", "format": "binary"})),
        "/any": body(json, json!({})),
        "/coded": coded,
    });
    let components = json!({"schemas": {"NewPet": {"oneOf": [{"type": "object"}, {"type": "string"}]}}});
    let provider = loaded(&document(paths, components), "http://127.0.0.1:9").await;
    for (operation, argument) in [
        ("translate", "text"),
        ("fastapi", "english_text"),
        ("pet", "new_pet"),
        ("list", "items"),
        ("number", "number"),
        ("plain", "text"),
        ("image", "file"),
        ("any", "body"),
        ("coded", "sentence"),
    ] {
        let names: Vec<String> =
            tool(&provider, &format!("post_{operation}")).input_schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, [argument], "{operation}");
    }
}

#[tokio::test]
async fn names_of_tools_fit_everybody_and_stay() {
    let with_id = |id: &str| json!({"get": {"operationId": id, "responses": {}}});
    let long = "list".repeat(40);
    let paths = json!({
        "/1": with_id("users.list"), "/2": with_id("users/list"), "/3": with_id("users_list"), "/4": with_id(&long), "/5": with_id(&format!("{long}2")),
        "/6": with_id("列表"), "/8": with_id(""), "/7/{a}": {"parameters": [{"name": "a", "in": "path", "required": true}], "get": {}},
    });
    let provider = loaded(&document(paths, json!({})), "http://127.0.0.1:9").await;
    let names: Vec<&str> = provider.tools().iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names.len(), 8);
    for name in &names {
        assert!((1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{name}");
    }
    // Whoever can keep its name has it, wherever it stands; the others say what they are called.
    assert!(tool(&provider, "users_list").description.as_deref().is_some_and(|text| text == "GET /3"));
    assert!(tool(&provider, "users_list_2").description.as_deref().is_some_and(|text| text.contains("`users.list`")), "{names:?}");
    assert!(names.contains(&"get_6") && names.contains(&"get_7_a"), "{names:?}");
}

/// N operations over N schemas in a ring.
fn ring(n: usize) -> String {
    let fields = |k: usize| {
        let mut fields: serde_json::Map<String, Value> = (0..12)
            .map(|field| {
                (
                    format!("field_{field}"),
                    json!({"type": "string", "description": "What this field of the object says, in a sentence of usual length."}),
                )
            })
            .collect();
        fields.insert("next".to_owned(), json!({"$ref": format!("#/components/schemas/Thing{}", (k + 1) % n)}));
        fields
    };
    let schemas: serde_json::Map<String, Value> =
        (0..n).map(|k| (format!("Thing{k}"), json!({"type": "object", "properties": fields(k)}))).collect();
    let operation = |k: usize| {
        let content = json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/Thing{k}")}}});
        json!({"get": {"operationId": format!("get{k}"), "responses": {"200": {"description": "ok", "content": content}}},
            "put": {"operationId": format!("put{k}"), "requestBody": {"required": true, "content": content}}})
    };
    let paths: serde_json::Map<String, Value> = (0..n).map(|k| (format!("/things/{k}"), operation(k))).collect();
    document(paths.into(), json!({"schemas": schemas}))
}

#[tokio::test]
async fn what_is_published_grows_as_the_document_does() {
    let mut before = 0.0;
    for n in [25, 100, 200] {
        let text = ring(n);
        let provider = loaded(&text, "http://127.0.0.1:9").await;
        assert_eq!(provider.tools().len(), 2 * n);
        let published: usize = provider
            .tools()
            .iter()
            .map(|tool| {
                let of = |schema: &serde_json::Map<String, Value>| serde_json::to_string(schema).unwrap().len();
                of(&tool.input_schema) + tool.output_schema.as_ref().map_or(0, |schema| of(schema))
            })
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let ratio = published as f64 / text.len() as f64;
        assert!(before == 0.0 || ratio < before * 1.2, "{n}: {ratio} after {before}");
        assert!(ratio < 15.0, "{n}: {ratio}");
        before = ratio;
        // What comes first is there, and what there is no room for is not wrong.
        let put = Value::Object((*tool(&provider, "put0").input_schema).clone());
        assert_eq!(put["properties"]["field_0"]["type"], "string");
        assert_eq!(put["properties"]["next"]["$ref"], "#/$defs/Thing1");
    }
}

#[tokio::test]
async fn only_what_is_wanted_is_read_and_names_do_not_depend_on_it() {
    let paths = json!({"/a": {"get": {"operationId": "same"}}, "/b": {"get": {"operationId": "same"}}, "/c": {"get": {"operationId": "bad", "parameters": 5}}});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document(paths, json!({}))).unwrap();
    let source = OpenApiSource { base_url: Some("http://127.0.0.1:9".parse().unwrap()), ..source(file.path().to_str().unwrap()) };
    let wanted: Wanted = Arc::new(|name| name == "same_2");
    let mut reader = Reader::new(ProviderId::new("app").unwrap(), &source, ServerLimits::default(), PublishRules::default(), wanted);
    let Ok(Look::New(provider, warnings)) = reader.look().await else { panic!() };
    assert_eq!(provider.tools().iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["same_2"]);
    assert_eq!((provider.unread(), warnings), (&["same".to_owned(), "bad".to_owned()][..], Vec::new()));
}

#[tokio::test]
async fn a_document_of_several_files_is_read_from_its_folder_and_nowhere_else() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("api");
    std::fs::create_dir_all(folder.join("parts")).unwrap();
    std::fs::write(outer.path().join("secret.json"), r#"{"X": {"type": "string"}}"#).unwrap();
    std::os::unix::fs::symlink(outer.path().join("secret.json"), folder.join("link.json")).unwrap();
    std::fs::write(
        folder.join("parts/paths.yaml"),
        "get:\n  operationId: a\n  parameters:\n    - {name: x, in: query, schema: {$ref: 'schemas.json#/X'}}\n",
    )
    .unwrap();
    std::fs::write(folder.join("parts/schemas.json"), r##"{"X": {"$ref": "#/Y"}, "Y": {"type": "integer", "minimum": 3}}"##).unwrap();
    let schema = |reference: &str| json!({"get": {"parameters": [{"name": "x", "in": "query", "schema": {"$ref": reference}}]}});
    let paths = json!({
        "/a": {"$ref": "parts/paths.yaml"},
        "/up": schema("../secret.json#/X"), "/link": schema("link.json#/X"), "/far": schema("http://127.0.0.1:9/x.json"), "/gone": schema("gone.json#/X"),
        "/nowhere": schema("parts/schemas.json#/Z"),
    });
    let mut whole: Value = serde_json::from_str(&document(paths, json!({}))).unwrap();
    whole["servers"] = json!([{"url": "http://127.0.0.1:9"}]);
    let root = folder.join("openapi.json");
    std::fs::write(&root, whole.to_string()).unwrap();
    let mut reader = reader(&source(root.to_str().unwrap()), ServerLimits::default());
    let Ok(Look::New(provider, warnings)) = reader.look().await else { panic!() };
    assert_eq!(provider.tools().len(), 1, "{warnings:?}");
    let schema = Value::Object((*tool(&provider, "a").input_schema).clone());
    assert!(schema.to_string().contains(r#""minimum":3"#), "{schema}");
    let told = |path: &str, word: &str| warnings.iter().any(|warning| warning.contains(path) && warning.contains(word));
    assert!(told("/up", "not in its folder") && told("/link", "not in its folder") && told("/far", "not in its folder"), "{warnings:?}");
    assert!(told("/gone", "cannot be read") && told("/nowhere", "leads nowhere"), "{warnings:?}");
    // A part that changes is a new version.
    assert!(matches!(reader.look().await, Ok(Look::Same)));
    std::fs::write(folder.join("parts/schemas.json"), r#"{"X": {"type": "string", "maxLength": 7}}"#).unwrap();
    reader.changed().await;
    let Ok(Look::New(provider, _)) = reader.look().await else { panic!() };
    assert!(Value::Object((*tool(&provider, "a").input_schema).clone()).to_string().contains("maxLength"));
}

#[tokio::test]
async fn documents_of_the_same_origin_are_read_where_that_is_granted() {
    let other = start(Router::new().route("/x.json", get(async || Json(json!({"X": {"type": "string"}}))))).await;
    let schema = |reference: &str| json!({"parameters": [{"name": "x", "in": "query", "schema": {"$ref": reference}}]});
    let paths = json!({"/a": {"get": schema("parts/x.json#/X")}, "/b": {"get": schema(&format!("{}/x.json#/X", other.base))}});
    let text = document(paths, json!({}));
    let app = Router::new()
        .route("/api/openapi.json", get(async move || text.clone()))
        .route("/api/parts/x.json", get(async || Json(json!({"X": {"type": "integer"}}))));
    let app = start(app).await;
    let at = |granted: bool| OpenApiSource { follow_references: granted, ..source(&format!("{}/api/openapi.json", app.base)) };
    let refused = load_with(at(false)).await.err().unwrap().to_string();
    assert!(refused.contains("follow_references = true") && refused.contains("another origin"), "{refused}");
    let provider = load_with(at(true)).await.unwrap();
    assert_eq!(provider.tools().len(), 1);
    assert!(Value::Object((*tool(&provider, "get_a").input_schema).clone()).to_string().contains("integer"));
}

#[tokio::test]
async fn swagger_2_is_served_as_any_other() {
    let app = start(Router::new().fallback(any(echo))).await;
    let host = app.base.strip_prefix("http://").unwrap();
    let text = json!({
        "swagger": "2.0", "info": {"title": "t", "version": "1"}, "host": host, "basePath": "/v1", "schemes": ["http"],
        "consumes": ["application/json"], "produces": ["application/json"],
        "parameters": {"Limit": {"name": "limit", "in": "query", "type": "integer", "maximum": 10}},
        "definitions": {"Pet": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "tag": {"type": "string", "x-nullable": true}}}},
        "paths": {
            "/pets": {
                "get": {"operationId": "list", "parameters": [
                    {"$ref": "#/parameters/Limit"},
                    {"name": "ids", "in": "query", "type": "array", "items": {"type": "integer"}, "collectionFormat": "pipes"},
                    {"name": "tags", "in": "query", "type": "array", "items": {"type": "string"}, "collectionFormat": "multi"},
                ], "responses": {"200": {"description": "ok", "schema": {"type": "object", "properties": {"uri": {"type": "string"}}}}}},
                "post": {"operationId": "add", "parameters": [{"name": "pet", "in": "body", "required": true, "schema": {"$ref": "#/definitions/Pet"}}], "responses": {}},
            },
            "/pets/{id}/photo": {"post": {"operationId": "photo", "consumes": ["multipart/form-data"], "parameters": [
                {"name": "id", "in": "path", "required": true, "type": "string"},
                {"name": "file", "in": "formData", "type": "file", "required": true},
                {"name": "note", "in": "formData", "type": "string"},
            ], "responses": {}}},
            "/login": {"post": {"operationId": "login", "consumes": ["application/x-www-form-urlencoded"], "parameters": [
                {"name": "user", "in": "formData", "type": "string", "required": true}], "responses": {}}},
            "/many": {"post": {"operationId": "many", "parameters": [{"name": "pets", "in": "body", "schema": {"type": "array", "items": {"$ref": "#/definitions/Pet"}}}], "responses": {}}},
        }
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text.to_string()).unwrap();
    let provider = load_with(source(file.path().to_str().unwrap())).await.unwrap();
    assert_eq!(provider.tools().len(), 5);
    let list = structured(&call(&provider, "list", json!({"limit": 3, "ids": [1, 2], "tags": ["a", "b"]})).await);
    assert_eq!(list["uri"], "/v1/pets?limit=3&ids=1%7C2&tags=a&tags=b");
    assert!(call(&provider, "list", json!({"limit": 11})).await.is_error);
    assert!(call(&provider, "add", json!({"tag": "x"})).await.is_error, "a name is needed");
    let body =
        async |tool: &str, arguments: Value| structured(&call(&provider, tool, arguments).await)["body"].as_str().unwrap().to_owned();
    assert_eq!(
        serde_json::from_str::<Value>(&body("add", json!({"name": "Rex", "tag": null})).await).unwrap(),
        json!({"name": "Rex", "tag": null})
    );
    let photo = body("photo", json!({"id": "7", "file": "aGk=", "file_name": "rex.jpg", "note": "n"})).await;
    assert!(
        photo.contains("name=\"file\"; filename=\"rex.jpg\"") && photo.contains("\r\n\r\nhi\r\n") && photo.contains("name=\"note\""),
        "{photo}"
    );
    assert_eq!(body("login", json!({"user": "ann b"})).await, "user=ann+b");
    assert_eq!(body("many", json!({"pets": [{"name": "Rex"}]})).await, r#"[{"name":"Rex"}]"#);
}

#[tokio::test]
async fn what_is_new_in_3_2_is_served() {
    let app = start(Router::new().fallback(any(echo))).await;
    let paths = json!({
        "/search": {
            "query": {"operationId": "search", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {"q": {}}}}}}},
            "additionalOperations": {"COPY": {"operationId": "copy"}}
        },
        "/all": {"get": {"operationId": "all", "parameters": [{"name": "filter", "in": "querystring", "content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}}]}},
        "/lines": {"post": {"operationId": "lines", "requestBody": {"content": {"application/jsonl": {"itemSchema": {"type": "object"}}}}}},
        "/shared": {"post": {"operationId": "shared", "requestBody": {"content": {"application/json": {"$ref": "#/components/mediaTypes/Note"}}}}}
    });
    let components = json!({"mediaTypes": {"Note": {"schema": {"type": "object", "properties": {"note": {"type": "string"}}}}}});
    let text = document(paths, components).replace("3.1.0", "3.2.0");
    let provider = loaded(&text, &app.base).await;
    let sent = async |tool: &str, arguments: Value| {
        let seen = structured(&call(&provider, tool, arguments).await);
        ["method", "uri", "body"].map(|member| seen[member].as_str().unwrap().to_owned())
    };
    assert_eq!(sent("search", json!({"q": 1})).await, ["QUERY", "/search", r#"{"q":1}"#]);
    assert_eq!(sent("copy", json!({})).await, ["COPY", "/search", ""]);
    assert_eq!(sent("all", json!({"filter": {"a": "x y", "b": [1, 2]}})).await, ["GET", "/all?a=x+y&b=1&b=2", ""]);
    assert_eq!(sent("lines", json!({"items": [{"a": 1}, {"b": 2}]})).await, ["POST", "/lines", "{\"a\":1}\n{\"b\":2}\n"]);
    assert_eq!(sent("shared", json!({"note": "n"})).await, ["POST", "/shared", r#"{"note":"n"}"#]);
    assert_eq!(tool(&provider, "search").annotations.as_ref().unwrap()["readOnlyHint"], true);
}

#[tokio::test]
async fn a_pattern_that_not_everybody_reads_is_not_published() {
    let text = with_body(
        json!({"type": "object", "properties": {"n": {"type": "string", "pattern": "^[a-z0-9-_]+$"}, "m": {"type": "string", "pattern": "^[a-z]+$"}}}),
        json!({}),
    );
    let provider = loaded(&text, "http://127.0.0.1:9").await;
    let schema = tool(&provider, "a").input_schema["properties"].clone();
    assert_eq!((schema["n"].get("pattern"), &schema["m"]["pattern"]), (None, &json!("^[a-z]+$")));
}

#[tokio::test]
async fn what_is_published_of_schemas_is_for_the_operator_to_say() {
    let answer = json!({"200": {"description": "ok", "content": {"application/json": {"schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}}}}});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document(json!({"/a": {"get": {"operationId": "a", "responses": answer}}}), json!({}))).unwrap();
    let source = OpenApiSource { base_url: Some("http://127.0.0.1:9".parse().unwrap()), ..source(file.path().to_str().unwrap()) };
    for (output, required) in [(OutputSchema::Relaxed, Some(false)), (OutputSchema::AsIs, Some(true)), (OutputSchema::Off, None)] {
        let publish = PublishRules { output, ..PublishRules::default() };
        let mut reader = Reader::new(ProviderId::new("app").unwrap(), &source, ServerLimits::default(), publish, Arc::new(|_| true));
        let Ok(Look::New(provider, _)) = reader.look().await else { panic!() };
        let published = tool(&provider, "a").output_schema.as_ref().map(|schema| schema.contains_key("required"));
        assert_eq!(published, required, "{output:?}");
    }
}

#[tokio::test]
async fn a_pattern_that_makes_a_large_machine_costs_nothing() {
    let text = with_body(
        json!({"type": "object", "properties": {"n": {"type": "string", "maxLength": 9, "pattern": "^(?:(?:[a-z]{1,900}){1,900}){1,9}$"}}}),
        json!({}),
    );
    let provider = loaded(&text, "http://127.0.0.1:9").await;
    let schema = tool(&provider, "a").input_schema["properties"]["n"].clone();
    assert_eq!((schema.get("pattern"), &schema["maxLength"]), (None, &json!(9)));
}

#[tokio::test]
async fn a_body_that_is_made_of_parts_has_all_their_properties() {
    let schemas = json!({"schemas": {
        "Base": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}},
        "Pet": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"type": "object", "properties": {"name": {"type": "string"}}}]},
    }});
    let provider = loaded(&with_body(json!({"$ref": "#/components/schemas/Pet"}), schemas), "http://127.0.0.1:9").await;
    let schema = &tool(&provider, "a").input_schema;
    assert_eq!((schema["properties"].as_object().unwrap().len(), &schema["required"]), (2, &json!(["id"])));
}

#[tokio::test]
async fn what_is_deprecated_says_so() {
    let paths = json!({"/a": {"get": {"operationId": "a", "deprecated": true, "summary": "Old.", "parameters": [
        {"name": "x", "in": "query", "deprecated": true, "schema": {"type": "string"}}]}}});
    let provider = loaded(&document(paths, json!({})), "http://127.0.0.1:9").await;
    let tool = tool(&provider, "a");
    assert!(tool.description.as_deref().unwrap().starts_with("Deprecated."));
    assert_eq!(tool.input_schema["properties"]["x"]["deprecated"], true);
}
