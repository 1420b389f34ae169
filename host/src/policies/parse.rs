//! From files to policies: parsed, validated strictly, and every fault told with its place.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    str::FromStr as _,
    sync::{Arc, Mutex},
};

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;

use super::{all::Policies, caller::Reads, declared::Declared, item::Types, rule::Rule, schema, set::Set};

/// The host's own policies. Their name is no file's.
const OWN: &str = "default";

/// One file of policies.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// The byte at which it is.
    pub offset: usize,
    /// What is wrong, and what is expected.
    pub message: String,
}

impl Policies {
    /// Parses and validates all files. `permits`: what no policy is about may be used.
    ///
    /// # Errors
    ///
    /// All that is wrong with any of them.
    pub fn parse(files: &[PolicyFile], declared: Declared, permits: bool) -> Result<Self, Vec<Fault>> {
        let schema = Schema::from_cedarschema_str(&schema::text(&declared)).map(|(schema, _)| schema);
        let schema = schema
            .map_err(|error| vec![whole(files, format!("no schema can be made of [policy.claims] and [policy.arguments]: {error}"))])?;
        let validator = Validator::new(schema.clone());
        let (mut rules, mut faults, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        let mut known: HashMap<String, PathBuf> = HashMap::new();
        for file in files {
            match one(file, &validator, &mut warnings) {
                Ok(found) => {
                    for (id, policy) in found {
                        if let Some(other) = known.insert(id.clone(), file.path.clone()) {
                            let offset = place_of(&file.text, &id);
                            let message = format!(
                                "the id {id:?} is given twice (also in {}); logs and answers name a policy by its id",
                                other.display()
                            );
                            faults.push(Fault { path: file.path.clone(), offset, message });
                            continue;
                        }
                        match Rule::new(&policy, &id, false) {
                            Ok(rule) => rules.push(rule),
                            Err(why) => faults.push(Fault {
                                path: file.path.clone(),
                                offset: place_of(&file.text, &id),
                                message: format!("policy {id:?} cannot be used: {why}"),
                            }),
                        }
                    }
                }
                Err(found) => faults.extend(found),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        // Who may use something may see it. What no policy is about is as the operator says.
        let own = if permits { "permit(principal, action, resource);" } else { "permit(principal, action == Action::\"list\", resource);" };
        let own = Policy::parse(Some(PolicyId::new(OWN)), own).map_err(|error| error.to_string());
        match own.and_then(|own| Rule::new(&own, OWN, true)) {
            Ok(rule) => rules.push(rule),
            Err(why) => return Err(vec![whole(files, why)]),
        }
        let reads = rules.iter().fold(Reads::default(), |reads, rule| reads.and(rule.reads));
        let reads_address = rules.iter().any(|rule| rule.reads_address);
        let mut print = blake3::Hasher::new();
        print.update(schema::text(&declared).as_bytes()).update(&[u8::from(permits)]);
        for file in files {
            print.update(&file.text.len().to_le_bytes()).update(file.text.as_bytes());
            // A policy without an id is called by its file.
            print.update(file.path.as_os_str().as_encoded_bytes()).update(&[0]);
        }
        let (Some(types), Ok(actions)) = (Types::new(), schema.action_entities()) else {
            return Err(vec![whole(files, "no schema can be made".to_owned())]);
        };
        let places = rules.iter().enumerate().map(|(place, rule)| (Arc::clone(&rule.id), place)).collect();
        let set = Arc::new(Set { rules, places, declared, types, actions });
        Ok(Self { set, reads, reads_address, print: print.finalize(), warnings, bound: Mutex::default() })
    }
}

/// The policies of one file by their ids, in its order.
fn one(file: &PolicyFile, validator: &Validator, warnings: &mut Vec<String>) -> Result<Vec<(String, Policy)>, Vec<Fault>> {
    let fault = |offset: usize, message: String| Fault { path: file.path.clone(), offset, message };
    let set = PolicySet::from_str(&file.text).map_err(|errors| {
        errors
            .iter()
            .map(|error| {
                let (offset, message) = told(error);
                fault(offset, message)
            })
            .collect::<Vec<_>>()
    })?;
    if set.num_of_templates() > 0 {
        let offset = ["?principal", "?resource"].iter().filter_map(|slot| file.text.find(slot)).min().unwrap_or_default();
        return Err(vec![fault(
            offset,
            "this is a template, and nothing links templates here; write the principal or the resource itself".to_owned(),
        )]);
    }
    let names = names(file, &set);
    let result = validator.validate(&set, ValidationMode::Strict);
    let named =
        |message: String| names.iter().fold(message, |message, (own, name)| message.replace(&format!("`{own}`"), &format!("{name:?}")));
    let found: Vec<Fault> = result
        .validation_errors()
        .map(|error| {
            let (offset, message) = told(error);
            fault(offset, named(message))
        })
        .collect();
    if !found.is_empty() {
        return Err(found);
    }
    warnings.extend(result.validation_warnings().map(|warning| format!("{}: {}", file.path.display(), named(warning.to_string()))));
    let mut all: Vec<(usize, String, Policy)> = Vec::new();
    for policy in set.policies() {
        let own: &str = policy.id().as_ref();
        all.push((number(own), names.get(own).cloned().unwrap_or_else(|| own.to_owned()), policy.clone()));
    }
    all.sort_by_key(|(place, ..)| *place);
    Ok(all.into_iter().map(|(_, name, policy)| (name, policy)).collect())
}

/// What policies are called: by their `@id`, or by their file and place in it.
fn names(file: &PolicyFile, set: &PolicySet) -> BTreeMap<String, String> {
    let stem = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = |policy: &Policy| {
        let own: &str = policy.id().as_ref();
        let id = policy.annotation("id").filter(|id| !id.is_empty());
        (own.to_owned(), id.map_or_else(|| format!("{stem}#{}", number(own) + 1), str::to_owned))
    };
    set.policies().map(name).collect()
}

/// The place of a policy in its file, by the name that Cedar gives it.
fn number(own: &str) -> usize {
    own.strip_prefix("policy").and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Where an id stands in a text, the last time.
fn place_of(text: &str, id: &str) -> usize {
    text.rfind(&format!("{id:?}")).unwrap_or_default()
}

/// What an error says, all of it, and at which byte it is.
fn told(error: &dyn Diagnostic) -> (usize, String) {
    let mut message = error.to_string();
    let mut offset = None;
    for label in error.labels().into_iter().flatten() {
        offset.get_or_insert(label.offset());
        if let Some(text) = label.label().filter(|text| !message.contains(text)) {
            message.push_str(&format!(": {text}"));
        }
    }
    if let Some(help) = error.help().map(|help| help.to_string()).filter(|help| !message.contains(help)) {
        message.push_str(&format!(" ({help})"));
    }
    (offset.unwrap_or_default(), message)
}

/// A fault of all files together.
fn whole(files: &[PolicyFile], message: String) -> Fault {
    Fault { path: files.first().map(|file| file.path.clone()).unwrap_or_default(), offset: 0, message }
}
