//! Remote servers on real sockets: a second Toolbay in both eras, and servers that do as servers do in the world.

mod odd;
mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use support::{Down, Person, Up, soon, source};

use crate::{
    config::ServerLimits,
    provider::{AskError, CallContext, CallError, Completion, Content, ProviderKind, ProviderState, Reference},
    upstream::Era,
};

const ERAS: [Era; 2] = [Era::Modern, Era::Legacy];

/// A second Toolbay, and this one in front of it.
async fn both(era: Era) -> (Up, Down) {
    let up = Up::start(era).await;
    let mut down = Down::start(&up.url());
    down.provider().await;
    (up, down)
}

#[tokio::test]
async fn everything_crosses_in_both_eras() {
    for era in ERAS {
        let (up, mut down) = both(era).await;
        let provider = down.provider().await;
        let names: Vec<&str> = provider.tools().iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["echo", "fail", "protocol", "big", "talk", "ask", "hang", "region"], "{era:?}");
        let echo = &provider.tools()[0];
        assert_eq!((echo.title.as_deref(), &echo.annotations), (Some("The echo"), &Some(json!({"readOnlyHint": true}))));
        assert_eq!(echo.meta.as_ref().unwrap()["vendor/x"], json!([1]));
        assert_eq!((provider.offers().resources.len(), provider.offers().templates.len(), provider.offers().prompts.len()), (1, 1, 1));

        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = CallContext {
            principal: Some(crate::provider::Principal::new("ann")),
            caller_trace: Some(trace.into()),
            meta: Some(r#"{"vendor/y":{"z":1},"io.modelcontextprotocol/other":1}"#.into()),
            ..CallContext::default()
        };
        let output = down.call("echo", json!({"é": [1, null]}), context.into()).await.unwrap();
        let seen: Value = serde_json::from_str(output.structured.unwrap().as_str()).unwrap();
        assert_eq!(seen["arguments"], json!({"é": [1, null]}), "{era:?}");
        assert_eq!((&seen["meta"]["vendor/y"], &seen["meta"]["io.modelcontextprotocol/other"]), (&json!({"z": 1}), &Value::Null), "{seen}");
        assert_eq!(seen["trace"], trace, "{era:?}");
        assert_eq!(output.meta.unwrap().as_str(), r#"{"k":1}"#);

        let failed = down.call("fail", json!({}), Box::default()).await.unwrap();
        assert!(failed.is_error, "{failed:?}");
        let error = down.call("protocol", json!({}), Box::default()).await.unwrap_err();
        assert_eq!(error, CallError::Protocol { code: -32042, message: "as given".into(), data: Some(json!({"a": 1})) });
        let big = down.call("big", json!({}), Box::default()).await.unwrap();
        let [Content::Block(big)] = &big.content[..] else { panic!("one block") };
        assert!(big.as_str().len() > 3_000_000, "{era:?}");
        down.call("region", json!({"region": "Köln"}), Box::default()).await.unwrap();

        let contents = provider.read_resource("up://a", Box::default()).await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(contents[0].as_str()).unwrap()["text"], "é");
        let prompt = provider.get_prompt("greet", vec![("who".into(), "me".into())], Box::default()).await.unwrap();
        assert!(prompt.messages.as_str().contains("greet"), "{prompt:?}");
        let completion =
            Completion { reference: Reference::Prompt("greet".into()), argument: "who".into(), value: "x".into(), others: vec![] };
        assert_eq!(provider.complete(completion, Box::default()).await.unwrap().values, ["x"]);

        let seen = up.seen.lock().unwrap();
        for headers in &*seen {
            assert_eq!((&headers["authorization"], &headers["x-key"]), (&"Bearer the-token".parse().unwrap(), &"k".parse().unwrap()));
        }
        assert_eq!(seen.iter().any(|headers| headers.contains_key("mcp-session-id")), era == Era::Legacy);
        assert_eq!(seen.iter().any(|headers| headers.contains_key("mcp-param-region")), era == Era::Modern);
        let status = down.server.status();
        assert_eq!((status.kind, status.state, status.tools.len()), (ProviderKind::Remote, ProviderState::Serving, 8));
        assert!(status.replicas.is_none() && status.error.is_none(), "{status:?}");
    }
}

