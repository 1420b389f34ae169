//! What a plugin was refused, in words that say which setting would allow it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{config::DirGrant, provider::ProviderId};

/// Refusals that are kept for one call: more would only make an answer unreadable.
const KEPT: usize = 8;

/// Of these, what was looked for outside of all folders. Interpreters look in many places before they find what they need, so the last ones count.
const KEPT_OUTSIDE: usize = 3;

/// Folders of devices and of the kernel: what is in them no plugin can open.
const OF_MACHINE: [&str; 3] = ["dev", "proc", "sys"];

/// What folders for temporary files are called, wherever they are.
const TEMPORARY: &str = "tmp";

/// One thing that a plugin was not let do. Its text names the missing grant, or the limit, and where that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    plugin: Arc<str>,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Host { scheme: &'static str, authority: String, pattern: String },
    Private { scheme: &'static str, authority: String, pattern: String },
    Connections { authority: String, limit: usize },
    Body { authority: String, limit: u64 },
    Time { authority: String, limit: Duration },
    File { path: String, granted: String },
    Model { told: String },
    Store { told: String },
    Outside { path: String, folder: Option<String> },
    Special { path: String, what: &'static str },
    Files { path: String, limit: usize },
}

impl Refusal {
    /// A host that is not granted. `pattern` is what would grant it.
    pub(crate) fn host(plugin: &Arc<str>, scheme: &'static str, authority: String, pattern: String) -> Self {
        Self { plugin: plugin.clone(), what: What::Host { scheme, authority, pattern } }
    }

    /// A host whose address is not public, while only public ones are granted.
    pub(crate) fn private(plugin: &Arc<str>, scheme: &'static str, authority: String, pattern: String) -> Self {
        Self { plugin: plugin.clone(), what: What::Private { scheme, authority, pattern } }
    }

    /// One request more than may be open.
    pub(crate) fn connections(plugin: &Arc<str>, authority: String, limit: usize) -> Self {
        Self { plugin: plugin.clone(), what: What::Connections { authority, limit } }
    }

    /// An answer with more bytes than may be.
    pub(crate) fn body(plugin: &Arc<str>, authority: String, limit: u64) -> Self {
        Self { plugin: plugin.clone(), what: What::Body { authority, limit } }
    }

    /// A model that is not granted. `told` says so, and which line grants it.
    pub(crate) fn model(plugin: &ProviderId, told: String) -> Self {
        Self { plugin: plugin.as_str().into(), what: What::Model { told } }
    }

    /// The store, which is not granted. `told` says so, and which line grants it.
    pub(crate) fn store(plugin: &ProviderId, told: String) -> Self {
        Self { plugin: plugin.as_str().into(), what: What::Store { told } }
    }

    /// A file that may not be used like that: written to in a folder that is read-only, or outside of the folder.
    pub(crate) fn file(plugin: &ProviderId, path: String, dirs: &[DirGrant]) -> Self {
        let granted: Vec<String> =
            dirs.iter().map(|dir| format!("{} ({})", dir.guest, if dir.write { "writable" } else { "read-only" })).collect();
        Self { plugin: plugin.as_str().into(), what: What::File { path, granted: granted.join(", ") } }
    }

    /// A path, from `/` on, that no granted folder holds. `is_folder`: what was looked for is one.
    pub(crate) fn outside(plugin: &ProviderId, path: String, is_folder: bool) -> Self {
        let folder = grantable(&path, is_folder).map(str::to_owned);
        Self { plugin: plugin.as_str().into(), what: What::Outside { path, folder } }
    }

    /// Whether both are about something outside, and one grant would help both.
    fn is_same_outside(&self, other: &Self) -> bool {
        match (&self.what, &other.what) {
            (What::Outside { folder: Some(one), .. }, What::Outside { folder: Some(other), .. }) => one == other,
            (What::Outside { path: one, .. }, What::Outside { path: other, .. }) => one == other,
            _ => false,
        }
    }

    /// Whether both are places that one search looks at, such as `/etc/mime.types` and `/usr/local/etc/mime.types`, or `/tmp` and `/var/tmp`: the first is
    /// the one to tell.
    fn is_search_for(&self, other: &Self) -> bool {
        let (What::Outside { path: one, folder: Some(here) }, What::Outside { path: two, folder: there }) = (&self.what, &other.what)
        else {
            return false;
        };
        let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let Some(there) = there else {
            // Where there is no such folder, the working directory is tried, which is `/`.
            return last(here) == TEMPORARY && !is_of_machine(two);
        };
        here != there && (last(one) == last(two) || last(here) == TEMPORARY && last(there) == TEMPORARY)
    }

    /// What is no file and no folder: a pipe, a socket, a device.
    pub(crate) fn special(plugin: &ProviderId, path: String, what: &'static str) -> Self {
        Self { plugin: plugin.as_str().into(), what: What::Special { path, what } }
    }

    /// One file more than all calls of a plugin may have open.
    pub(crate) fn files(plugin: &ProviderId, path: String, limit: usize) -> Self {
        Self { plugin: plugin.as_str().into(), what: What::Files { path, limit } }
    }

    /// An answer that was not there in time.
    pub(crate) fn time(plugin: &Arc<str>, authority: String, limit: Duration) -> Self {
        Self { plugin: plugin.clone(), what: What::Time { authority, limit } }
    }
}

/// Whether a path leads to what no folder can be granted for.
fn is_of_machine(path: &str) -> bool {
    path.trim_start_matches('/').split('/').next().is_some_and(|first| OF_MACHINE.contains(&first))
}

/// The folder that would have to be granted for a path to be found. None: no grant helps, since only folders are granted, and never `/`.
fn grantable(path: &str, is_folder: bool) -> Option<&str> {
    let path = path.trim_end_matches('/');
    if is_of_machine(path) {
        return None;
    }
    match path.rsplit_once('/') {
        Some(("", name)) => (is_folder && !name.is_empty()).then_some(path),
        Some((folder, _)) => Some(folder),
        None => None,
    }
}

/// `weather` as it stands in a table's name.
struct TableKey<'a>(&'a str);

