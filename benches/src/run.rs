//! Conducts: prepares folders, runs the sections, prints, writes every figure down.

use std::{
    cell::RefCell,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    authorized, baseline, bridge, compare, cores, fetch, folders, guards, hops, interpreters,
    requests::Case,
    scale::{self, Scale},
    starts, ways,
};

/// Toolbay's CPU time for a call is to be at most so many times that of the floor.
pub(crate) const GOAL: f64 = 1.35;
/// And its first answer after a start with 20 plugins, which were compiled before, is to come within so many milliseconds.
pub(crate) const START_GOAL_MS: f64 = 150.0;
/// What the bridge adds to a raw round trip on a pipe is to be at most so many microseconds of CPU time a call, HTTP and all.
pub(crate) const BRIDGE_GOAL_US: f64 = 60.0;
/// A call of a caller who is known and limited is to cost at most so many times one where nobody is asked.
pub(crate) const AUTHORIZED_GOAL: f64 = 1.1;
/// What a guard adds to a call is to be at most so many microseconds of CPU time for each question.
pub(crate) const GUARD_GOAL_US: f64 = 15.0;
/// And a call in a folder of 1,000 plugins is to cost at most so many times what it costs in a folder of one: more than the machine's own noise.
pub(crate) const FLAT_GOAL: f64 = 1.10;
/// And a call within a call is to cost at most so many times the CPU time of the same call by itself.
pub(crate) const HOP_GOAL: f64 = 1.5;
/// And a call of a plugin that fetches 46 kB is to cost at most so many times what a native server takes for the same.
pub(crate) const FETCH_GOAL: f64 = 1.6;
/// And whichever way a call goes, it is to cost at most so many times the plain one.
pub(crate) const WAY_GOAL: f64 = 2.0;
/// And a call that an interpreter answers in an instance that is kept is to cost at most so many microseconds of CPU time more than one in Rust.
pub(crate) const KEPT_GOAL_US: [(&str, f64); 2] = [("JavaScript", 60.0), ("Python", 40.0)];

/// The token of a caller, for servers that nobody else reaches, and the file beside their configuration that they read it from.
pub(crate) const TOKEN: &str = "bench-0123456789abcdef";
pub(crate) const TOKEN_FILE: &str = "bench.token";

/// Seconds of churn.
const CHURN: u64 = 600;
const CHURN_QUICK: u64 = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Short rounds: minutes become seconds, and the figures less sure
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    /// The program that is measured
    #[arg(long, value_name = "FILE", default_value = "target/release/toolbay")]
    toolbay: PathBuf,
    /// Another build of it, for a row of its own
    #[arg(long, value_name = "FILE")]
    other: Option<PathBuf>,
    /// What that row is called
    #[arg(long, value_name = "NAME", default_value = "other build")]
    other_name: String,
    /// The component with the function `add` that everything calls
    #[arg(long, value_name = "FILE", default_value = "dist/plugins/calculator.wasm")]
    plugin: PathBuf,
    /// The component with tools of all kinds, for fetches and ways; without it there are no rows for them
    #[arg(long, value_name = "FILE", default_value = "target/test-plugins/probe.wasm")]
    probe: PathBuf,
    /// The folder of the components in JavaScript and Python; without them there are no rows for them
    #[arg(long, value_name = "DIR", default_value = "target/bench-plugins")]
    interpreted: PathBuf,
    /// The component whose tools ask, for ways; without it there are no rows for them
    #[arg(long, value_name = "FILE", default_value = "target/test-plugins/everything.wasm")]
    asking: PathBuf,
    /// The component whose tool calls others; without it there is no row for it
    #[arg(long, value_name = "FILE", default_value = "target/test-plugins/chain.wasm")]
    caller: PathBuf,
    /// Where every single figure is written, one JSON object a line; folders and logs of the run are made beside it
    #[arg(long, value_name = "FILE", default_value = "target/bench/results.json")]
    out: PathBuf,
    /// `mcp-proxy` of PyPI, which the bridge is compared with; without it there is no row for it
    #[arg(long, value_name = "FILE")]
    mcp_proxy: Option<PathBuf>,
    /// `mcpo` of PyPI, likewise
    #[arg(long, value_name = "FILE")]
    mcpo: Option<PathBuf>,
    /// `supergateway` of npm, likewise
    #[arg(long, value_name = "FILE")]
    supergateway: Option<PathBuf>,
    /// Compare the ratios (to the floor, to a native server, to the plain call) with those in this file, and fail where one is more than 10 % above
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "benches/baseline.json")]
    check: Option<PathBuf>,
    /// Write the ratios into this file, for --check; rows that are not measured stay as they are
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "benches/baseline.json")]
    save: Option<PathBuf>,
    /// Seconds of churn, for `scale`: 600 if nothing else is said, 20 with --quick
    #[arg(long, env = "TOOLBAY_BENCH_CHURN")]
    churn: Option<u64>,
    /// A hundredth of everything that `scale` has: to see that it runs
    #[arg(long)]
    small: bool,
    /// Rounds, in place of the usual number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    /// A call: Toolbay and the others
    Calls,
    /// The same beside a process that uses up caches
    Beside,
    /// From start to first answer
    Starts,
    /// Folders of 1, 100 and 1,000 plugins
    Folders,
    /// A server on stdio behind Toolbay
    Bridge,
    /// A call that leads to another one
    Hops,
    /// Calls of plugins in JavaScript and Python, in fresh instances and in kept ones
    Interpreters,
    /// Calls with guards
    Guards,
    /// Calls with authentication, roles, limits and policies
    Authorized,
    /// A call that fetches over HTTP
    Fetch,
    /// The ways that a call can go, and sizes
    Ways,
    /// The same on one core and on all; only where it is asked for
    Cores,
    /// Ten thousand connections, sessions and plugins, and ten minutes of churn; only where it is asked for
    Scale,
}