#[tokio::test]
async fn who_calls_hears_of_progress_and_logs_and_is_asked() {
    for era in ERAS {
        let (_up, mut down) = both(era).await;
        let person = Arc::new(Person::default());
        down.call("talk", json!({}), person.context()).await.unwrap();
        let want = [r#"progress 1 Some(2.0) Some("half")"#, r#"log Warning Some("native") {"w":1}"#];
        assert_eq!(*person.heard.lock().unwrap(), want, "{era:?}");

        let person = Person::answering(Ok(json!({"action": "accept", "content": {"name": "Ann"}})));
        let output = down.call("ask", json!({}), person.context()).await.unwrap();
        assert!(format!("{:?}", output.content).contains("Ann"), "{era:?} {output:?}");
        assert!(person.heard.lock().unwrap()[0].starts_with("asked Elicitation"), "{era:?}");

        // The caller gets the questions and comes back: nothing waits at the server meanwhile.
        let person = Person::answering(Err(AskError::Suspended));
        assert_eq!(down.call("ask", json!({}), person.context()).await, Err(CallError::InputRequired), "{era:?}");
        // The call beside it is not disturbed.
        assert_eq!(down.echo().await["arguments"]["n"], 1);
    }
}

#[tokio::test]
async fn the_time_that_a_person_thinks_is_not_the_servers() {
    for era in ERAS {
        let up = Up::start(era).await;
        let limits = ServerLimits { ping: Duration::ZERO, call: Duration::from_secs(2), ..ServerLimits::default() };
        let mut down = Down::with(source(&up.url()), limits);
        let answers = Mutex::new(vec![Ok(json!({"action": "accept", "content": {"name": "Ann"}}))]);
        let person = Arc::new(Person { answers, slow: Duration::from_millis(2_500), ..Person::default() });
        let output = down.call("ask", json!({}), person.context()).await.unwrap();
        assert!(format!("{:?}", output.content).contains("Ann"), "{era:?} {output:?}");
        let error = down.call("hang", json!({}), person.context()).await.unwrap_err().to_string();
        assert!(error.contains("within 2 s"), "{era:?}: {error}");
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_at_the_server() {
    for era in ERAS {
        let (mut up, mut down) = both(era).await;
        let provider = down.provider().await;
        let call = tokio::spawn(async move {
            let call = crate::provider::Call { tool: "hang", arguments: "{}", context: Box::default() };
            provider.call(call).await
        });
        assert_eq!(soon("the call begins", up.events.recv()).await, Some("started"), "{era:?}");
        call.abort();
        assert_eq!(soon("the call ends", up.events.recv()).await, Some("dropped"), "{era:?}");
    }
}

#[tokio::test]
async fn a_changed_list_is_published() {
    for era in ERAS {
        let (up, mut down) = both(era).await;
        // The stream may not be there yet: whoever changes something before that is heard by the next look.
        for n in 0.. {
            up.offer(&[&format!("more_{n}")]);
            let next = tokio::time::timeout(Duration::from_secs(1), down.next());
            if let Ok(provider) = next.await {
                assert!(provider.tools().iter().any(|tool| tool.name.as_str().starts_with("more_")), "{era:?}");
                break;
            }
            assert!(n < 30, "{era:?}: no change was heard of");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be_and_comes_back_by_itself() {
    for era in ERAS {
        let (mut up, mut down) = both(era).await;
        down.echo().await;
        let address = up.stop().await;
        // A connection that is kept may not have been seen to end yet: then the call may have run, and is not made again.
        let refused = async {
            loop {
                let error = down.call("echo", json!({}), Box::default()).await.unwrap_err().to_string();
                assert!(error.contains(&address.to_string()), "{era:?}: {error}");
                if error.contains("refused") {
                    return;
                }
                assert!(error.contains("ended before the answer"), "{era:?}: {error}");
            }
        };
        soon("it is refused", refused).await;
        let broken = async {
            while down.server.status().state != ProviderState::Broken {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("it is seen", broken).await;
        let status = down.server.status();
        assert!(status.error.as_ref().is_some_and(|error| error.starts_with("cannot connect")), "{status:?}");
        assert_eq!(status.tools.len(), 8, "the tools stay listed");
        let error = down.call("echo", json!({}), Box::default()).await.unwrap_err().to_string();
        assert!(error.starts_with("server up cannot be reached: cannot connect") && error.contains("tried again"), "{era:?}: {error}");

        up.again(Some(address)).await;
        let back = async {
            while down.call("echo", json!({}), Box::default()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("it comes back", back).await;
    }
}

#[tokio::test]
async fn a_server_that_was_restarted_between_two_calls_is_greeted_again() {
    for era in ERAS {
        let (mut up, mut down) = both(era).await;
        down.echo().await;
        let address = up.stop().await;
        up.again(Some(address)).await;
        up.offer(&["newer"]);
        // Legacy: the session is not known there any more. Nothing of that is seen by who calls.
        assert_eq!(down.echo_after_a_restart().await["arguments"]["n"], 1, "{era:?}");
        let provider = down.next().await;
        assert!(provider.tools().iter().any(|tool| tool.name.as_str() == "newer"), "{era:?}: what it offers now is published");
    }
}

#[tokio::test]
async fn a_session_is_ended_with_its_server() {
    let (up, mut down) = both(Era::Legacy).await;
    down.echo().await;
    soon("its end", down.server.stop()).await;
    let error = down.call("echo", json!({}), Box::default()).await.unwrap_err().to_string();
    assert!(error.contains("stopped"), "{error}");
    // The last word was DELETE: nothing else has no body and a session and wants both kinds of answers.
    let seen = up.seen.lock().unwrap();
    let last = seen.last().unwrap();
    assert!(last.contains_key("mcp-session-id") && !last.contains_key("content-type"), "{last:?}");
}

#[tokio::test]
async fn updates_of_a_resource_are_asked_for_while_somebody_wants_them_and_again_after_a_restart() {
    for era in ERAS {
        let (mut up, mut down) = both(era).await;
        let provider = down.provider().await;
        let hears = async |up: &Up, down: &mut Down, uri: &str| {
            // The stream may not be there yet.
            for n in 0.. {
                up.update(uri);
                if tokio::time::timeout(Duration::from_secs(1), down.updated()).await.is_ok_and(|updated| updated == uri) {
                    return;
                }
                assert!(n < 30, "{era:?}: no update was heard of");
            }
        };
        let (first, second) = (provider.subscribe("up://a"), provider.subscribe("up://a"));
        assert_eq!(soon("a subscription", up.events.recv()).await, Some("subscribed"), "{era:?}");
        hears(&up, &mut down, "up://a").await;
        drop(first);
        let other = provider.subscribe("up://b");
        up.wait("subscribed").await;
        hears(&up, &mut down, "up://b").await;
        hears(&up, &mut down, "up://a").await;
        drop(other);
        up.wait("unsubscribed").await;
        hears(&up, &mut down, "up://a").await;

        let address = up.stop().await;
        up.again(Some(address)).await;
        up.wait("subscribed").await;
        hears(&up, &mut down, "up://a").await;
        drop(second);
        up.wait("unsubscribed").await;
    }
}
