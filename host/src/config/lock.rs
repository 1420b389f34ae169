//! `toolbay.lock`: the definitions of tools, and the plugins, that somebody has accepted.

use std::{collections::BTreeMap, fmt, io::ErrorKind, path::Path};

use serde::{Deserialize, Serialize};

use super::{ConfigError, OciReference};
use crate::{provider::Definition, whole_file};

/// The name of the file beside `toolbay.toml`.
pub(super) const NAME: &str = "toolbay.lock";

/// The form of the file.
const VERSION: u32 = 1;

const HEAD: &str =
    "# What this host may offer of its plugins and servers. Written by `toolbay lock`: review its changes like those of code.\n\n";

/// What was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The digest of each plugin: the BLAKE3 of its file, in hex.
    pub plugins: BTreeMap<String, String>,
    /// Where plugins from a registry were when they were accepted, by tag and digest.
    pub sources: BTreeMap<String, OciReference>,
    /// What each server says.
    pub servers: BTreeMap<String, LockedServer>,
}

/// What was accepted of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedServer {
    /// What it tells models of itself.
    pub instructions: Option<String>,
    /// Its tools, by its own names.
    pub tools: BTreeMap<String, Definition>,
    /// Its prompts, by its own names.
    pub prompts: BTreeMap<String, Definition>,
    /// The image that it runs. None: it runs none, or nobody has accepted one.
    pub image: Option<LockedImage>,
    /// What else it offers. None: an older Toolbay wrote the file, and none of that is pinned.
    pub beside: Option<LockedOffers>,
}

/// What was accepted of one server beside tools and prompts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedOffers {
    /// Its resources, by URI.
    pub resources: BTreeMap<String, Definition>,
    /// Its resource templates, by their texts.
    pub templates: BTreeMap<String, Definition>,
    /// What its pages hold (MCP Apps), by URI.
    pub pages: BTreeMap<String, Definition>,
}

/// A container image, and what its name stood for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedImage {
    /// As the configuration names it.
    pub name: String,
    /// `sha256:…`
    pub digest: String,
}

impl fmt::Display for LockedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.digest)
    }
}

