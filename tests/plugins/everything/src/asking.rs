//! Tools that ask: the person by a form (elicitation), the model (sampling), the client for its folders (roots).
//!
//! To ask is one call, [`client::ask`], and the answers are its result. None of these tools knows whether the client keeps a session open meanwhile or
//! comes back later. In the second case the tool runs again from its beginning, and `ask` has the answers at once: so nothing is done before the question
//! that may not be done twice, and the questions are made of nothing but the arguments and of earlier answers.

use serde_json::{Value, json};

use crate::{
    content::text,
    exports::toolbay::plugin::tools::Content,
    toolbay::plugin::{
        client::{Action, Answer, AskError, Form, Message, Prompt, Question, Reply, Request, ask},
        context,
        types::Role,
    },
};

const NO_ARGUMENTS: &str = r#"{"type":"object"}"#;
const MESSAGE: &str = r#"{"type":"object","properties":{"message":{"type":"string","description":"What to ask."}},"required":["message"]}"#;
const PROMPT: &str = r#"{"type":"object","properties":{"prompt":{"type":"string","description":"For the model."}},"required":["prompt"]}"#;

/// A default for each kind of field.
const DEFAULTS: &str = include_str!("schema_defaults.json");

/// Every way to let somebody choose.
const ENUMS: &str = include_str!("schema_enums.json");

/// Name, description, schema of the arguments.
pub const TOOLS: [(&str, &str, &str); 14] = [
    ("test_elicitation", "Asks for a name and an address", MESSAGE),
    ("test_elicitation_sep1034_defaults", "Asks by a form with a default in every field", NO_ARGUMENTS),
    ("test_elicitation_sep1330_enums", "Asks by a form with choices of every kind", NO_ARGUMENTS),
    ("test_streaming_elicitation", "Asks while the answer is a stream", NO_ARGUMENTS),
    ("test_sampling", "Asks the client's model", PROMPT),
    ("test_missing_capability", "Asks the client's model, which the client has to allow", NO_ARGUMENTS),
    ("test_input_required_result_elicitation", "Asks for a name and greets", NO_ARGUMENTS),
    ("test_input_required_result_sampling", "Asks the client's model for a capital", NO_ARGUMENTS),
    ("test_input_required_result_list_roots", "Asks for the folders that the client works in", NO_ARGUMENTS),
    ("test_input_required_result_request_state", "Asks for a confirmation", NO_ARGUMENTS),
    ("test_input_required_result_multiple_inputs", "Asks three things at once", NO_ARGUMENTS),
    ("test_input_required_result_multi_round", "Asks again after the first answer", NO_ARGUMENTS),
    ("test_input_required_result_tampered_state", "Asks for a confirmation that must not be forged", NO_ARGUMENTS),
    ("test_input_required_result_capabilities", "Asks only what the client can answer", NO_ARGUMENTS),
];

/// Runs one of the tools.
pub fn call(name: &str, arguments: &Value) -> Option<Result<Vec<Content>, AskError>> {
    let given = |name: &str| arguments[name].as_str().unwrap_or_default();
    let said = match name {
        "test_elicitation" => elicit(given("message"), &fields(&["username", "email"])).map(|reply| format!("User response: {reply}")),
        "test_elicitation_sep1034_defaults" => {
            elicit("Please check these values", DEFAULTS).map(|reply| format!("Elicitation completed: {reply}"))
        }
        "test_elicitation_sep1330_enums" => elicit("Please choose", ENUMS).map(|reply| format!("Elicitation completed: {reply}")),
        "test_streaming_elicitation" => elicit("Shall we go on?", &confirmation()).map(|reply| format!("Elicitation completed: {reply}")),
        "test_sampling" => sample("prompt", given("prompt"), 100).map(|text| format!("LLM response: {text}")),
        "test_missing_capability" => sample("prompt", "Are you there?", 100).map(|text| format!("LLM response: {text}")),
        "test_input_required_result_elicitation" => {
            form("user_name", "What is your name?", &fields(&["name"])).map(|answer| match field(&answer, "name") {
                Some(name) => format!("Hello, {name}!"),
                None => "Hello, whoever you are!".into(),
            })
        }
        "test_input_required_result_sampling" => sample("capital_question", "What is the capital of France?", 100),
        "test_input_required_result_list_roots" => roots(),
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            form("confirm", "Please confirm", &confirmation()).map(|answer| match answer.action {
                // Had the state been touched, or the call been made by somebody else, the host would not have come here again.
                Action::Accept => "state-ok".into(),
                Action::Decline | Action::Cancel => "not confirmed".into(),
            })
        }
        "test_input_required_result_multiple_inputs" => three_at_once(),
        "test_input_required_result_multi_round" => two_rounds(),
        "test_input_required_result_capabilities" => what_is_allowed(),
        _ => return None,
    };
    Some(said.map(|said| vec![text(said)]))
}

