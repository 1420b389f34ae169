//! Every metric that there is: the one declaration of its name, type, labels and meaning. The page and docs/monitoring.md are made of it.
//!
//! Names and labels are those of OpenTelemetry's semantic conventions where these have some, in the form that they take in Prometheus, and those that all
//! programs use for their process. All others begin with `toolbay_`. They are API: they are not renamed.

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Times by bucket.
    Histogram,
}

impl Kind {
    /// As the page writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug)]
pub struct Family {
    /// As queries write it.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

impl Family {
    /// What a number of it counts.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self.name {
            name if name.contains("timestamp_seconds") || name.contains("start_time_seconds") => "seconds since 1970",
            name if name.contains("_seconds") => "seconds",
            name if name.contains("_bytes") => "bytes",
            _ => "",
        }
    }
}

impl Family {
    /// Its name and its unit as OpenTelemetry has them. A collector that makes names for Prometheus of them makes the same ones.
    pub(super) fn otlp_name(&self) -> (String, &'static str) {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        let units = [("_seconds", "s"), ("_bytes", "By")];
        let (name, unit) = units.iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, *unit))).unwrap_or((name, ""));
        // The names of the semantic conventions have dots throughout; ours are words below one name.
        let is_theirs = ["mcp_", "http_"].iter().any(|prefix| name.starts_with(prefix));
        (if is_theirs { name.replace('_', ".") } else { name.replacen('_', ".", 1) }, unit)
    }
}

/// A label as OpenTelemetry has it.
pub(super) fn otlp_label(label: &'static str) -> &'static str {
    match label {
        "mcp_method_name" => "mcp.method.name",
        "gen_ai_tool_name" => "gen_ai.tool.name",
        "http_request_method" => "http.request.method",
        "http_route" => "http.route",
        "http_response_status_code" => "http.response.status_code",
        other => other,
    }
}

macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub static $constant: Family = Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )+

        /// All of them, in the order of the page of documentation.
        pub static ALL: &[&Family] = &[$(&$constant),+];
    };
}