/// How long it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rounds: u32,
    pub(crate) warmup: Duration,
    pub(crate) measure: Duration,
}

/// What all sections need.
pub(crate) struct Bench {
    /// This program, which is also the clients and the other servers.
    pub(crate) own: PathBuf,
    pub(crate) toolbay: PathBuf,
    /// Another build of it, and what it is called.
    pub(crate) other: Option<(PathBuf, String)>,
    pub(crate) plugin: PathBuf,
    /// The component whose tool calls others, if it is there.
    pub(crate) caller: PathBuf,
    /// The folder of the components in JavaScript and Python.
    pub(crate) interpreted: PathBuf,
    /// The component with tools of all kinds, if it is there.
    pub(crate) probe: Option<PathBuf>,
    /// The component with tools that ask, if it is there.
    pub(crate) asking: Option<PathBuf>,
    pub(crate) others: Others,
    pub(crate) dir: PathBuf,
    pub(crate) pace: Pace,
    results: RefCell<File>,
}

/// Bridges that people use, where they are installed.
pub(crate) struct Others {
    pub(crate) mcp_proxy: Option<PathBuf>,
    pub(crate) mcpo: Option<PathBuf>,
    pub(crate) supergateway: Option<PathBuf>,
}

impl Bench {
    /// Writes a figure down.
    pub(crate) fn record(&self, kind: &str, what: &Value, figures: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::Map::new();
        line.insert("kind".to_owned(), kind.into());
        for part in [what, &serde_json::to_value(figures)?] {
            line.extend(part.as_object().context("not an object")?.clone());
        }
        writeln!(self.results.borrow_mut(), "{}", Value::Object(line))?;
        Ok(())
    }

    /// A folder of copies of the plugin, `p0000.wasm` and so on.
    pub(crate) fn folder(&self, name: &str, copies: usize, kind: Copies) -> anyhow::Result<PathBuf> {
        let folder = self.dir.join(name);
        fresh(&folder)?;
        let plugin = fs::read(&self.plugin).with_context(|| format!("cannot read {}", self.plugin.display()))?;
        for number in 0..copies {
            let mut bytes = plugin.clone();
            if kind == Copies::Different {
                // A custom section: identifier 0, length, then a name with its length, then anything.
                let content = format!("\x04copy{number:04}");
                bytes.extend_from_slice(&[0, u8::try_from(content.len())?]);
                bytes.extend_from_slice(content.as_bytes());
            }
            fs::write(folder.join(format!("{}.wasm", copy_name(number))), bytes)?;
        }
        Ok(folder)
    }

    /// Toolbay's command line for a folder. What it compiles is kept under the name.
    pub(crate) fn toolbay_args(&self, folder: &Path, cache: &str, listen: &str) -> anyhow::Result<Vec<String>> {
        self.toolbay_args_with(folder, cache, cache, "", listen)
    }

    /// The same with more in the configuration, which is kept under `name`.
    pub(crate) fn toolbay_args_with(
        &self,
        folder: &Path,
        name: &str,
        cache: &str,
        more: &str,
        listen: &str,
    ) -> anyhow::Result<Vec<String>> {
        let config = self.dir.join(format!("{name}.toml"));
        // Figures are of the code that stays, from the first call on.
        fs::write(&config, format!("[host]\ncache = \"{cache}\"\ncompiler = \"cranelift\"\n{more}"))?;
        let text = |path: &Path| path.to_str().map(str::to_owned).context("the path is not UTF-8");
        Ok(["serve", "--config", &text(&config)?, "--plugins", &text(folder)?, "--listen", listen].map(str::to_owned).to_vec())
    }

    /// A call of its own kind as a file for the clients.
    pub(crate) fn case(&self, name: &str, case: &Case) -> anyhow::Result<PathBuf> {
        let path = self.dir.join(format!("{name}.case.json"));
        fs::write(&path, serde_json::to_vec(case)?).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }
}

/// Whether copies of a plugin differ in their bytes, so that each has to be compiled by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    Same,
    Different,
}

pub(crate) fn copy_name(number: usize) -> String {
    format!("p{number:04}")
}

