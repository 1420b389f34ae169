//! `[pipeline.NAME]`: what is understood, and what is refused by itself.

use super::*;

const GOOD: &str = r#"
[pipeline.describe]
description = "Says what is on a picture."
read_only = true
timeout = "30s"
output = { label = { from = "steps.label.structured.label" }, french = { from = "/steps/french/text" }, all = { from = "steps.words[*].text" } }

[pipeline.describe.parameters]
required = ["url"]
properties.url = { type = "string" }
properties.words = { type = "array", items = { type = "object", properties.word = { type = "string" } } }

[[pipeline.describe.steps]]
name = "picture"
tool = "fetch"
arguments = { url = { from = "/args/url" }, limit = 5, from = { from = "/args/url", default = "x" }, literal = { value = { from = "x" } } }

[[pipeline.describe.steps]]
name = "label"
tool = "classify"
arguments = { image = { from = "steps.picture.content[0].data" } }

[[pipeline.describe.steps]]
name = "words"
tool = "count"
each = "args.words"
arguments = { word = { from = "item.word" }, at = { from = "index" } }
after = []

[[pipeline.describe.steps]]
name = "french"
tool = "translate"
when = "steps.label.structured.label"
after = ["label", "words"]
arguments = { text = { from = "steps.label.structured.label" } }
"#;

#[test]
fn a_pipeline_is_read_whole() {
    let config = good(GOOD);
    let pipeline = &config.pipeline["describe"];
    assert_eq!(pipeline.order(), [vec![], vec![0], vec![], vec![1, 2]]);
    assert_eq!((pipeline.timeout, pipeline.annotations()), (Duration::from_secs(30), Some(serde_json::json!({ "readOnlyHint": true }))));
    let uses: Vec<_> = pipeline.uses().iter().map(|uses| (uses.text, uses.structured, uses.content)).collect();
    assert_eq!(uses, [(false, false, true), (false, true, false), (true, false, false), (true, false, false)]);
    // Where it stands makes no difference.
    assert!(config.differences(&good(&format!("\n\n{GOOD}"))).is_empty());
    let other = good(&GOOD.replace("limit = 5", "limit = 6"));
    assert_eq!(config.differences(&other).iter().map(ToString::to_string).collect::<Vec<_>>(), ["[pipeline.describe]"]);
    // Steps without names are called by their places.
    let short = good("[pipeline.p]\nsteps = [{ tool = \"a\" }, { tool = \"b\", arguments = { x = { from = \"/steps/1/text\" } } }]");
    assert_eq!(short.pipeline["p"].steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn what_is_wrong_with_a_pipeline_is_told_with_its_place() {
    for (before, after, message) in [
        (
            "\"/args/url\" }, limit",
            "\"/args/ulr\" }, limit",
            "16:30: step \"picture\": \"/args/ulr\" leads to nothing: args has no \"ulr\"; it has url, words",
        ),
        ("/steps/french/text", "/steps/french/txt", "no \"txt\"; did you mean \"text\"?"),
        (
            "steps.label.structured.label\" }, french",
            "steps.labels.text\" }, french",
            "`output`: \"steps.labels.text\" leads to nothing: there is no step \"labels\"; did you mean \"label\"?",
        ),
        (
            "steps.picture.content",
            "steps.french.content",
            "step \"label\": \"steps.french.content[0].data\" leads to nothing: step \"french\" has not ended by then",
        ),
        ("steps.words[*].text", "steps.words.text", "its answers are a list: write steps.words[*].text"),
        ("args.words", "argz.words", "it begins with args or steps, not with \"argz\"; did you mean \"args\"?"),
        ("item.word", "item.wort", "item has no \"wort\"; did you mean \"word\"?"),
        ("each = \"args.words\"", "each = \"args.url\"", "`each` needs a list, and args.url is string"),
        ("when = \"steps.label", "when = \"item.label", "\"item\" is there only in a step with `each`"),
        (
            "after = [\"label\", \"words\"]",
            "after = [\"label\", \"word\"]",
            "`after` names \"word\", and there is no such step; did you mean \"words\"?",
        ),
        ("after = []", "after = [\"french\"]", "`after` names \"french\", which does not stand above it"),
        ("after = [\"label\", \"words\"]", "after = [\"words\"]", "step \"label\" has not ended by then"),
        ("name = \"words\"", "name = \"label\"", "two steps cannot both be called \"label\""),
        ("name = \"words\"", "name = \"two words\"", "the name of a step is"),
        ("tool = \"count\"", "", "a step has no \"tool\""),
        ("tool = \"count\"", "tool = \"count\"\nmost = 0", "0 is not allowed; it must be 1 to 10000"),
        (
            "tool = \"fetch\"",
            "tool = \"fetch\"\nmost = 5",
            "\"most\" in [pipeline.describe.steps]: is about the items of `each`, which is not set",
        ),
        ("limit = 5", "limit = inf", "JSON has no infinity"),
        ("properties.url = { type = \"string\" }", "properties.url = { type = \"strng\" }", "is not a JSON Schema"),
        ("required = [\"url\"]", "type = \"array\"", "is the JSON Schema of an object"),
        ("steps.label.structured.label\"\nafter", "steps.label.\"\nafter", "is not a JMESPath expression"),
        ("read_only = true", "read_onyl = true", "unknown key \"read_onyl\" in [pipeline.describe]; did you mean \"read_only\"?"),
    ] {
        assert!(GOOD.contains(before), "{before}");
        let shown = wrong(&GOOD.replacen(before, after, 1));
        assert!(shown.contains(message), "{after}\n{shown}");
    }
    for (text, message) in [
        ("[pipeline.p]\ntitle = \"x\"", "\"p\" in [pipeline]: has no steps; write [[pipeline.p.steps]]"),
        ("[pipeline.p]\nsteps = []", "has 0 steps; it must have 1 to 100"),
        ("[pipeline.p]\nsteps = [\"t\"]", "must be a table"),
        ("[pipeline.\"p q\"]\nsteps = [{ tool = \"t\" }]", "pipeline"),
        ("[pipeline.p]\nsteps = [{ tool = \"t\" }]\n[server.p]\ncommand = [\"x\"]", "there is a server of this name"),
        ("[pipeline.p]\nsteps = [{ tool = \"t\" }]\n[plugin.p]\nmemory = \"1MiB\"", "there is a [plugin.p]"),
        ("[pipeline.p]\nsteps = [{ tool = \"t\" }]\n[endpoint.p]\n", "there is a [pipeline.p], whose own endpoint is /p/mcp too"),
        ("[pipeline.p]\nsteps = [{ tool = \"t\" }]\noutput_schema = { type = \"object\" }", "is the schema of `output`, which is not set"),
        (
            "[pipeline.p]\nsteps = [{ tool = \"t\" }]\nparameters = { url = { type = \"string\" } }",
            "put what describes \"url\" below [pipeline.p.parameters.properties]",
        ),
        (
            "[pipeline.p]\nsteps = [{ tool = \"t\", arguments = { from = \"EUR\" } }]",
            "a literal table with `from` in it is written { value = { … } }",
        ),
        ("[pipeline.p]\nsteps = [{ tool = \"t\", arguments = 5 }]", "must be a table"),
    ] {
        let shown = wrong(text);
        assert!(shown.contains(message), "{text}\n{shown}");
    }
}
