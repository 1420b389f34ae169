//! HAProxy and nginx as they are installed, and Envoy as the lab has it, with the configurations of `deploy/`.

use std::{fs, net::TcpListener, path::PathBuf, process::Stdio};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{eventually, files, lab::Lab, secs};

/// Which balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `haproxy`.
    HaProxy,
    /// `nginx`.
    Nginx,
    /// `envoy`.
    Envoy,
}

/// A running balancer, ended when it goes out of scope.
pub struct Balancer {
    address: String,
    _folder: TempDir,
    _child: Child,
}

impl Balancer {
    /// Starts one in front of three hosts, by their addresses. None: it is not installed, which CI does not accept.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub async fn start(kind: Kind, hosts: [&str; 3]) -> Option<Self> {
        let program = match kind {
            Kind::HaProxy => PathBuf::from("/usr/sbin/haproxy"),
            Kind::Nginx => PathBuf::from("/usr/sbin/nginx"),
            Kind::Envoy => Lab::find().envoy(),
        };
        // The file, how it says its own address, and how it says those of hosts.
        let (file, own, other): (&str, &str, fn(&str, &str) -> String) = match kind {
            Kind::HaProxy => ("haproxy.cfg", "bind :8080", |host, port| format!("{host}:{port}")),
            Kind::Nginx => ("nginx.conf", "listen 8080", |host, port| format!("{host}:{port}")),
            Kind::Envoy => {
                ("envoy.yaml", "{ address: 0.0.0.0, port_value: 8080 }", |host, port| format!("{{ address: {host}, port_value: {port} }}"))
            }
        };
        if !program.exists() {
            let program = program.display();
            assert!(std::env::var_os("CI").is_none(), "{program} is missing: apt-get install haproxy nginx-light, and run scripts/lab.sh");
            eprintln!("skipped: {program} is missing: apt-get install haproxy nginx-light, and run scripts/lab.sh");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("a bound address").port();
        let address = format!("127.0.0.1:{port}");
        let mut text = fs::read_to_string(files::root().join("deploy").join(file)).expect("the configuration that ships");
        for (number, host) in hosts.iter().enumerate() {
            let name = other(&format!("toolbay-{}.internal", number + 1), "8000");
            assert!(text.contains(&name), "{file} names {name}");
            let (host, port) = host.split_once(':').expect("an address");
            text = text.replace(&name, &other(host, port));
        }
        assert!(text.contains(own), "{file} says {own}");
        let listen = match kind {
            Kind::HaProxy => format!("bind {address}"),
            Kind::Nginx => format!("listen {address}"),
            Kind::Envoy => other("127.0.0.1", &port.to_string()),
        };
        text = text.replace(own, &listen);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join(file);
        fs::write(&config, text).expect("the configuration can be written");
        let mut command = Command::new(&program);
        match kind {
            Kind::HaProxy => command.arg("-db").arg("-f").arg(&config),
            Kind::Envoy => command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"]).arg(&config),
            Kind::Nginx => {
                let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
                let folder = folder.path().display();
                let globals = format!("daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;");
                let temporary: String = paths.iter().map(|path| format!("{path}_temp_path {folder}/{path}; ")).collect();
                let text = fs::read_to_string(&config).expect("it was just written").replace("http {", &format!("http {{ {temporary}"));
                fs::write(&config, text).expect("the configuration can be written");
                command.arg("-p").arg(config.parent().expect("a folder")).arg("-c").arg(&config).arg("-g").arg(globals)
            }
        };
        let child = command.stdin(Stdio::null()).kill_on_drop(true).spawn().expect("the balancer can be started");
        eventually("the balancer finds a host", secs(20), || async {
            let answer = crate::client::http().get(format!("http://{address}/readyz")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Some(Self { address, _folder: folder, _child: child })
    }

    /// The endpoint behind it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}