impl fmt::Display for TableKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains('.') { write!(f, "\"{}\"", self.0) } else { f.write_str(self.0) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugin = &*self.plugin;
        let key = TableKey(plugin);
        let place = format_args!("[plugin.{key}] of toolbay.toml or into {plugin}.toml");
        let limits = format_args!("[plugin.{key}] of toolbay.toml or in {plugin}.toml");
        match &self.what {
            What::Host { scheme, authority, pattern } => {
                write!(f, "plugin {plugin} may not reach {authority} over {scheme}; to allow it, put  http = [\"{pattern}\"]  into {place}")
            }
            What::Private { scheme, authority, pattern } => write!(
                f,
                "plugin {plugin} may not reach {authority} over {scheme}, since its address is loopback, link-local, private or else not public; \
                 to allow it, put  http_private = [\"{pattern}\"]  into {place}"
            ),
            What::Connections { authority, limit } => write!(
                f,
                "plugin {plugin} has {limit} HTTP requests open in one call and may not send one more to {authority}; to allow more, raise http_connections in {limits}"
            ),
            What::Body { authority, limit } => {
                write!(f, "plugin {plugin} was sent more than {limit} bytes by {authority}; to allow more, raise http_body in {limits}")
            }
            What::Model { told } | What::Store { told } => f.write_str(told),
            What::File { path, granted } => write!(
                f,
                "plugin {plugin} may not do that to {path:?}, it was granted {granted}; to let it write there, put  write = true  beside the \
                 folder in dirs of {limits}"
            ),
            What::Outside { path, folder: Some(folder) } => write!(
                f,
                "plugin {plugin} found nothing at {path:?}, since no folder that holds it was granted; to grant one, put  dirs = [{{ host = \"...\", guest = {folder:?} }}]  \
                 into {place}"
            ),
            What::Outside { path, folder: None } if is_of_machine(path) => {
                write!(f, "plugin {plugin} found nothing at {path:?}: plugins have no devices, and nothing of /proc and /sys")
            }
            What::Outside { path, folder: None } => write!(
                f,
                "plugin {plugin} found nothing at {path:?}: a plugin finds files only below folders that it was granted, such as {:?}",
                format!("/data/{}", path.trim_matches('/'))
            ),
            What::Special { path, what } => {
                write!(f, "plugin {plugin} may not open {path:?}, which is {what}: plugins open files and folders only")
            }
            What::Files { path, limit } => write!(
                f,
                "plugin {plugin} may not open {path:?}: all its calls together have as many files open as `open_files` allows, {limit}, or the \
                 host has no more to give (`ulimit -n`); let it close what it has read"
            ),
            What::Time { authority, limit } => {
                write!(
                    f,
                    "plugin {plugin} had no whole answer from {authority} within {limit:?}; to allow more, raise http_timeout in {limits}"
                )
            }
        }
    }
}

/// What one call was refused. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<Vec<Refusal>>>);

