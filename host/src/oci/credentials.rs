//! Who a registry is told to be asking: by the configuration, or by what `docker login` and `podman
//! login` have kept, in a file or with a program of theirs (`helper`).

use std::{collections::BTreeMap, ffi::OsString, fmt, fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::helper::{self, Helped};
use crate::config::{OciReference, RegistryConfig, Secret};

/// The name under which Docker keeps what is for its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What is sent to a registry, and where it was found.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) who: Who,
    /// For messages: `the credentials of /root/.docker/config.json`.
    pub(super) from: String,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) enum Who {
    Anybody,
    User(String, Secret),
    Token(Secret),
}

/// What a file has for something.
enum Kept {
    Who(Who),
    /// It leaves it to a program: `docker-credential-NAME`, which has it under that server's name.
    Helper {
        name: String,
        server: String,
        /// Nothing says that this program has anything for it.
        is_guess: bool,
    },
}

/// A file of `docker login`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct AuthFile {
    auths: BTreeMap<String, AuthEntry>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuthEntry {
    /// Base64 of `user:password`.
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity: Option<String>,
    #[serde(rename = "registrytoken")]
    token: Option<String>,
}

/// What to send for something in a registry: what is configured, or else what the first file has
/// for it.
///
/// # Errors
///
/// A file that was named, or has something for it, cannot be used.
pub(super) async fn find(reference: &OciReference, config: &RegistryConfig) -> Result<Login, String> {
    let from = format!("[registry.{:?}]", reference.registry);
    if let Some(token) = &config.token {
        return Ok(Login { who: Who::Token(token.clone()), from: format!("the token of {from}") });
    }
    if let (Some(user), Some(password)) = (&config.username, &config.password) {
        return Ok(Login { who: Who::User(user.clone(), password.clone()), from: format!("the user {user:?} of {from}") });
    }
    in_files(reference, &files(&|name| std::env::var_os(name))).await
}

async fn in_files(reference: &OciReference, files: &[AuthPath]) -> Result<Login, String> {
    for file in files {
        if let Some(who) = in_file(reference, file).await? {
            return Ok(Login { who, from: format!("the credentials in {}", file.path.display()) });
        }
    }
    let looked: Vec<_> = files.iter().map(|file| file.path.display().to_string()).collect();
    let looked = if looked.is_empty() { "no file of `docker login`".to_owned() } else { looked.join(", ") };
    Ok(Login { who: Who::Anybody, from: format!("no credentials: neither {from} nor {looked} has any for it", from = "[registry.HOST]") })
}

/// A file that may hold credentials.
struct AuthPath {
    path: PathBuf,
    /// Somebody has named it, so it has to be there.
    is_named: bool,
}

/// The files, in the order in which they count.
fn files(environment: &dyn Fn(&str) -> Option<OsString>) -> Vec<AuthPath> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut files = Vec::new();
    let mut add = |path: Option<PathBuf>, is_named| files.extend(path.map(|path| AuthPath { path, is_named }));
    if let Some(path) = set("REGISTRY_AUTH_FILE") {
        add(Some(path), true);
        return files;
    }
    let docker = set("DOCKER_CONFIG").map(|folder| folder.join("config.json"));
    let home = set("HOME");
    let below = |folder: &Option<PathBuf>, path: &str| folder.as_ref().map(|folder| folder.join(path));
    add(docker.clone(), false);
    add(below(&set("XDG_RUNTIME_DIR"), "containers/auth.json"), false);
    add(set("XDG_CONFIG_HOME").or_else(|| below(&home, ".config")).map(|folder| folder.join("containers/auth.json")), false);
    if docker.is_none() {
        add(below(&home, ".docker/config.json"), false);
    }
    files
}

