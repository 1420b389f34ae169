//! What one caller sees of the catalog, where it goes out compressed, from what is kept of earlier answers, by tags, and as notices: never what is another's.

use std::time::Duration;

use toolbay_tests::{
    Client, Server, Setup, Value,
    client::{http, unpacked},
    eventually, files, json, secs,
    sse::Messages,
};

const ADMIN: &str = "admin-0123456789abcdef";
const LEFT: &str = "left-0123456789abcdef";
const RIGHT: &str = "right-0123456789abcdef";

const TOKENS: &str = r#"
[auth.tokens]
admin = { from_env = "ADMIN", roles = ["admin"] }
left = { from_env = "LEFT", roles = ["left"] }
right = { from_env = "RIGHT", roles = ["right"] }
[role.admin]
servers = ["*"]
"#;

/// So many tools of each that their lists are long.
const EACH: usize = 40;

fn many(side: &str) -> String {
    let about = format!("A tool on the {side}, with a description that makes the list of all of them a long one. ").repeat(4);
    let one = |number| {
        format!(
            "[pipeline.{side}_only_{number:02}]\ndescription = \"{about}\"\n[[pipeline.{side}_only_{number:02}.steps]]\ntool = \"add\"\n"
        )
    };
    (0..EACH).map(one).collect()
}

fn roles(left: &str, right: &str) -> String {
    format!("[role.left]\ntools = [\"{left}_only_*\", \"add\"]\n[role.right]\ntools = [\"{right}_only_*\", \"add\"]\n")
}

/// An answer as it came, read by what it says of itself.
struct Answer {
    status: u16,
    tag: Option<String>,
    encoding: Option<String>,
    text: String,
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let answer = request.send().await.expect("an answer");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
        let (status, tag, encoding) = (answer.status().as_u16(), header("etag"), header("content-encoding"));
        let text = unpacked(answer).await;
        Self { status, tag, encoding, text }
    }

    /// Whether tools of the left and of the right are in it.
    fn sides(&self) -> (bool, bool) {
        (self.text.contains("left_only_"), self.text.contains("right_only_"))
    }
}

/// Everything that lists tools, as requests that may be answered compressed.
const LISTS: [&str; 4] = ["mcp", "few", "/tools", "/openapi.json"];

fn ask(server: &Server, list: &str, token: &str, takes: &str) -> reqwest::RequestBuilder {
    let request = match list {
        "mcp" => Client::modern(server).token(token).request("tools/list", json!({})).1,
        "few" => Client::at(&server.url_of("few")).token(token).request("tools/list", json!({})).1,
        path => http().get(format!("http://{}{path}", server.address())).bearer_auth(token),
    };
    request.header("accept-encoding", takes)
}

#[tokio::test]
async fn a_list_that_is_compressed_or_known_is_of_who_asks() {
    let rest = format!("[endpoint.few]\nservers = [\"*\"]\n{}{}", many("left"), many("right"));
    let config = |left: &str, right: &str| format!("{TOKENS}{}{rest}", roles(left, right));
    let setup = Setup::new().plugin("calculator").config(&config("left", "right"));
    let server = setup.env("ADMIN", ADMIN).env("LEFT", LEFT).env("RIGHT", RIGHT).start().await;
    let sees = [(ADMIN, (true, true)), (LEFT, (true, false)), (RIGHT, (false, true))];
    for list in LISTS {
        // All at once, again and again, until each list was asked for in each form.
        let asked = sees.map(|(token, sides)| {
            let server = &server;
            async move {
                eventually("it goes out compressed", secs(60), async || {
                    let answer = Answer::of(ask(server, list, token, "gzip, deflate")).await;
                    assert_eq!((answer.status, answer.sides()), (200, sides), "{list} for {token}: {}", answer.text);
                    // What is never compressed has no more to show.
                    (answer.encoding.is_some() || list == "/openapi.json").then_some(())
                })
                .await;
                for takes in ["gzip", "br, zstd", "gzip;q=0", "identity", "gzip"] {
                    let answer = Answer::of(ask(server, list, token, takes)).await;
                    assert_eq!((answer.status, answer.sides()), (200, sides), "{list} for {token} by {takes}");
                    assert!(answer.encoding.is_none() || takes == "gzip", "{takes}: {:?}", answer.encoding);
                }
            }
        });
        futures::future::join_all(asked).await;
    }
    // By tags: another one's is none of one's own, in either form.
    for path in ["/tools", "/openapi.json"] {
        for takes in ["gzip", "identity"] {
            let mut tags = Vec::new();
            for (token, _) in sees {
                let tag = Answer::of(ask(&server, path, token, takes)).await.tag.expect("a tag");
                assert!(!tags.contains(&tag), "{path}: {tags:?}");
                tags.push(tag);
            }
            for (token, sides) in sees {
                for (of, tag) in sees.iter().zip(&tags) {
                    let bare = tag.trim_matches('"').trim_end_matches("-gzip");
                    for known in
                        [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), format!("\"{bare}\""), format!("\"{bare}-gzip\"")]
                    {
                        let answer = Answer::of(ask(&server, path, token, takes).header("if-none-match", &known)).await;
                        let is_own = of.0 == token;
                        assert!(is_own || answer.status == 200, "{path}: {token} with {known}");
                        assert_eq!(
                            answer.sides(),
                            if answer.status == 304 { (false, false) } else { sides },
                            "{path}: {token} with {known}"
                        );
                    }
                }
            }
        }
    }
    // Roles change places under load: an answer is of before or of after, and never of both.
    let file = server.home().join("toolbay.toml");
    std::fs::write(&file, config("right", "left")).expect("it can be written");
    let asked =
        LISTS.into_iter().flat_map(|list| [(list, LEFT, (false, true)), (list, RIGHT, (true, false))]).map(|(list, token, after)| {
            let server = &server;
            async move {
                eventually("the roles apply", secs(60), async || {
                    let answer = Answer::of(ask(server, list, token, "gzip")).await;
                    assert!(answer.sides().0 != answer.sides().1, "{list} for {token}: {}", answer.text);
                    (answer.sides() == after && (answer.encoding.is_some() || list == "/openapi.json")).then_some(())
                })
                .await;
            }
        });
    futures::future::join_all(asked).await;
}

