//! Names of tools: what every client and model takes, no two alike, and the same whatever else the document has.

use std::collections::{HashMap, HashSet};

use super::document::Found;

/// What model providers take: `^[A-Za-z0-9_-]{1,64}$`.
const LONGEST: usize = 64;
/// Digits that tell names apart that are too long.
const DIGITS: usize = 6;

/// The name of a tool, and the document's own where it is another.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) own: Option<String>,
}

/// A name for each operation: its own where it can be one, else made of it, else of method and path.
pub(super) fn names(operations: &[&Found<'_>]) -> Vec<Named> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut first: HashMap<usize, Named> = HashMap::new();
    let own = |found: &Found<'_>| found.operation.get("operationId").and_then(super::tree::Node::said);
    for (at, found) in operations.iter().enumerate() {
        if let Some(name) = own(found).filter(|name| !name.is_empty() && plain(name) == *name)
            && taken.insert(name.clone())
        {
            first.insert(at, Named { name, own: None });
        }
    }
    let all = operations.iter().enumerate().map(|(at, found)| {
        first.remove(&at).unwrap_or_else(|| {
            let own = own(found);
            let by_path = || plain(&format!("{}_{}", found.method.as_str().to_ascii_lowercase(), found.path));
            let name = own.as_deref().map(plain).filter(|name| !name.is_empty()).unwrap_or_else(by_path);
            let name = free(name, &taken);
            taken.insert(name.clone());
            Named { own: own.filter(|own| *own != name && !own.trim().is_empty()), name }
        })
    });
    all.collect()
}

fn free(name: String, taken: &HashSet<String>) -> String {
    if !name.is_empty() && !taken.contains(&name) {
        return name;
    }
    let short: String = name.chars().take(LONGEST - DIGITS - 1).collect();
    let short = if short.is_empty() { "operation" } else { short.as_str() };
    (2..).map(|number| format!("{short}_{number}")).find(|name| !taken.contains(name)).unwrap_or(name)
}

/// In letters that every client takes, and no longer.
fn plain(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
        if !(c == '_' && name.ends_with('_')) {
            name.push(c);
        }
    }
    let name = if is_plain(text) { text } else { name.trim_matches('_') };
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let head: String = name.chars().take(LONGEST - DIGITS - 1).collect();
    let digest = blake3::hash(text.as_bytes()).to_hex();
    format!("{}_{}", head.trim_end_matches('_'), digest.get(..DIGITS).unwrap_or_default())
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
