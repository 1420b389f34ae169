//! Servers that are processes of this machine: programs and container images.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::{
    super::{
        DirGrant, LockedImage, Secret,
        dirs::{Dirs, Folder},
        key::TypeInfo,
        secret::variable_name,
        section::{Section, section},
        toml_reader::Item,
        types::{
            Boolean, DAY, MIB, SECOND, TIB, Type, choice, duration, fraction, list, number, optional, secrets, size, text, text_or_source,
        },
    },
    kind::{COMMAND, IMAGE, PROCESSES},
};

/// More processes of one kind do not fit a machine.
const MOST_REPLICAS: u32 = 1000;

section! {
    /// How a program, or a container, is started.
    pub(super) struct LaunchKeys {
        /// Arguments of the program or of the image's entry point.
        args: Vec<String> = Vec::new(), list("texts", text("text", no_nul)) => only(PROCESSES), secret;
        /// Environment variables, `NAME = "value"`, `NAME = { from_env = "VARIABLE" }` or
        /// `NAME = { from_file = "path" }`. A program gets these, and of Toolbay's
        /// own only what every program needs (`PATH`, `HOME`, `LANG`, `TMPDIR` and the like).
        env: BTreeMap<String, Secret> = BTreeMap::new(), secrets(variable_name, text_or_source(Ok)) => only(PROCESSES);
        /// Number of replicas. As a table, it has the keys below.
        replicas: Replicas = Replicas::default(), ReplicaCount => only(PROCESSES);
    }
}

section! {
    /// How a program is started.
    pub(super) struct ProgramKeys {
        /// Working directory.
        cwd: Option<PathBuf> = None, optional(Folder) => only(&[COMMAND]), unset("where Toolbay runs");
    }
}

/// `command = ["npx", "-y", "some-server"]`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CommandSource {
    /// The program and its arguments; never empty. Key: `command` (a list, or a string with `args`
    /// beside it).
    pub argv: Vec<String>,
    /// Where it runs. None: where the host does. Key: `cwd`.
    pub cwd: Option<PathBuf>,
    /// Its environment, beside `PATH`, `HOME`, `LANG`, `TMPDIR` and the like, which it has from the
    /// host. Key: `env`.
    pub env: BTreeMap<String, Secret>,
}

section! {
    /// `image = "ghcr.io/acme/server:1"`.
    pub struct ImageSource {
        /// The image. Key: `image`.
        image: String = String::new();
        /// Arguments of the entry point. Key: `args`.
        args: Vec<String> = Vec::new();
        /// The environment. Key: `env`.
        env: BTreeMap<String, Secret> = BTreeMap::new();
        /// Replaces the image's entry point.
        entrypoint: Option<Vec<String>> = None, optional(list("texts", text("text", no_nul)))
            => only(&[IMAGE]), secret, unset("the image's");
        /// Memory limit, swap included.
        memory: u64 = 512 * MIB, size(6 * MIB..=4 * TIB) => only(&[IMAGE]);
        /// CPU limit in cores; `0.5` is half a core.
        cpus: f64 = 1.0, fraction(0.01..=1024.0) => only(&[IMAGE]);
        /// Limit on processes and threads.
        pids: u32 = 256, number(1..=4_194_304) => only(&[IMAGE]);
        /// `"none"`, `"bridge"`, `"host"`, or the name of one of the engine's networks.
        network: String = "none".to_owned(), text("text", network) => only(&[IMAGE]);
        /// Size of the writable `/tmp`, which is in memory, and of each folder in `scratch`.
        tmpfs: u64 = 64 * MIB, size(0..=TIB) => only(&[IMAGE]);
        /// More writable folders in memory: `["/root", "/home", "/var/cache"]` for a program that writes
        /// to its home or its cache.
        scratch: Vec<String> = Vec::new(), list("paths", text("path", scratch)) => only(&[IMAGE]);
        /// Whether the root file system is writable.
        writable: bool = false, Boolean => only(&[IMAGE]);
        /// A user, or `user:group`.
        user: Option<String> = None, optional(text("text", user)) => only(&[IMAGE]), unset("the image's");
        /// Folders to mount.
        dirs: Vec<DirGrant> = Vec::new(), Dirs => only(&[IMAGE]);
        /// When to pull the image: `"missing"`, `"always"` (at every start of Toolbay) or
        /// `"never"`.
        pull: Pull = Pull::Missing, choice(PULL) => only(&[IMAGE]);
        /// What the lock file says of it. None: nothing, so that any is as good.
        accepted: Option<AcceptedImage> = None;
    }
}

/// Which image somebody has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedImage {
    /// Its name, and what that stood for.
    pub image: LockedImage,
    /// Whether no other is started.
    pub hold: bool,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pull {
    /// When it is not there.
    #[default]
    Missing,
    /// At every start of the host.
    Always,
    /// Never.
    Never,
}

const PULL: &[(&str, Pull)] = &[("missing", Pull::Missing), ("always", Pull::Always), ("never", Pull::Never)];

