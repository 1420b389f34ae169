//! `toolbay check`: load everything, serve nothing.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use serde_json::{Map, Value, json};

use super::{
    ConfigArgs, FAILED, Outcome,
    against::Against,
    clients::{Packages, Report},
    counted,
    endpoints::Offered,
    local::LocalHost,
    print, print_json, quiet, runtime,
    seen::About,
    startup::{self, Trouble},
};
use crate::{
    app::Digests,
    inference::ModelStatus,
    provider::{Harmless, OfferNames, ProviderKind, ProviderState, ProviderStatus},
    similar, telemetry,
};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Compiles and links every plugin, lists what it offers and what it imports, and says what is wrong. Nothing is served.
Each server of [server.NAME] and --mcp-json is started once, asked what it offers, and ended.
Run it before you deploy a folder or a configuration.

  toolbay check dist/plugins
  toolbay check target/wasm32-wasip2/release/greeter.wasm
  toolbay check --config prod.toml --json
  toolbay check --config new.toml --against http://127.0.0.1:8000    what it would change at a running host
  toolbay check --clients                                            whether clients can read all of it
  toolbay check --role analyst     what callers with [role.analyst] see, and by which rule
  toolbay check --as ann           the same for who has the token "ann"
  toolbay check --as corp:bob --claims '{"scope": "mcp:tools", "groups": ["sales"]}'
                                   the same for who has an access token of [auth.issuer.corp] with these claims

Exit status: 0 all is well, 1 something is broken or unreadable, 2 the configuration is wrong."#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// A folder of plugins or one .wasm file; overrides the configuration
    path: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Say too what the configuration would change at a running host, such as http://127.0.0.1:8000
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// The environment variable that holds the bearer token for --against
    #[arg(long, value_name = "VAR", requires = "against")]
    token_env: Option<String>,
    /// Say what callers with this role see, and by which rule; several times: with all of them
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// The same for the caller with this name in [auth.tokens], or for ISSUER:SUBJECT of [auth.issuer.ISSUER]
    #[arg(long = "as", value_name = "NAME", conflicts_with = "role")]
    subject: Option<String>,
    /// Claims of the access token of ISSUER:SUBJECT, as a JSON object
    #[arg(long, value_name = "JSON", requires = "subject")]
    claims: Option<String>,
    /// Accept an address beyond loopback without tokens, as `serve --insecure` does
    #[arg(long)]
    insecure: bool,
    /// Check too that every known client and model API can read what is published: by built-in rules, and by what is
    /// installed of their packages in DIR (node_modules, a Python environment; by default the current folder)
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    clients: Option<Option<PathBuf>>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    /// The claims of the caller that it is about.
    fn claims(&self) -> Result<Map<String, Value>, super::Failure> {
        let Some(text) = &self.claims else { return Ok(Map::new()) };
        if self.subject.as_ref().is_some_and(|name| !name.contains(':')) {
            return Err(super::Failure::usage("--claims is about an access token: write --as ISSUER:SUBJECT"));
        }
        serde_json::from_str(text).map_err(|error| super::Failure::usage(format!("--claims is not a JSON object: {error}")))
    }

    pub(super) fn run(self) -> Outcome {
        let _logs = telemetry::init(&quiet()).map_err(super::Failure::usage)?;
        let claims = self.claims()?;
        // What `serve` would refuse at its start.
        let config = self.config.load()?;
        let (mut troubles, mut warnings) = (startup::troubles(&config, self.insecure), startup::warnings(&config));
        startup::usable(&troubles)?;
        let is_whole = self.path.is_none();
        if !is_whole {
            // It is about plugins, whatever runs here now.
            troubles.retain(|trouble| !trouble.passing);
        }
        runtime()?.block_on(async {
            if is_whole {
                let (trouble, told) = startup::shared(&config).await;
                troubles.extend(trouble);
                warnings.extend(told);
            }
            let against = match &self.against {
                Some(url) => Some(Against::ask(url, self.token_env.as_deref(), &Digests::of(&self.config.load()?)).await?),
                None => None,
            };
            let host = match LocalHost::open_compiled(&self.config, self.path).await {
                Ok(host) => host,
                Err(failure) => {
                    // It is not all that keeps `serve` from starting.
                    print(&at_start(&troubles, &warnings))?;
                    return Err(failure);
                }
            };
            if is_whole {
                warnings.extend(host.unused_patterns());
            }
            warnings.extend(host.search_trouble().await);
            let about = match self.subject.as_deref() {
                // No token has such a name.
                Some(caller) if caller.contains(':') => Some(About::Issued(caller, &claims)),
                Some(name) => Some(About::Subject(name)),
                None => (!self.role.is_empty()).then_some(About::Roles(&self.role)),
            };
            if let Some(about) = about {
                let seen = host.seen(&about);
                host.close().await;
                let seen = seen?;
                if self.json { print_json(&seen) } else { print(&seen.text()) }?;
                return Ok(ExitCode::SUCCESS);
            }
            let unread = host.read_pages().await;
            warnings.extend(unread.into_iter().map(|(name, why)| format!("{name}: {why}")));
            let (statuses, models, collisions) = (host.statuses(), host.models(), host.collisions());
            let endpoints = host.endpoints();
            let clients = match &self.clients {
                Some(folder) => Some(host.clients(&Packages::new(folder.as_deref())).await),
                None => None,
            };
            let is_readable = clients.as_ref().is_none_or(Report::is_fine);
            let unused = unused(host.configured(), &statuses);
            let plugins = statuses.iter().filter(|status| status.state != ProviderState::Serving).count();
            // All that is called so in the lines above the sum.
            let unable = troubles.iter().filter(|trouble| !trouble.passing).count();
            let broken = plugins + models.iter().filter(|model| model.error.is_some()).count() + unable;
            let held = statuses.iter().map(|status| status.held.len()).sum::<usize>();
            let is_fine = held == 0 && broken == 0 && is_readable && startup::can_start(&troubles);
            let printed = if self.json {
                let mut report = json!({ "ok": is_fine, "start": troubles, "warnings": warnings,
                        "plugins": statuses, "collisions": collisions, "unused": unused, "models": models });
                if let (Some(report), Some(against)) = (report.as_object_mut(), &against) {
                    report.insert("against".to_owned(), json!(against));
                }
                if let Some(report) = report.as_object_mut().filter(|_| !endpoints.is_empty()) {
                    report.insert("endpoints".to_owned(), json!(endpoints));
                }
                if let (Some(report), Some(clients)) = (report.as_object_mut(), &clients) {
                    report.insert("clients".to_owned(), json!(clients));
                }
                print_json(&report)
            } else {
                let against = against.map(|against| format!("\n{}", against.text())).unwrap_or_default();
                let clients = clients.map(|clients| clients.text()).unwrap_or_default();
                let endpoints: String = endpoints.iter().map(Offered::text).collect();
                print(
                    &(at_start(&troubles, &warnings)
                        + &of_models(&models, host.search_model().as_deref())
                        + &endpoints
                        + &report(&statuses, &collisions, &unused, broken)
                        + &clients
                        + &against),
                )
            };
            host.close().await;
            printed?;
            Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        })
    }
}

