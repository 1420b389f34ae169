//! The one declaration of each key against what is made of it: the reader, the schema and the
//! reference page.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    key::{Key, TableInfo},
    *,
};

/// A header under which the keys of a table can be written, with what has to stand there anyway.
fn open_table(table: &TableInfo) -> String {
    match table.header {
        "" => String::new(),
        "model.NAME" => "[model.m]\npath = \"models/m\"\n".to_owned(),
        "plugin.NAME.dirs" => "[[plugin.w.dirs]]\nhost = \"/\"\nguest = \"/\"\n".to_owned(),
        "auth.issuer.NAME" => "[auth]\nresource_url = \"https://a.example\"\n[auth.issuer.w]\nissuer = \"https://b.example\"\n".to_owned(),
        "auth.issuer.NAME.introspection" => {
            "[auth]\nresource_url = \"https://a.example\"\n[auth.issuer.w]\nissuer = \"https://b.example\"\n[auth.issuer.w.introspection]\n"
                .to_owned()
        }
        "trust.signed" => "[[trust.signed]]\nsource = \"x\"\nkeys = []\n".to_owned(),
        "trust.signed.identities" => "[[trust.signed]]\nsource = \"x\"\nkeys = []\n[[trust.signed.identities]]\n".to_owned(),
        // A burst is of a rate.
        "role.NAME" => "[role.w]\nrate = \"1/s\"\n".to_owned(),
        // Its name may not be that of a plugin.
        "endpoint.NAME" => "[endpoint.e]\n".to_owned(),
        "pipeline.NAME" => "[pipeline.p]\nsteps = [{ tool = \"t\" }]\n".to_owned(),
        // What is said of the items of a list.
        "pipeline.NAME.steps" => "[[pipeline.q.steps]]\ntool = \"t\"\neach = \"args.list\"\n".to_owned(),
        "role.NAME.limits.PATTERN" => "[role.w.limits.x]\nrate = \"1/s\"\n".to_owned(),
        "guard.NAME" => "[guard.w]\nplugin = \"p\"\n".to_owned(),
        "server.NAME" => "[server.s]\ncommand = [\"x\"]\n".to_owned(),
        "server.NAME.identity" | "server.NAME.oauth" | "server.NAME.client_credentials" | "server.NAME.token_exchange" => {
            format!("[server.s]\nurl = \"http://x/\"\n[{}]\n", table.header.replace("NAME", "s"))
        }
        "server.NAME.replicas" => "[server.s]\ncommand = [\"x\"]\n[server.s.replicas]\n".to_owned(),
        header => format!("[{}]\n", header.replace("NAME", "w").replace("TOOL", "t")),
    }
}

fn tables() -> &'static [TableInfo] {
    &tables::vocabulary().tables
}

#[test]
fn the_reader_asks_for_the_keys_that_are_declared() {
    for table in tables() {
        let shown = wrong(&format!("{}qqqqqqqq = 1", open_table(table)));
        let keys = shown.split("known keys are ").nth(1).unwrap_or_else(|| panic!("{shown}"));
        let read: BTreeSet<_> = keys.lines().next().unwrap().split(", ").collect();
        assert_eq!(read, table.keys().map(|key| key.name).collect::<BTreeSet<_>>(), "[{}]", table.header);
        for key in table.keys() {
            assert!(key.doc.ends_with('.') && !key.of.words.is_empty(), "{} of [{}] is described by {:?}", key.name, table.header, key.doc);
        }
    }
}

#[test]
fn a_range_that_is_declared_is_the_one_that_is_read() {
    let mut tried = 0;
    for (table, key) in tables().iter().flat_map(|table| table.keys().map(move |key| (table, key))) {
        let bounds = |of: &Value| Some((of.get("minimum")?.as_i64()?, of.get("maximum")?.as_i64()?));
        let Some((least, most)) = bounds(&key.of.schema) else { continue };
        tried += 1;
        let home = key.only.first().map_or_else(|| open_table(table), |kind| format!("[server.s]\n{kind} = \"x\"\n"));
        let text = |value: i64| format!("{home}{} = {value}", key.name);
        for wrong_value in [least - 1, most + 1] {
            let expected = format!("{wrong_value} is not allowed; it must be {least} to {most}");
            assert!(wrong(&text(wrong_value)).contains(&expected), "{}", text(wrong_value));
        }
        for right in [least, most] {
            assert!(
                parse(&text(right)).map_err(|error| error.to_string()).map_or_else(|error| !error.contains(key.name), |_| true),
                "{}",
                text(right)
            );
        }
    }
    assert!(tried > 15, "{tried}");
}

