//! The cases of `toolbay test`: which tool is called with what, and what it should answer.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::AuthorError;
use crate::whole_file;

/// Folders of a project that hold cases.
const FOLDER: &str = "tests";

/// One call.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The tool, as clients call it.
    pub tool: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub arguments: Map<String, Value>,
    /// What people answer to its questions, in order: what is filled into a form, or "decline", or "cancel".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Value>,
    /// All of its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What its text has in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Its structured content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured: Option<Value>,
    /// What its error has in it. Without this it must not fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A file of cases.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

/// Every case of a project, by file: `tests/*.toml` and `tests/*.json`, in the order of their names.
///
/// # Errors
///
/// There are none, or a file cannot be read: with its name and line.
pub fn of_project(folder: &Path) -> Result<Vec<(PathBuf, Vec<Case>)>, AuthorError> {
    let tests = folder.join(FOLDER);
    let entries = fs::read_dir(&tests).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml" || end == "json")).collect();
    files.sort();
    let cases: Result<Vec<_>, _> = files.into_iter().map(|path| Ok((path.clone(), read(&path)?))).collect();
    let cases = cases?;
    if cases.iter().all(|(_, cases)| cases.is_empty()) {
        return Err(AuthorError::new(format!(
            "there are no cases in {}: write one into cases.toml there, such as\n\n[[case]]\ntool = \"add\"\narguments = {{ a = 1, b = 2 }}\ntext = \"3\"",
            tests.display()
        )));
    }
    Ok(cases)
}

fn read(path: &Path) -> Result<Vec<Case>, AuthorError> {
    let text = fs::read_to_string(path).map_err(|error| AuthorError::file("read", path, &error))?;
    let is_json = path.extension().is_some_and(|end| end == "json");
    let read = if is_json {
        serde_json::from_str::<File>(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str::<File>(&text).map_err(|error| error.to_string())
    };
    Ok(read.map_err(|error| AuthorError::new(format!("{}: {error}", path.display())))?.cases)
}

/// Adds a case to a file of cases, `*.toml` or `*.json`, which need not be there yet.
///
/// # Errors
///
/// The file is none of cases, or cannot be written; TOML has no null.
pub fn record(path: &Path, case: Case) -> Result<(), AuthorError> {
    let fails = |why: &dyn std::fmt::Display| AuthorError::new(format!("the call cannot be recorded in {}: {why}", path.display()));
    let known = if path.exists() { read(path)? } else { Vec::new() };
    let text = match path.extension().and_then(|end| end.to_str()) {
        Some("json") => {
            let cases = known.into_iter().chain([case]).collect();
            format!("{}\n", serde_json::to_string_pretty(&File { cases }).map_err(|error| fails(&error))?)
        }
        Some("toml") => {
            // What is there stays as it was written, with its comments.
            let before = fs::read_to_string(path).unwrap_or_default();
            format!("{before}{}{}", if before.is_empty() { "" } else { "\n" }, toml_of(&case).map_err(|why| fails(&why))?)
        }
        _ => return Err(fails(&"its name has to end with .toml or .json, as `toolbay test` reads them")),
    };
    whole_file::write(path, text.as_bytes()).map_err(|error| AuthorError::file("write", path, &error))
}

/// A case as people write it: each key in a line.
fn toml_of(case: &Case) -> Result<String, String> {
    let mut text = String::from("[[case]]\n");
    let members = serde_json::to_value(case).map_err(|error| error.to_string())?;
    for (key, value) in members.as_object().into_iter().flatten() {
        let value = toml::Value::try_from(value).map_err(|error| format!("{key}: {error}; a .json file takes it"))?;
        text.push_str(&format!("{key} = {value}\n"));
    }
    Ok(text)
}

impl Case {
    /// A call as a case, with what came of it. `result`: MCP's.
    #[must_use]
    pub fn of_call(tool: &str, arguments: Map<String, Value>, answers: Vec<Value>, result: &Value) -> Self {
        let blocks = result.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<&str> = blocks.iter().filter_map(|block| block.get("text").and_then(Value::as_str)).collect();
        let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
        let structured = result.get("structuredContent").filter(|_| !is_error).cloned();
        // Structured content stands in the text too.
        let text = (!texts.is_empty()).then(|| texts.join("\n")).filter(|_| structured.is_none());
        let (text, error) = if is_error { (None, text) } else { (text, None) };
        Self { tool: tool.to_owned(), arguments, answers, text, structured, error, ..Self::default() }
    }

    /// What it is called in a report.
    #[must_use]
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let arguments = if self.arguments.is_empty() { String::new() } else { format!(" {}", Value::Object(self.arguments.clone())) };
            format!("{}{arguments}", self.tool)
        })
    }

    /// What is wrong with an answer, line by line. `result`: MCP's.
    #[must_use]
    pub fn wrong(&self, result: &Value) -> Vec<String> {
        let blocks = result.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let text = blocks.iter().filter_map(|block| block.get("text").and_then(Value::as_str)).collect::<Vec<_>>().join("\n");
        let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
        let mut wrong = Vec::new();
        match &self.error {
            Some(error) if !is_error => wrong.push(format!("it should fail with {error:?}, and answered {text:?}")),
            Some(error) if !text.contains(error.as_str()) => differ(&mut wrong, "error", error, &text),
            None if is_error => wrong.push(format!("it failed: {text}")),
            _ => {}
        }
        if let Some(wanted) = &self.text
            && *wanted != text
            && !is_error
        {
            differ(&mut wrong, "text", wanted, &text);
        }
        if let Some(part) = &self.contains
            && !text.contains(part.as_str())
            && !is_error
        {
            wrong.push(format!("its text should contain {part:?}, and is {text:?}"));
        }
        let structured = result.get("structuredContent").unwrap_or(&Value::Null);
        if let Some(wanted) = &self.structured
            && !same(wanted, structured)
            && !is_error
        {
            let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
            differ(&mut wrong, "structured content", &pretty(wanted), &pretty(structured));
        }
        wrong
    }
}

