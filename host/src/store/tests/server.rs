//! A real Redis or Valkey for the tests of the store.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::super::{Limits, Store};
use crate::{
    config::{RedisUrl, SharedConfig, StoreConfig},
    shared::Shared,
};

/// A server that runs, ended when it goes out of scope.
pub(super) struct Server {
    child: Child,
    port: u16,
    stores: AtomicUsize,
}

impl Server {
    /// None: there is none on this machine, which CI does not accept.
    pub(super) fn start() -> Option<Self> {
        let is_there = |program: &&str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
        let Some(program) = ["redis-server", "valkey-server"].into_iter().find(is_there) else {
            let how = "redis-server or valkey-server is missing: apt-get install redis-server";
            assert!(std::env::var_os("CI").is_none(), "{how}");
            eprintln!("skipped: {how}");
            return None;
        };
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let arguments = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()];
            let child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            let mut server = Self { child, port, stores: AtomicUsize::new(0) };
            // Somebody else may have taken the port meanwhile: then it ends.
            while matches!(server.child.try_wait(), Ok(None)) {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() && matches!(server.child.try_wait(), Ok(None)) {
                    return Some(server);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        panic!("{program} does not start");
    }

    /// A store there that is empty. Needs a runtime.
    pub(super) fn store(&self, limits: Limits) -> Arc<Store> {
        let number = self.stores.fetch_add(1, Ordering::Relaxed);
        let patient = Duration::from_secs(30);
        let shared = Shared::new(&SharedConfig {
            redis: RedisUrl::parse(&format!("redis://127.0.0.1:{}", self.port)).ok(),
            prefix: format!("test{number}"),
            timeout: patient,
            connect_timeout: patient,
            ..SharedConfig::default()
        });
        let config = StoreConfig { size: limits.size, value: limits.value, ..StoreConfig::default() };
        Store::new(&config, shared.store_link())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