#[test]
fn a_default_that_is_declared_is_the_one_that_is_used() {
    // Keys with a default, as a file would have them.
    let defaults = |header: &str, keep: &dyn Fn(&Key) -> bool| -> String {
        let table = tables().iter().find(|table| table.header == header).unwrap();
        table.keys().filter(|key| keep(key)).filter_map(|key| Some(format!("{} = {}\n", key.name, key.default.as_ref()?))).collect()
    };
    let all = |_: &Key| true;
    let mut text = String::new();
    for table in tables()
        .iter()
        .filter(|table| !["dirs", "tools", "limits", "issuer", "server", "signed"].iter().any(|word| table.header.contains(word)))
    {
        text += &format!("{}{}", open_table(table), defaults(table.header, &all));
    }
    assert!(text.matches('=').count() > 30, "{text}");
    let mut config = good(&text);
    assert_eq!(config.plugin.remove("w"), Some(PluginConfig::default()));
    assert_eq!(config.registry.remove("w"), Some(RegistryConfig::default()));
    assert_eq!(config.role.remove("w"), Some(RoleConfig { rate: CallRate::parse("1/s").ok(), ..RoleConfig::default() }));
    assert_eq!(config.endpoint.remove("e"), Some(EndpointConfig::default()));
    assert_eq!(config.model.remove("m"), Some(ModelConfig { path: PathBuf::from("models/m"), ..ModelConfig::default() }));
    let step = |name: &str| StepConfig { name: name.to_owned(), tool: "t".to_owned(), ..StepConfig::default() };
    assert_eq!(config.pipeline.remove("p"), Some(PipelineConfig { steps: vec![step("1")], ..PipelineConfig::default() }));
    let each = crate::pick::Pick::parse("args.list").ok();
    let steps = vec![StepConfig { each, ..step("1") }];
    assert_eq!(config.pipeline.remove("q"), Some(PipelineConfig { steps, ..PipelineConfig::default() }));
    assert_eq!(config.guard.remove("w"), Some(GuardConfig { plugin: "p".to_owned(), ..GuardConfig::default() }));
    assert_eq!(config.flow.remove("w"), Some(FlowConfig::default()));
    assert_eq!(Config { origin: None, places: Arc::default(), ..config }, Config::default());

    let server = |kind: &str, value: &str| {
        let keys = defaults("server.NAME", &|key| key.only.is_empty() || key.only.contains(&kind));
        good(&format!("[server.s]\n{kind} = {value:?}\n{keys}")).server.remove("s").unwrap()
    };
    let command = ServerSource::Command(CommandSource { argv: vec!["x".to_owned()], ..CommandSource::default() });
    let image = ServerSource::Image(ImageSource { image: "x".to_owned(), ..ImageSource::default() });
    let openapi = ServerSource::OpenApi(OpenApiSource::new(DocumentPlace::Url("http://x/".parse().unwrap())));
    assert_eq!(server("command", "x"), ServerConfig::new(command));
    assert_eq!(server("image", "x"), ServerConfig::new(image));
    assert_eq!(server("openapi", "http://x/"), ServerConfig::new(openapi));
    let url = server("url", "http://x/");
    assert_eq!(url, ServerConfig::new(url.source.clone()));
    let replicas = good(&format!("[server.s]\ncommand = \"x\"\n[server.s.replicas]\n{}", defaults("server.NAME.replicas", &all)));
    assert_eq!(replicas.server["s"].replicas, Replicas::default());
}

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file)
}

/// Holds a file of `docs/` to what is made of the declarations; with `TOOLBAY_RENEW` in the
/// environment, it is written.
#[track_caller]
fn holds(path: &Path, made: &str) {
    if std::env::var_os("TOOLBAY_RENEW").is_some() {
        fs::write(path, made).unwrap();
    }
    let there = fs::read_to_string(path).unwrap();
    assert!(there == made, "{} is stale; renew it by: TOOLBAY_RENEW=1 cargo test -p toolbay --lib config::", path.display());
}

