//! The documents that a description of an application is made of, and what a reference in one of them leads to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, OnceLock, PoisonError},
};

use percent_encoding::percent_decode_str;
use url::Url;

use super::tree::{Node, Tree};

/// References that lead from one to the next before it is called a circle.
const CHAIN: usize = 32;

/// The document that was asked for, and those that it refers to.
pub(super) struct Library {
    files: Vec<File>,
    /// Documents that could not be had, and why.
    failed: BTreeMap<Url, String>,
    /// Documents that something refers to and that were not read yet.
    missing: Mutex<BTreeSet<Url>>,
    /// Which may be read. The error says why not.
    may_read: fn(&Url, &Url) -> Result<(), String>,
    anchors: OnceLock<HashMap<(usize, String), String>>,
}

struct File {
    url: Url,
    tree: Tree,
}

/// Why something of a document cannot be used, and where that stands.
pub(super) struct Flaw<'a> {
    pub(super) node: Node<'a>,
    pub(super) reason: String,
}

impl<'a> Flaw<'a> {
    pub(super) fn new(node: Node<'a>, reason: impl Into<String>) -> Self {
        Self { node, reason: reason.into() }
    }

    /// With its place.
    pub(super) fn told(&self, library: &Library) -> String {
        let pointer = self.node.pointer();
        let line = self.node.line().map(|line| format!(", line {line}")).unwrap_or_default();
        let file = match self.node.tree() {
            0 => String::new(),
            file => library.files.get(file).map(|file| format!("{}", file.url)).unwrap_or_default(),
        };
        format!("{} (at {file}#{pointer}{line})", self.reason)
    }
}

impl Library {
    /// A library of one document. `may_read` says, of its address and another's, whether the other may be read too.
    pub(super) fn new(url: Url, tree: Tree, may_read: fn(&Url, &Url) -> Result<(), String>) -> Self {
        Self { files: vec![File { url, tree }], failed: BTreeMap::new(), missing: Mutex::default(), may_read, anchors: OnceLock::new() }
    }

    /// Takes in another document, or why it cannot be had.
    pub(super) fn add(&mut self, url: Url, text: Result<String, String>) {
        let tree = text.and_then(|text| Tree::parse(self.files.len(), text));
        match tree {
            Ok(tree) => self.files.push(File { url, tree }),
            Err(why) => drop(self.failed.insert(url, why)),
        }
        self.anchors = OnceLock::new();
    }

    /// Documents that were looked for and are not here.
    pub(super) fn take_missing(&self) -> BTreeSet<Url> {
        std::mem::take(&mut self.missing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The document that was asked for.
    pub(super) fn root(&self) -> Option<Node<'_>> {
        self.files.first().map(|file| file.tree.root())
    }

    /// Bytes of all documents.
    pub(super) fn len(&self) -> usize {
        self.files.iter().map(|file| file.tree.len()).sum()
    }

    /// What a reference leads to.
    ///
    /// # Errors
    ///
    /// Why it leads nowhere.
    pub(super) fn resolve<'a>(&'a self, reference: &str, from: Node<'a>) -> Result<Node<'a>, Flaw<'a>> {
        let flaw = |why: String| Flaw::new(from, why);
        let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let root = if file.is_empty() { self.file(from.tree()) } else { self.document(file, reference, from).map_err(flaw)? };
        let Some(root) = root else { return Err(flaw(format!("{reference:?} leads nowhere"))) };
        self.within(root, fragment).ok_or_else(|| flaw(format!("{reference:?} leads nowhere")))
    }

    /// What a reference means below a value.
    pub(super) fn pointed<'a>(&'a self, whole: Node<'a>, reference: &str) -> Option<Node<'a>> {
        self.within(whole, reference.strip_prefix('#').filter(|pointer| pointer.starts_with('/'))?)
    }

    /// The value itself, past any references.
    ///
    /// # Errors
    ///
    /// Where they lead nowhere, or in a circle.
    pub(super) fn followed<'a>(&'a self, mut node: Node<'a>) -> Result<Node<'a>, Flaw<'a>> {
        for _ in 0..CHAIN {
            match node.get_text("$ref") {
                Some(reference) => node = self.resolve(reference, node)?,
                None => return Ok(node),
            }
        }
        Err(Flaw::new(node, "its references lead in a circle"))
    }

    fn file(&self, id: usize) -> Option<Node<'_>> {
        self.files.get(id).map(|file| file.tree.root())
    }

    /// The document that a reference begins with.
    fn document<'a>(&'a self, file: &str, reference: &str, from: Node<'a>) -> Result<Option<Node<'a>>, String> {
        let Some(own) = self.files.get(from.tree()) else { return Ok(None) };
        // `Pet` for `#/definitions/Pet`, as it was in versions before 2.0 and is still written.
        if !file.contains(['/', '.', ':'])
            && let Some(found) = ["definitions", "components/schemas"].iter().find_map(|at| {
                let all = at.split('/').try_fold(own.tree.root(), Node::step)?;
                all.get(file)
            })
        {
            return Ok(Some(found));
        }
        let base = own.tree.root().get_text("$self").and_then(|base| own.url.join(base).ok());
        let mut url = base.as_ref().unwrap_or(&own.url).join(file).map_err(|error| format!("{reference:?} is not a reference: {error}"))?;
        url.set_fragment(None);
        if let Some(id) = self.files.iter().position(|file| file.url == url) {
            return Ok(self.file(id));
        }
        if let Some(why) = self.failed.get(&url) {
            return Err(format!("{reference:?} refers to another document, which cannot be read: {why}"));
        }
        if base.is_some_and(|base| base == url) {
            return Ok(self.file(from.tree()));
        }
        if let Some(root) = self.files.first() {
            (self.may_read)(&root.url, &url).map_err(|why| format!("{reference:?} refers to another document, {why}"))?;
        }
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(url);
        Err(format!("{reference:?} refers to another document, which was not read"))
    }

    /// What a fragment means in a document.
    fn within<'a>(&'a self, root: Node<'a>, fragment: &str) -> Option<Node<'a>> {
        if fragment.is_empty() {
            return Some(root);
        }
        let decoded = percent_decode_str(fragment).decode_utf8_lossy();
        if !decoded.starts_with('/') {
            let pointer = self.anchors().get(&(root.tree(), decoded.into_owned()))?;
            return pointed(root, pointer);
        }
        // Somebody may have written a name with a percent sign as it is.
        pointed(root, &decoded).or_else(|| pointed(root, fragment))
    }

    /// Names that schemas give themselves, and where they are.
    fn anchors(&self) -> &HashMap<(usize, String), String> {
        self.anchors.get_or_init(|| {
            let mut found = HashMap::new();
            for file in &self.files {
                let mut open = vec![file.tree.root()];
                while let Some(node) = open.pop() {
                    for keyword in ["$anchor", "$dynamicAnchor"] {
                        if let Some(name) = node.get_text(keyword) {
                            found.entry((node.tree(), name.to_owned())).or_insert_with(|| node.pointer());
                        }
                    }
                    open.extend(node.members().map(|(_, member)| member));
                    open.extend(node.items());
                }
            }
            found
        })
    }
}

/// What a JSON pointer leads to.
fn pointed<'a>(root: Node<'a>, pointer: &str) -> Option<Node<'a>> {
    let steps = pointer.strip_prefix('/')?.split('/');
    steps.map(|token| token.replace("~1", "/").replace("~0", "~")).try_fold(root, |node, token| node.step(&token))
}