impl Refusals {
    /// Notes a refusal, and logs it. One that was noted before, and any past the eighth, is neither: a plugin that asks in a loop does not fill the log.
    pub fn push(&self, refusal: Refusal) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(refusal.what, What::Outside { .. }) {
            // Looking is no offence, and what was not found mostly is no loss: only a call that fails tells of it.
            if list.iter().any(|known| known.is_search_for(&refusal)) {
                return;
            }
            list.retain(|known| !known.is_same_outside(&refusal));
            let mut outside = list.iter().enumerate().filter(|(_, known)| matches!(known.what, What::Outside { .. }));
            if let (Some((oldest, _)), true) = (outside.next(), outside.count() + 1 >= KEPT_OUTSIDE) {
                list.remove(oldest);
            }
            if list.len() < KEPT {
                list.push(refusal);
            }
            return;
        }
        if list.len() < KEPT && !list.contains(&refusal) {
            tracing::warn!(plugin = &*refusal.plugin, "{refusal}");
            list.push(refusal);
        }
    }

    /// The text of each, in the order in which they came.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_line_that_grants_it() {
        let refusal = Refusal::host(&"weather".into(), "https", "api.example.com:443".to_owned(), "api.example.com".to_owned());
        assert_eq!(
            refusal.to_string(),
            "plugin weather may not reach api.example.com:443 over https; to allow it, put  http = [\"api.example.com\"]  into [plugin.weather] of toolbay.toml or into weather.toml"
        );
        let dotted = Refusal::connections(&"a.b".into(), "x:1".to_owned(), 2);
        assert!(dotted.to_string().ends_with("raise http_connections in [plugin.\"a.b\"] of toolbay.toml or in a.b.toml"), "{dotted}");
    }

    #[test]
    fn what_is_looked_for_outside_of_all_folders_names_the_folder_and_only_the_last_count() {
        let plugin = ProviderId::new("p").unwrap();
        let refusals = Refusals::default();
        refusals.push(Refusal::body(&"p".into(), "first:80".to_owned(), 1));
        for i in 0..1000 {
            refusals.push(Refusal::outside(&plugin, format!("/lib/{i}.py"), false));
        }
        for path in ["/etc/passwd", "/x", "/etc/passwd"] {
            refusals.push(Refusal::outside(&plugin, path.to_owned(), false));
        }
        let messages = refusals.messages();
        assert_eq!(messages.len(), 1 + KEPT_OUTSIDE, "{messages:?}");
        assert!(messages[0].contains("first:80") && messages[1].contains("/lib/999.py"), "{messages:?}");
        assert!(messages[2].contains("\"/x\"") && !messages[2].contains("guest"), "{messages:?}");
        assert_eq!(
            messages[3],
            "plugin p found nothing at \"/etc/passwd\", since no folder that holds it was granted; to grant one, put  dirs = [{ host = \"...\", guest = \"/etc\" }]  into [plugin.p] of toolbay.toml or into p.toml"
        );
    }

    #[test]
    fn a_hint_names_a_folder_that_helps_and_never_the_root() {
        for (path, is_folder, folder) in [
            ("/data", true, Some("/data")),
            ("/data/", true, Some("/data")),
            ("/data", false, None),
            ("/data/a.txt", false, Some("/data")),
            ("/data/a/b", true, Some("/data/a")),
            ("/dev/null", false, None),
            ("/proc/self/status", false, None),
            ("/development/x", false, Some("/development")),
            ("/", true, None),
            ("/", false, None),
            ("", false, None),
        ] {
            assert_eq!(grantable(path, is_folder), folder, "{path} {is_folder}");
        }
        let plugin = ProviderId::new("p").unwrap();
        let refusals = Refusals::default();
        for path in ["/data/a", "/data/b", "/data/c"] {
            refusals.push(Refusal::outside(&plugin, path.to_owned(), false));
        }
        let messages = refusals.messages();
        assert!(matches!(messages.as_slice(), [one] if one.contains("/data/c") && one.contains("guest = \"/data\"")), "{messages:?}");
    }

    #[test]
    fn a_search_in_many_places_is_told_once_by_the_first() {
        let plugin = ProviderId::new("p").unwrap();
        let messages = |paths: &[&str]| {
            let refusals = Refusals::default();
            for path in paths {
                refusals.push(Refusal::outside(&plugin, (*path).to_owned(), false));
            }
            refusals.messages()
        };
        // As Python's mimetypes, zoneinfo and tempfile do.
        for (paths, told) in [
            (&["/etc/mime.types", "/etc/httpd/mime.types", "/usr/local/etc/mime.types"][..], "guest = \"/etc\""),
            (&["/usr/share/zoneinfo/Europe/Bern", "/usr/lib/zoneinfo/Europe/Bern"], "guest = \"/usr/share/zoneinfo/Europe\""),
            (&["/tmp/a1", "/var/tmp/b2", "/usr/tmp/c3", "/d4"], "guest = \"/tmp\""),
            (&["/dev/null"], "plugins have no devices"),
        ] {
            let said = messages(paths);
            assert!(matches!(said.as_slice(), [one] if one.contains(told)), "{said:?}");
        }
        assert_eq!(messages(&["/a/x", "/b/y"]).len(), 2);
    }

    #[test]
    fn refusals_are_kept_once_and_not_without_end() {
        let refusals = Refusals::default();
        for i in 0..100 {
            for _ in 0..2 {
                refusals.clone().push(Refusal::body(&"p".into(), format!("host{i}:80"), 1));
            }
        }
        let messages = refusals.messages();
        assert_eq!(messages.len(), KEPT);
        assert!(messages[0].contains("host0") && messages[7].contains("host7"), "{messages:?}");
    }
}