/// Whether two values are the same, whatever the order of members and however a number is written.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other)),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        (one, other) => one == other,
    }
}

/// The lines that differ: `-` is what should be, `+` is what is.
fn differ(wrong: &mut Vec<String>, what: &str, wanted: &str, got: &str) {
    wrong.push(format!("its {what} differs (- wanted, + answered):"));
    let (old, new): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), got.lines().collect());
    let before = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let after = old.iter().skip(before).rev().zip(new.iter().skip(before).rev()).take_while(|(old, new)| old == new).count();
    let shown = |lines: &[&str], mark: &str| {
        let end = lines.len() - after;
        lines.get(before..end).unwrap_or_default().iter().map(|line| format!("{mark} {line}")).collect::<Vec<_>>()
    };
    wrong.extend(old.get(..before).unwrap_or_default().iter().map(|line| format!("  {line}")));
    wrong.extend(shown(&old, "-"));
    wrong.extend(shown(&new, "+"));
    wrong.extend(old.get(old.len() - after..).unwrap_or_default().iter().map(|line| format!("  {line}")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case(text: &str) -> Case {
        toml::from_str::<File>(&format!("[[case]]\n{text}")).unwrap().cases.remove(0)
    }

    fn answered(text: &str, is_error: bool) -> Value {
        json!({ "content": [{ "type": "text", "text": text }], "isError": is_error })
    }

    #[test]
    fn an_answer_is_held_against_what_the_case_says() {
        let greets = case("tool = \"t\"\ntext = \"a\\nb\\nc\"");
        assert!(greets.wrong(&answered("a\nb\nc", false)).is_empty());
        assert_eq!(greets.wrong(&answered("a\nx\nc", false)), ["its text differs (- wanted, + answered):", "  a", "- b", "+ x", "  c"]);
        assert_eq!(greets.wrong(&answered("no", true)), ["it failed: no"]);
        let fails = case("tool = \"t\"\nerror = \"whom\"");
        assert!(fails.wrong(&answered("whom?", true)).is_empty());
        assert_eq!(fails.wrong(&answered("x", false)).len(), 1);
        assert!(fails.wrong(&answered("other", true)).len() > 1);
        assert_eq!(case("tool = \"t\"").wrong(&answered("no", true)).len(), 1);
        assert_eq!(case("tool = \"t\"\ncontains = \"x\"").wrong(&answered("abc", false)).len(), 1);
    }

    #[test]
    fn structured_content_is_compared_as_values() {
        let case = case("tool = \"t\"\nstructured = { a = 1, b = [1.5] }");
        let with = |structured: Value| json!({ "content": [], "structuredContent": structured });
        assert!(case.wrong(&with(json!({ "b": [1.5], "a": 1.0 }))).is_empty());
        assert!(!case.wrong(&with(json!({ "b": [1.5] }))).is_empty());
        assert!(!case.wrong(&json!({ "content": [] })).is_empty());
    }

    #[test]
    fn a_call_is_recorded_as_the_case_that_it_passes() {
        let folder = tempfile::tempdir().unwrap();
        let object = |value: Value| value.as_object().unwrap().clone();
        let content = json!([{ "type": "text", "text": "{}" }]);
        let structured = json!({ "content": content, "structuredContent": { "a": [1, 2.5, { "ü": "\"x\"\n'''y'''" }] } });
        let results = [answered("Hello, \"Ann\"!\nä", false), answered("whom?", true), structured, json!({ "content": [] })];
        for file in ["cases.toml", "cases.json"] {
            let path = folder.path().join(file);
            if file == "cases.toml" {
                fs::write(&path, "# mine\n[[case]]\ntool = \"t\"\n").unwrap();
            }
            for result in &results {
                let arguments = object(json!({ "name": "Ann", "deep": { "list": [{ "b": true }] } }));
                record(&path, Case::of_call("greet", arguments, vec![json!({ "size": 2 }), json!("decline")], result)).unwrap();
            }
            let cases = read(&path).unwrap();
            let recorded = &cases[cases.len() - results.len()..];
            for (case, result) in recorded.iter().zip(&results) {
                assert!(case.wrong(result).is_empty(), "{case:?}");
                assert_eq!((case.arguments["deep"]["list"][0]["b"].clone(), case.answers.len()), (json!(true), 2));
            }
            assert!(file == "cases.json" || fs::read_to_string(&path).unwrap().starts_with("# mine\n"));
        }
        let null = Case { tool: "t".into(), arguments: object(json!({ "a": null })), ..Case::default() };
        assert!(record(&folder.path().join("n.toml"), null.clone()).unwrap_err().to_string().contains(".json"));
        record(&folder.path().join("n.json"), null.clone()).unwrap();
        assert!(record(&folder.path().join("n.txt"), null).unwrap_err().to_string().contains(".toml or .json"));
    }

    #[test]
    fn a_word_that_means_nothing_is_an_error_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(of_project(folder.path()).unwrap_err().to_string().contains("[[case]]"));
        fs::create_dir(folder.path().join("tests")).unwrap();
        let path = folder.path().join("tests/cases.toml");
        fs::write(&path, "[[case]]\ntool = \"t\"\ntxt = \"x\"\n").unwrap();
        let error = of_project(folder.path()).unwrap_err().to_string();
        assert!(error.contains("cases.toml") && error.contains("txt"), "{error}");
        fs::write(&path, "[[case]]\ntool = \"t\"\n").unwrap();
        fs::write(folder.path().join("tests/more.json"), r#"{"case":[{"tool":"u","text":"x"}]}"#).unwrap();
        assert_eq!(of_project(folder.path()).unwrap().iter().map(|(_, cases)| cases.len()).collect::<Vec<_>>(), [1, 1]);
    }
}
