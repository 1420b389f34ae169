//! From a document to a provider: each operation for itself, as many as are wanted, within what a document of its size may take.

use std::{collections::HashMap, sync::Arc};

use url::Origin;

use super::{
    Application, Error,
    document::{Base, Document, Found},
    library::{Flaw, Library},
    names::{self, Named},
    operation::{Making, Operation, Room},
    reader::Wanted,
    security::Security,
    send::Sender,
};
use crate::{
    config::{OpenApiSource, PublishRules},
    provider::{Provider, ProviderId},
};

/// What all schemas of arguments together may take in memory, for each byte of the document, and what all schemas of answers may.
const INPUTS: usize = 5;
const OUTPUTS: usize = 2;
/// As if no document were smaller.
const LEAST: usize = 128 << 10;
/// What one tool's arguments and one tool's answers may take: some 60 and 16 KB of JSON.
const MOST: Room = Room { input: 400 << 10, output: 100 << 10, is_trial: false };
/// What a byte of JSON takes in memory, about.
const BYTE: usize = 7;
/// How many times what would be its share one tool may take of what others leave.
const SHARES: usize = 4;

/// Operations of which it is told why they are left out.
const TOLD: usize = 20;

/// What was made of a document.
pub(super) struct Loaded {
    pub(super) provider: Arc<dyn Provider>,
    /// What is not served, or not as it stands in the document, with place and reason: the first of it.
    pub(super) warnings: Vec<String>,
    /// All of it.
    pub(super) log: Vec<String>,
}

/// What was found wrong, each once.
#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    fn add(&mut self, text: String) {
        if !self.0.contains(&text) {
            self.0.push(text);
        }
    }

    /// The first of them, and how many more there are.
    fn finish(mut self) -> Vec<String> {
        let more = self.0.len().saturating_sub(TOLD);
        self.0.truncate(TOLD);
        if more > 0 {
            self.0.push(format!("and {more} more; the log has them all"));
        }
        self.0
    }
}

/// Makes a provider of a document.
///
/// # Errors
///
/// [`Error`], where nothing of it can be served.
pub(super) fn load(
    id: &ProviderId,
    source: &OpenApiSource,
    document: &Document<'_>,
    publish: PublishRules,
    wanted: &Wanted,
    sender: Arc<Sender>,
) -> Result<Loaded, Error> {
    let (found, mut left_out) = (document.operations(), Told::default());
    let operations: Vec<&Found<'_>> = found.iter().filter_map(|entry| entry.as_ref().ok()).collect();
    let loading = Loading {
        document,
        source,
        base: document.base(id, source),
        credentials: document.credentials_are_for(source),
        security: Security::new(document, source),
        publish,
    };
    for (what, flaw) in found.iter().filter_map(|entry| entry.as_ref().err()) {
        left_out.add(told(document.library, what, flaw));
    }
    let has_operations = !found.is_empty();
    let named = names::names(&operations);
    let (all, unwanted): (Vec<_>, Vec<_>) = operations.into_iter().zip(named).partition(|(_, named)| wanted(&named.name));
    let room = loading.room(&all);
    let (mut tools, mut by_name, mut notes) = (Vec::with_capacity(all.len()), HashMap::new(), Told::default());
    loading.security.unknown(source).into_iter().for_each(|text| notes.add(text));
    for (found, named) in &all {
        match loading.operation(found, named, room) {
            Ok((operation, said)) => {
                said.into_iter().for_each(|said| notes.add(format!("{} {}: {said}", found.method, found.path)));
                loading.security.wanted(found, source).into_iter().for_each(|text| notes.add(text));
                tools.push(Arc::clone(operation.tool()));
                by_name.insert(named.name.clone(), operation);
            }
            Err(flaw) => left_out.add(told(document.library, &format!("{} {}", found.method, found.path), &flaw)),
        }
    }
    let log = left_out.0.iter().chain(&notes.0).cloned().collect();
    if tools.is_empty() && unwanted.is_empty() {
        // Where nothing is known of where the application is, that is why.
        loading.base?;
        let reason = match (has_operations, left_out.finish()) {
            (false, _) => "it has no operations".to_owned(),
            (true, left_out) => left_out.join("; "),
        };
        return Err(Error::Nothing { document: source.document.to_string(), reason });
    }
    let others = unwanted.into_iter().map(|(_, named)| named.name).collect();
    let warnings = left_out.finish().into_iter().chain(notes.finish()).collect();
    let provider = Arc::new(Application { id: id.clone(), tools, operations: by_name, others, sender });
    Ok(Loaded { provider, warnings, log })
}

fn told(library: &Library, what: &str, flaw: &Flaw<'_>) -> String {
    format!("{what} is left out: {}", flaw.told(library))
}

struct Loading<'d, 'a> {
    document: &'d Document<'a>,
    source: &'d OpenApiSource,
    base: Result<Base, Error>,
    credentials: Option<Origin>,
    security: Security<'a>,
    publish: PublishRules,
}

impl<'a> Loading<'_, 'a> {
    fn operation(&self, found: &Found<'a>, named: &Named, room: Room) -> Result<(Operation, Vec<String>), Flaw<'a>> {
        match self.made(found, named, room) {
            // Without what it refers to it may be simple enough.
            Err(flaw) if flaw.reason.contains("too long") || flaw.reason.contains("nested more than") => {
                self.made(found, named, Room { input: 0, output: 0, is_trial: false }).map_err(|_| flaw)
            }
            made => made,
        }
    }

    fn made(&self, found: &Found<'a>, named: &Named, room: Room) -> Result<(Operation, Vec<String>), Flaw<'a>> {
        let flaw = |reason: String| Flaw::new(found.operation, reason);
        let base = self.document.base_of(found, &self.base).map_err(flaw)?;
        let applied = self.security.of(self.document, found, self.source).map_err(flaw)?;
        if let Some(credentials) = self.credentials.as_ref().filter(|credentials| **credentials != base.origin()) {
            return Err(flaw(format!(
                "it is at {}, and the secrets of this section are for {}, where the document is; set base_url to where they may go",
                base.origin().ascii_serialization(),
                credentials.ascii_serialization()
            )));
        }
        Operation::new(Making { document: self.document, found, named, base, applied, publish: self.publish }, room)
    }

    /// How much the schemas of each tool may take, so that all together do not take more than a document of this size may.
    fn room(&self, all: &[(&Found<'a>, Named)]) -> Room {
        let size = self.document.library.len().max(LEAST);
        let most = |share: usize| size * share / all.len().max(1) * SHARES;
        let bound = self.publish.max_schema.saturating_mul(BYTE);
        let (inputs, outputs) = (MOST.input.min(most(INPUTS)).min(bound), MOST.output.min(most(OUTPUTS)).min(bound));
        let trial = Room { input: inputs, output: outputs, is_trial: true };
        let (mut inputs, mut outputs) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        for (found, named) in all {
            if let Ok((operation, _)) = self.operation(found, named, trial) {
                let (input, output) = operation.weight();
                inputs.push(input);
                outputs.push(output);
            }
        }
        let input = level(&mut inputs, size * INPUTS).min(trial.input);
        let output = level(&mut outputs, size * OUTPUTS).min(trial.output);
        Room { input, output, is_trial: false }
    }
}

/// The most that each may have so that all together have no more than there is: those that need less leave it to the others.
fn level(needs: &mut [usize], budget: usize) -> usize {
    needs.sort_unstable();
    let mut left = budget;
    for (before, need) in needs.iter().enumerate() {
        let share = left / (needs.len() - before);
        if *need > share {
            return share;
        }
        left -= need;
    }
    usize::MAX
}
