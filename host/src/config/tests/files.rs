//! A configuration of several files: what is included, what is refused, and what has to be watched.

use super::*;
use std::collections::BTreeSet;

/// A folder with these files, and what its `toolbay.toml` is.
struct Setup {
    folder: tempfile::TempDir,
}

impl Setup {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { folder }
    }

    fn load(&self) -> Loaded {
        load(Some(&self.path("toolbay.toml")), &Overrides::default())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is wrong, without the folder's name.
    #[track_caller]
    fn wrong(&self) -> String {
        self.load().config.unwrap_err().to_string().replace(&format!("{}/", self.folder.path().display()), "")
    }

    fn paths(&self, names: &[&str]) -> BTreeSet<PathBuf> {
        names.iter().map(|name| self.path(name)).collect()
    }
}

#[test]
fn files_of_teams_are_read_as_one_configuration() {
    let setup = Setup::new(&[
        (
            "toolbay.toml",
            "include = [\"conf.d/*.toml\", \"extra.toml\"]\n[http]\ndrain = \"5s\"\n[auth.tokens]\nops = { from_file = \"ops\" }",
        ),
        ("ops", "a-long-enough-token"),
        ("conf.d/web.toml", "[plugin.web]\nqueue = 1\nenv.KEY.from_file = \"key\"\n[auth.tokens]\nweb = { from_file = \"web\" }"),
        ("conf.d/web", "another-long-enough-token"),
        ("conf.d/key", "secret"),
        ("conf.d/data.toml", "[server.db]\ncommand = [\"./db\"]\n[http]\nmax_connections = 7"),
        ("conf.d/.web.toml", "this is not TOML"),
        ("conf.d/README.md", "this is not TOML"),
        ("extra.toml", "mcp_json = \"mcp.json\""),
        ("mcp.json", r#"{"mcpServers": {"desk": {"command": "x"}}}"#),
    ]);
    let Loaded { config, files } = setup.load();
    let config = config.unwrap();
    assert_eq!((config.http.drain, config.http.max_connections), (Duration::from_secs(5), 7));
    assert_eq!(config.auth.tokens.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["ops", "web"]);
    assert_eq!((config.plugin["web"].limits.queue, &config.plugin["web"].grants.env["KEY"]), (1, &Secret("secret".to_owned())));
    assert_eq!(config.server.keys().collect::<Vec<_>>(), ["db", "desk"]);
    let ServerSource::Command(db) = &config.server["db"].source else { panic!() };
    assert_eq!(db.argv, [setup.path("conf.d/db").display().to_string()], "a path goes from the folder of its file");
    let names = [
        "toolbay.toml",
        "ops",
        "conf.d/web.toml",
        "conf.d/web",
        "conf.d/key",
        "conf.d/data.toml",
        "extra.toml",
        "mcp.json",
        "toolbay.lock",
    ];
    assert_eq!((files.files, files.folders), (setup.paths(&names), setup.paths(&["conf.d"])));
}

#[test]
fn what_two_files_set_is_an_error_that_names_both_places() {
    let setup = Setup::new(&[
        ("toolbay.toml", "include = [\"a.toml\", \"b.toml\"]\n[http]\ndrain = \"5s\"\n[plugin.x]\nqueue = 1"),
        ("a.toml", "listen = \"127.0.0.1:1\"\n[http]\ndrain = \"6s\"\n[plugin.x.tools.t]\ntitle = \"T\"\n[server.s]\ncommand = \"s\""),
        (
            "b.toml",
            "listen = \"127.0.0.1:1\"\n[server.s]\ncommand = \"s\"\n[state]\nkeys = []\n[auth]\ntokens = {}\n[model]\nm = 1\nm.path = 2",
        ),
    ]);
    assert_eq!(setup.wrong().lines().next(), Some("b.toml:10:1: this is not TOML: cannot extend value of type integer with a dotted key"));
    fs::write(setup.path("b.toml"), "listen = \"127.0.0.1:1\"\n[server.s]\ncommand = \"s\"").unwrap();
    assert_eq!(
        setup.wrong(),
        "a.toml:3:1: \"drain\" in [http] is set here and in toolbay.toml:3:1; keep one of them\n\
         a.toml:4:9: \"x\" in [plugin] is set here and in toolbay.toml:4:9; keep one of them\n\
         b.toml:1:1: \"listen\" at the top level is set here and in a.toml:1:1; keep one of them\n\
         b.toml:2:9: \"s\" in [server] is set here and in a.toml:6:9; keep one of them"
    );
}

#[test]
fn mistakes_of_included_files_are_told_with_their_own_places() {
    let setup = Setup::new(&[
        ("toolbay.toml", "include = [\"conf.d/*.toml\"]\n[http]\ndrian = \"5s\""),
        ("conf.d/a.toml", "\n\n[plugin.x]\nqueu = 1"),
        ("conf.d/b.toml", "include = []\n[host]\ninstances = 0"),
    ]);
    assert_eq!(
        setup.wrong(),
        "toolbay.toml:3:1: unknown key \"drian\" in [http]; did you mean \"drain\"?\n\
         conf.d/a.toml:4:1: unknown key \"queu\" in [plugin.x]; did you mean \"queue\"?\n\
         conf.d/b.toml:1:1: \"include\" at the top level is set here and in toolbay.toml:1:1; keep one of them\n\
         conf.d/b.toml:3:13: \"instances\" in [host]: 0 is not allowed; it must be 1 to 20000"
    );
}

#[test]
fn an_include_that_finds_nothing_says_why_and_is_watched_for() {
    let setup = Setup::new(&[
        (
            "toolbay.toml",
            "include = [\"none.toml\", \"conf.d/*.toml\", \"*/x.toml\", \"x[.toml\", \"nowhere/*.toml\", \"*.toml\", \"./toolbay.toml\", 1, \"..\"]",
        ),
        ("conf.d/readme", ""),
    ]);
    assert_eq!(
        setup.wrong(),
        "toolbay.toml:1:12: \"include\" at the top level: there is no file none.toml; write one, or a pattern: \"conf.d/*.toml\"\n\
         toolbay.toml:1:42: \"include\" at the top level: \"*/x.toml\": only the name of a file can be a pattern, not that of a folder; write \"conf.d/*.toml\"\n\
         toolbay.toml:1:54: \"include\" at the top level: \"x[.toml\" is not a pattern of file names: Pattern syntax error near position 1: invalid range pattern\n\
         toolbay.toml:1:65: \"include\" at the top level: cannot list the folder nowhere: No such file or directory (os error 2)\n\
         toolbay.toml:1:111: \"include\" at the top level: must be text in quotes, not a whole number\n\
         toolbay.toml:1:114: \"include\" at the top level: \"..\" names no file; write one, or a pattern: \"conf.d/*.toml\""
    );
    let files = setup.load().files;
    assert!(files.files.contains(&setup.path("none.toml")) && files.folders.contains(&setup.path("nowhere")), "{files:?}");
    let missing = load(Some(&setup.path("not-there.toml")), &Overrides::default());
    assert!(missing.config.is_err());
    assert_eq!(missing.files.files, setup.paths(&["not-there.toml"]));
}

#[test]
fn a_secret_that_cannot_be_read_is_watched_for() {
    let setup = Setup::new(&[("toolbay.toml", "[auth.tokens]\na = { from_file = \"token\" }")]);
    let Loaded { config, files } = setup.load();
    assert!(config.is_err());
    assert_eq!(files.files, setup.paths(&["toolbay.toml", "token"]));
}

#[test]
fn the_command_line_stands_over_the_files() {
    let setup = Setup::new(&[
        ("toolbay.toml", "listen = \"127.0.0.1:1\"\nplugins = \"a\"\n[telemetry]\nlog = \"warn\""),
        ("mcp.json", r#"{"mcpServers": {"desk": {"command": "x"}}}"#),
    ]);
    let overrides = Overrides {
        listen: Some("127.0.0.1:2".parse().unwrap()),
        plugins: Some(PathBuf::from("b")),
        mcp_json: Some(setup.path("mcp.json")),
        log: Some("debug".to_owned()),
        log_format: Some(LogFormat::Json),
        console: true,
        ..Overrides::default()
    };
    let Loaded { config, files } = load(Some(&setup.path("toolbay.toml")), &overrides);
    let config = config.unwrap();
    assert_eq!((config.listen.port(), config.plugins.as_path(), config.server.len()), (2, Path::new("b"), 1));
    assert!(config.console.enabled);
    assert_eq!(config.telemetry, TelemetryConfig { format: LogFormat::Json, log: "debug".to_owned() });
    assert_eq!(files.files, setup.paths(&["toolbay.toml", "mcp.json", "toolbay.lock"]));
}
