//! Everything that a running host is told, in one value.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    AuditConfig, AuthConfig, ClusterConfig, ConsoleConfig, EndpointConfig, FlowConfig, GuardConfig, HostConfig, HttpConfig,
    InferenceConfig, MetricsConfig, ModelConfig, PipelineConfig, PluginConfig, PolicyConfig, RegistryConfig, RoleConfig, SearchConfig,
    ServerConfig, ServerSource, SharedConfig, StateConfig, StoreConfig, TasksConfig, TelemetryConfig, TracesConfig, TrustConfig,
    imported::ImportedServer,
    lock,
    plugin::{BASE, KeyLocations},
    tables::RootKeys,
};

/// Everything that a running host is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to listen. Key: `listen`.
    pub listen: SocketAddr,
    /// The folder of plugins. Key: `plugins`.
    pub plugins: PathBuf,
    /// `[http]`.
    pub http: HttpConfig,
    /// `[auth]`.
    pub auth: AuthConfig,
    /// `[role.NAME]`, by NAME.
    pub role: BTreeMap<String, RoleConfig>,
    /// `[policy]`, and what its files say.
    pub policy: PolicyConfig,
    /// `[endpoint.NAME]`, by NAME.
    pub endpoint: BTreeMap<String, EndpointConfig>,
    /// `[state]`.
    pub state: StateConfig,
    /// `[tasks]`.
    pub tasks: TasksConfig,
    /// `[cluster]`.
    pub cluster: ClusterConfig,
    /// `[host]`.
    pub host: HostConfig,
    /// `[store]`.
    pub store: StoreConfig,
    /// `[shared]`.
    pub shared: SharedConfig,
    /// `[telemetry]`.
    pub telemetry: TelemetryConfig,
    /// `[metrics]`.
    pub metrics: MetricsConfig,
    /// `[audit]`.
    pub audit: AuditConfig,
    /// `[traces]`.
    pub traces: TracesConfig,
    /// `[trust]`, and the lock file.
    pub trust: TrustConfig,
    /// `[guard.NAME]`, by NAME.
    pub guard: BTreeMap<String, GuardConfig>,
    /// `[flow.NAME]`, by NAME.
    pub flow: BTreeMap<String, FlowConfig>,
    /// `[console]`.
    pub console: ConsoleConfig,
    /// `[plugin.NAME]`, by NAME. `[plugin.default]` is the base of all others, sidecars too.
    pub plugin: BTreeMap<String, PluginConfig>,
    /// `[registry.NAME]`, by NAME.
    pub registry: BTreeMap<String, RegistryConfig>,
    /// `[server.NAME]`, by NAME.
    pub server: BTreeMap<String, ServerConfig>,
    /// `[pipeline.NAME]`, by NAME.
    pub pipeline: BTreeMap<String, PipelineConfig>,
    /// What stands in the file of another program's servers, by the name that it has here: what is served
    /// is in `server` too.
    pub imported: BTreeMap<String, ImportedServer>,
    /// `[inference]`.
    pub inference: InferenceConfig,
    /// `[model.NAME]`, by NAME.
    pub model: BTreeMap<String, ModelConfig>,
    /// `[search]`.
    pub search: SearchConfig,
    /// The file that this was read from.
    pub(super) origin: Option<PathBuf>,
    /// The files of settings and policies that it was read from, and whether each says anything:
    /// one that is empty, or not there, does not.
    pub(super) texts: BTreeMap<PathBuf, bool>,
    /// Where `[plugin.NAME]` sets which key: a sidecar may not set it again.
    pub(super) places: Arc<BTreeMap<String, KeyLocations>>,
}

