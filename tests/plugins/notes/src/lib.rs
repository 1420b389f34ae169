//! Notes in the folder `/notes`: tools that write and delete them, a resource for each.
//!
//! An example of `notify`: the plugin itself remembers nothing, so what it lists changes with the folder, and it says so when it has changed something
//! there. And of `client`: a note is deleted only if the person agrees.

use std::{fs, path::PathBuf};

use serde_json::Value;

use exports::toolbay::plugin::resources::{Contents, Error, Guest as Resources, Resource, ResourceBody, Template};
use toolbay::plugin::{
    client::{self, Action, Answer, Form, Question, Request},
    notify,
};

wit_bindgen::generate!({ path: "wit", world: "notes", generate_all });

const FOLDER: &str = "/notes";

const SURE: &str = r#"{"type":"object","properties":{"sure":{"type":"boolean","title":"Delete it","default":false}},"required":["sure"]}"#;

struct Notes;

impl Guest for Notes {
    fn write_note(name: String, text: String) -> Result<(), String> {
        let path = path(&name)?;
        let is_new = !path.exists();
        fs::write(path, text).map_err(|error| format!("The note cannot be written: {error}"))?;
        // A new note makes the list another one. One that is there already holds something else.
        if is_new {
            notify::resources_changed()
        } else {
            notify::resource_updated(&uri(&name))
        }
        Ok(())
    }

    fn delete_note(name: String) -> Result<String, String> {
        let path = path(&name)?;
        if !path.exists() {
            return Err(format!("There is no note {name}"));
        }
        // Up to here this may run twice: with many clients the call is made again when they have the answer. What changes something comes after.
        let form = Form { message: format!("Delete the note {name}?"), schema: SURE.into(), extra: None };
        let answers = client::ask(&[Request { key: None, question: Question::Form(form) }]).map_err(|error| error.to_string())?;
        let [Answer::Reply(reply)] = answers.as_slice() else { return Err("There is no answer".into()) };
        let content: Value = serde_json::from_str(reply.content.as_deref().unwrap_or("{}")).unwrap_or_default();
        if reply.action != Action::Accept || content["sure"] != true {
            return Ok(format!("The note {name} stays"));
        }
        fs::remove_file(path).map_err(|error| format!("The note cannot be deleted: {error}"))?;
        notify::resources_changed();
        Ok(format!("The note {name} is gone"))
    }
}

impl Resources for Notes {
    fn list_resources() -> Result<Vec<Resource>, Error> {
        // No folder, no notes: the plugin is loaded all the same.
        let entries = fs::read_dir(FOLDER).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| path(name).is_ok()).collect();
        // The same list each time, whatever order the folder has.
        names.sort();
        let resource = |name: String| Resource {
            uri: uri(&name),
            description: Some(format!("The note {name}")),
            name,
            title: None,
            mime_type: Some("text/plain".into()),
            size: None,
            icons: Vec::new(),
            annotations: None,
            meta: None,
            extra: None,
        };
        Ok(names.into_iter().map(resource).collect())
    }

    fn list_templates() -> Result<Vec<Template>, Error> {
        Ok(Vec::new())
    }

    fn read_resource(uri: String) -> Result<Option<Vec<Contents>>, Error> {
        let text = uri.strip_prefix("note:///").and_then(|name| fs::read_to_string(path(name).ok()?).ok());
        Ok(text.map(|text| vec![Contents { uri, mime_type: Some("text/plain".into()), body: ResourceBody::Text(text), meta: None }]))
    }
}

fn uri(name: &str) -> String {
    format!("note:///{name}")
}

/// Where a note lies. Only names that cannot lead elsewhere.
fn path(name: &str) -> Result<PathBuf, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
        return Err(format!("{name:?} is no name for a note: 1 to 64 of a-z, 0-9 and -"));
    }
    Ok(PathBuf::from(FOLDER).join(name))
}

export!(Notes);