async fn in_file(reference: &OciReference, AuthPath { path, is_named }: &AuthPath) -> Result<Option<Who>, String> {
    let wrong = |why: &dyn fmt::Display| format!("cannot use the credentials in {}: {why}", path.display());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        // One that others keep for themselves is none for this user.
        Err(_) if !is_named => return Ok(None),
        Err(error) => return Err(wrong(&error)),
    };
    // What is wrong is not shown: it may be a secret.
    let file: AuthFile = serde_json::from_str(&text)
        .map_err(|error| wrong(&format_args!("line {} is no JSON as `docker login` writes it", error.line())))?;
    match file.entry(reference).map_err(|why| wrong(&why))? {
        None => Ok(None),
        Some(Kept::Who(who)) => Ok(Some(who)),
        Some(Kept::Helper { name, server, is_guess }) => match helper::get(&name, &server).await {
            Ok(Helped::Login(user, password)) => Ok(Some(Who::User(user, password))),
            Ok(Helped::Identity) => Err(wrong(&identity(&reference.registry))),
            Ok(Helped::Nothing) => Ok(None),
            // A file that came from another machine names programs that are not here.
            Ok(Helped::Missing) if is_guess => Ok(None),
            Ok(Helped::Missing) => Err(wrong(&format_args!(
                "it leaves {server} to the program docker-credential-{name}, which is not in PATH; install it, or write `username` and `password` in [registry.{:?}]",
                reference.registry
            ))),
            Err(why) => Err(wrong(&why)),
        },
    }
}

fn identity(host: &str) -> String {
    format!("it has an identity token for {host}, which Toolbay does not exchange; write `username` and `password` in [registry.{host:?}]")
}

impl AuthFile {
    fn entry(self, reference: &OciReference) -> Result<Option<Kept>, String> {
        let host = &reference.registry;
        let server = if is_docker_hub(host) { DOCKER_HUB } else { host };
        if let Some(helper) = names(reference).iter().find_map(|name| self.helpers.get(name)) {
            return Ok(Some(Kept::Helper { name: helper.clone(), server: server.to_owned(), is_guess: false }));
        }
        let found = names(reference).into_iter().find_map(|name| {
            let fits = |key: &&String| key.as_str() == name || of_url(key) == name;
            self.auths.keys().find(fits).cloned()
        });
        let store = |is_guess| {
            let name = self.store.clone().filter(|name| !name.is_empty())?;
            Some(Kept::Helper { name, server: server.to_owned(), is_guess })
        };
        let Some(entry) = found.and_then(|name| self.auths.get(&name)) else { return Ok(store(true)) };
        if let Some(token) = entry.token.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(Kept::Who(Who::Token(Secret(token.clone())))));
        }
        if entry.identity.as_ref().is_some_and(|token| !token.is_empty()) {
            return Err(identity(host));
        }
        if let (Some(user), Some(password)) = (&entry.username, &entry.password) {
            return Ok(Some(Kept::Who(Who::User(user.clone(), Secret(password.clone())))));
        }
        let Some(auth) = entry.auth.as_ref().filter(|auth| !auth.is_empty()) else {
            return Ok(store(false));
        };
        let broken = || format!("what it has for {host} is not the base64 of user:password");
        let decoded = STANDARD.decode(auth.trim_end_matches('\0')).map_err(|_| broken())?;
        let text = String::from_utf8(decoded).map_err(|_| broken())?;
        let (user, password) = text.split_once(':').ok_or_else(broken)?;
        Ok(Some(Kept::Who(Who::User(user.to_owned(), Secret(password.trim_end_matches('\0').to_owned())))))
    }
}

/// The names under which something for a reference may be kept, the most exact first:
/// `ghcr.io/acme/weather`, `ghcr.io/acme`, `ghcr.io`.
fn names(reference: &OciReference) -> Vec<String> {
    let mut name = reference.place();
    let mut names = vec![name.clone()];
    while let Some((shorter, _)) = name.rsplit_once('/') {
        name = shorter.to_owned();
        names.push(name.clone());
    }
    if is_docker_hub(&reference.registry) {
        names.extend([DOCKER_HUB.to_owned(), "index.docker.io".to_owned(), "docker.io".to_owned()]);
    }
    names
}

