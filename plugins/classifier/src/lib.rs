//! What a picture on the web shows, by a model that the host runs: the tool `classify`.

mod http;
mod model;
mod picture;

use std::path::Path;

use exports::toolbay::plugin::tools::{CallResult, Error, Guest, Tool, ToolAnnotations};
use model::{Labels, Model, Prediction};
use picture::Recipe;
use serde::Deserialize;
use serde_json::json;
use toolbay::plugin::types::{Content, TextContent};

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package toolbay:classifier;
        world classifier {
            include toolbay:plugin/plugin@0.1.0;
            import wasi:nn/tensor@0.2.0-rc-2024-10-28;
            import wasi:nn/graph@0.2.0-rc-2024-10-28;
            import wasi:nn/inference@0.2.0-rc-2024-10-28;
            import wasi:nn/errors@0.2.0-rc-2024-10-28;
        }
    ",
    generate_all,
});

/// JSON-RPC: invalid parameters.
const INVALID_PARAMS: i32 = -32602;

/// The model, where the environment names none.
const DEFAULT_MODEL: &str = "vit-tiny";
/// The variable that names another.
const MODEL_VARIABLE: &str = "MODEL";
/// Where the host shows a plugin the files of the models that it may use.
const MODELS: &str = "/models";

const INPUT: &str = r#"{
    "type": "object",
    "properties": {
        "image_url": { "type": "string", "format": "uri", "maxLength": 4096, "description": "An http or https URL of a JPEG, PNG or WebP picture, 20 MiB at most." },
        "top_k": { "type": "integer", "minimum": 1, "maximum": 100, "default": 1, "description": "How many labels to tell, the likeliest first." }
    },
    "required": ["image_url"],
    "additionalProperties": false
}"#;

const OUTPUT: &str = r#"{
    "type": "object",
    "properties": {
        "label": { "type": "string", "description": "The likeliest label." },
        "score": { "type": "number", "minimum": 0, "maximum": 1 },
        "predictions": {
            "type": "array",
            "description": "The likeliest labels, the best first.",
            "items": {
                "type": "object",
                "properties": { "label": { "type": "string" }, "score": { "type": "number", "minimum": 0, "maximum": 1 } },
                "required": ["label", "score"],
                "additionalProperties": false
            }
        }
    },
    "required": ["label", "score", "predictions"],
    "additionalProperties": false
}"#;

#[derive(Deserialize)]
struct Arguments {
    image_url: String,
    #[serde(default = "one")]
    top_k: usize,
}

fn one() -> usize {
    1
}

struct Classifier;

impl Guest for Classifier {
    fn list_tools() -> Result<Vec<Tool>, Error> {
        Ok(vec![Tool {
            name: "classify".to_owned(),
            title: Some("Classify a picture".to_owned()),
            description: Some(
                "Downloads a picture and tells what it shows: the likeliest of the model's labels, or the best few with their scores."
                    .to_owned(),
            ),
            input_schema: INPUT.to_owned(),
            output_schema: Some(OUTPUT.to_owned()),
            annotations: Some(ToolAnnotations {
                title: None,
                read_only_hint: Some(true),
                destructive_hint: Some(false),
                idempotent_hint: Some(true),
                open_world_hint: Some(true),
            }),
            icons: Vec::new(),
            meta: None,
            extra: None,
        }])
    }

    fn call_tool(name: String, arguments: String) -> Result<CallResult, Error> {
        if name != "classify" {
            return Err(Error { code: INVALID_PARAMS, message: format!("there is no tool {name}"), data: None });
        }
        // What went wrong, the model that called should read: it is an answer, not an error of the protocol.
        Ok(call(&arguments).unwrap_or_else(|why| CallResult { is_error: true, ..plain(why) }))
    }
}

fn call(arguments: &str) -> Result<CallResult, String> {
    let Arguments { image_url, top_k } = serde_json::from_str(arguments).map_err(|error| format!("The arguments do not fit: {error}."))?;
    let name = std::env::var(MODEL_VARIABLE).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let folder = Path::new(MODELS).join(&name);
    let failed = |why: String| format!("The model \"{name}\" cannot be used: {}.", why.trim_end_matches('.'));
    // First what the host has to say: without a model nothing need be downloaded.
    let model = Model::open(&name).map_err(failed)?;
    let recipe = Recipe::read(&folder).map_err(failed)?;
    let labels = Labels::read(&folder).map_err(failed)?;
    let file = http::picture(&image_url).map_err(|why| format!("The picture cannot be fetched: {why}."))?;
    let input = picture::prepare(&file, &recipe).map_err(|why| format!("The picture cannot be used: {why}."))?;
    let predictions = labels.best(&model.logits(&input).map_err(failed)?, top_k.max(1));
    let best = predictions.first().cloned().ok_or_else(|| failed("it has no labels".to_owned()))?;
    let structured = json!({ "label": best.label, "score": best.score, "predictions": predictions });
    Ok(CallResult { structured_content: Some(structured.to_string()), ..plain(words(&predictions)) })
}

/// The label alone, or a line for each with its score.
fn words(predictions: &[Prediction]) -> String {
    match predictions {
        [only] => only.label.clone(),
        more => more.iter().map(|one| format!("{} ({:.1} %)", one.label, one.score * 100.0)).collect::<Vec<_>>().join("\n"),
    }
}

fn plain(text: String) -> CallResult {
    let content = vec![Content::Text(TextContent { text, annotations: None, meta: None })];
    CallResult { content, structured_content: None, is_error: false, meta: None }
}

export!(Classifier);
