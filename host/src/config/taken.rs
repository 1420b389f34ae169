//! Names that are taken: plugins, servers and pipelines are called by them, and have an endpoint each.

use std::{collections::BTreeSet, path::Path};

/// Who has a name.
pub(super) struct Taken<'a> {
    servers: BTreeSet<&'a str>,
    plugins: BTreeSet<&'a str>,
    pipelines: BTreeSet<&'a str>,
    /// The folder of plugins.
    folder: &'a Path,
}

impl<'a> Taken<'a> {
    pub(super) fn new(
        servers: impl Iterator<Item = &'a String>,
        plugins: impl Iterator<Item = &'a String>,
        pipelines: impl Iterator<Item = &'a String>,
        folder: &'a Path,
    ) -> Self {
        let [servers, plugins, pipelines] =
            [servers.map(String::as_str).collect(), plugins.map(String::as_str).collect(), pipelines.map(String::as_str).collect()];
        Self { servers, plugins, pipelines, folder }
    }

    /// What has this name, as the beginning of a sentence. None: nothing has.
    pub(super) fn by(&self, name: &str) -> Option<String> {
        let file = self.folder.join(format!("{name}.wasm"));
        if self.servers.contains(name) {
            Some(format!("there is a server of this name ([server.{name}], or an entry of mcp_json)"))
        } else if self.plugins.contains(name) {
            Some(format!("there is a [plugin.{name}]"))
        } else if self.pipelines.contains(name) {
            Some(format!("there is a [pipeline.{name}]"))
        } else {
            file.exists().then(|| format!("there is a plugin of this name ({})", file.display()))
        }
    }
}
