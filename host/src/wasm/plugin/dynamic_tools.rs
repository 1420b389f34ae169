//! Tools that a plugin lists itself: from the WIT of the interface `tools` to a provider's types and back.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use crate::{
    config::ToolOverride,
    offload,
    provider::{CallError, CallOutput, Content, JsonText, Tool, ToolName},
    schema::{
        self, Budget, Schema, Unfit,
        portable::{Portable, Role, portable},
    },
    wasm::{
        content::{self, icon, object, put},
        imports::bindings::{exports::toolbay::plugin::tools as wit, toolbay::plugin::types::Error},
        limits::Exceeded,
    },
};

/// One tool of the interface.
pub(super) struct Listed {
    tool: Arc<Tool>,
    input: Schema,
    /// The arguments that have to be there.
    required: Vec<String>,
    /// What structured content has to be, where the plugin says so.
    output: Option<Schema>,
    /// What of it is not published as it is, in sentences.
    notes: Vec<String>,
}

/// Bytes of a schema that are published of a plugin's tool: it is the operator's own, and may be large.
const MAX_SCHEMA: usize = 1 << 20;

/// What is wrong with an answer.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It is too long.
    Limit(Exceeded),
    /// It is not what the tool says that it is.
    Unfit(String),
}

impl Listed {
    /// Takes what `list-tools` said of one tool.
    ///
    /// # Errors
    ///
    /// One sentence that says what is wrong with it.
    pub(super) fn new(
        tool: wit::Tool,
        notifies: bool,
        overrides: &BTreeMap<String, ToolOverride>,
        patterns: &Budget,
    ) -> Result<Self, String> {
        check_name(&tool.name).map_err(|why| format!("tool {why}"))?;
        let name = ToolName::new(tool.name).map_err(|error| error.to_string())?;
        let says = |what: &str, why: &dyn std::fmt::Display| format!("tool {name}: {what} {why}");
        let mut input_schema = object(&tool.input_schema).map_err(|why| says("its input-schema", &why))?;
        input_schema.entry("type").or_insert_with(|| "object".into());
        if input_schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err(says("its input-schema", &"must have \"type\": \"object\""));
        }
        let mut output = None;
        let mut output_schema = None;
        let mut notes = Vec::new();
        'output: {
            let Some(schema) = &tool.output_schema else { break 'output };
            let schema = object(schema).map_err(|why| says("its output-schema", &why))?;
            let never_object = |ty: &&Value| match ty {
                Value::String(ty) => ty != "object",
                Value::Array(types) => !types.iter().any(|ty| ty == "object"),
                _ => false,
            };
            if let Some(unfit) = schema.get("type").filter(never_object) {
                // Structured content is an object, in clients and in this schema. What fits another schema could not be answered.
                notes.push(says("its output-schema", &format!("must have \"type\": \"object\", and not {unfit}; it is not published")));
                break 'output;
            }
            output = Some(Schema::within(&schema, patterns).map_err(|why| says("its output-schema", &why))?);
            match portable(&Value::Object(schema), Role::Output, MAX_SCHEMA) {
                Ok(Portable { schema, notes: told }) => {
                    notes.extend(told.iter().map(|note| says("its output-schema", note)));
                    output_schema = Some(Arc::new(schema));
                }
                Err(why) => notes.push(says("its output-schema", &format!("{why}, and is not published"))),
            }
        }
        let instead = overrides.get(name.as_str()).cloned().unwrap_or_default();
        for (parameter, text) in &instead.params {
            let own = instead.own_param(parameter);
            if let Some(Value::Object(schema)) = input_schema.get_mut("properties").and_then(|properties| properties.get_mut(own)) {
                schema.insert("description".to_owned(), text.as_str().into());
            }
        }
        let input = Schema::within(&input_schema, patterns).map_err(|why| says("its input-schema", &why))?;
        let required = input_schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required = required.filter_map(Value::as_str).map(str::to_owned).collect();
        let published = portable(&Value::Object(input_schema), Role::Input, MAX_SCHEMA).map_err(|why| says("its input-schema", &why))?;
        notes.extend(published.notes.iter().map(|note| says("its input-schema", note)));
        let optional = |text: &Option<String>, what: &str| text.as_deref().map(object).transpose().map_err(|why| says(what, &why));
        let meta = optional(&tool.meta, "its meta")?;
        let extra = optional(&tool.extra, "its extra")?.unwrap_or_default();
        Ok(Self {
            tool: Arc::new(Tool {
                name,
                title: instead.title.or(tool.title),
                description: instead.description.or(tool.description),
                input_schema: Arc::new(published.schema),
                output_schema,
                annotations: tool.annotations.map(hints),
                icons: (!tool.icons.is_empty()).then(|| tool.icons.into_iter().map(icon).collect()),
                meta,
                extra,
                notifies,
            }),
            input,
            required,
            output,
            notes,
        })
    }

    pub(super) fn tool(&self) -> &Arc<Tool> {
        &self.tool
    }

    /// What of it is not published as it is, in sentences.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn name(&self) -> &str {
        self.tool.name.as_str()
    }

    /// What arguments have to be.
    pub(super) fn input(&self) -> &Schema {
        &self.input
    }

    /// Whether this answer is read and checked in no time.
    pub(super) fn is_quick(&self, result: &wit::CallResult) -> bool {
        let structured = result.structured_content.as_ref().map_or(0, String::len);
        let content: usize = result.content.iter().map(content::bytes).sum();
        let all = structured + content + result.meta.as_ref().map_or(0, String::len);
        all <= offload::SMALL && self.output.as_ref().is_none_or(|schema| schema.is_quick(structured))
    }

    /// What the guest answered, for the way up, if it may answer that.
    pub(super) fn answer(&self, result: wit::CallResult, limit: usize) -> Result<CallOutput, Wrong> {
        let output = self.output(result, limit)?;
        self.check_output(&output).map_err(Wrong::Unfit)?;
        Ok(output)
    }

    /// Arguments that fit the schema; if they do not, says where and why.
    ///
    /// Models write null for an argument that they leave out. It counts as left out where it may be, and null does not fit: as for plain functions.
    pub(super) fn check<'a>(&self, arguments: &'a str) -> Result<Cow<'a, str>, String> {
        let mut arguments = Cow::Borrowed(arguments);
        while let Err(unfit) = self.input.check(&arguments) {
            match self.without_nulls(&arguments, &unfit) {
                Some(rest) => arguments = Cow::Owned(rest),
                None => return Err(unfit.of_arguments(self.name())),
            }
        }
        Ok(arguments)
    }

    /// The arguments without those that are null, do not fit, and may be left out. None: there are none of these.
    fn without_nulls(&self, arguments: &str, unfit: &Unfit) -> Option<String> {
        let Unfit::Problems(problems) = unfit else { return None };
        let mut members: Map<String, Value> = serde_json::from_str(arguments).ok()?;
        let before = members.len();
        members.retain(|name, value| !value.is_null() || self.required.contains(name) || problems.iter().all(|(path, _)| path != name));
        (members.len() < before).then(|| Value::Object(members).to_string())
    }

    /// Whether structured content is what the tool says that it is; if not, says where and why. The text of an error says more than its structure, so that is
    /// held against nothing but the depth that everybody can read.
    fn check_output(&self, output: &CallOutput) -> Result<(), String> {
        let Some(structured) = &output.structured else {
            // Clients refuse such an answer: MCP says that structured content must be there.
            return match &self.output {
                Some(_) if !output.is_error => {
                    Err(format!("tool {} has an output schema, and its answer has no structured content", self.name()))
                }
                _ => Ok(()),
            };
        };
        let checked = match &self.output {
            Some(schema) if !output.is_error => schema.check(structured.as_str()),
            _ => schema::check_depth(structured.as_str()),
        };
        let name = self.name();
        checked.map_err(|unfit| match unfit {
            Unfit::NotJson(error) => format!("the structured content of tool {name} cannot be read: {error}"),
            Unfit::Deep(levels) => format!("the structured content of tool {name} is nested more than {levels} levels deep"),
            Unfit::Long(bytes) => {
                format!("the structured content of tool {name} does not fit its output schema; it is too long ({bytes} bytes) to say where")
            }
            Unfit::Problems(problems) => {
                format!("the structured content of tool {name} does not fit its output schema: {}", schema::places("", problems))
            }
        })
    }

    /// What the guest answered, for the way up.
    fn output(&self, result: wit::CallResult, limit: usize) -> Result<CallOutput, Wrong> {
        let structured = match result.structured_content.map(JsonText::parse) {
            Some(Ok(structured)) => Some(structured),
            None => None,
            // The text of an error says enough.
            Some(Err(error)) if result.is_error => {
                tracing::warn!(tool = self.name(), %error, "the structured content of the plugin's error is not JSON and is left out");
                None
            }
            Some(Err(error)) => {
                return Err(Wrong::Unfit(format!("the structured content of tool {} cannot be read: {error}", self.name())));
            }
        };
        let content: Vec<Content> = result.content.into_iter().filter_map(|block| content::block(block, self.name())).collect();
        let output = CallOutput {
            content,
            structured,
            is_error: result.is_error,
            meta: result.meta.and_then(|text| match object(&text) {
                Ok(_) => JsonText::parse(text).ok(),
                Err(why) => {
                    tracing::warn!(tool = self.name(), "the plugin's meta {why} and is left out");
                    None
                }
            }),
            extra: None,
            denied: None,
        };
        let text = |json: &Option<JsonText>| json.as_ref().map_or(0, |json| json.as_str().len());
        let blocks: usize = output
            .content
            .iter()
            .map(|block| match block {
                Content::Text(text) => text.len(),
                Content::Block(json) => json.as_str().len(),
            })
            .sum();
        let is_over = blocks + text(&output.structured) + text(&output.meta) > limit;
        if is_over { Err(Wrong::Limit(Exceeded::Output(limit))) } else { Ok(output) }
    }
}

