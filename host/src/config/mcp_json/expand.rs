//! Variables in the texts of an entry, in all spellings that clients have.

use std::path::Path;

use super::{super::secret, file::File};

/// Names the project's folder, where a file is of no project.
pub(super) const WORKSPACE_VARIABLE: &str = "TOOLBAY_WORKSPACE";

/// Longest file whose content is taken as a value.
const MAX_VALUE: u64 = 64 << 10;

impl File<'_> {
    /// `${VAR}`, `${VAR:-default}`, `${env:VAR}`, `${input:ID}`, `${file:PATH}` and the like, opencode's
    /// `{env:VAR}` and `{file:PATH}`, and `$VAR` where the file is one of Gemini's.
    ///
    /// # Errors
    ///
    /// What cannot be filled in, as the end of a sentence that began with the key. It shows no value.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['$', '{']) {
            let (before, after) = rest.split_at(at);
            expanded.push_str(before);
            let (value, behind) = self.variable_at(after)?;
            expanded.push_str(&value);
            rest = behind;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// What a variable at the beginning of the text stands for, and the text behind it.
    fn variable_at<'t>(&self, text: &'t str) -> Result<(String, &'t str), String> {
        let in_braces = |inner: &'t str| inner.split_once('}').ok_or_else(|| "has \"${\" without its \"}\"".to_owned());
        if let Some(inner) = text.strip_prefix("${") {
            let (name, behind) = in_braces(inner)?;
            return Ok((self.variable(name)?, behind));
        }
        // opencode writes them without the dollar.
        if text.starts_with("{env:") || text.starts_with("{file:") {
            let (name, behind) = in_braces(text.get(1..).unwrap_or_default())?;
            return Ok((self.variable(name)?, behind));
        }
        if let Some((name, behind)) = bare(text)
            && (self.is_gemini || name.starts_with("COPILOT_MCP_"))
            // What is not set stays as it is: a dollar can be a part of a value.
            && let Ok(value) = self.variable_of(name, None)
        {
            return Ok((value, behind));
        }
        // No variable: the sign itself.
        let (sign, behind) = text.split_at(1);
        Ok((sign.to_owned(), behind))
    }

    fn variable(&self, name: &str) -> Result<String, String> {
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (name, None),
        };
        let separator = std::path::MAIN_SEPARATOR.to_string();
        match name.split_once(':') {
            Some(("env", name)) => self.variable_of(name, default),
            Some(("input", id)) => self.inputs.get(id, self.environment),
            Some(("file", path)) => file(&self.path(path)),
            Some(_) => Err(format!("has ${{{name}}}, which means nothing here; write ${{VARIABLE}}")),
            None => match name {
                "userHome" | "HOME" => self.variable_of("HOME", default),
                "pathSeparator" | "/" => Ok(separator),
                "cwd" | "workspaceFolder" | "workspaceRoot" => self.workspace(name),
                "workspaceFolderBasename" => {
                    let workspace = self.workspace(name)?;
                    Ok(Path::new(&workspace).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
                }
                _ => self.variable_of(name, default),
            },
        }
    }

    fn variable_of(&self, name: &str, default: Option<&str>) -> Result<String, String> {
        secret::variable_name(name)?;
        match ((self.environment)(name), default) {
            (Some(value), _) => value.into_string().map_err(|_| format!("the environment variable {name:?} is not UTF-8 text")),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => {
                Err(format!("the environment variable {name:?} is not set; set it where toolbay is started, or write ${{{name}:-default}}"))
            }
        }
    }

    fn workspace(&self, name: &str) -> Result<String, String> {
        let named = (self.environment)(WORKSPACE_VARIABLE).and_then(|path| path.into_string().ok());
        let own = || self.base.workspace.as_ref().map(|path| path.to_string_lossy().into_owned());
        named.or_else(own).ok_or_else(|| {
            format!("has ${{{name}}}, and a host has no workspace; write the path, or set {WORKSPACE_VARIABLE} where toolbay is started")
        })
    }

    /// A path of the file, absolute.
    pub(super) fn path(&self, path: &str) -> std::path::PathBuf {
        let path = match path.strip_prefix("~/") {
            Some(rest) => (self.environment)("HOME").map_or_else(|| path.into(), |home| Path::new(&home).join(rest)),
            None => path.into(),
        };
        let path = self.base.folder.join(path);
        std::path::absolute(&path).unwrap_or(path)
    }
}

/// The name in `$NAME` at the beginning of a text, and what is behind it.
pub(super) fn bare(text: &str) -> Option<(&str, &str)> {
    let name = text.strip_prefix('$')?;
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
    let (name, behind) = name.split_at(end);
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_').then_some((name, behind))
}

fn file(path: &Path) -> Result<String, String> {
    let failed = |why: String| format!("takes its value from the file {}, which cannot be read: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > MAX_VALUE {
        return Err(failed(format!("it is larger than {MAX_VALUE} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