/// What came on a stream for a while.
async fn heard(stream: &mut Messages, patience: Duration) -> Vec<String> {
    let mut heard = Vec::new();
    while let Ok(Some(message)) = tokio::time::timeout(patience, stream.next()).await {
        heard.push(message.to_string());
    }
    heard
}

#[tokio::test]
async fn nobody_is_told_that_something_changed_which_it_may_not_see() {
    let roles = "[role.left]\nservers = [\"text-tools\", \"notes\"]\n\
                 [role.right]\nservers = [\"calculator\", \"weather\"]\n";
    let setup = Setup::new().plugin("calculator").test_plugin("notes").config(TOKENS).config(roles);
    let folder = setup.home().join("notes");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("first"), "old").expect("a note");
    let setup = setup.config(&format!("[plugin.notes]\ndirs = [{{ host = {folder:?}, guest = \"/notes\", write = true }}]\n"));
    let server = setup.env("ADMIN", ADMIN).env("LEFT", LEFT).env("RIGHT", RIGHT).start().await;
    let lists = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
    let listen = async |client: &Client, mut wanted: Value, uri: &str| {
        if !uri.is_empty() {
            wanted["resourceSubscriptions"] = json!([uri]);
        }
        client.stream("subscriptions/listen", json!({ "notifications": wanted })).await
    };
    let (left, right) = (Client::modern(&server).token(LEFT), Client::modern(&server).token(RIGHT));
    let (old_left, old_right) = (Client::legacy_as(&server.url, LEFT).await, Client::legacy_as(&server.url, RIGHT).await);
    let mut told = [listen(&left, lists.clone(), "note:///first").await, old_left.listen_legacy().await];
    let mut untold = [listen(&right, lists.clone(), "").await, old_right.listen_legacy().await];
    for stream in [&mut told[0], &mut untold[0]] {
        stream.wait_method("notifications/subscriptions/acknowledged").await;
    }
    assert_eq!(*old_left.rpc("resources/subscribe", json!({ "uri": "note:///first" })).await.result(), json!({}));
    // A resource that it may not see is none that it could subscribe to.
    let answered = async |uri: &str| {
        let mut stream = listen(&right, json!({}), uri).await;
        let modern = stream.next().await.expect("it is acknowledged")["params"]["notifications"].clone();
        let legacy = old_right.rpc("resources/subscribe", json!({ "uri": uri })).await;
        (modern, legacy.status, legacy.error().to_string().replace(uri, "NAME"))
    };
    assert_eq!(answered("note:///first").await, answered("note:///absent").await);
    // What the admin writes is a new resource of the left, and changes one that the right has asked for and may not see.
    let admin = Client::modern(&server).token(ADMIN);
    admin.call("write_note", json!({ "name": "first", "text": "new" })).await.ok();
    for stream in &mut told {
        stream.wait_method("notifications/resources/updated").await;
    }
    std::fs::copy(files::plugin("text-tools"), server.plugin_file("text-tools")).expect("it can be copied");
    for stream in &mut told {
        stream.wait_method("notifications/tools/list_changed").await;
    }
    std::fs::remove_file(server.plugin_file("text-tools")).expect("it can be removed");
    for stream in &mut told {
        stream.wait_method("notifications/tools/list_changed").await;
    }
    for stream in &mut untold {
        assert_eq!(heard(stream, Duration::from_secs(2)).await, Vec::<String>::new());
    }
    // They do hear of what is theirs.
    std::fs::copy(files::plugin("weather"), server.plugin_file("weather")).expect("it can be copied");
    for stream in &mut untold {
        stream.wait_method("notifications/tools/list_changed").await;
    }
}