/// Different kinds of questions in one round: the client sees them together.
fn three_at_once() -> Result<String, AskError> {
    let answers = ask(&[
        question("user_name", to_person("What is your name?", &fields(&["name"]))),
        question("greeting", to_model("Generate a greeting", 50)),
        question("client_roots", Question::Roots),
    ])?;
    // The answers come in the order of the questions, each of its question's kind.
    let [Answer::Reply(reply), Answer::Completion(greeting), Answer::Roots(roots)] = answers.as_slice() else {
        return Err(AskError::Unanswered("the host mixed up the answers".into()));
    };
    let name = field(reply, "name").unwrap_or_else(|| "nobody".into());
    Ok(format!("{} {name}, who works in {} folders", greeting.text, roots.len()))
}

/// The second question has the first answer in it, so it has a round of its own.
fn two_rounds() -> Result<String, AskError> {
    let name = form("step1", "Step 1: What is your name?", &fields(&["name"]))?;
    let name = field(&name, "name").unwrap_or_else(|| "friend".into());
    let color = form("step2", &format!("Step 2: What is your favorite color, {name}?"), &fields(&["color"]))?;
    let color = field(&color, "color").unwrap_or_else(|| "no color".into());
    Ok(format!("{name} likes {color}"))
}

/// Whoever can do without an answer looks first whether the client can give one: asked for more, the host ends the call.
fn what_is_allowed() -> Result<String, AskError> {
    let declared: Value = serde_json::from_str(&context::client_capabilities()).unwrap_or_default();
    let mut questions = Vec::new();
    if declared.get("elicitation").is_some() {
        questions.push(question("user_name", to_person("What is your name?", &fields(&["name"]))));
    }
    if declared.get("sampling").is_some() {
        questions.push(question("greeting", to_model("Generate a greeting", 50)));
    }
    let answers = ask(&questions)?;
    Ok(format!("{} of 2 questions could be asked", answers.len()))
}

/// Asks one thing by a form.
pub fn form(key: &str, message: &str, schema: &str) -> Result<Reply, AskError> {
    match ask(&[question(key, to_person(message, schema))])?.pop() {
        Some(Answer::Reply(reply)) => Ok(reply),
        _ => Err(AskError::Unanswered("there is no reply".into())),
    }
}

/// The same, with what came of it as text.
fn elicit(message: &str, schema: &str) -> Result<String, AskError> {
    let reply = form("elicitation", message, schema)?;
    let action = match reply.action {
        Action::Accept => "accept",
        Action::Decline => "decline",
        Action::Cancel => "cancel",
    };
    Ok(format!("action={action}, content={}", reply.content.as_deref().unwrap_or("{}")))
}

/// Asks the client's model one thing.
fn sample(key: &str, prompt: &str, max_tokens: u32) -> Result<String, AskError> {
    match ask(&[question(key, to_model(prompt, max_tokens))])?.pop() {
        Some(Answer::Completion(completion)) => Ok(completion.text),
        _ => Err(AskError::Unanswered("the model wrote nothing".into())),
    }
}

fn roots() -> Result<String, AskError> {
    match ask(&[question("client_roots", Question::Roots)])?.pop() {
        Some(Answer::Roots(roots)) => {
            let roots: Vec<_> =
                roots.into_iter().map(|root| root.name.map_or(root.uri.clone(), |name| format!("{name} ({})", root.uri))).collect();
            Ok(format!("The client works in {}", roots.join(", ")))
        }
        _ => Err(AskError::Unanswered("there are no roots".into())),
    }
}

pub fn question(key: &str, question: Question) -> Request {
    Request { key: Some(key.into()), question }
}

pub fn to_person(message: &str, schema: &str) -> Question {
    Question::Form(Form { message: message.into(), schema: schema.into(), extra: None })
}

fn to_model(prompt: &str, max_tokens: u32) -> Question {
    let messages = vec![Message { role: Role::User, content: vec![text(prompt)] }];
    Question::Prompt(Prompt { messages, max_tokens, system: None, extra: None })
}

/// A form of text fields that all have to be filled in.
pub fn fields(names: &[&str]) -> String {
    let properties: serde_json::Map<_, _> = names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
    json!({ "type": "object", "properties": properties, "required": names }).to_string()
}

fn confirmation() -> String {
    json!({ "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"] }).to_string()
}

/// What was filled into a field. None, where nothing was, or the person did not want to answer. Clients are to keep to the schema; not all do.
pub fn field(reply: &Reply, name: &str) -> Option<String> {
    let content: Value = serde_json::from_str(reply.content.as_deref()?).ok()?;
    content[name].as_str().map(str::to_owned)
}

/// Why there is no answer, for a model or a person to read.
pub fn why(error: AskError) -> String {
    match error {
        AskError::Unsupported(why) => format!("Nobody can be asked: {why}"),
        AskError::Invalid(why) => format!("The question cannot be sent: {why}"),
        AskError::Refused(error) => format!("The client refused to answer: {}", error.message),
        AskError::Unanswered(why) => format!("There is no answer: {why}"),
    }
}