/// Sections of the configuration for plugins that are not there, in sentences.
fn unused(configured: &[String], statuses: &[ProviderStatus]) -> Vec<String> {
    let missing = configured.iter().filter(|name| *name != "default" && !statuses.iter().any(|status| status.name == **name));
    missing
        .map(|name| match similar::nearest(name, statuses.iter().map(|status| status.name.as_str())) {
            Some(near) => format!("[plugin.{name}] is configured, but there is no {name}.wasm; did you mean {near:?}?"),
            None => format!("[plugin.{name}] is configured, but there is no {name}.wasm"),
        })
        .collect()
}

/// What is to be said of the start of `serve`.
fn at_start(troubles: &[Trouble], warnings: &[String]) -> String {
    let told = troubles.iter().map(|trouble| format!("{} {trouble}\n", if trouble.passing { "warning" } else { "BROKEN " }));
    told.chain(warnings.iter().map(|warning| format!("warning {warning}\n"))).collect()
}

/// `search`: the one that tools are ranked by.
fn of_models(models: &[ModelStatus], search: Option<&str>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for ModelStatus { name, path, device, plugins, bytes, gpu_memory, graphs, error, .. } in models {
        let ranks = search.is_some_and(|search| search.split('/').next() == Some(name));
        let users: Vec<&str> = plugins.iter().map(String::as_str).chain(ranks.then_some("the tool search")).collect();
        let users = if users.is_empty() { "no plugin".to_owned() } else { users.join(", ") };
        let limit = gpu_memory.map(|bytes| format!(", at most {} MiB of it", bytes >> 20)).unwrap_or_default();
        let _ = match error {
            None => writeln!(text, "ok      model {name}: {device}{limit}, {:.1} MiB, used by {users}", *bytes as f64 / f64::from(1 << 20)),
            Some(error) => writeln!(text, "BROKEN  model {name} ({path}): {error}"),
        };
        for graph in graphs {
            let how = match (graph.ragged, graph.batches) {
                (true, _) => "; callers at different steps run as one",
                (false, true) => "; callers run as one",
                (false, false) => "; callers run one by one",
            };
            let _ = writeln!(text, "        {}{how}", graph.name);
            let _ = writeln!(text, "          takes {}", graph.inputs.join(", "));
            let _ = writeln!(text, "          gives {}", graph.outputs.join(", "));
        }
    }
    text
}

