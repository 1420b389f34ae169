//! A load balancer as simple as can be: each connection goes to the next copy in turn.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::Server;

/// A running proxy, ended when it goes out of scope.
pub struct Proxy {
    address: SocketAddr,
    served: Arc<Vec<AtomicUsize>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one in front of these copies; the first connection goes to the first.
    ///
    /// # Panics
    ///
    /// Where there is no free port.
    pub async fn start(copies: &[&Server]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let served: Arc<Vec<AtomicUsize>> = Arc::new(copies.iter().map(|_| AtomicUsize::new(0)).collect());
        let addresses: Vec<String> = copies.iter().map(|copy| copy.address().to_owned()).collect();
        let counts = Arc::clone(&served);
        let task = tokio::spawn(async move {
            // Ends the connections with the proxy.
            let mut connections = JoinSet::new();
            for turn in 0.. {
                let Ok((mut from, _)) = listener.accept().await else { return };
                let copy = turn % addresses.len();
                let Ok(mut to) = TcpStream::connect(&addresses[copy]).await else { continue };
                let _ = (from.set_nodelay(true), to.set_nodelay(true));
                counts[copy].fetch_add(1, Ordering::Relaxed);
                connections.spawn(async move {
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, served, task }
    }

    /// The endpoint behind it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Connections that each copy was given.
    #[must_use]
    pub fn served(&self) -> Vec<usize> {
        self.served.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
