//! `envFile`: variables in a file of lines `NAME=value`.

use std::{collections::BTreeMap, path::Path};

use super::super::{Secret, secret};

/// Such a file is written by hand.
const MAX_FILE: u64 = 1 << 20;

/// Reads it.
///
/// # Errors
///
/// Why it cannot be read, or which line is none. It shows no value.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Secret>, String> {
    let failed = |why: String| format!("the file {} cannot be read: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(failed(format!("it is larger than {MAX_FILE} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8 text".to_owned()))?;
    parse(&text).map_err(failed)
}

fn parse(text: &str) -> Result<BTreeMap<String, Secret>, String> {
    let mut variables = BTreeMap::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| format!("line {} has no \"=\"", number + 1))?;
        let name = name.trim();
        secret::variable_name(name).map_err(|error| format!("line {}: {error}", number + 1))?;
        variables.insert(name.to_owned(), Secret(value_of(value.trim())));
    }
    Ok(variables)
}

/// Quotes around a value do not belong to it; a ` #` behind a bare one begins a comment.
fn value_of(text: &str) -> String {
    if let Some(quoted) = text.strip_prefix('"')
        && let Some(end) = quoted.rfind('"')
    {
        let quoted = quoted.get(..end).unwrap_or_default();
        return quoted.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\");
    }
    if let Some(quoted) = text.strip_prefix('\'')
        && let Some(end) = quoted.rfind('\'')
    {
        return quoted.get(..end).unwrap_or_default().to_owned();
    }
    text.split_once(" #").map_or(text, |(value, _)| value.trim_end()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_shells_and_editors_do() {
        let text = "\u{feff}# comment\nA=1\n export B = two words # why\r\nC=\"x # y\\n\"\nD='$A'\nE=\nF=a=b\n";
        let variables = parse(text).unwrap();
        let want = [("A", "1"), ("B", "two words"), ("C", "x # y\n"), ("D", "$A"), ("E", ""), ("F", "a=b")];
        assert_eq!(variables.len(), want.len());
        for (name, value) in want {
            assert_eq!(variables[name].0, value, "{name}");
        }
        assert_eq!(parse("A=1\ns3cr3t").unwrap_err(), "line 2 has no \"=\"");
    }
}