/// Imports of ours that reach beyond the answer of a call, and what a plugin that has them may do.
const MEANINGS: [(&str, &str); 6] = [
    ("toolbay:plugin/calls@", "call the tools that `calls` grants, in the name of its caller"),
    ("toolbay:plugin/client@", "request input from the user or the client's model during a call"),
    ("toolbay:plugin/task@", "continue a call as a task after the client has been answered"),
    ("toolbay:plugin/store@", "keep keys and values in the store, as `store` grants"),
    ("wasi:keyvalue/", "keep keys and values in the store, as `store` grants"),
    ("toolbay:plugin/notify@", "refresh its lists, and notify clients of changed resources"),
];

fn report(statuses: &[ProviderStatus], collisions: &[String], unused: &[String], broken: usize) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for status in statuses {
        match &status.error {
            None => {
                let tools = if status.tools.is_empty() { "no tools".to_owned() } else { one_line(&status.tools) };
                let _ = writeln!(text, "ok      {}: {tools}", status.name);
            }
            Some(error) => {
                let _ = writeln!(text, "BROKEN  {} ({}): {error}", status.name, status.source);
            }
        }
        let OfferNames { resources, templates, prompts } = &status.offers;
        for (what, names) in [("resources", resources), ("templates", templates), ("prompts", prompts)] {
            if !names.is_empty() {
                let _ = writeln!(text, "        {what}: {}", one_line(names));
            }
        }
        if !status.imports.is_empty() {
            let _ = writeln!(text, "        imports: {}", status.imports.join(", "));
        }
        for (_, meaning) in MEANINGS.iter().filter(|(name, _)| status.imports.iter().any(|import| import.starts_with(name))) {
            let _ = writeln!(text, "        may {meaning}");
        }
        for held in &status.held {
            let _ = writeln!(text, "        HELD BACK {}", one_line(std::slice::from_ref(held)));
        }
        for warning in status.warnings.iter().chain(&status.lookalikes) {
            let _ = writeln!(text, "        warning: {warning}");
        }
    }
    for warning in unused {
        let _ = writeln!(text, "warning {warning}");
    }
    for collision in collisions {
        let _ = writeln!(text, "note    {collision}");
    }
    let sum = |count: fn(&ProviderStatus) -> usize| statuses.iter().map(count).sum::<usize>();
    let servers = sum(|status| usize::from(status.kind.is_server()));
    let pipelines = sum(|status| usize::from(status.kind == ProviderKind::Pipeline));
    let mut counts = vec![counted(statuses.len() - servers - pipelines, "plugin")];
    for (count, what) in [(servers, "server"), (pipelines, "pipeline")] {
        if count > 0 {
            counts.push(counted(count, what));
        }
    }
    counts.push(counted(sum(|status| status.tools.len()), "tool"));
    text.push_str(&counts.join(", "));
    for (count, what) in [
        (sum(|status| status.offers.resources.len()), "resource"),
        (sum(|status| status.offers.templates.len()), "resource template"),
        (sum(|status| status.offers.prompts.len()), "prompt"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {}", counted(count, what));
        }
    }
    let held = sum(|status| status.held.len());
    if held > 0 {
        let _ = write!(text, ", {held} held back (`toolbay lock --diff` shows why)");
    }
    let _ = writeln!(text, ", {broken} broken");
    text
}

/// Names that others gave, in one line whatever is in them.
fn one_line(names: &[String]) -> String {
    names.iter().map(|name| Harmless(name).to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_for_a_plugin_that_is_not_there_is_told_with_the_nearest_name() {
        let status = ProviderStatus::new("weather", ProviderKind::Wasm, ProviderState::Serving, "weather.wasm");
        let configured = ["default", "weather", "wether", "x"].map(str::to_owned);
        assert_eq!(
            unused(&configured, &[status]),
            [
                "[plugin.wether] is configured, but there is no wether.wasm; did you mean \"weather\"?",
                "[plugin.x] is configured, but there is no x.wasm"
            ]
        );
    }
}
