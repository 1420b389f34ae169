//! A plugin author's project, as the tests make one: `toolbay new`, `build` and `dev` with the tools of the lab.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use toolbay_tests::{Client, Setup, Value, eventually, files, json, lab::Lab, secs};

/// From nothing, on a machine that does other things too.
const BUILD: Duration = secs(600);

/// A project in an empty folder.
pub(crate) struct Author {
    setup: Setup,
    lab: PathBuf,
    pub(crate) name: String,
}

/// A `toolbay dev` that runs.
pub(crate) struct Dev {
    pub(crate) client: Client,
    _child: Child,
}

impl Author {
    /// `toolbay new`.
    pub(crate) async fn new(lang: &str, kind: &str) -> Self {
        Self::named(&format!("{lang}-{kind}"), lang, Some(kind)).await
    }

    /// The same under another name, and of the kind that the language has.
    pub(crate) async fn named(name: &str, lang: &str, kind: Option<&str>) -> Self {
        let author = Self { setup: Setup::new(), lab: lab(), name: name.to_owned() };
        let mut words = vec!["new", name, "--lang", lang];
        words.extend(kind.into_iter().flat_map(|kind| ["--kind", kind]));
        let made = author.setup.run(words).await;
        assert!(made.expect_code(0).stdout.contains("toolbay dev"), "{}", made.stdout);
        // What `npm install` in the project would bring.
        if matches!(lang, "js" | "ts") {
            let modules = author.folder().join("node_modules");
            std::os::unix::fs::symlink(author.lab.join("node_modules"), modules).expect("a link");
        }
        author
    }

    /// A plugin of one source file, built, and what `toolbay build` said.
    pub(crate) async fn builds(name: &str, lang: &str, source: &str) -> (Self, String) {
        let author = Self::named(name, lang, None).await;
        let file = if lang == "python" { "app.py" } else { "src/index.js" };
        std::fs::write(author.folder().join(file), source).expect("it can be written");
        let (is_well, said) = author.run(&["build", name]).await;
        assert!(is_well, "{said}");
        (author, said)
    }

    /// A host for that plugin.
    pub(crate) fn serves(&self) -> Setup {
        Setup::new().file(&self.folder().join(format!("dist/{}.wasm", self.name)), &self.name)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.setup.home().join(&self.name)
    }

    /// The search path with the tools of the lab, as if they were installed.
    fn path(&self) -> OsString {
        let mut path: Vec<PathBuf> = vec![self.lab.join("node_modules/.bin"), self.lab.join("python/bin")];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        std::env::join_paths(path).expect("a search path")
    }

    /// Another program of the lab.
    pub(crate) fn tool(&self, program: &str) -> Command {
        let path = self.path();
        let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file());
        let mut command = Command::new(found.unwrap_or_else(|| panic!("{program} is not in the lab")));
        command.env("PATH", path);
        command
    }

    /// `toolbay` with the tools of the lab.
    pub(crate) fn toolbay(&self, arguments: &[&str]) -> Command {
        let path = self.path();
        let mut command = self.setup.command();
        command.args(arguments).env("PATH", path).env("CARGO_TARGET_DIR", files::root().join("target/author-projects"));
        // The toolchain of the machine is kept in the cache of the machine, and not in that of the tests.
        let cache = std::env::var_os("XDG_CACHE_HOME");
        match cache {
            Some(cache) => command.env("XDG_CACHE_HOME", cache),
            None => command.env_remove("XDG_CACHE_HOME"),
        };
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = self.toolbay(arguments);
        let output = tokio::time::timeout(BUILD, command.output()).await.expect("it ends by itself").expect("it can be started");
        let text = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    /// Starts `toolbay dev` and waits until its tool can be called.
    pub(crate) async fn dev(&self) -> Dev {
        let mut command = self.toolbay(&["dev", &self.name, "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("it can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let url = tokio::time::timeout(BUILD, async {
            loop {
                let line = lines.next_line().await.expect("its output is text").expect("it serves");
                if let Some(url) = line.trim().strip_prefix("http://") {
                    return format!("http://{url}");
                }
            }
        });
        let url = url.await.expect("it serves in time");
        // Nobody reads the rest: a full pipe would hold it up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Dev { client: Client::at(&url), _child: child }
    }

    /// Replaces text in a file of the project.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.folder().join(file);
        let text = std::fs::read_to_string(&path).expect("the file is there");
        assert!(text.contains(from), "{from} in {}", path.display());
        std::fs::write(path, text.replace(from, to)).expect("it can be written");
    }
}

impl Dev {
    /// Waits until the tool greets like this, and says how long that took.
    pub(crate) async fn greets(&self, wanted: &str) -> Duration {
        let begun = Instant::now();
        eventually(wanted, BUILD, || async {
            let reply = self.client.call("greet", json!({ "name": "Ann" })).await;
            let text = reply.answer().pointer("/result/content/0/text").and_then(|text| text.as_str().map(str::to_owned));
            (text.as_deref() == Some(wanted)).then_some(())
        })
        .await;
        begun.elapsed()
    }

    /// The Python SDK's client lists the tool and calls it.
    pub(crate) async fn greets_a_real_client(&self, wanted: &str) {
        let calls = json!([["greet", { "name": "Ann" }]]).to_string();
        let ran = Lab::find().client("mcp_client.py", &[self.client.url(), "auto", &calls]).await;
        let report: Value = serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).unwrap_or_default();
        assert!(ran.success && report["tools"][0]["name"] == "greet", "{}", ran.all);
        assert_eq!(report["results"][0]["content"][0]["text"], wanted, "{report}");
    }
}

/// What plugins in languages other than Rust are built with: `TOOLBAY_AUTHOR_LAB`, or as the script installs it.
pub(crate) fn lab() -> PathBuf {
    if let Some(folder) = std::env::var_os("TOOLBAY_AUTHOR_LAB") {
        return PathBuf::from(folder);
    }
    let output =
        std::process::Command::new(files::root().join("scripts/lab.sh")).arg("authors").output().expect("the script can be started");
    assert!(output.status.success(), "scripts/lab.sh authors failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    PathBuf::from(said.lines().last().expect("its last line is the folder"))
}

/// Whether C can be compiled. Where `CI` is set, it has to be.
pub(crate) fn has_clang() -> bool {
    let is_there = which("clang").is_some() || std::env::var_os("CI").is_some();
    if !is_there {
        eprintln!("skipped: there is no clang");
    }
    is_there
}

pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| Path::is_file(path))
}
