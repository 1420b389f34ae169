//! `toolbay lock`: accepts what plugins and servers say, in a file.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use super::{ConfigArgs, FAILED, Failure, Outcome, counted, print, quiet, runtime};
use crate::{
    app::{App, AppOptions},
    config::{Lock, LockedImage, LockedServer, OciReference},
    provider::{ProviderState, ProviderStatus, StatusSource as _},
    servers::Run,
    similar, telemetry,
    trust::{Difference, Observed, differences},
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"toolbay.lock pins what each server says of its tools, prompts, resources and templates, what its pages hold, container
images by digest, and each plugin by the digest of its file. While the file is there, whatever is new or says something else is
held back (or flagged: `changed` in [trust]) until it is accepted here. A running host takes a changed toolbay.lock within a
second. Keep the file beside toolbay.toml, and review its changes.

  toolbay lock                          write toolbay.lock, or say what differs from it
  toolbay lock --diff                   show what is new or says something else, word by word
  toolbay lock --accept                 accept all of it
  toolbay lock --accept github          accept what one server or plugin says
  toolbay lock --accept github__search  accept one tool; a prompt, a resource (notes__file:///a) or a page likewise

Exit status: 0 nothing differs, or it was accepted; 1 something differs, or could not be started; 2 wrong configuration."#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct LockArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Accept what is there now: all of it, or of these servers, plugins, tools and resources (NAME, NAME__TOOL or NAME__URI)
    #[arg(long, value_name = "NAME", num_args = 0.., conflicts_with = "diff")]
    accept: Option<Vec<String>>,
    /// Show what differs from the lock file, and write nothing
    #[arg(long)]
    diff: bool,
}

/// What is there now, beside the lock file.
struct Found {
    path: PathBuf,
    /// None: there is no file yet, or, where all is accepted, none that can be read.
    lock: Option<Lock>,
    observed: BTreeMap<String, Observed>,
    /// Where plugins from a registry are.
    sources: BTreeMap<String, OciReference>,
    /// What could not be started, and why.
    broken: Vec<(String, String)>,
    /// Servers with pages that could not be read, and why.
    unread: Vec<(String, String)>,
}

/// The same with the images that run, each by the digest that was accepted where that is one of its own.
fn with_images(mut observed: BTreeMap<String, Observed>, statuses: &[ProviderStatus], lock: Option<&Lock>) -> BTreeMap<String, Observed> {
    for (status, image) in statuses.iter().filter_map(|status| Some((status, status.image.as_ref()?))) {
        let accepted = lock.and_then(|lock| lock.servers.get(&status.name)?.image.as_ref());
        let known = accepted.filter(|accepted| accepted.name == image.name && image.all.contains(&accepted.digest));
        let now = known.cloned().unwrap_or_else(|| LockedImage { name: image.name.clone(), digest: image.digest.clone() });
        if let Some(one) = observed.remove(&status.name) {
            observed.insert(status.name.clone(), one.with_image(now));
        }
    }
    observed
}

impl LockArgs {
    pub(super) fn run(self) -> Outcome {
        let _logs = telemetry::init(&quiet()).map_err(Failure::usage)?;
        let mut source = self.config.source();
        source.overrides.without_lock = true;
        let config = source.load().config?;
        let path = config.lock_path();
        let lock = match Lock::read(&path) {
            Ok(lock) => lock,
            // Whoever accepts all needs nothing of what was.
            Err(_) if self.accept.as_ref().is_some_and(Vec::is_empty) => None,
            Err(error) => return Err(Failure::usage(error)),
        };
        let folder_required = self.config.plugins.is_some();
        let found = runtime()?.block_on(async {
            let app = App::start(Arc::new(config), AppOptions { run: Run::Once, folder_required, insecure: true, follows: false }).await?;
            let source = |status: &ProviderStatus| Some((status.name.clone(), OciReference::parse(&status.source).ok()?));
            let sources = app.statuses().iter().filter(|status| status.kind.is_plugin()).filter_map(source).collect();
            let broken = app.statuses().into_iter().filter(|status| status.state != ProviderState::Serving);
            let broken = broken.map(|status| (status.name, status.error.unwrap_or_default())).collect();
            let unread = app.trust().read_pages().await;
            let observed = with_images(app.trust().observed(), &app.statuses(), lock.as_ref());
            let found = Found { path, lock, observed, sources, broken, unread };
            app.stop().await;
            Ok::<_, Failure>(found)
        })?;
        match (self.accept, &found.lock) {
            (Some(names), _) => found.accept(&names),
            (None, None) if !self.diff => found.accept(&[]),
            (None, _) => found.show(self.diff),
        }
    }
}

impl Found {
    /// What differs, by the name of its plugin or server.
    fn differences(&self) -> Vec<(&str, Difference)> {
        let lock = self.lock.clone().unwrap_or_default();
        let mut found = Vec::new();
        for (name, observed) in &self.observed {
            found.extend(differences(&lock, name, observed).into_iter().map(|one| (name.as_str(), one)));
        }
        found
    }

    /// Plugins and servers of the lock file that are not configured any more.
    fn gone(&self) -> Vec<String> {
        let lock = self.lock.iter().flat_map(|lock| lock.plugins.keys().chain(lock.servers.keys()));
        let is_there = |name: &String| self.observed.contains_key(name) || self.broken.iter().any(|(broken, _)| broken == name);
        lock.filter(|name| !is_there(name)).cloned().collect()
    }

    fn show(&self, whole: bool) -> Outcome {
        let (found, gone) = (self.differences(), self.gone());
        let mut text = String::new();
        // Writing to a String cannot fail.
        for (name, one) in &found {
            let _ = if whole { write!(text, "{}", one.text(name)) } else { writeln!(text, "{}", one.sentence(name)) };
        }
        for name in &gone {
            let _ = writeln!(text, "{name}: it was accepted and is gone");
        }
        text.push_str(&self.of_broken());
        let path = self.path.display();
        if found.is_empty() && gone.is_empty() {
            let _ = writeln!(text, "nothing differs from {path}");
        } else {
            let more = if whole { "" } else { "`toolbay lock --diff` shows them word by word, and " };
            let count = counted(found.len() + gone.len(), "difference");
            let _ = writeln!(text, "{count} from {path}; {more}`toolbay lock --accept [NAME]` accepts them");
        }
        print(&text)?;
        let is_same = found.is_empty() && gone.is_empty() && self.broken.is_empty() && self.unread.is_empty();
        Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn of_broken(&self) -> String {
        let told = self.broken.iter().map(|(name, error)| {
            let known = self.lock.as_ref().is_some_and(|lock| lock.plugins.contains_key(name) || lock.servers.contains_key(name));
            let kept = if known { "what was accepted of it stays" } else { "nothing of it is accepted" };
            format!("BROKEN  {name}: {error}; {kept}\n")
        });
        let unread = self.unread.iter().map(|(name, why)| format!("BROKEN  {name}: {why}; nothing of that page is accepted\n"));
        told.chain(unread).collect()
    }

    fn accept(&self, names: &[String]) -> Outcome {
        let found = self.differences();
        for name in names {
            self.check(name)?;
        }
        let is_named = |provider: &str, one: &Difference| {
            names.is_empty()
                || names.iter().any(|name| name == provider || one.part.named().is_some() && *name == one.accepted_as(provider))
        };
        let mut lock = self.lock.clone().unwrap_or_default();
        let (mut text, mut accepted) = (String::new(), 0);
        for (provider, one) in found.iter().filter(|(provider, one)| is_named(provider, one)) {
            if let Some(observed) = self.observed.get(*provider) {
                one.accept(&mut lock, provider, observed);
            }
            accepted += 1;
            // Writing to a String cannot fail.
            let _ = write!(text, "{}", one.text(provider));
        }
        // One that offers no tool is there all the same, so that its first one is new.
        let unknown = |name: &str| !lock.plugins.contains_key(name) && !lock.servers.contains_key(name);
        let whole = || self.observed.iter().filter(|(name, _)| names.is_empty() || names.contains(name));
        let empty: Vec<_> = whole().filter(|(name, _)| unknown(name)).collect();
        empty.into_iter().for_each(|(name, observed)| observed.put(name, &mut lock));
        for (name, _) in whole() {
            // A file of an older Toolbay has none of these, and what comes later is new.
            if let Some(server) = lock.servers.get_mut(name) {
                server.beside.get_or_insert_default();
            }
        }
        let gone: Vec<String> = self.gone().into_iter().filter(|name| names.is_empty() || names.contains(name)).collect();
        for name in &gone {
            lock.plugins.remove(name);
            lock.servers.remove(name);
            let _ = writeln!(text, "gone    {name}");
        }
        // Where a plugin is pulled from is accepted with what was there.
        for (name, digest) in &lock.plugins {
            if matches!(self.observed.get(name), Some(Observed::Plugin(now)) if now == digest) {
                match self.sources.get(name) {
                    Some(source) => drop(lock.sources.insert(name.clone(), source.clone())),
                    None => drop(lock.sources.remove(name)),
                }
            }
        }
        lock.sources.retain(|name, _| lock.plugins.contains_key(name));
        let is_first = self.lock.is_none();
        if is_first {
            text.clear();
        }
        write(&self.path, &lock)?;
        text.push_str(&self.of_broken());
        let tools: usize = lock.servers.values().map(|server| server.tools.len()).sum();
        let _ = match is_first {
            true => writeln!(
                text,
                "{} written: {}, {} of {}{}",
                self.path.display(),
                counted(lock.plugins.len(), "plugin"),
                counted(tools, "tool"),
                counted(lock.servers.len(), "server"),
                others(&lock)
            ),
            false => writeln!(text, "{} accepted in {}", counted(accepted + gone.len(), "difference"), self.path.display()),
        };
        print(&text)?;
        Ok(if self.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    /// Whether a name is one of something that can be accepted.
    fn check(&self, name: &str) -> Result<(), Failure> {
        let mut known: Vec<String> = self.observed.keys().cloned().chain(self.gone()).collect();
        for (provider, observed) in &self.observed {
            let lock = self.lock.as_ref().and_then(|lock| lock.servers.get(provider));
            if let Observed::Server(server) = observed {
                known.extend(std::iter::once(server).chain(lock).flat_map(keys).map(|key| format!("{provider}__{key}")));
            }
        }
        if known.iter().any(|one| one == name) {
            return Ok(());
        }
        if let Some((_, error)) = self.broken.iter().find(|(broken, _)| broken == name) {
            return Err(Failure::failed(format!("{name} is broken, so it says nothing that could be accepted: {error}")));
        }
        let near = similar::did_you_mean(name, known.iter().map(String::as_str));
        Err(Failure::usage(format!("there is no server, plugin, tool, prompt, resource or page {name:?} to accept{near}")))
    }
}

/// By what names single parts of a server are accepted.
fn keys(server: &LockedServer) -> impl Iterator<Item = &String> {
    let beside = server.beside.iter().flat_map(|beside| [&beside.resources, &beside.templates, &beside.pages]);
    [&server.tools, &server.prompts].into_iter().chain(beside).flat_map(BTreeMap::keys)
}

/// What else was accepted than plugins and tools, as the end of a sentence.
fn others(lock: &Lock) -> String {
    let sum = |count: fn(&LockedServer) -> usize| lock.servers.values().map(count).sum::<usize>();
    let counts = [
        (sum(|server| server.prompts.len()), "prompt"),
        (sum(|server| server.beside.as_ref().map_or(0, |all| all.resources.len())), "resource"),
        (sum(|server| server.beside.as_ref().map_or(0, |all| all.templates.len())), "resource template"),
        (sum(|server| server.beside.as_ref().map_or(0, |all| all.pages.len())), "page"),
        (sum(|server| usize::from(server.image.is_some())), "image"),
    ];
    let there = counts.into_iter().filter(|(count, _)| *count > 0);
    there.map(|(count, what)| format!(", {}", counted(count, what))).collect()
}

/// Puts the file in place.
fn write(path: &Path, lock: &Lock) -> Result<(), Failure> {
    lock.write(path)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}; `lock` in [trust] says where it is", path.display())))
}
