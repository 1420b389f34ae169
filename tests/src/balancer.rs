//! HAProxy and nginx as they are installed, with the configurations of `deploy/`.

use std::{fs, net::TcpListener, path::Path, process::Stdio};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{eventually, files, secs};

/// Which balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `haproxy`.
    HaProxy,
    /// `nginx`.
    Nginx,
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
        let (program, file, listen) = match kind {
            Kind::HaProxy => ("/usr/sbin/haproxy", "haproxy.cfg", ("bind :8080", "bind ")),
            Kind::Nginx => ("/usr/sbin/nginx", "nginx.conf", ("listen 8080", "listen ")),
        };
        if !Path::new(program).exists() {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing: apt-get install haproxy nginx-light");
            eprintln!("skipped: {program} is missing: apt-get install haproxy nginx-light");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("a bound address").port();
        let address = format!("127.0.0.1:{port}");
        let mut text = fs::read_to_string(files::root().join("deploy").join(file)).expect("the configuration that ships");
        for (number, host) in hosts.iter().enumerate() {
            let name = format!("toolbay-{}.internal:8000", number + 1);
            assert!(text.contains(&name), "{file} names {name}");
            text = text.replace(&name, host);
        }
        assert!(text.contains(listen.0), "{file} says {}", listen.0);
        text = text.replace(listen.0, &format!("{}{address}", listen.1));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join(file);
        fs::write(&config, text).expect("the configuration can be written");
        let mut command = Command::new(program);
        match kind {
            Kind::HaProxy => command.arg("-db").arg("-f").arg(&config),
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