impl LockedImage {
    fn parse(text: &str) -> Option<Self> {
        let (name, digest) = text.rsplit_once('@')?;
        let is_digest = digest.split_once(':').is_some_and(|(by, hash)| !by.is_empty() && !hash.is_empty());
        (!name.is_empty() && is_digest).then(|| Self { name: name.to_owned(), digest: digest.to_owned() })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    plugin: BTreeMap<String, FilePlugin>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    server: BTreeMap<String, FileServer>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePlugin {
    digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileServer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tools: BTreeMap<String, FileSaid>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    prompts: BTreeMap<String, FileSaid>,
    /// Written also where it is empty: where it is missing, none of the three is pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resources: Option<BTreeMap<String, FileSaid>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    templates: BTreeMap<String, FileSaid>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pages: BTreeMap<String, FileSaid>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSaid {
    digest: String,
    definition: String,
}

impl Lock {
    /// Reads the file. None: there is none.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Lock`]: it is there and cannot be used.
    pub fn read(path: &Path) -> Result<Option<Self>, ConfigError> {
        let wrong = |reason: String| ConfigError::Lock { path: path.to_owned(), reason };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map(Some).map_err(wrong),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// Puts the file in place as a whole: a running host reads it at any time.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        whole_file::write(path, self.to_text().as_bytes())
    }

    /// # Errors
    ///
    /// What is wrong with the text.
    fn parse(text: &str) -> Result<Self, String> {
        let File { version, plugin, server } = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        if version != VERSION {
            return Err(format!("it has version {version}, and this Toolbay reads version {VERSION}"));
        }
        let accepted = |server: &str, all: BTreeMap<String, FileSaid>| -> Result<BTreeMap<String, Definition>, String> {
            let one = |(name, said): (String, FileSaid)| {
                // A reader of the file judges by the definition, and the host by the digest.
                let definition = Definition::parse(&said.definition).filter(|definition| definition.digest() == said.digest);
                let edited =
                    || format!("the definition of {name:?} of [server.{server}] does not have the digest beside it: the file was edited");
                Ok((name.clone(), definition.ok_or_else(edited)?))
            };
            all.into_iter().map(one).collect()
        };
        let read_server = |(name, file): (String, FileServer)| {
            let image = file.image.map(|image| {
                LockedImage::parse(&image)
                    .ok_or_else(|| format!("the image of [server.{name}] is not \"NAME@sha256:…\": the file was edited"))
            });
            let beside = match file.resources {
                Some(resources) => Some(LockedOffers {
                    resources: accepted(&name, resources)?,
                    templates: accepted(&name, file.templates)?,
                    pages: accepted(&name, file.pages)?,
                }),
                None if file.templates.is_empty() && file.pages.is_empty() => None,
                None => return Err(format!("[server.{name}] has templates or pages, and no table of resources: the file was edited")),
            };
            let (tools, prompts) = (accepted(&name, file.tools)?, accepted(&name, file.prompts)?);
            let server = LockedServer { instructions: file.instructions, tools, prompts, image: image.transpose()?, beside };
            Ok::<_, String>((name, server))
        };
        let servers = server.into_iter().map(read_server);
        let source = |(name, plugin): (&String, &FilePlugin)| {
            let read = OciReference::parse(plugin.source.as_ref()?);
            Some(read.map(|source| (name.clone(), source)).map_err(|error| format!("the source of [plugin.{name}]: {error}")))
        };
        Ok(Self {
            sources: plugin.iter().filter_map(source).collect::<Result<_, _>>()?,
            servers: servers.collect::<Result<_, _>>()?,
            plugins: plugin.into_iter().map(|(name, plugin)| (name, plugin.digest)).collect(),
        })
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let said = |all: &BTreeMap<String, Definition>| -> BTreeMap<String, FileSaid> {
            let one = |definition: &Definition| FileSaid { digest: definition.digest(), definition: format!("{}\n", definition.pretty()) };
            all.iter().map(|(name, definition)| (name.clone(), one(definition))).collect()
        };
        let server = |server: &LockedServer| FileServer {
            image: server.image.as_ref().map(ToString::to_string),
            instructions: server.instructions.clone(),
            tools: said(&server.tools),
            prompts: said(&server.prompts),
            resources: server.beside.as_ref().map(|beside| said(&beside.resources)),
            templates: server.beside.as_ref().map(|beside| said(&beside.templates)).unwrap_or_default(),
            pages: server.beside.as_ref().map(|beside| said(&beside.pages)).unwrap_or_default(),
        };
        let file = File {
            version: VERSION,
            plugin: self
                .plugins
                .iter()
                .map(|(name, digest)| {
                    (name.clone(), FilePlugin { digest: digest.clone(), source: self.sources.get(name).map(ToString::to_string) })
                })
                .collect(),
            server: self.servers.iter().map(|(name, one)| (name.clone(), server(one))).collect(),
        };
        // Nothing in it is anything that TOML does not have.
        format!("{HEAD}{}", toml::to_string_pretty(&file).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn lock(words: &str) -> Lock {
        let text = serde_json::json!({ "description": words, "inputSchema": { "type": "object" } }).to_string();
        let tools = BTreeMap::from([(format!("t.{words}"), Definition::parse(&text).unwrap())]);
        let beside = LockedOffers { resources: tools.clone(), templates: tools.clone(), pages: tools.clone() };
        let image = Some(LockedImage { name: "localhost:5000/acme/notes:1".to_owned(), digest: DIGEST.to_owned() });
        let server = LockedServer { instructions: Some(words.to_owned()), prompts: tools.clone(), tools, image, beside: Some(beside) };
        let empty = LockedServer { beside: Some(LockedOffers::default()), ..LockedServer::default() };
        Lock {
            plugins: ["p", "q"].map(|name| (name.to_owned(), "00".to_owned())).into(),
            sources: BTreeMap::from([("q".to_owned(), OciReference::parse("oci://ghcr.io/acme/q:1").unwrap().at(DIGEST))]),
            servers: BTreeMap::from([("s".to_owned(), server), ("empty".to_owned(), empty), ("older".to_owned(), LockedServer::default())]),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_whatever_servers_say(words in any::<String>()) {
            let lock = lock(&words);
            let text = lock.to_text();
            prop_assert_eq!(Lock::parse(&text), Ok(lock), "{}", text);
        }
    }

    #[test]
    fn a_file_that_was_edited_by_hand_is_refused() {
        let text = lock("Adds numbers").to_text();
        assert!(text.contains("\ndefinition = \"\"\"\n{\n  \"description\": \"Adds numbers\",\n"), "{text}");
        let error = Lock::parse(&text.replacen("\"Adds numbers\"", "\"Adds numbers nicely\"", 2)).unwrap_err();
        assert!(error.contains("edited") && error.contains("[server.s]"), "{error}");
        for part in ["resources", "templates", "pages"] {
            let at = text.find(&format!("[server.s.{part}.")).unwrap();
            let (head, tail) = text.split_at(at);
            let error = Lock::parse(&format!("{head}{}", tail.replacen("Adds numbers\",", "Adds numbers nicely\",", 1))).unwrap_err();
            assert!(error.contains("edited"), "{part}: {error}");
        }
        let error = Lock::parse(&text.replace("notes:1@sha256:", "notes:1@")).unwrap_err();
        assert!(error.contains("the image of [server.s]"), "{error}");
        let error = Lock::parse("version = 1\n[server.s.pages.x]\ndigest = \"\"\ndefinition = \"\"").unwrap_err();
        assert!(error.contains("no table of resources"), "{error}");
        assert!(Lock::parse(&text.replace("version = 1", "version = 2")).unwrap_err().contains("version 2"));
        assert!(Lock::parse("version = 1\nplugins = {}").unwrap_err().contains("plugins"));
    }
}
