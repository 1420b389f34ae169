//! `dirs = [{ host = "data", guest = "/data" }]`: folders of the host that a plugin or a container
//! sees.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    key::TypeInfo,
    section::{Section, section},
    toml_reader::Item,
    types::{Boolean, Type, text},
};

section! {
    /// A folder of the host that a plugin or a container sees.
    #[derive(Eq)]
    pub struct DirGrant {
        /// The folder on the host. It must exist.
        host: PathBuf = PathBuf::new(), Folder => required;
        /// Where the plugin sees it, without `.` and `..`.
        guest: String = String::new(), text("absolute path", guest_path) => required;
        /// Whether the plugin may write to it.
        write: bool = false, Boolean;
    }
}

/// The list of folders.
pub(super) struct Dirs;

impl Type<Vec<DirGrant>> for Dirs {
    fn read(&self, item: &Item<'_>) -> Option<Vec<DirGrant>> {
        let mut grants: Vec<DirGrant> = Vec::new();
        for item in item.list()? {
            if !item.value.is_table() {
                item.wrong_type("a table ({ host = \"data\", guest = \"/data\" })");
                continue;
            }
            let Some(table) = item.table() else { continue };
            let mut grant = DirGrant::default();
            grant.read(&table);
            for key in ["host", "guest"] {
                if table.get(key).is_none() {
                    item.fail(format_args!("has no {key:?}; write {{ host = \"data\", guest = \"/data\" }}"));
                }
            }
            table.finish();
            if !grant.guest.is_empty() && grants.iter().any(|other| other.guest == grant.guest) {
                item.fail(format_args!("two folders cannot both be {:?} for the plugin", grant.guest));
            }
            grants.push(grant);
        }
        Some(grants)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("list of tables", json!({ "type": "array", "items": { "$ref": "#/$defs/DirSection" } }))
    }

    fn write(&self, value: &Vec<DirGrant>) -> Option<Value> {
        value.is_empty().then(|| json!([]))
    }
}

/// A folder of the host that exists; a relative path goes from the folder of the file.
pub(super) struct Folder;

impl Type<PathBuf> for Folder {
    fn read(&self, item: &Item<'_>) -> Option<PathBuf> {
        let path = item.file_path()?;
        let path = std::path::absolute(&path).unwrap_or(path);
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => return Some(path),
            Ok(_) => item.fail(format_args!("{} is not a folder; only folders can be granted", path.display())),
            Err(error) => item.fail(format_args!("cannot use the folder {}: {error}", path.display())),
        }
        None
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("path", json!({ "type": "string" }))
    }

    fn write(&self, _: &PathBuf) -> Option<Value> {
        None
    }
}

fn guest_path(text: &str) -> Result<String, String> {
    let path = text.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(text);
    if !path.starts_with('/') {
        return Err(format!("{text:?} is not absolute; write the path as the plugin sees it: \"/{text}\""));
    }
    let dotted = path.split('/').any(|part| matches!(part, "." | ".."));
    let plain = Path::new(path).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if dotted || !plain || path.contains("//") || path.contains(['\0', '\\']) {
        return Err(format!("{text:?} is not allowed; a path of the plugin has no \".\", \"..\", \"//\" or \"\\\" in it"));
    }
    Ok(path.to_owned())
}