#[test]
fn the_published_schema_is_the_one_of_this_build() {
    holds(&docs("toolbay.schema.json"), &format!("{:#}\n", json_schema()));
}

#[test]
fn the_tables_of_the_reference_are_those_of_this_build() {
    const OPEN: &str = "<!-- keys of ";
    const CLOSE: &str = "<!-- end of keys -->";
    let page = fs::read_to_string(docs("configuration.md")).unwrap();
    let mut missing: BTreeSet<_> =
        tables().iter().flat_map(|table| table.groups.iter().map(|(group, _)| format!("[{}] {group}", table.header))).collect();
    let mut made = String::new();
    let mut rest = page.as_str();
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (marker, after) = after.split_once(" -->\n").unwrap();
        let (_, after) = after.split_once(CLOSE).unwrap_or_else(|| panic!("no {CLOSE} after {OPEN}{marker}"));
        let (header, group) = marker.split_once(']').unwrap();
        let table = tables().iter().find(|table| header == format!("[{}", table.header)).unwrap_or_else(|| panic!("no table {header}]"));
        let (_, keys) = table.groups.iter().find(|(name, _)| *name == group.trim()).unwrap_or_else(|| panic!("no group {marker}"));
        missing.remove(&format!("[{}] {}", table.header, group.trim()));
        made += &format!("{before}{OPEN}{marker} -->\n\n{}\n{CLOSE}", rows(keys));
        rest = after;
    }
    assert!(missing.is_empty(), "docs/configuration.md has no `{OPEN}… -->` for {missing:?}");
    holds(&docs("configuration.md"), &format!("{made}{rest}"));
}

/// The keys as a table of Markdown.
fn rows(keys: &[Key]) -> String {
    let mut rows = "| key | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for key in keys {
        let default = match (&key.default, key.unset) {
            (_, Some(words)) => words.to_owned(),
            (Some(default), None) => format!("`{default}`"),
            (None, None) => "none".to_owned(),
        };
        let range = key.of.range.as_ref().map_or(String::new(), |range| format!(", {range}"));
        let of = format!("{}{range}", key.of.words);
        let cells = [format!("`{}`", key.name), of, default, key.meaning()].map(|cell| cell.replace('|', "\\|"));
        rows += &format!("| {} |\n", cells.join(" | "));
    }
    rows
}

/// Blocks of TOML in a page: what stands behind `toml` on the fence, the text, and the line where
/// it starts.
fn toml_blocks(page: &str) -> Vec<(String, String, usize)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String, usize)> = None;
    for (index, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.to_owned(), String::new(), index + 1)),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, text, _)), None) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks.retain(|(info, ..)| info.starts_with("toml"));
    blocks
}

#[test]
fn every_example_of_the_reference_loads_and_fits_the_schema() {
    let page = fs::read_to_string(docs("configuration.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["data", "plugins/data", "secrets", "plugins/secrets"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    for name in ["secrets/token", "secrets/key", "plugins/secrets/key"] {
        fs::write(folder.path().join(name), format!("a-long-enough-value-for-{}", name.replace('/', "-"))).unwrap();
    }
    let environment = |name: &str| Some(OsString::from(format!("a-long-enough-value-for-{name}")));
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let mut counts = (0, 0);
    for (info, text, line) in toml_blocks(&page) {
        let place = format!("docs/configuration.md:{line}");
        let value: Value = toml::from_str(&text).unwrap_or_else(|error| panic!("{place}: {error}"));
        let (result, instance) = if info.contains("sidecar") {
            counts.1 += 1;
            let result = read::sidecar(&Config::default(), "weather", &text, &folder.path().join("plugins/weather.toml"), &environment);
            (result.map(drop), serde_json::json!({ "plugin": { "weather": value } }))
        } else {
            counts.0 += 1;
            (load::parse(&text, &folder.path().join(FILE), &environment, &mut Files::default()).map(drop), value)
        };
        result.unwrap_or_else(|error| panic!("{place}: {error}"));
        let errors: Vec<_> = validator.iter_errors(&instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{place}: {errors:?}");
    }
    assert!(counts.0 >= 5 && counts.1 >= 1, "{counts:?} examples");
}