impl Default for Config {
    fn default() -> Self {
        let RootKeys { listen, plugins, .. } = RootKeys::default();
        Self {
            listen,
            plugins,
            http: HttpConfig::default(),
            auth: AuthConfig::default(),
            role: BTreeMap::new(),
            policy: PolicyConfig::default(),
            endpoint: BTreeMap::new(),
            state: StateConfig::default(),
            tasks: TasksConfig::default(),
            cluster: ClusterConfig::default(),
            host: HostConfig::default(),
            store: StoreConfig::default(),
            shared: SharedConfig::default(),
            telemetry: TelemetryConfig::default(),
            metrics: MetricsConfig::default(),
            audit: AuditConfig::default(),
            traces: TracesConfig::default(),
            trust: TrustConfig::default(),
            guard: BTreeMap::new(),
            flow: BTreeMap::new(),
            console: ConsoleConfig::default(),
            plugin: BTreeMap::new(),
            registry: BTreeMap::new(),
            server: BTreeMap::new(),
            pipeline: BTreeMap::new(),
            imported: BTreeMap::new(),
            inference: InferenceConfig::default(),
            model: BTreeMap::new(),
            search: SearchConfig::default(),
            origin: None,
            texts: BTreeMap::new(),
            places: Arc::default(),
        }
    }
}

impl Config {
    /// A file that says nothing any more, and did in `running`: as while an editor writes it.
    #[must_use]
    pub fn emptied(&self, running: &Self) -> Option<&Path> {
        let said = |path: &PathBuf| running.texts.get(path).copied().unwrap_or_default();
        self.texts.iter().find(|(path, says)| !**says && said(path)).map(|(path, _)| path.as_path())
    }

    /// The file that this was read from; None for the defaults.
    #[must_use]
    pub fn origin(&self) -> Option<&Path> {
        self.origin.as_deref()
    }

    /// Where the lock file is, or would be.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        let beside = || self.origin().and_then(Path::parent).unwrap_or(Path::new("")).join(lock::NAME);
        self.trust.lock.clone().unwrap_or_else(beside)
    }

    /// What the operator should know of the policies, in sentences.
    #[must_use]
    pub fn policy_warnings(&self) -> Vec<String> {
        let mut warnings = self.policy.warnings();
        let claims = self.policy.claims.keys();
        let is_told = |claim: &String| self.auth.issuer.values().any(|issuer| issuer.claims.contains(claim));
        warnings.extend(claims.filter(|claim| !is_told(claim)).map(|claim| {
            format!("policies never see the claim {claim:?} of [policy.claims]: name it in `claims` of an [auth.issuer.NAME] too")
        }));
        // Roles of tokens may stand nowhere else, if a claim brings them.
        let brings = self.auth.issuer.values().any(|issuer| issuer.roles_claim.is_some());
        for (id, kind, name) in self.policy.loaded.iter().flat_map(|policies| policies.named()) {
            if kind == "Role" && !brings && !self.role.contains_key(&name) {
                warnings.push(format!("policy {id:?} names Role::{name:?}, and there is no [role.{name}]: nobody has it"));
            }
        }
        warnings
    }

    /// What the operator should know of what is pinned, in sentences.
    #[must_use]
    pub fn trust_warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.trust.warning().into_iter().collect();
        for (name, server) in self.server.iter().filter(|_| self.trust.locked.is_some()) {
            if let ServerSource::Image(source) = &server.source
                && source.accepted.is_none()
                && !source.image.contains("@sha256:")
            {
                warnings.push(format!(
                    "the image of [server.{name}] is not pinned in the lock file: its code can change while its tools say the same; \
                     `toolbay lock --accept {name}` pins it"
                ));
            }
        }
        warnings
    }

    /// What the operator should know of what is shared, in a sentence.
    #[must_use]
    pub fn shared_warning(&self) -> Option<String> {
        let is_unused = self.shared.redis.is_some() && self.shared.store && self.store.path.is_some();
        is_unused.then(|| {
            "`path` in [store] is not used: plugins keep keys and values in `redis` of [shared]; leave it out, or set store = false in [shared]"
                .to_owned()
        })
    }

    /// What a plugin may use and reach before its sidecar says anything.
    pub(super) fn base_of(&self, name: &str) -> PluginConfig {
        let configured = self.plugin.get(name).or_else(|| self.plugin.get(BASE));
        configured.cloned().unwrap_or_else(|| PluginConfig::unconfigured(self.host.max_memory))
    }
}