families! {
    CALLS: Counter "toolbay_calls_total" ["mcp_method_name", "gen_ai_tool_name", "provider", "outcome"]
        "Calls that ended, by outcome. `gen_ai_tool_name` is the provider's own name of the tool; reads, prompts and completions have none.";
    CALL_DURATION: Histogram "mcp_server_operation_duration_seconds" ["mcp_method_name", "gen_ai_tool_name", "provider"]
        "Time from a call's arrival to its result, including its time in the queue.";
    CALLS_IN_FLIGHT: Gauge "toolbay_calls_in_flight" []
        "Calls that run or are queued.";
    NESTED_CALLS: Counter "toolbay_nested_calls_total" ["parent", "provider"]
        "Calls that tools of the plugin `parent` made of others. They are among `toolbay_calls_total` too.";
    GUARD_DECISIONS: Counter "toolbay_guard_decisions_total" ["guard", "decision"]
        "What guards decided, by guard: `allow`, `deny`, `change`, `ask`, or `error` where one failed or was not run.";
    REFUSALS: Counter "toolbay_refusals_total" ["reason"]
        "Requests and calls that were turned away before anything ran for them, by reason.";

    PROVIDER_STATE: Gauge "toolbay_provider_state" ["provider", "kind", "state"]
        "1 for the state that a plugin (`kind=\"wasm\"`), a server (`bridge`, `remote`) or a `pipeline` is in, 0 for the others.";
    PROVIDER_IN_FLIGHT: Gauge "toolbay_provider_calls_in_flight" ["provider"]
        "Calls that run on a plugin or server.";
    PROVIDER_QUEUED: Gauge "toolbay_provider_calls_queued" ["provider"]
        "Calls that wait in the queue of a plugin or server.";
    CATALOG: Gauge "toolbay_catalog_entries" ["kind"]
        "What is published: tools, prompts, resources and resource templates.";

    POOL_INSTANCES: Gauge "toolbay_pool_instances" ["state"]
        "Instances of the pool for plugins: `used` or `free`.";
    POOL_WAITING: Gauge "toolbay_pool_waiting" []
        "Calls that wait for an instance of the pool, although their plugin has room for them.";
    POOL_MEMORY: Gauge "toolbay_pool_memory_bytes" []
        "Linear memory that running instances may touch.";
    POOL_MEMORY_LIMIT: Gauge "toolbay_pool_memory_limit_bytes" []
        "How much of that there may be.";
    COMPILE_CACHE: Counter "toolbay_compile_cache_total" ["result"]
        "Plugins whose compiled code was in the cache (`hit`) or had to be compiled (`miss`).";
    COMPILE_FAILURES: Counter "toolbay_compile_failures_total" []
        "Compilations that failed.";
    COMPILED: Gauge "toolbay_compiled_plugins" ["compiler"]
        "Plugins by who compiled the code that serves: `winch`, until optimised code is ready, or `cranelift`.";
    COMPILE_SECONDS: Counter "toolbay_compile_seconds_total" []
        "Time spent compiling plugins.";

    IN_MEMORY: Gauge "toolbay_plugins_in_memory" []
        "Plugins whose code is in memory. Where there are more plugins than `loaded_plugins` of `[host]`, others are loaded when they are called.";
    PLUGIN_LOADS: Counter "toolbay_plugin_loads_total" ["result"]
        "Plugins that were not in memory when they were called, and were `loaded` or `failed` to load.";
    PLUGIN_LOAD_SECONDS: Counter "toolbay_plugin_load_seconds_total" []
        "Time spent loading plugins that were called.";
    PLUGIN_EVICTIONS: Counter "toolbay_plugin_evictions_total" []
        "Plugins that were dropped from memory, to make room or since nobody called them.";

    REPLICAS: Gauge "toolbay_replicas" ["provider", "state"]
        "Replicas of a server by state: `starting`, `serving`, `suspect` or `draining`.";
    REPLICAS_WANTED: Gauge "toolbay_replicas_wanted" ["provider"]
        "How many replicas of a server there should be now.";
    RESTARTS: Counter "toolbay_replica_restarts_total" ["provider"]
        "Replicas of a server that died or failed to start.";
    BREAKER: Gauge "toolbay_breaker_state" ["provider", "state"]
        "1 for the state of a server's circuit breaker (`closed`, `open`, `half-open`), 0 for the others.";

    SESSIONS: Gauge "toolbay_mcp_sessions" []
        "Open sessions of clients of MCP 2025-11-25 and earlier.";
    TASKS: Gauge "toolbay_tasks" []
        "Tasks, including finished ones whose results can be fetched.";
    TASK_RESULTS: Gauge "toolbay_task_results_bytes" []
        "Results of tasks that are kept.";

    MODEL_UP: Gauge "toolbay_model_up" ["model", "device"]
        "Whether a model serves its newest files.";
    MODEL_COMPUTES: Counter "toolbay_model_computes_total" ["model", "result"]
        "Computes of a model: `ok`, `failed` or `cancelled`.";
    MODEL_RUNS: Counter "toolbay_model_runs_total" ["model"]
        "Runs of a model. One run can hold many computes.";
    MODEL_RUN_SECONDS: Counter "toolbay_model_run_seconds_total" ["model"]
        "Time of all runs of a model.";
    MODEL_WAIT_SECONDS: Counter "toolbay_model_wait_seconds_total" ["model"]
        "Time that computes waited for their run.";
    MODEL_QUEUED: Gauge "toolbay_model_queued" ["model"]
        "Computes that wait.";
    MODEL_LARGEST_BATCH: Gauge "toolbay_model_largest_batch" ["model"]
        "The most computes that were in one run.";
    MODEL_BYTES: Gauge "toolbay_model_bytes" ["model"]
        "Size of a model's files.";

    HTTP_DURATION: Histogram "http_server_request_duration_seconds" ["http_request_method", "http_route", "http_response_status_code"]
        "Time from a request's head to the head of its response. What a stream sends later is not counted.";
    HTTP_CONNECTIONS: Gauge "toolbay_http_connections" []
        "Open connections.";

    CONFIG_RELOADS: Counter "toolbay_config_reloads_total" ["result"]
        "Configurations that were `applied` after the start, or `rejected`.";
    CONFIG_VALID: Gauge "toolbay_config_valid" []
        "Whether the configuration files are what is running: 0 after they were rejected.";
    CONFIG_LAST_SUCCESS: Gauge "toolbay_config_last_success_timestamp_seconds" []
        "When the configuration was last read and found right.";
    CONFIG_RESTART: Gauge "toolbay_config_restart_keys" []
        "Keys that have changed and wait for a restart.";

    READY: Gauge "toolbay_ready" []
        "Whether `/readyz` says that plugins and servers were loaded.";
    BUILD_INFO: Gauge "toolbay_build_info" ["version"]
        "Always 1; the label says which version runs.";
    RUNTIME_TASKS: Gauge "toolbay_runtime_tasks" []
        "Tasks of the async runtime. A number that only grows points to a leak.";
    LOG_DROPPED: Counter "toolbay_log_lines_dropped_total" []
        "Log lines that were dropped, since stderr was not read fast enough.";

    SHARED_UP: Gauge "toolbay_shared_up" []
        "Whether the Redis or Valkey of `[shared]` is connected. Without `[shared]` there is no such series.";
    SHARED_COMMANDS: Counter "toolbay_shared_commands_total" ["result"]
        "Commands that Redis or Valkey `answered`, or that `failed`. One that is not sent, since it is known to be away, is not counted.";
    SHARED_DECISIONS: Counter "toolbay_shared_decisions_total" ["decision"]
        "Calls that all instances count together, by what came of it: `admitted`, `limited`, or without Redis `alone` (this instance decided) or `denied`.";

    AUDIT_LINES: Counter "toolbay_audit_lines_total" ["result"]
        "Audit lines that were `written`, or `dropped` since they came too fast or their destination can't be written.";

    TRACE_SPANS: Counter "toolbay_trace_spans_total" ["result"]
        "Spans of `[traces]` that were `exported`, or `dropped` since they came too fast or the collector can't be reached.";

    OTLP_REQUESTS: Counter "toolbay_otlp_requests_total" ["signal", "result"]
        "Requests to OpenTelemetry collectors with `metrics`, `traces` or `logs` (audit lines) that were `taken`, or `failed` after all tries.";

    PROCESS_CPU: Counter "process_cpu_seconds_total" []
        "CPU time, user and system, of this process. Programs of servers and compilations have processes of their own.";
    PROCESS_RESIDENT: Gauge "process_resident_memory_bytes" []
        "Resident memory.";
    PROCESS_VIRTUAL: Gauge "process_virtual_memory_bytes" []
        "Virtual memory. The pool reserves much of it and uses little.";
    PROCESS_THREADS: Gauge "process_threads" []
        "Threads.";
    PROCESS_START: Gauge "process_start_time_seconds" []
        "When the process was started.";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" []
        "Open file descriptors.";
    PROCESS_MAX_FDS: Gauge "process_max_fds" []
        "How many file descriptors may be open.";
}