/// An empty folder, whatever was there.
pub(crate) fn fresh(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.toolbay.exists(), "{} is not there: `cargo build --release` makes it", options.toolbay.display());
    ensure!(options.plugin.exists(), "{} is not there: scripts/build-plugins.sh makes it", options.plugin.display());
    let dir = options.out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut pace = if options.quick {
        Pace { rounds: 5, warmup: Duration::from_millis(100), measure: Duration::from_millis(250) }
    } else {
        // Many short rounds and no few long ones: what disturbs the machine for a second then falls on one figure of many.
        Pace { rounds: 15, warmup: Duration::from_millis(100), measure: Duration::from_millis(500) }
    };
    pace.rounds = options.rounds.unwrap_or(pace.rounds);
    let bench = Bench {
        own: std::env::current_exe()?,
        toolbay: fs::canonicalize(&options.toolbay)?,
        other: options.other.as_ref().map(fs::canonicalize).transpose()?.map(|path| (path, options.other_name.clone())),
        plugin: fs::canonicalize(&options.plugin)?,
        caller: options.caller.clone(),
        interpreted: options.interpreted.clone(),
        probe: Some(options.probe.clone()).filter(|probe| probe.exists()),
        asking: Some(options.asking.clone()).filter(|asking| asking.exists()),
        others: Others { mcp_proxy: options.mcp_proxy.clone(), mcpo: options.mcpo.clone(), supergateway: options.supergateway.clone() },
        dir: fs::canonicalize(dir)?,
        pace,
        results: RefCell::new(File::create(&options.out).with_context(|| format!("cannot write {}", options.out.display()))?),
    };
    fs::write(bench.dir.join(TOKEN_FILE), format!("{TOKEN}\n"))?;
    let machine = machine();
    bench.record("machine", &json!({ "quick": options.quick, "rounds": pace.rounds }), &machine)?;
    println!("{}", machine.text());

    let wanted = |section| options.only.is_empty() || options.only.contains(&section);
    let mut verdicts = Vec::new();
    let mut ratios = Vec::new();
    for beside in [false, true] {
        if wanted(if beside { Section::Beside } else { Section::Calls }) {
            let (of_calls, measured) = compare::run(&bench, beside)?;
            verdicts.extend(of_calls);
            ratios.extend(measured);
        }
    }
    if wanted(Section::Starts) {
        verdicts.push(starts::run(&bench)?);
    }
    if wanted(Section::Folders) {
        verdicts.push(folders::run(&bench)?);
    }
    if wanted(Section::Bridge) {
        verdicts.push(bridge::run(&bench)?);
    }
    if wanted(Section::Hops) {
        verdicts.push(hops::run(&bench)?);
    }
    if wanted(Section::Interpreters) {
        verdicts.extend(interpreters::run(&bench)?);
    }
    if wanted(Section::Guards) {
        verdicts.push(guards::run(&bench)?);
    }
    if wanted(Section::Authorized) {
        let (verdict, measured) = authorized::run(&bench)?;
        verdicts.push(verdict);
        ratios.extend(measured);
    }
    if wanted(Section::Fetch) {
        let (verdict, measured) = fetch::run(&bench)?;
        verdicts.push(verdict);
        ratios.extend(measured);
    }
    if wanted(Section::Ways) {
        let (verdict, measured) = ways::run(&bench)?;
        verdicts.push(verdict);
        ratios.extend(measured);
    }
    if options.only.contains(&Section::Cores) {
        cores::run(&bench)?;
    }
    if options.only.contains(&Section::Scale) {
        let churn = options.churn.unwrap_or(if options.quick { CHURN_QUICK } else { CHURN });
        verdicts.extend(scale::run(&bench, &Scale { small: options.small, churn: Duration::from_secs(churn) })?);
    }
    println!();
    for verdict in &verdicts {
        bench.record("goal", &json!({}), verdict)?;
        println!("{}", verdict.text());
    }
    println!("every figure: {}", options.out.display());
    if let Some(path) = &options.save {
        baseline::save(path, &ratios)?;
    }
    options.check.as_deref().map_or(Ok(()), |path| baseline::check(path, &ratios))
}

/// A goal, and whether it is met. Nothing fails by it: the machine may be busy with something else.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) goal: String,
    pub(crate) met: bool,
    pub(crate) measured: String,
}

impl Verdict {
    fn text(&self) -> String {
        format!("goal {}: {} ({})", if self.met { "met    " } else { "NOT MET" }, self.goal, self.measured)
    }
}

#[derive(Serialize)]
struct Machine {
    cores: usize,
    cpu: String,
    kernel: String,
    /// Processes that wanted to run in the last minute: with more than a few, times are not to be trusted.
    load: f64,
}

impl Machine {
    fn text(&self) -> String {
        let Self { cores, cpu, kernel, load } = self;
        let busy = if *load > 0.5 { "; the machine is busy with something else, so trust ratios and not times" } else { "" };
        format!("{cores} cores ({cpu}), Linux {kernel}, load before the run {load:.1}{busy}")
    }
}

fn machine() -> Machine {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown", |(_, name)| name);
    Machine {
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        cpu: cpu.to_owned(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
    }
}