fn is_docker_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// The host of a key that is an address, as Docker writes some.
fn of_url(key: &str) -> &str {
    let Some((_, rest)) = key.split_once("://") else { return key };
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> OciReference {
        OciReference::parse(text).unwrap()
    }

    fn shown(login: &Login) -> String {
        match &login.who {
            Who::Anybody => "anybody".to_owned(),
            Who::User(user, password) => format!("{user}:{}", password.0),
            Who::Token(token) => format!("token {}", token.0),
        }
    }

    async fn from_text(text: &str, asked: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, text).unwrap();
        in_files(&reference(asked), &[AuthPath { path, is_named: true }]).await.map(|login| shown(&login))
    }

    #[tokio::test]
    async fn the_most_exact_entry_counts() {
        let auth = |text: &str| STANDARD.encode(text);
        let text = serde_json::json!({ "auths": {
            "r.example": { "auth": auth("all:p:w") },
            "r.example/acme": { "auth": auth("acme:x") },
            "https://old.example:5000/v2/": { "username": "old", "password": "y" },
            DOCKER_HUB: { "auth": auth("hub:z") },
            "t.example": { "registrytoken": "abc" },
        }})
        .to_string();
        for (asked, who) in [
            ("oci://r.example/other", "all:p:w"),
            ("oci://r.example/acme/weather", "acme:x"),
            ("oci://r.example/acmes/weather", "all:p:w"),
            ("oci://old.example:5000/a", "old:y"),
            ("oci://old.example/a", "anybody"),
            ("oci://docker.io/library/a", "hub:z"),
            ("oci://t.example/a", "token abc"),
            ("oci://none.example/a", "anybody"),
        ] {
            assert_eq!(from_text(&text, asked).await.unwrap(), who, "{asked}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_said_without_what_it_holds() {
        for (text, says) in [
            (r#"{"auths": {"r.example": {"auth": "hunter2!"}}}"#, "not the base64 of user:password"),
            (r#"{"auths": {"r.example": {"identitytoken": "hunter2"}}}"#, "identity token"),
            (r#"{"credHelpers": {"r.example": "ecr-login"}}"#, "docker-credential-ecr-login"),
            (r#"{"credsStore": "desktop", "auths": {"r.example": {}}}"#, "docker-credential-desktop"),
            (r#"{"credHelpers": {"r.example": "../../bin/sh"}}"#, "no name of a program"),
            (r#"{"auths": {"r.example": "hunter2"}}"#, "line 1 is no JSON as `docker login` writes it"),
            ("hunter2", "no JSON"),
        ] {
            let error = from_text(text, "oci://r.example/a").await.unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        }
        let missing = AuthPath { path: "/nowhere/auth.json".into(), is_named: true };
        assert!(in_files(&reference("oci://r.example/a"), &[missing]).await.unwrap_err().contains("/nowhere/auth.json"));
        let missing = AuthPath { path: "/nowhere/auth.json".into(), is_named: false };
        let login = in_files(&reference("oci://r.example/a"), &[missing]).await.unwrap();
        assert!(matches!(login.who, Who::Anybody) && login.from.contains("/nowhere/auth.json"), "{}", login.from);
    }

    #[tokio::test]
    async fn a_store_that_is_not_here_is_missed_only_where_something_was_kept_in_it() {
        let text = r#"{"credsStore": "nowhere-at-all", "auths": {"r.example": {}}}"#;
        assert_eq!(from_text(text, "oci://public.example/a").await.unwrap(), "anybody");
        assert!(from_text(text, "oci://r.example/a").await.unwrap_err().contains("docker-credential-nowhere-at-all"));
    }

    #[test]
    fn files_are_looked_for_where_docker_and_podman_keep_them() {
        let paths = |set: &[(&str, &str)]| -> Vec<String> {
            let set: BTreeMap<_, _> = set.iter().copied().collect();
            files(&|name| set.get(name).map(OsString::from)).iter().map(|file| file.path.display().to_string()).collect()
        };
        assert_eq!(paths(&[("REGISTRY_AUTH_FILE", "/a.json"), ("HOME", "/h")]), ["/a.json"]);
        assert_eq!(paths(&[("HOME", "/h")]), ["/h/.config/containers/auth.json", "/h/.docker/config.json"]);
        assert_eq!(
            paths(&[("DOCKER_CONFIG", "/d"), ("XDG_RUNTIME_DIR", "/run/u"), ("HOME", "/h")]),
            ["/d/config.json", "/run/u/containers/auth.json", "/h/.config/containers/auth.json"]
        );
        assert!(paths(&[]).is_empty());
    }

    #[tokio::test]
    async fn what_is_configured_counts_before_all_files() {
        let config = RegistryConfig { username: Some("u".to_owned()), password: Some(Secret("p".to_owned())), ..RegistryConfig::default() };
        assert_eq!(shown(&find(&reference("oci://r.example/a"), &config).await.unwrap()), "u:p");
        let config = RegistryConfig { token: Some(Secret("t".to_owned())), ..RegistryConfig::default() };
        assert_eq!(shown(&find(&reference("oci://r.example/a"), &config).await.unwrap()), "token t");
    }
}
