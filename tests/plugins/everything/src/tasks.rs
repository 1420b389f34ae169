//! Tools that take long, and let the client go meanwhile.
//!
//! One call, [`task::begin`], and from there on the client has a handle by which it asks how things stand. Everything else is as before: progress is told,
//! questions are asked, the result is what the function returns. With a client that does not know tasks `begin` says so, and the tool goes on all the same.

use std::{thread::sleep, time::Duration};

use serde_json::Value;

use crate::{
    asking::{field, fields, form, question, to_person},
    content::text,
    exports::toolbay::plugin::tools::{CallResult, Error},
    toolbay::plugin::{
        client::{Action, Answer, AskError, ask},
        progress, task,
    },
};

const NO_ARGUMENTS: &str = r#"{"type":"object"}"#;
const NAME: &str = r#"{"type":"object","properties":{"name":{"type":"string","description":"Whom to greet."}},"required":["name"]}"#;
const SECONDS: &str = r#"{"type":"object","properties":{"seconds":{"type":"number","minimum":0,"maximum":86400,"description":"How long."},"label":{"type":"string","description":"What it is for."}},"required":["seconds"]}"#;
const FILE: &str =
    r#"{"type":"object","properties":{"filename":{"type":"string","description":"What to delete."}},"required":["filename"]}"#;

/// JSON-RPC: something inside went wrong.
const INTERNAL_ERROR: i32 = -32603;

/// How often it is told that work goes on.
const STEP: Duration = Duration::from_millis(250);

/// Name, description, schema of the arguments.
pub const TOOLS: [(&str, &str, &str); 7] = [
    ("greet", "Greets at once", NAME),
    ("slow_compute", "Takes some seconds", SECONDS),
    ("failing_job", "Fails after a second, and only lets itself be called as a task", NO_ARGUMENTS),
    ("protocol_error_job", "Ends with an error of the protocol", NO_ARGUMENTS),
    ("confirm_delete", "Asks whether to delete something, which it does not", FILE),
    ("multi_input", "Asks two things at once", NO_ARGUMENTS),
    ("test_tool_with_task", "Asks for a name, and then takes long", NO_ARGUMENTS),
];

/// Runs one of the tools.
pub fn call(name: &str, arguments: &Value) -> Option<Result<CallResult, Error>> {
    let given = |name: &str| arguments[name].as_str().unwrap_or_default();
    let said = match name {
        "greet" => Ok(format!("Hello, {}!", given("name"))),
        "slow_compute" => {
            let time = Duration::try_from_secs_f64(arguments["seconds"].as_f64().unwrap_or(0.0)).unwrap_or_default();
            // What is done at once needs no task.
            if !time.is_zero() {
                task::begin();
            }
            compute(time);
            Ok(format!("Computed {:?} for {:.1} s", given("label"), time.as_secs_f64()))
        }
        "failing_job" => {
            // With a client that cannot be let go, the call ends here.
            task::require();
            sleep(Duration::from_secs(1));
            return Some(Ok(CallResult {
                content: vec![text("The job failed, as it always does")],
                structured_content: None,
                is_error: true,
                meta: None,
            }));
        }
        "protocol_error_job" => {
            // A call that is over in the same moment is answered at once, task or not.
            task::begin();
            sleep(Duration::from_millis(200));
            return Some(Err(Error { code: INTERNAL_ERROR, message: "the job broke".into(), data: None }));
        }
        "confirm_delete" => {
            task::begin();
            form("confirm", &format!("Delete {}?", given("filename")), CONFIRM).map(|reply| match reply.action {
                Action::Accept => format!("Deleted {}", given("filename")),
                Action::Decline | Action::Cancel => format!("Kept {}", given("filename")),
            })
        }
        "multi_input" => {
            task::begin();
            two_things()
        }
        // Asked before the task begins, the client sees the question at once.
        "test_tool_with_task" => form("user_name", "What is your name?", &fields(&["name"])).map(|reply| {
            task::require();
            sleep(Duration::from_millis(200));
            format!("Hello, {}, this took a while", field(&reply, "name").unwrap_or_else(|| "whoever you are".into()))
        }),
        _ => return None,
    };
    let (said, is_error) = match said {
        Ok(said) => (said, false),
        Err(error) => (crate::asking::why(error), true),
    };
    Some(Ok(CallResult { content: vec![text(said)], structured_content: None, is_error, meta: None }))
}

const CONFIRM: &str = r#"{"type":"object","properties":{"confirm":{"type":"boolean"}},"required":["confirm"]}"#;

/// Something that takes so long, and says how far it is.
fn compute(time: Duration) {
    let mut done = Duration::ZERO;
    while done < time {
        sleep(STEP.min(time - done));
        done = (done + STEP).min(time);
        let text = format!("{:.1} of {:.1} s", done.as_secs_f64(), time.as_secs_f64());
        progress::report(done.as_secs_f64(), Some(time.as_secs_f64()), Some(&text));
    }
}

/// The client may answer the one first and the other later.
fn two_things() -> Result<String, AskError> {
    let answers = ask(&[
        question("name", to_person("What is your name?", &fields(&["name"]))),
        question("confirm", to_person("Shall we go on?", CONFIRM)),
    ])?;
    let [Answer::Reply(name), Answer::Reply(confirm)] = answers.as_slice() else {
        return Err(AskError::Unanswered("the host mixed up the answers".into()));
    };
    let name = field(name, "name").unwrap_or_else(|| "nobody".into());
    Ok(format!("{name} said {}", confirm.content.as_deref().unwrap_or("nothing")))
}