/// Longest name of a tool or a prompt in the contract.
const MAX_NAME: usize = 128;

/// Whether a name is one that the contract allows.
///
/// # Errors
///
/// The name and the rule.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(is_allowed) {
        return Ok(());
    }
    let name: String = name.chars().take(MAX_NAME).collect();
    Err(format!("{name:?}: a name is 1 to {MAX_NAME} of A-Z a-z 0-9 _ - . by the contract"))
}

/// An error that a plugin answers in place of a result.
/// Where it was refused something before, that most likely is why.
pub(super) fn protocol_error(error: Error, refusals: &[String]) -> CallError {
    let message = std::iter::once(error.message.as_str()).chain(refusals.iter().map(String::as_str)).collect::<Vec<_>>().join("; ");
    CallError::Protocol { code: error.code, message, data: error.data.and_then(|text| serde_json::from_str(&text).ok()) }
}

fn hints(annotations: wit::ToolAnnotations) -> Value {
    let mut value = json!({});
    put(&mut value, "title", annotations.title);
    put(&mut value, "readOnlyHint", annotations.read_only_hint);
    put(&mut value, "destructiveHint", annotations.destructive_hint);
    put(&mut value, "idempotentHint", annotations.idempotent_hint);
    put(&mut value, "openWorldHint", annotations.open_world_hint);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(schema: &str) -> Result<Listed, String> {
        let tool = wit::Tool {
            name: "t".to_owned(),
            title: None,
            description: None,
            input_schema: schema.to_owned(),
            output_schema: None,
            annotations: None,
            icons: Vec::new(),
            meta: None,
            extra: None,
        };
        Listed::new(tool, false, &BTreeMap::new(), &Budget::new(Budget::PLUGIN))
    }

    #[test]
    fn arguments_are_told_by_place_and_rule() {
        let tool =
            listed(r#"{"properties":{"a":{"type":"object","properties":{"b":{"type":"integer","minimum":1}}}},"required":["a"]}"#).unwrap();
        assert!(tool.check(r#"{"a":{"b":1}}"#).is_ok());
        let message = tool.check(r#"{"a":{"b":0}}"#).unwrap_err();
        assert!(message.contains("argument `a.b`") && message.contains('1'), "{message}");
        assert!(tool.check("{}").unwrap_err().contains("\"a\""));
    }

    #[test]
    fn null_is_left_out_where_it_may_be_and_does_not_fit() {
        let tool =
            listed(r#"{"properties":{"a":{"type":"string"},"b":{"type":["integer","null"]},"c":{"type":"object"}},"required":["c"]}"#)
                .unwrap();
        for (given, taken) in
            [(r#"{"a":null,"b":null,"c":{}}"#, r#"{"b":null,"c":{}}"#), (r#"{"a":"x","b":1,"c":{}}"#, r#"{"a":"x","b":1,"c":{}}"#)]
        {
            assert_eq!(tool.check(given).as_deref(), Ok(taken));
        }
        for wrong in [r#"{"c":null}"#, r#"{"a":null}"#, r#"{"a":null,"b":"x","c":{}}"#, r#"{"a":1,"c":{}}"#] {
            assert!(tool.check(wrong).unwrap_err().contains("argument") || wrong == r#"{"a":null}"#, "{wrong}");
        }
        // Many at once, and one that a pattern of the schema's own forbids.
        let many = listed(r#"{"additionalProperties":{"type":"string"}}"#).unwrap();
        let nulls: Vec<String> = (0..40).map(|at| format!("\"p{at}\":null")).collect();
        assert_eq!(many.check(&format!("{{{}}}", nulls.join(","))).as_deref(), Ok("{}"));
    }

    #[test]
    fn all_that_is_allowed_is_listed() {
        let tool = listed(r#"{"properties":{"style":{"enum":["a","b","c","d","e","f","g"]}}}"#).unwrap();
        let message = tool.check(r#"{"style":"SHOUT"}"#).unwrap_err();
        assert!(message.contains(r#"argument `style`: "SHOUT" is not one of "a", "b", "c", "d", "e", "f", "g""#), "{message}");
    }

    #[test]
    fn structured_content_has_to_fit_what_the_tool_says() {
        let with = |output_schema: Option<&str>| {
            let tool = wit::Tool {
                name: "t".to_owned(),
                title: None,
                description: None,
                input_schema: "{}".to_owned(),
                output_schema: output_schema.map(str::to_owned),
                annotations: None,
                icons: Vec::new(),
                meta: None,
                extra: None,
            };
            Listed::new(tool, false, &BTreeMap::new(), &Budget::new(Budget::PLUGIN))
        };
        let answer =
            |json: &str, is_error| CallOutput { structured: JsonText::parse(json.to_owned()).ok(), is_error, ..CallOutput::default() };
        let tool = with(Some(r#"{"type":"object","properties":{"a":{"items":{"type":"integer"}}},"required":["a"]}"#)).unwrap();
        assert_eq!(tool.check_output(&answer(r#"{"a":[1,2]}"#, false)), Ok(()));
        let missing = tool.check_output(&CallOutput::default()).unwrap_err();
        assert!(missing.contains("tool t has an output schema"), "{missing}");
        assert_eq!(tool.check_output(&CallOutput { is_error: true, ..CallOutput::default() }), Ok(()));
        assert_eq!(with(None).unwrap().check_output(&CallOutput::default()), Ok(()));
        let said = tool.check_output(&answer(r#"{"a":[1,"x"]}"#, false)).unwrap_err();
        assert!(said.contains("tool t does not fit its output schema: `a.1`:") && said.contains("integer"), "{said}");
        assert!(tool.check_output(&answer("{}", false)).unwrap_err().contains("\"a\""));
        assert_eq!(tool.check_output(&answer(r#"{"why":1}"#, true)), Ok(()));
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        for tool in [tool, with(None).unwrap()] {
            for is_error in [false, true] {
                for levels in [100, 1_000_000] {
                    let said = tool.check_output(&answer(&deep(levels), is_error)).unwrap_err();
                    assert!(said.contains("levels deep") || said.contains("recursion"), "{said}");
                }
            }
        }
        assert_eq!(with(None).unwrap().check_output(&answer(&deep(50), false)), Ok(()));
        // Structured content is an object: another schema is not published, and holds nothing up.
        for schema in [r#"{"type":"array"}"#, r#"{"type":["string","null"]}"#] {
            let tool = with(Some(schema)).unwrap();
            assert!(
                tool.tool().output_schema.is_none() && tool.notes()[0].contains("must have \"type\": \"object\""),
                "{:?}",
                tool.notes()
            );
            assert_eq!(tool.check_output(&CallOutput::default()), Ok(()));
        }
        assert!(with(Some(r#"{"type":5}"#)).err().unwrap().contains("its output-schema is not a JSON Schema"));
    }

    #[test]
    fn structured_content_that_is_no_json_is_an_error_and_no_success() {
        let tool = listed("{}").unwrap();
        for text in ["{", "", "nonsense", "{\"a\":1} x"] {
            for is_error in [false, true] {
                let result = wit::CallResult { content: Vec::new(), structured_content: Some(text.to_owned()), is_error, meta: None };
                match tool.answer(result, 1000) {
                    Ok(output) => assert!(is_error && output.structured.is_none(), "{text:?}"),
                    Err(Wrong::Unfit(why)) => assert!(!is_error && why.contains("tool t cannot be read"), "{why}"),
                    Err(Wrong::Limit(_)) => panic!("{text:?}"),
                }
            }
        }
    }

    #[test]
    fn names_are_those_of_the_contract() {
        for good in ["a", "A-b_c.9", &"x".repeat(128)] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", "a/b", "a b", "ä", "a:b", &"x".repeat(129)] {
            assert!(check_name(bad).unwrap_err().contains("A-Z a-z 0-9 _ - ."), "{bad}");
        }
    }

    #[test]
    fn a_meta_that_is_no_object_is_left_out() {
        let tool = listed("{}").unwrap();
        let result =
            |meta: &str| wit::CallResult { content: Vec::new(), structured_content: None, is_error: false, meta: Some(meta.to_owned()) };
        assert_eq!(tool.output(result("[1]"), 1000).unwrap().meta, None);
        assert!(tool.output(result(r#"{"a":1}"#), 1000).unwrap().meta.is_some());
    }

    #[test]
    fn a_schema_that_refers_to_itself_for_ever_is_refused() {
        for schema in [
            r##"{"type":"object","$ref":"#"}"##,
            r##"{"type":"object","allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"$ref":"#/$defs/a"}}}"##,
            r##"{"type":"object","properties":{"x":{"$ref":"#/properties/x"}}}"##,
        ] {
            let error = listed(schema).err().unwrap();
            assert!(error.contains("refers to itself"), "{error}");
        }
    }

    #[test]
    fn a_recursive_schema_that_descends_is_fine() {
        let tool = listed(r##"{"type":"object","properties":{"next":{"$ref":"#"},"n":{"type":"integer"}}}"##).unwrap();
        assert!(tool.check(r#"{"next":{"next":{"n":1}}}"#).is_ok());
        assert!(tool.check(r#"{"next":{"next":{"n":"x"}}}"#).is_err());
    }

    #[test]
    fn what_is_no_schema_is_refused_with_a_reason() {
        for (schema, word) in [
            ("[]", "not a JSON object"),
            ("{", "not JSON"),
            (r#"{"type":"array"}"#, "\"type\": \"object\""),
            (r#"{"type":"object","properties":3}"#, "not a JSON Schema"),
        ] {
            let error = listed(schema).err().unwrap();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_schema_elsewhere_is_never_fetched() {
        let error = listed(r#"{"type":"object","properties":{"x":{"$ref":"http://127.0.0.1:9/x.json"}}}"#).err().unwrap();
        assert!(error.contains("not a JSON Schema"), "{error}");
    }

    #[test]
    fn of_long_arguments_only_whether_they_fit_is_told() {
        let tool = listed(r#"{"properties":{"a":{"items":{"type":"string"}}}}"#).unwrap();
        let wrong = |count: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(count));
        assert!(tool.check(&wrong(10)).unwrap_err().contains("argument `a.0`"));
        let message = tool.check(&wrong(100_000)).unwrap_err();
        assert!(message.contains("too long"), "{message}");
    }

    #[test]
    fn arguments_are_taken_as_deep_as_the_schema_can_be_checked() {
        let tool = listed(r##"{"properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}"##).unwrap();
        let deep = |levels: usize| format!("{}3{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(tool.check(&deep(3)).unwrap_err().contains("argument `a.a.a`"));
        assert!(tool.check(&deep(40)).unwrap_err().contains("levels deep"));
    }

    #[test]
    fn deep_arguments_do_not_reach_the_validator() {
        let tool = listed(r#"{"type":"object"}"#).unwrap();
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        assert!(tool.check(&deep).unwrap_err().contains("levels deep"));
    }
}