section! {
    /// How many replicas run, and when more are started. `replicas = 3` is `{ min = 3, max = 3 }`.
    #[derive(Copy)]
    pub struct Replicas {
        /// Minimum number of replicas. 0: none while idle; the first call starts one.
        min: u32 = 1, number(0..=MOST_REPLICAS);
        /// Maximum number of replicas.
        max: u32 = 1, number(1..=MOST_REPLICAS);
        /// Target for running and queued calls per replica.
        target_ongoing_requests: f64 = 2.0, fraction(0.01..=10_000.0);
        /// How long more replicas must be needed before they are started.
        upscale_delay: Duration = SECOND * 3, duration(Duration::ZERO..=DAY);
        /// How long fewer replicas must suffice before others are stopped.
        downscale_delay: Duration = SECOND * 60, duration(Duration::ZERO..=DAY);
    }
}

/// A number of replicas, or the table of them.
struct ReplicaCount;

impl Type<Replicas> for ReplicaCount {
    fn read(&self, item: &Item<'_>) -> Option<Replicas> {
        let mut replicas = Replicas::default();
        if item.value.is_integer() {
            if item.value.as_integer().is_some_and(|number| number.as_str() == "0") {
                item.fail("0 would never run; write { min = 0, max = 1 } to run it only while it is called");
                return None;
            }
            let count = item.number(1..=MOST_REPLICAS)?;
            return Some(Replicas { min: count, max: count, ..replicas });
        }
        if !item.value.is_table() {
            item.wrong_type("a number, or a table ({ min = 1, max = 4 })");
            return None;
        }
        let table = item.table()?;
        replicas.read(&table);
        match (table.get("min").is_some(), table.get("max").is_some()) {
            (true, false) => replicas.max = replicas.max.max(replicas.min),
            (false, true) => replicas.min = replicas.min.min(replicas.max),
            _ => {}
        }
        table.finish();
        if replicas.min > replicas.max {
            item.fail(format_args!("min ({}) is more than max ({})", replicas.min, replicas.max));
        }
        Some(replicas)
    }

    fn info(&self) -> TypeInfo {
        TypeInfo::new("number or table", json!({ "$ref": "#/$defs/Replicas" })).within(format!("1 to {MOST_REPLICAS}"))
    }

    fn write(&self, value: &Replicas) -> Option<Value> {
        Some(value.min.into())
    }
}

/// A program and its arguments, or the program alone.
pub(super) struct Command;

impl Type<Vec<String>> for Command {
    fn read(&self, item: &Item<'_>) -> Option<Vec<String>> {
        let mut argv = if item.value.as_array().is_some() {
            item.parsed_list(no_nul)?
        } else if item.value.as_str().is_some() {
            vec![item.parsed(no_nul)?]
        } else {
            item.wrong_type("a list ([\"program\", \"argument\"]), or text with \"args\" beside it");
            return None;
        };
        let Some(program) = argv.first_mut().filter(|program| !program.trim().is_empty()) else {
            item.fail("has no program; write [\"program\", \"argument\"]");
            return None;
        };
        if program.starts_with("~/") {
            item.fail(format_args!("{program:?}: \"~\" is not expanded; write the whole path"));
        } else if program.contains(char::is_whitespace) && item.value.as_str().is_some() && !item.folder().join(&*program).exists() {
            let words = program.split_whitespace().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
            item.fail(format_args!("no shell splits this into words; write command = [{words}]"));
        } else if program.contains('/') {
            // As every path of the file. A bare name is looked up in PATH.
            let path = item.folder().join(&*program);
            *program = std::path::absolute(&path).unwrap_or(path).to_string_lossy().into_owned();
        }
        Some(argv)
    }

    fn info(&self) -> TypeInfo {
        let schema = json!({
            "anyOf": [{ "type": "array", "items": { "type": "string" }, "minItems": 1 }, { "type": "string", "minLength": 1 }]
        });
        TypeInfo::new("list of texts", schema)
    }

    fn write(&self, _: &Vec<String>) -> Option<Value> {
        None
    }
}

pub(super) fn image_name(text: &str) -> Result<String, String> {
    match text {
        _ if text.trim().is_empty() => Err("has no image; write \"registry/name:tag\"".to_owned()),
        _ if text.contains(char::is_whitespace) || text.starts_with('-') => {
            Err(format!("{text:?} is not an image; write \"registry/name:tag\", and arguments into \"args\""))
        }
        _ => Ok(text.to_owned()),
    }
}

/// A folder of a container that can lie in memory.
fn scratch(text: &str) -> Result<String, String> {
    let folder = text.trim_end_matches('/');
    let is_path = folder.starts_with('/') && !folder.split('/').any(|part| matches!(part, "." | "..")) && !folder.contains("//");
    match folder {
        "/tmp" => Err("\"/tmp\" is writable already; its size is `tmpfs`".to_owned()),
        _ if is_path && !folder.contains([':', ',', '\0']) => Ok(folder.to_owned()),
        _ => Err(format!("{text:?} is not a folder of a container; write an absolute path, such as \"/root\"")),
    }
}

fn network(text: &str) -> Result<String, String> {
    match text {
        _ if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is not a network; write \"none\", \"bridge\", \"host\", or the name of a network of the engine")),
    }
}

fn user(text: &str) -> Result<String, String> {
    match text {
        _ if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')) => {
            Ok(text.to_owned())
        }
        _ => Err(format!("{text:?} is not a user; write \"1000\", \"1000:1000\" or a name of the image")),
    }
}

fn no_nul(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err("an argument cannot hold a NUL character".to_owned()) } else { Ok(text.to_owned()) }
}
