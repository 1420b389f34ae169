//! `toolbay call` and a person at a terminal: what the plugin asks is asked there, and the call is kept as a case.

use tokio::process::Command;
use toolbay_tests::{Setup, Value, files, json, secs};

/// Calls a tool of the plugin on a terminal, with what is waited for and what is typed then. What was shown after the last of it.
async fn on_a_terminal(setup: &Setup, call: &[&str], dialogue: &[(&str, &str)]) -> String {
    let steps: Vec<Value> =
        dialogue.iter().flat_map(|(wait, types)| [json!({ "wait": wait }), json!({ "type": format!("{types}\n") })]).collect();
    let mut command = Command::new("python3");
    command.arg(files::root().join("tests/servers/terminal.py")).args(["200x50", &Value::from(steps).to_string()]).arg(files::binary());
    command.arg("call").args(call).args(["--plugins", "plugins"]).current_dir(setup.home()).env("HOME", setup.home());
    let output = tokio::time::timeout(secs(120), command.kill_on_drop(true).output()).await.expect("it ends").expect("it can be started");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)).replace('\r', "")
}

#[tokio::test]
async fn a_person_fills_in_a_form_and_the_call_becomes_a_case() {
    let setup = Setup::new().test_plugin("everything");
    let shown = on_a_terminal(
        &setup,
        &["test_elicitation_sep1330_enums", "--record", "cases.toml"],
        &[
            ("untitledSingle (option1 | option2 | option3; One of three; may be empty): ", "option4"),
            ("\"option4\" is none of the choices", "option2"),
            ("titledSingle (value1 = First Option | value2 = Second Option", "second option"),
            ("legacyEnum (opt1 = Option One", "opt1"),
            ("untitledMulti (option1 | option2 | option3; several, with commas between", "option1, option3"),
            ("titledMulti (value1 = First Choice", "First Choice,value3"),
        ],
    )
    .await;
    let content = shown.split_once("action=accept, content=").unwrap_or_else(|| panic!("{shown}")).1.lines().next().unwrap_or_default();
    let content: Value = serde_json::from_str(content).expect("the content is JSON");
    assert_eq!(
        content,
        json!({
            "untitledSingle": "option2", "titledSingle": "value2", "legacyEnum": "opt1",
            "untitledMulti": ["option1", "option3"], "titledMulti": ["value1", "value3"],
        })
    );
    let recorded = std::fs::read_to_string(setup.home().join("cases.toml")).expect("it was recorded");
    assert!(
        recorded.starts_with("[[case]]\ntool = \"test_elicitation_sep1330_enums\"\nanswers = [{") && recorded.contains("value2"),
        "{recorded}"
    );
}

#[tokio::test]
async fn a_person_says_no_and_agrees_and_leaves() {
    let setup = Setup::new().test_plugin("everything");
    for (typed, action) in [("!decline", "decline"), ("!cancel", "cancel"), ("\u{4}", "cancel")] {
        let shown = on_a_terminal(&setup, &["test_elicitation", r#"{"message":"Who?"}"#], &[("(string): ", typed)]).await;
        assert!(shown.contains(&format!("action={action}")), "{typed:?}: {shown}");
    }
    let shown = on_a_terminal(
        &setup,
        &["test_elicitation_sep1034_defaults"],
        &[("default", ""), ("default", ""), ("default", ""), ("default", ""), ("default", "")],
    )
    .await;
    assert!(shown.contains("action=accept"), "{shown}");
}

/// A call that was recorded passes as a case of the project, and not any more when the answer is another.
#[tokio::test]
async fn a_recorded_call_is_a_case_of_the_project() {
    let setup = Setup::new();
    setup.run(["new", "asks", "--lang", "c", "--kind", "tools"]).await.expect_code(0);
    let project = setup.home().join("asks");
    std::fs::create_dir_all(project.join("dist")).expect("a folder");
    std::fs::copy(files::test_plugin("everything"), project.join("dist/asks.wasm")).expect("a component");
    let cases = project.join("tests/cases.toml");
    std::fs::remove_file(&cases).expect("it is there");
    for arguments in [
        vec!["call", "greet", r#"{"name":"Ann \"A\" Ü"}"#],
        vec!["call", "test_input_required_result_elicitation", "--answer", r#"{"name":"Bo"}"#],
        vec!["call", "test_error_handling"],
    ] {
        let words = arguments.into_iter().chain(["--plugins", "asks/dist", "--record", "asks/tests/cases.toml"]);
        setup.run(words.collect::<Vec<_>>()).await;
    }
    let tested = setup.run(["test", "asks", "--no-build"]).await;
    assert!(tested.expect_code(0).stdout.contains("3 cases, 0 failed"), "{}", tested.all());
    let text = std::fs::read_to_string(&cases).expect("they are there");
    std::fs::write(&cases, text.replace("Hello, Bo!", "Hello, Cy!")).expect("it can be written");
    let tested = setup.run(["test", "asks", "--no-build"]).await;
    assert!(tested.expect_code(1).stdout.contains("3 cases, 1 failed"), "{}", tested.all());
}
